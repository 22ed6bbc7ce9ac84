//! The domain of Grantex: who may do what on whose behalf, for how long, and what happened.
//!
//! A *developer* registers *agents*; a *principal* consents to what an agent may do; the agent exchanges the resulting code
//! for a *grant* and its tokens, may delegate narrower authority to other agents, and every grant can be revoked with all
//! that was derived from it. [`Grantex`] offers each of these as one method; each method is one flow, written top to bottom.
//!
//! Nothing in this crate does I/O. Time, randomness, storage, signing and observation are ports that it is given:
//! [`Clock`](clock::Clock), [`Random`](id::Random), [`Store`](store::Store), [`Signer`](token::signer::Signer) and
//! [`Observer`](event::Observer). Everything that happened is an [`Event`](event::Event); the log line, the metric, the
//! webhook payload and the audit entry are projections of it.
//!
//! # Embedding
//!
//! A program that wants its own authorization service needs a [`Store`](store::Store), keys and randomness, and no web
//! framework. The store here forgets everything; prove one of your own with `grantex_core::testing::conformance`.
//!
//! ```
//! # #[cfg(all(feature = "testing", feature = "aws-lc"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use grantex_core::agent::{AgentStatus, RegisterAgent};
//! use grantex_core::authorize::Authorize;
//! use grantex_core::clock::{Lifetime, SystemClock};
//! use grantex_core::developer::{Mode, Signup};
//! use grantex_core::keys::{KeyManager, KeySettings};
//! use grantex_core::scope::Scopes;
//! use grantex_core::testing::MemoryStore;
//! use grantex_core::token::biscuit::TokenFormat;
//! use grantex_core::token::crypto::{MasterKey, SystemEntropy};
//! use grantex_core::token::signer::Algorithm;
//! use grantex_core::token::{ExchangeCode, InvalidReason};
//! use grantex_core::{Grantex, Settings};
//!
//! let store = MemoryStore::new();
//! let master_key = "5a".repeat(32); // In earnest: 32 secret bytes, as 64 hex digits or base64.
//!
//! // Signing keys live in the store, sealed with the master key.
//! let settings = KeySettings { algorithm: Algorithm::Rs256, activation_delay: Lifetime::minutes(10) };
//! let sealer = Arc::new(MasterKey::parse(&master_key)?);
//! let keys = KeyManager::new(store.clone(), sealer, Arc::new(SystemClock::new()), settings);
//! keys.ensure().await?;
//!
//! let settings = Settings::new("https://auth.example.com");
//! let sealer = MasterKey::parse(&master_key)?;
//! let grantex = Grantex::builder(store, settings, keys.ring().await?, sealer, SystemEntropy::default()).build();
//!
//! // Every call has a context: your logger, and a name for the call.
//! let ctx = grantex.context(slog::Logger::root(slog::Discard, slog::o!()), "call-1".to_owned());
//! let account = Signup { name: "Acme".to_owned(), email: None, mode: Mode::Sandbox };
//! let developer = grantex.signup(&ctx, account).await?.developer;
//! let scopes = Scopes::parse_some(vec!["calendar:read".to_owned()])?;
//! let assistant = RegisterAgent {
//!     name: "Assistant".to_owned(),
//!     description: String::new(),
//!     scopes: scopes.clone(),
//!     status: AgentStatus::Active,
//! };
//! let agent = grantex.register_agent(&ctx, &developer, assistant).await?;
//!
//! // A sandbox account needs nobody's consent; a live one shows `consent_request` and calls `approve_consent`.
//! let request = Authorize {
//!     agent_id: Some(agent.id.clone()),
//!     principal_id: "user-1".to_owned(),
//!     scopes,
//!     redirect_uri: None,
//!     state: None,
//!     expires_in: Lifetime::hours(24),
//!     audience: None,
//!     code_challenge: None,
//! };
//! let code = grantex.authorize(&ctx, &developer, request).await?.code.ok_or("the sandbox approves at once")?;
//! let exchange = ExchangeCode { code, agent_id: Some(agent.id), verifier: None, redirect_uri: None, format: TokenFormat::Jwt };
//! let issued = grantex.exchange_code(&ctx, &developer, exchange).await?;
//!
//! let token = issued.jwt.expose();
//! assert!(grantex.verify_token(&ctx, &developer, token, None).await?.is_ok());
//! grantex.revoke_grant(&ctx, &developer, issued.grant.id).await?;
//! let verdict = grantex.verify_token(&ctx, &developer, token, None).await?;
//! assert_eq!(verdict.err(), Some(InvalidReason::Revoked));
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "testing", feature = "aws-lc")))]
//! # fn main() {}
//! ```
//!
//! A program that runs for long also calls, from a timer of its own, [`Grantex::sweep_expired`],
//! [`Grantex::spread_revocations`], [`Grantex::clear_deleted_agents`] and [`Grantex::janitor`] every few seconds to minutes, and reloads its keys
//! (`KeyManager::prune`, then [`Grantex::set_keys`] with `KeyManager::ring`).

pub mod agent;
pub mod anomaly;
pub mod audit;
pub mod authorize;
pub mod clock;
pub mod closed;
pub mod context;
pub mod developer;
pub mod error;
pub mod event;
pub mod grant;
pub mod grantex;
pub mod id;
pub mod keys;
pub mod page;
pub mod plan;
pub mod policy;
pub mod principal;
pub mod revocation;
pub mod scope;
pub mod secret;
pub mod store;
pub mod sweep;
#[cfg(feature = "testing")]
pub mod testing;
pub mod token;
pub mod trace;
pub mod webhook;

pub use grantex::{Grantex, Settings};

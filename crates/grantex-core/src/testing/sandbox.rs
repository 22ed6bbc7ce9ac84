//! A service with an account to try things with.

use std::sync::{Arc, OnceLock};

use slog::{Discard, Logger, o};

use super::MemoryStore;
use crate::agent::{Agent, AgentStatus, RegisterAgent};
use crate::authorize::Authorize;
use crate::clock::Lifetime;
use crate::context::Context;
use crate::developer::{Developer, Mode, Signup};
use crate::scope::Scopes;
use crate::token::biscuit::TokenFormat;
use crate::token::crypto::{KeyPair, MasterKey, SystemEntropy};
use crate::token::signer::{Algorithm, KeyRing};
use crate::token::{ExchangeCode, IssuedToken};
use crate::{Grantex, Settings};

/// A service in memory with a sandbox developer and two agents: where examples begin.
pub struct Sandbox {
    /// The service.
    pub grantex: Grantex<MemoryStore>,
    /// A context for calls; one is enough here, in earnest each call has its own.
    pub ctx: Context,
    /// The developer.
    pub developer: Developer,
    /// An agent, for `calendar:read` and `mail:read`.
    pub agent: Agent,
    /// Another one, for the same.
    pub sub_agent: Agent,
}

impl Sandbox {
    /// A service at `https://auth.example`, whose keys are made once a process.
    ///
    /// # Panics
    /// When the machine has no randomness.
    #[expect(clippy::unwrap_used, reason = "nothing here depends on anything that could fail")]
    pub async fn new() -> Self {
        static KEY: OnceLock<Arc<KeyPair>> = OnceLock::new();
        let key = KEY.get_or_init(|| Arc::new(KeyPair::generate(Algorithm::Rs256).unwrap().0));
        let keys = KeyRing::new(key.clone(), key.clone(), vec![key.clone()]);
        let sealer = MasterKey::parse(&"5a".repeat(32)).unwrap();
        let settings = Settings::new("https://auth.example");
        let grantex = Grantex::builder(MemoryStore::new(), settings, keys, sealer, SystemEntropy::default()).build();
        let ctx = grantex.context(Logger::root(Discard, o!()), "sandbox".to_owned());
        let account = Signup {
            name: "Acme".to_owned(),
            email: None,
            mode: Mode::Sandbox,
        };
        let developer = grantex.signup(&ctx, account).await.unwrap().developer;
        let register = || RegisterAgent {
            name: "Assistant".to_owned(),
            description: String::new(),
            scopes: Self::scopes(),
            status: AgentStatus::Active,
        };
        let agent = grantex.register_agent(&ctx, &developer, register()).await.unwrap();
        let sub_agent = grantex.register_agent(&ctx, &developer, register()).await.unwrap();
        Self {
            grantex,
            ctx,
            developer,
            agent,
            sub_agent,
        }
    }

    /// What the agents are registered for.
    #[expect(clippy::unwrap_used, reason = "these are scopes")]
    pub fn scopes() -> Scopes {
        Scopes::parse_some(vec!["calendar:read".to_owned(), "mail:read".to_owned()]).unwrap()
    }

    /// What exchanges an approved code of the agent: its principal is `user-1`, it lasts for a day.
    ///
    /// # Panics
    /// When the service refuses.
    #[expect(
        clippy::unwrap_used,
        reason = "a sandbox refuses nothing that its agent is registered for"
    )]
    pub async fn approved(&self) -> ExchangeCode {
        let request = Authorize {
            agent_id: Some(self.agent.id.clone()),
            principal_id: "user-1".to_owned(),
            scopes: Self::scopes(),
            redirect_uri: None,
            state: None,
            expires_in: Lifetime::hours(24),
            audience: None,
            code_challenge: None,
        };
        let authorized = self
            .grantex
            .authorize(&self.ctx, &self.developer, request)
            .await
            .unwrap();
        ExchangeCode {
            code: authorized.code.unwrap(),
            agent_id: Some(self.agent.id.clone()),
            verifier: None,
            redirect_uri: None,
            format: TokenFormat::Jwt,
        }
    }

    /// A grant's tokens.
    ///
    /// # Panics
    /// When the service refuses.
    #[expect(
        clippy::unwrap_used,
        reason = "a sandbox refuses nothing that its agent is registered for"
    )]
    pub async fn issued(&self) -> IssuedToken {
        let exchange = self.approved().await;
        self.grantex
            .exchange_code(&self.ctx, &self.developer, exchange)
            .await
            .unwrap()
    }
}

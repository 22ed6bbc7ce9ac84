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

pub mod agent;
pub mod audit;
pub mod authorize;
pub mod clock;
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
pub mod scope;
pub mod secret;
pub mod store;
pub mod sweep;
#[cfg(feature = "testing")]
pub mod testing;
pub mod token;

pub use grantex::{Grantex, Settings};

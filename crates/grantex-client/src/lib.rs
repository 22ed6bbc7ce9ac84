//! For programs around a Grantex service: resource servers that are shown tokens, and agents that hold them.
//!
//! - [`Verifier`] verifies tokens of either format locally, with the service's published keys. [`Requirements`] say what a call needs.
//! - [`RevocationFeed`], [`OnlineCheck`] find out what was revoked; see [`RevocationCheck`].
//! - `Attenuate` (feature `biscuit`, on by default) narrows a Biscuit before it is handed on.
//! - [`Client`] calls the API of the service.
//! - [`middleware`] protects routes of actix-web (feature `actix`) and of axum or anything else made of tower (feature `tower`).
//!
//! Everything that calls the service has a deadline and a bound, follows no redirect, uses no proxy, and speaks plain `http` to this
//! machine only. Everything that keeps something keeps a bounded amount of it. Errors never contain a token or a key.
//!
//! A Tokio runtime with time and I/O is needed.

pub mod api;
#[cfg(feature = "biscuit")]
mod attenuate;
mod keys;
pub mod middleware;
mod revocation;
mod scope;
pub mod secure;
mod verify;
mod wire;

#[cfg(feature = "biscuit")]
pub use attenuate::Attenuate;
#[cfg(feature = "biscuit")]
pub use grantex_biscuit::narrow::NarrowError;
pub use grantex_core::clock::{Clock, Timestamp};
pub use grantex_core::secret::Secret;
pub use grantex_core::token::biscuit::{Ceiling, Effective, TokenFormat};

pub use api::{ApiError, Client};
pub use revocation::{FeedBuilder, FeedState, OnlineBuilder, OnlineCheck, RevocationCheck, RevocationFeed, Transport};
pub use scope::cap_of;
pub use secure::SetupError;
pub use verify::{Authorized, Requirements, Verifier, VerifierBuilder, VerifyError};
pub use wire::{TransportError, USER_AGENT};

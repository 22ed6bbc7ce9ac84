//! Requests to addresses that developers chose: the only crate that calls out.
//!
//! [`HttpSender`] implements core's [`Sender`](grantex_core::webhook::send::Sender). Whatever a receiver does, a send ends by its
//! deadline and keeps little memory; every status is an answer, and everything else is a
//! [`SendError`](grantex_core::webhook::send::SendError).
//!
//! [`CallPolicy`] says which URLs and addresses may be called. It implements core's
//! [`UrlPolicy`](grantex_core::webhook::target::UrlPolicy) for whoever registers URLs, and the sender asks it again on each send:
//! about the URL, and about every address that a name resolved to. A connection goes to addresses that were asked about, and to no
//! others.
//!
//! [`PolicyClient`] asks the operator's policy backend ([`grantex_core::policy::backend`]).
//!
//! [`OperatorClient`] asks what the operator named, such as a Prometheus: nothing that a developer chose goes through it.
//!
//! [`Mailer`] hands mails to the operator's mail server; an [`Outbox`] sends both.
//!
//! [`Dispatcher`] sends what is due. What is sent, when, how often and with which signature is decided in core
//! ([`grantex_core::webhook`]).

mod backend;
mod client;
mod collector;
mod dispatcher;
mod failure;
mod mail;
mod operator;
mod policy;
mod pool;
mod resolve;
mod retry_after;
mod settings;
mod tls;

pub use backend::PolicyClient;
pub use client::{HttpSender, SetupError, USER_AGENT};
pub use collector::{CollectorClient, CollectorError};
pub use dispatcher::{Bell, DispatchSettings, Dispatcher};
pub use mail::{MailSettings, MailTls, Mailer, Outbox};
pub use operator::{Answer, CallError, OperatorClient, OperatorSettings};
pub use policy::{CallPolicy, Networks, NetworksError};
pub use resolve::{Lookup, SystemLookup};
pub use settings::DeliverySettings;

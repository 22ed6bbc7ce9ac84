//! What an operator can set about calling out.

use std::path::PathBuf;
use std::time::Duration;

use crate::policy::{CallPolicy, Networks};

/// How receivers are called. The default is the strictest.
#[derive(Debug, Clone)]
pub struct DeliverySettings {
    /// Whether `http` URLs may be called (`WEBHOOK_ALLOW_INSECURE_URLS`).
    pub allow_insecure_urls: bool,
    /// Whether hosts of private networks may be called (`WEBHOOK_ALLOW_PRIVATE_HOSTS`).
    pub allow_private_hosts: bool,
    /// Networks that may be called although they are not public.
    pub allow_networks: Networks,
    /// How long one request may take in all: name resolution, connection, TLS, and the head of the answer. At most ten minutes.
    pub deadline: Duration,
    /// A PEM file with certificates to trust beside those that the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Idle connections that are kept to one host, each for four seconds.
    pub idle_per_host: usize,
    /// Idle connections that are kept in all.
    pub idle_total: usize,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            allow_insecure_urls: false,
            allow_private_hosts: false,
            allow_networks: Networks::default(),
            deadline: Duration::from_secs(10),
            ca_file: None,
            idle_per_host: 8,
            idle_total: 2_048,
        }
    }
}

impl DeliverySettings {
    /// The rules about what may be called, also for whoever registers URLs.
    pub fn policy(&self) -> CallPolicy {
        CallPolicy {
            allow_insecure_urls: self.allow_insecure_urls,
            allow_private_hosts: self.allow_private_hosts,
            allow_networks: self.allow_networks.clone(),
        }
    }
}

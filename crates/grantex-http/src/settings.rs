//! What the routes are told by whoever mounts them.

use std::time::Duration;

use grantex_core::secret::Secret;

use crate::client::TrustProxy;
use crate::feed::FeedSettings;
use crate::limit::RateLimits;
use crate::streams::StreamSettings;

/// Settings of the HTTP side.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Which proxies may name the client.
    pub trust_proxy: TrustProxy,
    /// Origins whose scripts may call the API, as in the `Origin` header.
    pub cors_allowed_origins: Vec<String>,
    /// Rate limits.
    pub rate_limits: RateLimits,
    /// Whether `/metrics` exists.
    pub metrics_enabled: bool,
    /// The key that `/metrics` asks for.
    pub metrics_api_key: Option<Secret<String>>,
    /// Whether `/metrics` refuses to answer without a key even when none is configured.
    pub metrics_require_auth: bool,
    /// The key of `/v1/admin`; without one it is closed.
    pub admin_api_key: Option<Secret<String>>,
    /// How long a request may take.
    pub request_deadline: Duration,
    /// Event streams.
    pub streams: StreamSettings,
    /// The revocation feed.
    pub feed: FeedSettings,
    /// The domain of the server's own `did:web`.
    pub did_web_domain: String,
    /// Whether redirect URIs must be public https addresses.
    pub is_production: bool,
}

impl HttpSettings {
    /// The defaults of a server at this base URL.
    pub fn new(public_base_url: &str) -> Self {
        let domain = url::Url::parse(public_base_url)
            .ok()
            .and_then(|url| did_domain(&url))
            .unwrap_or_else(|| "localhost".to_owned());
        Self {
            trust_proxy: TrustProxy::Nobody,
            cors_allowed_origins: Vec::new(),
            rate_limits: RateLimits::default(),
            metrics_enabled: true,
            metrics_api_key: None,
            metrics_require_auth: false,
            admin_api_key: None,
            request_deadline: Duration::from_secs(5),
            streams: StreamSettings::default(),
            feed: FeedSettings::default(),
            did_web_domain: domain,
            is_production: false,
        }
    }
}

/// The host, with a port that is not the scheme's own as did:web wants it.
fn did_domain(url: &url::Url) -> Option<String> {
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}%3A{port}"),
        None => host.to_owned(),
    })
}

//! The sender over HTTP.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use grantex_core::clock::Clock;
use grantex_core::store::BoxFuture;
use grantex_core::webhook::send::{Outgoing, Received, SendError, Sender};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, redirect};
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

use crate::policy::CallPolicy;
use crate::pool::KeptHosts;
use crate::resolve::{CheckedResolver, Lookup, SystemLookup};
use crate::settings::DeliverySettings;
use crate::{failure, retry_after, tls};

/// The `user-agent` of every request.
pub const USER_AGENT: &str = concat!("Grantex-Webhooks/", env!("CARGO_PKG_VERSION"));

/// The longest deadline; a longer setting counts as this.
const LONGEST_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// How long an idle connection is kept. Common servers close theirs after five seconds; a request that meets the closing one
/// would fail, and nobody could tell whether it was read.
const IDLE: Duration = Duration::from_secs(4);

/// How much of an answer's body is read, and for how long, so that the connection can be used again. It is closed on what remains.
const DRAINED_BYTES: u64 = 16 * 1024;
const DRAINED_WITHIN: Duration = Duration::from_millis(250);

/// What an HTTP/2 receiver may send before it is read: bytes of one body, of all bodies on a connection, and of one head.
const STREAM_WINDOW: u32 = 65_535;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
const HEAD_LIMIT: u32 = 16 * 1024;

/// After how long a silent HTTP/2 connection is asked whether it lives, and given up. Others share it, so that one dead connection
/// would cost each of them its deadline.
const PING: Duration = Duration::from_secs(5);

/// Why no sender could be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file of certificates cannot be read, or holds none.
    #[error("{0:?} holds no certificate in PEM form that can be read")]
    CaFile(PathBuf),
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
    /// The address that mails come from is none.
    #[error("the address that mails come from cannot be read")]
    MailAddress,
    /// TLS to the mail server could not be set up.
    #[error("TLS to the mail server could not be set up")]
    MailTls(#[source] lettre::transport::smtp::Error),
    /// A header cannot be one.
    #[error("a header holds what no header may hold")]
    Header,
    /// The client could not be made.
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
}

/// Sends requests to receivers over HTTP/1.1, and HTTP/2 where a receiver offers it over TLS.
///
/// No redirect is followed, no proxy used, no cookie kept, and no answer decompressed. Needs a Tokio runtime with time and I/O.
pub struct HttpSender {
    policy: Arc<CallPolicy>,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    /// Keeps connections.
    keeping: Client,
    /// Closes every connection after its request, for hosts that find no place in `kept`.
    closing: Client,
    kept: KeptHosts,
    trusted: usize,
}

impl HttpSender {
    /// A sender that resolves names as the machine does.
    ///
    /// # Errors
    /// When the file of certificates cannot be read, or TLS cannot be set up.
    pub fn new(settings: &DeliverySettings, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        Self::with_lookup(settings, clock, Arc::new(SystemLookup::default()))
    }

    /// A sender that resolves names by `lookup`. What it finds is checked like any other answer.
    ///
    /// # Errors
    /// As [`HttpSender::new`].
    pub fn with_lookup(
        settings: &DeliverySettings,
        clock: Arc<dyn Clock>,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, SetupError> {
        let policy = Arc::new(settings.policy());
        let deadline = settings.deadline.min(LONGEST_DEADLINE);
        let resolver = Arc::new(CheckedResolver {
            lookup,
            policy: Arc::clone(&policy),
            deadline: deadline / 2,
        });
        let (tls, trusted) = tls::config(settings.ca_file.as_deref())?;
        let client = |idle_per_host| {
            Client::builder()
                .user_agent(USER_AGENT)
                .dns_resolver(Arc::clone(&resolver))
                .tls_backend_preconfigured(tls.clone())
                .https_only(!settings.allow_insecure_urls)
                .redirect(redirect::Policy::none())
                .referer(false)
                .no_proxy()
                // Divided among a host's addresses, so that there is time for the next when one is dead.
                .connect_timeout(deadline * 3 / 4)
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(idle_per_host)
                .http2_initial_stream_window_size(STREAM_WINDOW)
                .http2_initial_connection_window_size(CONNECTION_WINDOW)
                .http2_max_header_list_size(HEAD_LIMIT)
                .http2_keep_alive_interval(PING)
                .http2_keep_alive_timeout(PING)
                .build()
                .map_err(SetupError::Client)
        };
        Ok(Self {
            clock,
            deadline,
            keeping: client(settings.idle_per_host)?,
            closing: client(0)?,
            kept: KeptHosts::new(settings.idle_total / settings.idle_per_host.max(1), deadline + IDLE),
            policy,
            trusted,
        })
    }

    /// How many certificates are trusted. With none, every `https` receiver fails.
    pub const fn trusted_certificates(&self) -> usize {
        self.trusted
    }

    async fn call(&self, outgoing: &Outgoing) -> Result<Received, SendError> {
        let deadline = Instant::now() + self.deadline;
        // Again, and not only at registration: the rules may have become stricter since, and a host that is an address is never
        // resolved.
        let url = self.policy.parse(&outgoing.url).map_err(|_| SendError::UrlRefused)?;
        let client = self.client_for(&url);
        let mut request = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            // The client would leave out a length of 0.
            .header(CONTENT_LENGTH, outgoing.body.len())
            .body(outgoing.body.to_string());
        for (name, value) in &outgoing.headers {
            request = request.header(*name, value);
        }
        let response = timeout_at(deadline, request.send())
            .await
            .map_err(|_| SendError::TimedOut)?
            .map_err(|error| failure::classify(&error))?;
        let received = Received {
            status: response.status().as_u16(),
            retry_after: self.retry_after(response.headers()),
        };
        // A switch of protocols that was not asked for (101) is no answer.
        if received.status < 200 {
            return Err(SendError::Broken);
        }
        drain(response, deadline).await;
        Ok(received)
    }

    fn client_for(&self, url: &Url) -> &Client {
        let host = &url[..Position::BeforePath];
        if self.kept.admits(host, self.clock.monotonic()) {
            &self.keeping
        } else {
            &self.closing
        }
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
        retry_after::parse(value, self.clock.now())
    }
}

impl Sender for HttpSender {
    fn send<'a>(&'a self, request: &'a Outgoing) -> BoxFuture<'a, Result<Received, SendError>> {
        Box::pin(self.call(request))
    }
}

/// Reads a short body to its end. Whatever happens here, the answer stands.
async fn drain(mut response: Response, deadline: Instant) {
    if response.content_length().is_some_and(|length| length > DRAINED_BYTES) {
        return;
    }
    let deadline = deadline.min(Instant::now() + DRAINED_WITHIN);
    let mut read = 0;
    while read <= DRAINED_BYTES
        && let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await
    {
        read += chunk.len() as u64;
    }
}

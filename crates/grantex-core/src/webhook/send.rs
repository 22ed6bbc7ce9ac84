//! The port through which requests leave for addresses that developers chose.

use std::sync::Arc;
use std::time::Duration;

use crate::store::BoxFuture;

/// A request on its way to a receiver: always a `POST` with a JSON body, a `content-length`, and no redirects followed.
#[derive(Clone)]
pub struct Outgoing {
    /// The absolute URL, as the developer registered it.
    pub url: String,
    /// Headers beyond `content-type`, `content-length` and `host`. Signatures are among them, hence no `Debug`.
    pub headers: Vec<(&'static str, String)>,
    /// The exact bytes of the body.
    pub body: Arc<str>,
}

/// A mail on its way to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Whom it is for: plain addresses.
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    /// The text, in lines that end in CRLF.
    pub text: String,
    /// What makes `Message-ID`: the same for each attempt, so that a mail that comes twice can be told.
    pub id: String,
}

/// What leaves for an endpoint.
#[derive(Clone)]
pub enum Message {
    /// A request.
    Http(Outgoing),
    /// A mail.
    Mail(Mail),
}

/// What came back: any status at all is an answer. Of a mail it is the mail server's last reply code (RFC 5321 §4.2): 2xx means
/// that it took the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The status of the final response, 200 to 999; informational ones (1xx) are passed over.
    pub status: u16,
    /// `Retry-After`, as a delay from now, when it could be read (RFC 9110 §10.2.3: seconds or an HTTP date).
    pub retry_after: Option<Duration>,
}

impl Received {
    /// Whether the receiver took it.
    pub const fn is_success(self) -> bool {
        matches!(self.status, 200..=299)
    }
}

/// Why there was no answer. The texts name no address and no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The URL is not one that may be called: scheme, port, user-info, or a host that is never public.
    #[error("the URL may not be called")]
    UrlRefused,
    /// The name resolved to an address that may not be called.
    #[error("the host resolves to an address that may not be called")]
    AddressRefused,
    /// The name could not be resolved.
    #[error("the host name could not be resolved")]
    Unresolved,
    /// No connection came about.
    #[error("the connection failed")]
    ConnectFailed,
    /// TLS could not be agreed on, or the certificate was refused.
    #[error("the TLS handshake failed")]
    TlsFailed,
    /// The request could not be signed, because the endpoint's secret cannot be opened with this server's master key.
    #[error("the secret cannot be opened with the master key of this server")]
    Unsigned,
    /// The deadline passed.
    #[error("there was no answer in time")]
    TimedOut,
    /// The addresses of a mail are none.
    #[error("the mail cannot be addressed")]
    Unaddressed,
    /// There is no mail server to hand a mail to.
    #[error("this server has no mail server")]
    NoMailServer,
    /// What came was no HTTP answer, or the connection ended before its headers did.
    #[error("the connection broke before an answer")]
    Broken,
}

/// Sends requests to receivers. Every send ends by a deadline of the sender's own, whatever the receiver does.
pub trait Sender: Send + Sync + 'static {
    /// Sends one request and reads the answer's head; its body is not used. Dropping the future gives the request up.
    fn send<'a>(&'a self, request: &'a Outgoing) -> BoxFuture<'a, Result<Received, SendError>>;

    /// Whether there is a mail server.
    fn has_mail(&self) -> bool {
        false
    }

    /// Hands a mail to the mail server.
    fn mail<'a>(&'a self, _mail: &'a Mail) -> BoxFuture<'a, Result<Received, SendError>> {
        Box::pin(async { Err(SendError::NoMailServer) })
    }

    /// Sends whatever it is.
    fn deliver<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Received, SendError>> {
        match message {
            Message::Http(request) => self.send(request),
            Message::Mail(mail) => self.mail(mail),
        }
    }
}

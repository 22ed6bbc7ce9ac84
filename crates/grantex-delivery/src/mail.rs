//! Handing mails to the operator's mail server (RFC 5321, RFC 3207, RFC 8314).

use std::path::{Path, PathBuf};
use std::time::Duration;

use grantex_core::secret::Secret;
use grantex_core::store::BoxFuture;
use grantex_core::webhook::send::{Mail, Outgoing, Received, SendError, Sender};
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::client::{HttpSender, SetupError};

/// Connections to the mail server at a time.
const CONNECTIONS: usize = 4;

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// `STARTTLS`, without which nothing is sent (RFC 3207).
    StartTls,
    /// Not at all: for a mail server on the same machine.
    None,
}

/// The operator's mail server.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: MailTls,
    /// Whom to log in as.
    pub credentials: Option<(String, Secret<String>)>,
    /// The address that mails come from, with or without a name: `Grantex <grantex@example.com>`.
    pub from: String,
    /// How long handing over one mail may take in all, waiting for a connection included.
    pub deadline: Duration,
    /// A PEM file with certificates to trust beside those of the machine.
    pub ca_file: Option<PathBuf>,
}

/// Hands mails to one mail server, over a connection for each. Needs a Tokio runtime with time and I/O.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    deadline: Duration,
    slots: Semaphore,
}

impl Mailer {
    /// A mailer. Nobody is contacted.
    ///
    /// # Errors
    /// When the sender's address cannot be read, or TLS cannot be set up.
    pub fn new(settings: &MailSettings) -> Result<Self, SetupError> {
        let from: Mailbox = settings.from.parse().map_err(|_| SetupError::MailAddress)?;
        let tls = match settings.tls {
            MailTls::None => Tls::None,
            MailTls::Implicit => Tls::Wrapper(parameters(settings)?),
            MailTls::StartTls => Tls::Required(parameters(settings)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .tls(tls)
            .timeout(Some(settings.deadline))
            .hello_name(ClientId::Domain(from.email.domain().to_owned()));
        if let Some((user, password)) = &settings.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().clone()));
        }
        Ok(Self {
            transport: builder.build(),
            from,
            deadline: settings.deadline,
            slots: Semaphore::new(CONNECTIONS),
        })
    }

    /// Hands a mail over; what comes back is the mail server's reply code.
    ///
    /// # Errors
    /// When there is no reply within the deadline.
    pub async fn hand_over(&self, mail: &Mail) -> Result<Received, SendError> {
        let message = self.message(mail).ok_or(SendError::Unaddressed)?;
        let sent = timeout(self.deadline, async {
            // The semaphore is never closed.
            let _slot = self.slots.acquire().await;
            self.transport.send(message).await
        });
        let status = match sent.await.map_err(|_| SendError::TimedOut)? {
            Ok(response) => u16::from(response.code()),
            Err(error) => error.status().map(u16::from).ok_or_else(|| classify(&error))?,
        };
        Ok(Received {
            status,
            retry_after: None,
        })
    }

    fn message(&self, mail: &Mail) -> Option<Message> {
        let id = format!("<{}@{}>", mail.id, self.from.email.domain());
        let mut builder: MessageBuilder = Message::builder()
            .from(self.from.clone())
            .subject(&mail.subject)
            .message_id(Some(id))
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN);
        for address in &mail.to {
            builder = builder.to(Mailbox::new(None, address.parse().ok()?));
        }
        builder.body(mail.text.clone()).ok()
    }
}

/// `Auto-Submitted: auto-generated` (RFC 3834 §5): nobody on holiday answers.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

fn parameters(settings: &MailSettings) -> Result<TlsParameters, SetupError> {
    let mut builder = TlsParameters::builder(settings.host.clone());
    if let Some(file) = &settings.ca_file {
        builder = builder.add_root_certificate(certificate(file)?);
    }
    builder.build().map_err(SetupError::MailTls)
}

fn certificate(file: &Path) -> Result<Certificate, SetupError> {
    let wrong = || SetupError::CaFile(file.to_owned());
    let pem = std::fs::read(file).map_err(|_| wrong())?;
    Certificate::from_pem(&pem).map_err(|_| wrong())
}

/// Why there was no reply. The error itself may hold names of hosts, and goes no further.
fn classify(error: &smtp::Error) -> SendError {
    if error.is_timeout() {
        SendError::TimedOut
    } else if error.is_tls() {
        SendError::TlsFailed
    } else if error.is_client() || error.is_response() {
        SendError::Broken
    } else {
        SendError::ConnectFailed
    }
}

/// Sends requests, and mails where there is a mail server.
pub struct Outbox {
    http: HttpSender,
    mail: Option<Mailer>,
}

impl Outbox {
    /// An outbox.
    pub const fn new(http: HttpSender, mail: Option<Mailer>) -> Self {
        Self { http, mail }
    }

    /// How many certificates are trusted. With none, every `https` receiver fails.
    pub const fn trusted_certificates(&self) -> usize {
        self.http.trusted_certificates()
    }
}

impl Sender for Outbox {
    fn send<'a>(&'a self, request: &'a Outgoing) -> BoxFuture<'a, Result<Received, SendError>> {
        self.http.send(request)
    }

    fn has_mail(&self) -> bool {
        self.mail.is_some()
    }

    fn mail<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<Received, SendError>> {
        match &self.mail {
            Some(mailer) => Box::pin(mailer.hand_over(mail)),
            None => Box::pin(async { Err(SendError::NoMailServer) }),
        }
    }
}

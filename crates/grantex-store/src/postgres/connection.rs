//! Where the server is, and how a connection to it is opened.

use std::error::Error;
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{self, SslMode};
use crate::OpenError;
use crate::options::Options;

/// A server and how to speak to it, read from a URL.
#[derive(Clone)]
pub(crate) struct Target {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    settings: String,
}

impl Target {
    /// Reads `postgres://user:password@host:port/database?sslmode=…`. Neither errors nor logs name what the URL holds.
    pub fn parse(url: &str, options: &Options) -> Result<Self, OpenError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut root_cert, mut rest) = (SslMode::Prefer, None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => mode = SslMode::parse(value)?,
                Some(("sslrootcert", value)) => root_cert = Some(value),
                _ => rest.push(parameter),
            }
        }
        let url = if rest.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", rest.join("&"))
        };
        let mut config: Config = url
            .parse()
            .map_err(|error: tokio_postgres::Error| OpenError::Url(reason(&error)))?;
        config.ssl_mode(match mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
        });
        if config.get_application_name().is_none() {
            config.application_name("grantex");
        }
        config.connect_timeout(options.connect_timeout);
        let tls = if mode == SslMode::Disable {
            None
        } else {
            Some(tls::connector(mode, root_cert)?)
        };
        // Plans are kept with their statements. One that was made while a table was small would read all of it for ever after,
        // and every query of ours has an index. A plan that has to read a whole table is then counted as so dear that it would be
        // compiled, which takes longer than any of our queries.
        let settings = format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; \
             SET default_transaction_isolation = 'read committed'; SET enable_seqscan = off; \
             SET jit = off",
            millis(options.statement_timeout),
            millis(options.lock_timeout),
            millis(options.idle_in_transaction_timeout),
        );
        Ok(Self { config, tls, settings })
    }

    /// Where the server is.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// How to speak to it in secret; `None` in the clear.
    pub const fn tls(&self) -> Option<&MakeRustlsConnect> {
        self.tls.as_ref()
    }

    /// The same server without limits of time: for migrations.
    pub fn patient(mut self) -> Self {
        self.settings = "SET statement_timeout = 0; SET lock_timeout = 0".to_owned();
        self
    }
}

fn millis(duration: Duration) -> u128 {
    duration.as_millis()
}

/// The error's own text and those behind it; tokio-postgres keeps them apart and names no values.
fn reason(error: &tokio_postgres::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Opens a connection; it is driven by the runtime on which this runs.
pub(crate) async fn open(target: &Target) -> ConnectionResult<AsyncPgConnection> {
    let failed = |error: tokio_postgres::Error| ConnectionError::BadConnection(reason(&error));
    let mut conn = match &target.tls {
        None => {
            let (client, connection) = target.config.connect(NoTls).await.map_err(failed)?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await?
        }
        Some(tls) => {
            let (client, connection) = target.config.connect(tls.clone()).await.map_err(failed)?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await?
        }
    };
    conn.batch_execute(&target.settings)
        .await
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(conn)
}

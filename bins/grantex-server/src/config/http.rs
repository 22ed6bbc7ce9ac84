//! Where and how the server listens, and who it is to the world.

use std::time::Duration;

use grantex_core::secret::Secret;
use grantex_http::TrustProxy;
use url::Url;

use super::{Env, Variable, long_enough};

const GRANTEX_ENV: Variable = Variable::new(
    "GRANTEX_ENV",
    "development",
    "`development` or `production`. In production a public base URL and a master key must be set, and no account is made at start.",
);
const HOST: Variable = Variable::new(
    "HOST",
    "127.0.0.1",
    "Address to listen on; `0.0.0.0` for every interface.",
);
const PORT: Variable = Variable::new("PORT", "3001", "Port to listen on, 1 to 65535.");
const PUBLIC_BASE_URL: Variable = Variable::new(
    "PUBLIC_BASE_URL",
    "http://HOST:PORT",
    "What links to this server begin with, without a trailing slash.",
);
const JWT_ISSUER: Variable = Variable::new(
    "JWT_ISSUER",
    "PUBLIC_BASE_URL",
    "The `iss` of every token. Clients that verify tokens by themselves expect the base URL here.",
);
const DID_WEB_DOMAIN: Variable = Variable::new(
    "DID_WEB_DOMAIN",
    "host of PUBLIC_BASE_URL",
    "Domain of the server's `did:web` document.",
);
const CORS_ALLOWED_ORIGINS: Variable = Variable::new(
    "CORS_ALLOWED_ORIGINS",
    "",
    "Comma-separated origins whose scripts may call the API; none when empty.",
);
const TRUST_PROXY: Variable = Variable::new(
    "TRUST_PROXY",
    "",
    "Which proxies may name the client: a number of hops (1 to 16) or a comma-separated list of addresses and networks. \
     Empty: the peer is the client. `true` and `*` are refused.",
);
const WORKERS: Variable = Variable::new(
    "WORKERS",
    "number of processors",
    "Threads that answer requests, 1 to 1024.",
);
const REQUEST_DEADLINE: Variable = Variable::new(
    "REQUEST_DEADLINE",
    "5s",
    "How long a request may take. After it the answer is 503 when nothing was done, 500 when the outcome is unknown.",
);
const KEEP_ALIVE: Variable = Variable::new("KEEP_ALIVE", "75s", "How long an idle connection is kept.");
const SHUTDOWN_DELAY: Variable = Variable::new(
    "SHUTDOWN_DELAY",
    "1s",
    "After SIGTERM: how long `/ready` says 503 while requests are still accepted, so that load balancers notice.",
);
const SHUTDOWN_TIMEOUT: Variable = Variable::new(
    "SHUTDOWN_TIMEOUT",
    "15s",
    "After that delay: how long requests that have begun may take to end.",
);
const ADMIN_API_KEY: Variable = Variable::secret(
    "ADMIN_API_KEY",
    "Key of `/v1/admin`, at least 16 characters; without it `/v1/admin` is closed.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[
    &GRANTEX_ENV,
    &HOST,
    &PORT,
    &PUBLIC_BASE_URL,
    &JWT_ISSUER,
    &DID_WEB_DOMAIN,
    &CORS_ALLOWED_ORIGINS,
    &TRUST_PROXY,
    &WORKERS,
    &REQUEST_DEADLINE,
    &KEEP_ALIVE,
    &SHUTDOWN_DELAY,
    &SHUTDOWN_TIMEOUT,
    &ADMIN_API_KEY,
];

/// Whether this is somebody's machine or the real thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Somebody's machine: convenient.
    Development,
    /// The real thing: strict.
    Production,
}

impl Environment {
    /// The value of the variable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

/// The section.
#[derive(Debug)]
pub struct Http {
    /// Development or production.
    pub environment: Environment,
    /// Address to listen on.
    pub host: String,
    /// Port to listen on.
    pub port: u16,
    /// What links begin with.
    pub public_base_url: String,
    /// The `iss` of tokens.
    pub jwt_issuer: String,
    /// The domain of `did:web`; `None` is the base URL's.
    pub did_web_domain: Option<String>,
    /// Origins whose scripts may call the API.
    pub cors_allowed_origins: Vec<String>,
    /// Proxies that may name the client.
    pub trust_proxy: TrustProxy,
    /// Threads that answer requests.
    pub workers: usize,
    /// How long a request may take.
    pub request_deadline: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// How long to serve on after a signal.
    pub shutdown_delay: Duration,
    /// How long begun requests may take after that.
    pub shutdown_timeout: Duration,
    /// The key of `/v1/admin`.
    pub admin_api_key: Option<Secret<String>>,
}

pub(super) fn read(env: &mut Env) -> Http {
    let environment = env.parsed(&GRANTEX_ENV, Environment::Development, |text| match text {
        "development" => Ok(Environment::Development),
        "production" => Ok(Environment::Production),
        _ => Err("must be development or production".to_owned()),
    });
    let host = env.parsed(&HOST, "127.0.0.1".to_owned(), host);
    let port = env.parsed(&PORT, 3001, |text| {
        text.parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| "must be a port from 1 to 65535".to_owned())
    });
    let base = env.parsed(&PUBLIC_BASE_URL, None, |text| base_url(text).map(Some));
    if base.is_none() && environment == Environment::Production {
        env.problem(PUBLIC_BASE_URL.name, "must be set in production");
    }
    let public_base_url = base.unwrap_or_else(|| default_base_url(&host, port));
    let jwt_issuer = env.parsed(&JWT_ISSUER, public_base_url.clone(), issuer);
    let admin_api_key = env.secret(&ADMIN_API_KEY);
    Http {
        environment,
        host,
        port,
        jwt_issuer,
        did_web_domain: env.parsed(&DID_WEB_DOMAIN, None, |text| domain(text).map(Some)),
        cors_allowed_origins: env.parsed(&CORS_ALLOWED_ORIGINS, Vec::new(), origins),
        trust_proxy: env.parsed(&TRUST_PROXY, TrustProxy::default(), |text| {
            TrustProxy::parse(text).map_err(|error| error.to_string().trim_start_matches("it ").to_owned())
        }),
        workers: usize::try_from(env.number(&WORKERS, processors(), 1..=1024)).unwrap_or(1),
        request_deadline: env.duration(&REQUEST_DEADLINE, Duration::from_secs(5)),
        keep_alive: env.duration(&KEEP_ALIVE, Duration::from_secs(75)),
        shutdown_delay: env.parsed(&SHUTDOWN_DELAY, Duration::from_secs(1), span_or_zero),
        shutdown_timeout: env.duration(&SHUTDOWN_TIMEOUT, Duration::from_secs(15)),
        admin_api_key: long_enough(env, &ADMIN_API_KEY, admin_api_key),
        public_base_url,
    }
}

fn processors() -> u32 {
    std::thread::available_parallelism()
        .ok()
        .and_then(|count| u32::try_from(count.get()).ok())
        .unwrap_or(2)
}

fn host(text: &str) -> Result<String, String> {
    let is_name = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']'));
    if is_name {
        Ok(text.trim_matches(['[', ']']).to_owned())
    } else {
        Err("must be an address or a host name".to_owned())
    }
}

fn default_base_url(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("http://[{host}]:{port}")
    } else {
        format!("http://{host}:{port}")
    }
}

fn base_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|_| "must be an http or https URL".to_owned())?;
    let is_plain =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain {
        return Err("must be an http or https URL without user, query and fragment".to_owned());
    }
    issuer(text.trim_end_matches('/'))
}

/// Older clients decode tokens with plain base64, in which these characters can yield letters they do not know.
fn issuer(text: &str) -> Result<String, String> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'>' | b'?' | b'~' | b'"' | b'\\'));
    if is_plain {
        Ok(text.to_owned())
    } else {
        Err("must be plain ASCII without spaces, >, ? and ~".to_owned())
    }
}

fn domain(text: &str) -> Result<String, String> {
    let is_domain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'%'));
    if is_domain {
        Ok(text.replace(':', "%3A"))
    } else {
        Err("must be a domain, with a port if it is not 443".to_owned())
    }
}

fn origins(text: &str) -> Result<Vec<String>, String> {
    let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    origins
        .map(|origin| match Url::parse(origin) {
            Ok(url) if url.origin().ascii_serialization() == origin.trim_end_matches('/') => {
                Ok(origin.trim_end_matches('/').to_owned())
            }
            _ => Err("must be a comma-separated list of origins like https://app.example".to_owned()),
        })
        .collect()
}

fn span_or_zero(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") {
        return Ok(Duration::ZERO);
    }
    let lifetime =
        grantex_core::clock::Lifetime::parse(text).ok_or_else(|| "must be 0 or a span like 5s".to_owned())?;
    Ok(Duration::from_millis(u64::try_from(lifetime.as_millis()).unwrap_or(0)))
}

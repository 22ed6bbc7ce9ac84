//! What the example programs share and what is not their subject: keys for a store, and a small client for their own port.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use grantex_biscuit::Biscuits;
use grantex_core::clock::{Lifetime, SystemClock};
use grantex_core::keys::{KeyManager, KeySettings};
use grantex_core::store::Store;
use grantex_core::token::crypto::MasterKey;
use grantex_core::token::signer::Algorithm;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Any error, told by the program when it ends.
pub type Failure = Box<dyn Error + Send + Sync>;

/// How long a call to a port of this machine may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// In earnest: 32 secret bytes, as 64 hex digits or base64, which are kept where no other secret of the program is lost with them.
pub const MASTER_KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

/// The manager of the keys in a store, Biscuits included, with a first key of each kind.
///
/// # Errors
/// When the store fails.
pub async fn keys<S: Store>(store: S) -> Result<KeyManager<S>, Failure> {
    let settings = KeySettings {
        algorithm: Algorithm::Es256,
        activation_delay: Lifetime::minutes(10),
    };
    let sealer = Arc::new(MasterKey::parse(MASTER_KEY)?);
    let keys = KeyManager::new(store, sealer, Arc::new(SystemClock::new()), settings);
    let keys = keys.with_biscuits(Biscuits::default());
    keys.ensure().await?;
    Ok(keys)
}

/// A directory for a run, removed at its end.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one for the program of this name.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(program: &str) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("grantex-example-{program}-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that stays is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Asks a port of this machine; status and body. A body that is not JSON is given as text.
///
/// # Errors
/// When there is no answer in time.
pub async fn ask(
    at: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Result<(u16, Value), Failure> {
    let call = async {
        let connection = TokioIo::new(TcpStream::connect(at).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(connection).await?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", at.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let response = sender.send_request(request.body(Full::<Bytes>::from(body))?).await?;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    };
    timeout(DEADLINE, call).await?
}

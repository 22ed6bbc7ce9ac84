//! The master key, and signing keys that are measured.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grantex_core::clock::Clock;
use grantex_core::id::Random;
use grantex_core::secret::{Secret, hex};
use grantex_core::token::crypto::{KeyError, MasterKey, SystemEntropy};
use grantex_core::token::signer::{Algorithm, KeyRing, Sealer, SignError, Signer};
use grantex_metrics::Metrics;

use crate::config::{Config, DatabaseUrl};

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// It is malformed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its file cannot be read or made.
    #[error("the key file {} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Others may read its file.
    #[error("the key file {} may be read by others; run: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// There is neither a key nor a place for a key file.
    #[error("GRANTEX_MASTER_KEY is not set")]
    Missing,
}

/// The master key: configured, or from the key file beside the embedded store, which is made when there is none.
pub fn master_key(config: &Config) -> Result<MasterKey, MasterKeyError> {
    let text = match (&config.keys.master_key, &config.database.url) {
        (Some(text), _) => text.clone(),
        (None, DatabaseUrl::Sqlite(database)) => key_file(&beside(database))?,
        (None, DatabaseUrl::Postgres(_)) => return Err(MasterKeyError::Missing),
    };
    Ok(MasterKey::parse(text.expose())?)
}

/// The name of the key file of this database.
pub fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".key");
    PathBuf::from(name)
}

fn key_file(path: &Path) -> Result<Secret<String>, MasterKeyError> {
    let failed = |cause| MasterKeyError::File {
        path: path.to_owned(),
        cause,
    };
    match OpenOptions::new().read(true).open(path) {
        Ok(mut file) => {
            let mode = file.metadata().map_err(failed)?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(MasterKeyError::Exposed { path: path.to_owned() });
            }
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(failed)?;
            Ok(Secret::new(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_key_file(path).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// Written under another name and linked into place, so that of several first starts one wins and none reads half a key.
fn make_key_file(path: &Path) -> io::Result<Secret<String>> {
    let mut bytes = [0_u8; 32];
    SystemEntropy::default().fill(&mut bytes);
    let text = Secret::new(hex(&bytes));
    bytes.fill(0);
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(text.expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read_to_string(path).map(Secret::new),
        Err(error) => Err(error),
    }
}

/// One sealer for the key manager and the flows.
#[derive(Clone)]
pub struct SharedSealer(pub Arc<dyn Sealer>);

impl Sealer for SharedSealer {
    fn seal(&self, context: &str, plain: &[u8]) -> Result<String, SignError> {
        self.0.seal(context, plain)
    }

    fn open(&self, context: &str, sealed: &str) -> Option<Vec<u8>> {
        self.0.open(context, sealed)
    }
}

/// The same keys, measuring how long each token's signature takes.
pub fn measured(ring: KeyRing, metrics: Option<&Metrics>, clock: &Arc<dyn Clock>) -> KeyRing {
    let Some(metrics) = metrics else { return ring };
    let tokens = Measured {
        signer: Arc::clone(ring.token_signer()),
        metrics: metrics.clone(),
        clock: Arc::clone(clock),
    };
    let kids = ring.public_keys().iter().filter_map(|jwk| jwk.get("kid")?.as_str());
    let verifiers = kids.filter_map(|kid| ring.verifier(kid).cloned()).collect();
    KeyRing::new(Arc::new(tokens), Arc::clone(ring.session_signer()), verifiers).with_biscuits(ring.biscuits().cloned())
}

struct Measured {
    signer: Arc<dyn Signer>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

impl Signer for Measured {
    fn key_id(&self) -> &str {
        self.signer.key_id()
    }

    fn algorithm(&self) -> Algorithm {
        self.signer.algorithm()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let began = self.clock.monotonic();
        let signature = self.signer.sign(message)?;
        self.metrics.signed(self.clock.monotonic().saturating_sub(began));
        Ok(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Env;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("grantex-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn the_embedded_store_makes_its_own_key_file_once() {
        let directory = directory("key-file");
        let database = directory.join("new/grantex.db");
        let config = Config::load(Env::of(&[("DATABASE_URL", &database.display().to_string())], &[])).unwrap();
        let sealed = master_key(&config).unwrap().seal("context", b"plain").unwrap();
        assert_eq!(
            master_key(&config).unwrap().open("context", &sealed).as_deref(),
            Some(b"plain".as_slice())
        );
        let file = beside(&database);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(master_key(&config), Err(MasterKeyError::Exposed { .. })));
        fs::remove_dir_all(&directory).unwrap();
    }
}

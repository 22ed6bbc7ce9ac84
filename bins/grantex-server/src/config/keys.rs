//! Master key and signing keys.

use grantex_core::clock::Lifetime;
use grantex_core::secret::Secret;
use grantex_core::token::crypto::MasterKey;
use grantex_core::token::signer::Algorithm;

use super::{Database, DatabaseUrl, Env, Environment, Variable};

const MASTER_KEY: Variable = Variable::secret(
    "GRANTEX_MASTER_KEY",
    "32 bytes, as 64 hex digits or base64, that encrypt the signing keys in the store. Required with PostgreSQL and in production; \
     the embedded store makes a key file beside the database otherwise.",
);
const RSA_PRIVATE_KEY: Variable = Variable::secret(
    "RSA_PRIVATE_KEY",
    "A PKCS#8 PEM key (RSA of at least 2048 bits) that is imported at start unless it is there already; `\\n` may stand for line ends.",
);
const SIGNING_ALGORITHM: Variable = Variable::new(
    "SIGNING_ALGORITHM",
    "RS256",
    "`RS256` or `ES256`. ES256 is faster, but clients that accept RS256 only refuse its tokens; an RSA key stays published.",
);
const KEY_ACTIVATION_DELAY: Variable = Variable::new(
    "KEY_ACTIVATION_DELAY",
    "10m",
    "How long a new signing key is published before it signs. Keep it longer than clients cache the key set (5 min).",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[&MASTER_KEY, &RSA_PRIVATE_KEY, &SIGNING_ALGORITHM, &KEY_ACTIVATION_DELAY];

/// The section.
#[derive(Debug)]
pub struct Keys {
    /// The master key; without one the embedded store's key file is used.
    pub master_key: Option<Secret<String>>,
    /// A key to import.
    pub rsa_private_key: Option<Secret<String>>,
    /// What signs grant tokens.
    pub algorithm: Algorithm,
    /// How long a new key is published before it signs.
    pub activation_delay: Lifetime,
}

pub(super) fn read(env: &mut Env, database: &Database, environment: Environment) -> Keys {
    let master_key = env.secret(&MASTER_KEY);
    match &master_key {
        Some(key) => {
            if let Err(error) = MasterKey::parse(key.expose()) {
                env.problem(MASTER_KEY.name, error.to_string());
            }
        }
        None if matches!(database.url, DatabaseUrl::Postgres(_)) => {
            env.problem(MASTER_KEY.name, "must be set with PostgreSQL")
        }
        None if environment == Environment::Production => env.problem(MASTER_KEY.name, "must be set in production"),
        None => {}
    }
    Keys {
        master_key,
        rsa_private_key: env.secret(&RSA_PRIVATE_KEY),
        algorithm: env.parsed(&SIGNING_ALGORITHM, Algorithm::Rs256, |text| {
            Algorithm::parse(text).ok_or_else(|| "must be RS256 or ES256".to_owned())
        }),
        activation_delay: env.lifetime(&KEY_ACTIVATION_DELAY, Lifetime::minutes(10)),
    }
}

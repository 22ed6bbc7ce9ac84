//! Master key and signing keys, and their age.

use std::sync::Arc;

use grantex_core::clock::{Clock, Lifetime};
use grantex_core::error::chain;
use grantex_core::store::{KeyState, StoredKey};
use grantex_core::token::biscuit;
use grantex_store::AnyStore;

use super::findings::Findings;
use super::{DATABASE_DEADLINE, within};
use crate::app::key_manager;
use crate::config::{Config, DatabaseUrl};
use crate::error::Failure;
use crate::keys::beside;

const MASTER_KEY: &str = "give the server the master key that it was first started with; without it the signing keys are lost (docs/keys.md)";

/// Opens every signing key, signs with the one in use, and looks at its age.
pub async fn look(
    config: &Config,
    store: &AnyStore,
    max_age: Lifetime,
    clock: &Arc<dyn Clock>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    if let (None, DatabaseUrl::Sqlite(path)) = (&config.keys.master_key, &config.database.url)
        && !beside(path).exists()
    {
        return findings.failed(
            "master key",
            format!("{} is missing", beside(path).display()),
            MASTER_KEY,
        );
    }
    let manager = match key_manager(config, store.clone(), clock) {
        Ok(manager) => manager,
        Err(failure) => return findings.failed("master key", failure.to_string(), MASTER_KEY),
    };
    let read = async {
        Ok::<_, Failure>((
            manager.list().await.map_err(Failure::of("reading the keys"))?,
            manager.ring().await,
        ))
    };
    let (stored, ring) = match within(DATABASE_DEADLINE, read).await {
        Some(Ok(read)) => read,
        Some(Err(failure)) => return findings.failed("signing keys", failure.to_string(), "see the database above"),
        None => return findings.failed("signing keys", "cannot be read in time", "see the database above"),
    };
    if stored.is_empty() {
        return findings.ok("signing keys", "none yet; the first start makes one");
    }
    let ring = match ring {
        Ok(ring) => ring,
        Err(error) => return findings.failed("signing keys", chain(&error), MASTER_KEY),
    };
    let signer = ring.token_signer();
    let rotate = "run: grantex-server keys rotate";
    let signature = match signer.sign(b"doctor") {
        Ok(signature) => signature,
        Err(error) => return findings.failed("signing keys", chain(&error), rotate),
    };
    let verifies = ring
        .verifier(signer.key_id())
        .is_some_and(|verifier| verifier.verify(b"doctor", &signature));
    if !verifies {
        let what = format!("{} does not verify its own signature", signer.key_id());
        return findings.failed("signing keys", what, rotate);
    }
    let what = format!("{} published, {} signs", ring.public_keys().len(), signer.key_id());
    findings.ok("signing keys", what)?;
    let kids = [
        (Kind::Signing, Some(signer.key_id())),
        (Kind::Root, ring.biscuits().map(|biscuits| biscuits.signing_kid())),
    ];
    for (kind, kid) in kids {
        if let Some(key) = stored.iter().find(|key| Some(key.kid.as_str()) == kid) {
            age(&kind, key, &stored, max_age, &**clock, findings)?;
        }
    }
    Ok(())
}

/// What a key signs.
enum Kind {
    /// JWTs.
    Signing,
    /// First blocks of Biscuits.
    Root,
}

impl Kind {
    /// The name of the check, what the key is called, and the advice.
    fn words(&self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Signing => (
                "key age",
                "the signing key",
                "run: grantex-server keys rotate; tokens that the old key signed stay valid (docs/keys.md)",
            ),
            Self::Root => (
                "root key age",
                "the root key of Biscuits",
                "run: grantex-server keys rotate --biscuit; Biscuits of the old key stay valid (docs/keys.md)",
            ),
        }
    }
}

fn age(
    kind: &Kind,
    key: &StoredKey,
    stored: &[StoredKey],
    max_age: Lifetime,
    clock: &dyn Clock,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let (name, called, advice) = kind.words();
    let now = clock.now();
    let ahead = key.created_at.since(now);
    if ahead > Lifetime::seconds(60) {
        let what = format!("{called} was made {} s in the future", ahead.as_seconds());
        return findings.failed(
            "clock",
            what,
            "let NTP set this machine's clock, and that of the machine that made the key",
        );
    }
    let age = now.since(key.created_at);
    let what = format!(
        "{called} was made {} days ago, on {}",
        age.as_seconds() / 86_400,
        key.created_at
    );
    let mut alike = stored
        .iter()
        .filter(|other| (other.algorithm == biscuit::ALGORITHM) == (key.algorithm == biscuit::ALGORITHM));
    let is_followed = alike.any(|other| other.state == KeyState::Active && other.activates_at > now);
    if age > max_age && !is_followed {
        return findings.warning(name, what, advice);
    }
    findings.ok(name, what)
}

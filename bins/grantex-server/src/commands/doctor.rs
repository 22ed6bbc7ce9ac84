//! `doctor`: looks at everything the server depends on. Changes nothing.

use std::sync::Arc;

use grantex_core::clock::{Clock, SystemClock};
use grantex_core::error::chain;
use grantex_core::store::Store as _;
use grantex_store::{AnyStore, migrate};

use super::{line, silent};
use crate::app::{key_manager, open_store};
use crate::config::{Config, DatabaseUrl, Problem};
use crate::error::Failure;
use crate::keys::beside;

/// Looks, tells, and fails when something would keep the server from working.
pub async fn doctor(config: Result<Config, Vec<Problem>>) -> Result<(), Failure> {
    let mut findings = Findings::default();
    match config {
        Ok(config) => {
            findings.good("configuration", "no problem")?;
            for warning in config.warnings() {
                findings.warning("configuration", &warning)?;
            }
            database(&config, &mut findings).await?;
        }
        Err(problems) => {
            for problem in problems {
                findings.bad("configuration", &problem.to_string())?;
            }
        }
    }
    if findings.bad == 0 {
        Ok(())
    } else {
        Err(Failure::Found("something is wrong"))
    }
}

async fn database(config: &Config, findings: &mut Findings) -> Result<(), Failure> {
    if let DatabaseUrl::Sqlite(path) = &config.database.url
        && !path.exists()
    {
        return findings.good(
            "database",
            &format!("{} does not exist yet; the first start makes it", path.display()),
        );
    }
    match migrate::pending(config.database.url().expose()) {
        Ok(pending) if pending.is_empty() => findings.good("schema", "up to date")?,
        Ok(pending) => {
            let what = format!("pending: {}", pending.join(" "));
            match config.database.migrate_on_start {
                true => findings.warning("schema", &format!("{what}; the next start applies it"))?,
                false => findings.bad("schema", &format!("{what}; run: grantex-server migrate"))?,
            }
            return Ok(());
        }
        Err(error) => return findings.bad("schema", &chain(&error)),
    }
    match open_store(&config.database, &silent(), None).await {
        Ok(store) => {
            match store.ping().await {
                Ok(()) => findings.good("database", config.database.kind())?,
                Err(error) => return findings.bad("database", &chain(&error)),
            }
            keys(config, store, findings).await
        }
        Err(failure) => findings.bad("database", &failure.to_string()),
    }
}

async fn keys(config: &Config, store: AnyStore, findings: &mut Findings) -> Result<(), Failure> {
    if let (None, DatabaseUrl::Sqlite(path)) = (&config.keys.master_key, &config.database.url)
        && !beside(path).exists()
    {
        return findings.bad("master key", &format!("{} is missing", beside(path).display()));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let manager = match key_manager(config, store, &clock) {
        Ok(manager) => manager,
        Err(failure) => return findings.bad("master key", &failure.to_string()),
    };
    let stored = manager.list().await.map_err(Failure::of("reading the keys"))?;
    if stored.is_empty() {
        return findings.good("signing keys", "none yet; the first start makes one");
    }
    let ring = match manager.ring().await {
        Ok(ring) => ring,
        Err(error) => return findings.bad("signing keys", &chain(&error)),
    };
    let signer = ring.token_signer();
    let signature = signer.sign(b"doctor").map_err(Failure::of("signing"))?;
    let verifies = ring
        .verifier(signer.key_id())
        .is_some_and(|verifier| verifier.verify(b"doctor", &signature));
    match verifies {
        true => findings.good(
            "signing keys",
            &format!("{} published, {} signs", stored.len(), signer.key_id()),
        ),
        false => findings.bad("signing keys", "the signing key does not verify its own signature"),
    }
}

#[derive(Default)]
struct Findings {
    bad: usize,
}

impl Findings {
    fn good(&mut self, about: &str, what: &str) -> Result<(), Failure> {
        line(&format!("ok       {about}: {what}"))
    }

    fn warning(&mut self, about: &str, what: &str) -> Result<(), Failure> {
        line(&format!("warning  {about}: {what}"))
    }

    fn bad(&mut self, about: &str, what: &str) -> Result<(), Failure> {
        self.bad += 1;
        line(&format!("FAILED   {about}: {what}"))
    }
}

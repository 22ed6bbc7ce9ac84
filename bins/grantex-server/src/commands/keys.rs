//! `keys`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grantex_core::clock::{Clock, SystemClock};
use grantex_core::keys::{Imported, KeyManager};
use grantex_core::secret::Secret;
use grantex_core::store::{KeyState, StoredKey};
use grantex_store::AnyStore;

use super::{line, silent};
use crate::app::{key_manager, open_store};
use crate::cli::KeysCommand;
use crate::config::Config;
use crate::error::Failure;

/// Lists, makes, retires or imports signing keys. Running servers see it within seconds.
pub async fn keys(config: Config, command: KeysCommand) -> Result<(), Failure> {
    let store = open_store(&config.database, &silent(), None).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let manager = key_manager(&config, store, &clock)?;
    match command {
        KeysCommand::List => list(&manager, &*clock).await,
        KeysCommand::Rotate { biscuit } => {
            let rotated = if biscuit {
                manager.rotate_biscuits().await
            } else {
                manager.rotate().await.map(Some)
            };
            let none = Failure::Found("this server keeps no root keys of Biscuits");
            let key = rotated.map_err(Failure::of("rotating"))?.ok_or(none)?;
            line(&format!("{} is published and signs from {}", key.kid, key.activates_at))
        }
        KeysCommand::Retire { kid } => {
            manager.retire(&kid).await.map_err(Failure::of("retiring"))?;
            line(&format!(
                "{kid} signs no more; it is published until its last token has expired"
            ))
        }
        KeysCommand::Import { file } => {
            let (kid, imported) = manager
                .import(&pem(&config, file)?)
                .await
                .map_err(Failure::of("importing"))?;
            match imported {
                Imported::Now => line(&format!("{kid} is imported")),
                Imported::Before => line(&format!("{kid} was there already")),
                Imported::Removed => {
                    line(&format!("{kid} is not imported"))?;
                    Err(Failure::Found(
                        "the key was retired and removed, and stays so; make or import another one",
                    ))
                }
            }
        }
    }
}

async fn list(manager: &KeyManager<AnyStore>, clock: &dyn Clock) -> Result<(), Failure> {
    let keys = manager.list().await.map_err(Failure::of("reading the keys"))?;
    let signing = [
        manager.signing_kid().await.map_err(Failure::of("reading the keys"))?,
        manager
            .biscuit_signing_kid()
            .await
            .map_err(Failure::of("reading the keys"))?,
    ];
    line(&format!(
        "{:<43}  {:<9}  {:<9}  {:<24}  SIGNS FROM",
        "KEY", "ALGORITHM", "STATE", "MADE"
    ))?;
    for key in &keys {
        let state = state(key, &signing, clock);
        line(&format!(
            "{:<43}  {:<9}  {state:<9}  {}  {}",
            key.kid, key.algorithm, key.created_at, key.activates_at
        ))?;
    }
    Ok(())
}

fn state(key: &StoredKey, signing: &[Option<String>], clock: &dyn Clock) -> &'static str {
    match key.state {
        KeyState::Retired => "retired",
        KeyState::Active if signing.iter().flatten().any(|kid| *kid == key.kid) => "signing",
        KeyState::Active if key.activates_at > clock.now() => "pending",
        KeyState::Active => "active",
    }
}

fn pem(config: &Config, file: Option<PathBuf>) -> Result<Secret<String>, Failure> {
    let Some(path) = file else {
        let missing = Failure::Found("name a file, - for standard input, or set RSA_PRIVATE_KEY");
        return config.keys.rsa_private_key.clone().ok_or(missing);
    };
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(Failure::of("reading standard input"))?;
    } else {
        text = std::fs::read_to_string(&path).map_err(Failure::of("reading the file"))?;
    }
    Ok(Secret::new(text))
}

//! `grantex-bench fill`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{LoadOptions, measure_all, progress, signing_rate};
use crate::account::{Account, open_accounts};
use crate::drive::{Amount, Driven, drive};
use crate::error::BenchError;
use crate::measure::{Operation, float, shares};
use crate::prepare::Setup;
use crate::table::whole;

/// Grants between two lines of progress and two writes of the state file.
const CHUNK: u64 = 20_000;
/// Failed requests a whole filling may have.
const MAX_FAILURES: u64 = 100;
/// The operations whose cost must not grow with the number of grants; the one that makes many of them comes last.
const MEASURED: [Operation; 4] = [
    Operation::Verify,
    Operation::Authorize,
    Operation::Refresh,
    Operation::Exchange,
];

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    load: LoadOptions,
    /// Active grants the developer shall have
    #[arg(long, default_value_t = 1_000)]
    grants: u64,
    /// Remember the developer here and go on with it next time (holds its sandbox API key; mode 0600)
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Make no grants; measure the developer of the state file as it is
    #[arg(long, requires = "state", conflicts_with = "grants")]
    only_report: bool,
    /// What to measure afterwards; verify, authorize, refresh and exchange when nothing is named
    #[arg(value_enum)]
    operations_to_run: Vec<Operation>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    api_key: String,
    agent_id: String,
    agent_did: String,
    grants: u64,
}

/// Returns how many requests failed.
pub async fn fill(options: Options) -> Result<u64, BenchError> {
    let target = options.load.target()?;
    options.load.extent()?;
    options.load.server_memory()?;
    let state = options.state.as_deref();
    let remembered = state.map(read_state).transpose()?.flatten();
    let account = match remembered {
        Some(state) => Arc::new(Account::new(
            state.api_key,
            state.agent_id,
            state.agent_did,
            state.grants,
        )?),
        None if options.only_report => {
            return Err(BenchError::Usage(
                "--only-report needs the state file of an earlier filling".to_owned(),
            ));
        }
        None => open_accounts(&target, 1)
            .await?
            .pop()
            .ok_or_else(|| BenchError::Usage("there is no developer to fill".to_owned()))?,
    };
    let setup = Setup::new(target, vec![Arc::clone(&account)], usize::from(options.load.clients))?;
    let mut failures = 0;
    if !options.only_report {
        failures = fill_up(&setup, &account, options.grants, state).await?;
    }
    let signing = signing_rate()?;
    let wanted = match options.operations_to_run.as_slice() {
        [] => MEASURED.to_vec(),
        named => named.to_vec(),
    };
    failures += measure_all(&options.load, &setup, &wanted, signing, Some(&account)).await?;
    // The measurements made grants too.
    write_state(state, &account)?;
    Ok(failures)
}

/// Makes grants until the developer has that many; returns how many requests failed on the way.
async fn fill_up(setup: &Setup, account: &Account, wanted: u64, state: Option<&Path>) -> Result<u64, BenchError> {
    let mut failures = 0;
    write_state(state, account)?;
    while account.grants() < wanted {
        let had = account.grants();
        let mut clients = setup.fill();
        for (client, share) in clients.iter_mut().zip(shares((wanted - had).min(CHUNK), setup.clients)) {
            // An authorization and an exchange for each grant.
            client.budget = share * 2;
        }
        setup.connect("filling", &mut clients).await?;
        let (_, Driven { tally, elapsed }) = drive(clients, Amount::Counted).await?;
        let made = account.grants() - had;
        let speed = float(made) / elapsed.as_secs_f64().max(0.001);
        progress(&format!(
            "{} grants, {}/s",
            whole(float(account.grants())),
            whole(speed)
        ));
        write_state(state, account)?;
        failures += tally.failure_count();
        if tally.failure_count() > 0 {
            progress(&format!("failed: {}", tally.describe_failures()));
        }
        if made == 0 || failures > MAX_FAILURES {
            return Err(BenchError::Short {
                reached: account.grants(),
                wanted,
            });
        }
    }
    Ok(failures)
}

fn read_state(path: &Path) -> Result<Option<State>, BenchError> {
    let file = |source| BenchError::File {
        path: path.to_owned(),
        source,
    };
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read(path).map_err(file)?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|source| BenchError::Json {
            path: path.to_owned(),
            source,
        })
}

fn write_state(path: Option<&Path>, account: &Account) -> Result<(), BenchError> {
    let Some(path) = path else { return Ok(()) };
    let file = |source| BenchError::File {
        path: path.to_owned(),
        source,
    };
    let state = State {
        api_key: account.api_key.clone(),
        agent_id: account.agent_id.clone(),
        agent_did: account.agent_did.clone(),
        grants: account.grants(),
    };
    let text = serde_json::to_vec(&state).map_err(|source| BenchError::Json {
        path: path.to_owned(),
        source,
    })?;
    let mut output = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(file)?;
    output.write_all(&text).map_err(file)
}

//! `grantex-bench run`.

use clap::Args;

use super::{LoadOptions, measure_all, progress, signing_rate};
use crate::account::open_accounts;
use crate::error::BenchError;
use crate::measure::Operation;
use crate::prepare::Setup;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    load: LoadOptions,
    /// Sandbox developers the clients are spread over
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    developers: u16,
    /// What to measure, in this order; everything when nothing is named
    #[arg(value_enum)]
    operations_to_run: Vec<Operation>,
}

/// Returns how many requests failed.
pub async fn run(options: Options) -> Result<u64, BenchError> {
    let target = options.load.target()?;
    // Options are wrong before anything is sent or not at all.
    options.load.extent()?;
    options.load.server_memory()?;
    let signing = signing_rate()?;
    progress("signing developers up");
    let accounts = open_accounts(&target, usize::from(options.developers)).await?;
    let setup = Setup::new(target, accounts, usize::from(options.load.clients))?;
    let wanted = match options.operations_to_run.as_slice() {
        [] => Operation::ALL.to_vec(),
        named => named.to_vec(),
    };
    measure_all(&options.load, &setup, &wanted, signing, None).await
}

//! `grantex`: the command line for people. It looks at tokens without an account, and speaks HTTP with a service for the rest.
//!
//! Exit codes: 0 when all went well; 1 when the answer is no (a token is not good, a chain is broken); 2 when the command cannot be run as
//! it was given; 3 when the service refused; 4 when there was no answer from it.

mod audit;
mod cli;
mod client;
mod error;
mod events;
mod grants;
mod input;
mod output;
mod sse;
mod strict;
mod token;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use cli::{AuditCommand, Cli, Command, EventsCommand, GrantsCommand, Shown, TokenCommand, When};
use client::Client;
use error::Failure;
use output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // It would be repeated on the terminal, and in logs.
        Err(error) if error.use_stderr() && input::holds_a_secret(&error.to_string()) => {
            let shown = Shown {
                json: false,
                color: When::Never,
            };
            return failed(&Failure::Usage(input::MISPLACED.to_owned()), &Output::new(&shown));
        }
        Err(error) => error.exit(),
    };
    let output = Output::new(&cli.shown);
    match run(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure, &output),
    }
}

fn failed(failure: &Failure, output: &Output) -> ExitCode {
    if let Some(text) = failure.text() {
        // Where standard error is gone there is nobody to tell.
        output.complain(&text);
    }
    failure.exit_code()
}

fn run(cli: Cli, output: &Output) -> Result<(), Failure> {
    let service = cli.service;
    let command = match cli.command {
        Command::Completions { shell } => return completions(shell, output),
        Command::Token(TokenCommand::Inspect { token }) => return token::inspect::inspect(token.as_deref(), output),
        Command::Token(TokenCommand::Attenuate(options)) => return token::attenuate::attenuate(&options, output),
        Command::Audit(AuditCommand::Verify(options)) if options.file.is_some() => {
            return audit::verify::verify_file(&options, output);
        }
        command => command,
    };
    block_on(async {
        match command {
            Command::Token(TokenCommand::Verify(options)) => token::verify::verify(&service, &options, output).await,
            Command::Grants(command) => {
                let client = Client::of_account(&service)?;
                match command {
                    GrantsCommand::List(options) => grants::list(&client, &options, output).await,
                    GrantsCommand::Tree(options) => grants::tree::tree(&client, &options, output).await,
                    GrantsCommand::Show { id } => grants::show(&client, &id, output).await,
                    GrantsCommand::Revoke { id } => grants::revoke(&client, &id, output).await,
                }
            }
            Command::Events(EventsCommand::Tail(options)) => {
                events::tail(&Client::of_account(&service)?, &options, output).await
            }
            Command::Audit(AuditCommand::Export(options)) => {
                audit::export(&Client::of_account(&service)?, &options, output).await
            }
            Command::Audit(AuditCommand::Verify(options)) => {
                audit::verify::verify_online(&Client::of_account(&service)?, &options, output).await
            }
            // Answered above, without a runtime.
            Command::Completions { .. } | Command::Token(_) => Ok(()),
        }
    })
}

fn completions(shell: cli::Shell, output: &Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell.of_clap(), &mut Cli::command(), "grantex", &mut script);
    output.raw(&String::from_utf8_lossy(&script))
}

fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::of("starting the runtime"))?;
    let ended = runtime.block_on(command);
    // A thread that was given up on, such as one that resolves a name, must not hold up the end.
    runtime.shutdown_background();
    ended
}

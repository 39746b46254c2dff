//! The command line: one verb, one file. Data goes to standard output and talk to standard error; the
//! exit code says how it went, see [`exit`]. It reaches the log through the daemon's wire alone, never
//! through the store.

mod exit;
mod limits;
mod explain;
mod patience;
mod client;
mod follow;
mod cursor;
mod printable;
mod output;
mod json;
mod pretty;
mod values;

mod serve;
mod run;
mod watch;
mod wait;
mod create;
mod append;
mod get;
mod list;
mod delete;
mod trim;
mod watchers;
mod stats;
mod demo;
mod completions;
mod man;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{CliError, Exit};

/// A durable log for every agent run, watched live.
///
/// Exit codes: 0 done, or the execution COMPLETED; 1 refused, or it FAILED; 2 usage; 3 no such
/// execution; 4 it was CANCELLED; 5 connection lost for good. `run` passes on the exit code of its
/// program, `serve` has its own.
#[derive(Debug, Parser)]
#[command(name = "tapeline", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::ServeArgs),
    Run(run::RunArgs),
    Watch(watch::WatchArgs),
    Logs(watch::LogsArgs),
    Wait(wait::WaitArgs),
    Create(create::CreateArgs),
    Append(append::AppendArgs),
    Get(get::GetArgs),
    List(list::ListArgs),
    Delete(delete::DeleteArgs),
    Trim(trim::TrimArgs),
    Watchers(watchers::WatchersArgs),
    Stats(stats::StatsArgs),
    Demo(demo::DemoArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Reads the command line, does what it says and returns the exit code of the process.
pub fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Serve(args) => serve::run(args),
        Verb::Run(args) => run::run(args),
        Verb::Watch(args) => finish(watch::watch(args)),
        Verb::Logs(args) => finish(watch::logs(args)),
        Verb::Wait(args) => finish(wait::run(args)),
        Verb::Create(args) => finish(create::run(args)),
        Verb::Append(args) => finish(append::run(args)),
        Verb::Get(args) => finish(get::run(args)),
        Verb::List(args) => finish(list::run(args)),
        Verb::Delete(args) => finish(delete::run(args)),
        Verb::Trim(args) => finish(trim::run(args)),
        Verb::Watchers(args) => finish(watchers::run(args)),
        Verb::Stats(args) => finish(stats::run(args)),
        Verb::Demo(args) => finish(demo::run(args)),
        Verb::Completions(args) => finish(async { completions::run(&args) }),
        Verb::Man(args) => finish(async { man::run(&args) }),
    }
}

/// Runs a verb to its end and turns what came of it into an exit code and, on an error, one line of
/// talk. A reader that closed our standard output has seen enough: that is no error.
fn finish(verb: impl Future<Output = Result<Exit, CliError>>) -> ExitCode {
    let result = runtime().and_then(|runtime| runtime.block_on(verb));
    match result {
        Ok(exit) => exit.into(),
        Err(error) if error.is_closed_output() => Exit::Done.into(),
        Err(error) => {
            output::talk(&format!("error: {error}"));
            error.exit().into()
        }
    }
}

/// Two threads, so that the connection is served while the verb waits for its reader.
fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| CliError::local("cannot start", source))
}

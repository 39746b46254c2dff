//! `tapeline serve`: the daemon in the foreground. One line on stdout says that it is ready; all else
//! is the log, on stderr.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tapeline_storage::StoreId;

use super::printable::printable;
use crate::config::{Config, LogFormat, Overrides};
use crate::{daemon, logging};

/// The exit code of a configuration that cannot be used.
const EXIT_CONFIG: u8 = 78;
/// The exit code when the operating system fails.
const EXIT_IO: u8 = 74;

/// Run the daemon in the foreground until it is told to stop
///
/// Each flag is above its environment variable, and that above the configuration file. Exit codes: 70
/// a fault of its own, 74 the system failed, 75 the data directory is in use, 76 the store is damaged, 78
/// the configuration cannot be used.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// Where to listen; a loopback address, port 0 is any free one [default: 127.0.0.1:50051]
    #[arg(long, env = "TAPELINE_LISTEN", value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Where the logs are kept [default: $XDG_STATE_HOME/tapeline, else ~/.local/state/tapeline]
    #[arg(long, env = "TAPELINE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A TOML file with more of the same
    #[arg(long, env = "TAPELINE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log: a level, or directives such as tapeline=debug [default: info]
    #[arg(long, env = "TAPELINE_LOG_LEVEL", value_name = "LEVEL")]
    log_level: Option<String>,
    /// How to log [default: text]
    #[arg(long, env = "TAPELINE_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// Runs the daemon until it is told to stop.
pub(crate) fn run(args: ServeArgs) -> ExitCode {
    let over = Overrides {
        listen: args.listen,
        data_dir: args.data_dir,
        log_level: args.log_level,
        log_format: args.log_format,
        ..Overrides::default()
    };
    let loaded =
        Config::load(args.config.as_deref(), over).and_then(|config| logging::init(&config).map(|()| config));
    let config = match loaded {
        Ok(config) => config,
        Err(error) => return fail(&error, EXIT_CONFIG),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, EXIT_IO),
    };
    let ended = runtime.block_on(daemon::run(config, say_ready));
    // Reads that wait for a disk must not hold the exit up.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.exit_code()),
    }
}

fn say_ready(addr: SocketAddr, store_id: StoreId) {
    // Nobody may be reading; then nobody wants to know.
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "tapeline ready on {addr} (store {store_id})").and_then(|()| stdout.flush());
}

#[allow(clippy::print_stderr, reason = "the last word of a daemon, also where no log was set up")]
fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("tapeline: {}", printable(&error.to_string()));
    ExitCode::from(code)
}

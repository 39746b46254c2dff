//! `tapeline completions`: the shell completions, generated from the same definitions as the help.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::exit::{CliError, Exit};
use super::output::Out;

/// Print the completions for a shell
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints them.
pub(crate) fn run(args: &CompletionsArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "tapeline", &mut script);
    let mut out = Out::new();
    out.bytes(&script)?;
    out.flush()?;
    Ok(Exit::Done)
}

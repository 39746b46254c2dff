//! `tapeline man`: the manual pages, generated from the same definitions as the help.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::exit::{CliError, Exit};
use super::output::{Out, talk};

/// Print the manual page, or write one for each verb into a directory
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where to write them
    directory: Option<PathBuf>,
}

/// Prints or writes them.
pub(crate) fn run(args: &ManArgs) -> Result<Exit, CliError> {
    let command = super::Cli::command();
    let Some(directory) = &args.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(CliError::Output)?;
        let mut out = Out::new();
        out.bytes(&page)?;
        out.flush()?;
        return Ok(Exit::Done);
    };
    let failed = |error| CliError::local(format!("cannot write to {}", directory.display()), error);
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(command, directory).map_err(failed)?;
    talk(&format!("the manual pages are in {}", directory.display()));
    Ok(Exit::Done)
}

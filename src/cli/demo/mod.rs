//! `tapeline demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {}
pub(crate) async fn run(_args: DemoArgs) -> Result<super::exit::Exit, super::exit::CliError> {
    Ok(super::exit::Exit::Done)
}

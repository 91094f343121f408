use crate::failure::Failure;
use clap::Args;
use onionskin::runtime::Runtime;
#[derive(Debug, Args)]
pub(crate) struct Options {}
pub(crate) async fn run(_runtime: &'static dyn Runtime, _options: &Options) -> Result<(), Failure> {
    Ok(())
}

//! `retune report`: a saved model's page, rendered anew from its records.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use retune::Bundle;

use super::write_page;
use crate::console::answer;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folder that `retune train` wrote
    bundle: PathBuf,

    /// Where to write the page [default: BUNDLE/report.html]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes the page and prints its path.
pub fn run(args: &ReportArgs) -> Result<ExitCode, Failure> {
    let page = Bundle::report(&args.bundle)?;
    let path = args
        .out
        .clone()
        .unwrap_or_else(|| args.bundle.join("report.html"));
    write_page(&path, &page)?;
    answer(&path.display().to_string());
    Ok(ExitCode::SUCCESS)
}

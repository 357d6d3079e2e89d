//! `retune report`: a saved model's page, rendered anew from its records.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use retune::Bundle;

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
    // Written beside and renamed, so that a full disk leaves the old page as it was.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let written = fs::write(&partial, page).and_then(|()| fs::rename(&partial, &path));
    written.map_err(|e| {
        let _ = fs::remove_file(&partial);
        Failure::user(format!(
            "cannot write {}: {e}; choose another place with --out FILE",
            path.display()
        ))
    })?;
    answer(&path.display().to_string());
    Ok(ExitCode::SUCCESS)
}

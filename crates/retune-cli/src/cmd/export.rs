//! `retune export`: a saved model in the layout of other programs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use retune::export::export_hf;

use super::open;
use crate::console::answer;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder that `retune train` wrote
    bundle: PathBuf,

    /// Folder to write in the Hugging Face layout, for transformers' AutoModelForSequenceClassification
    #[arg(long, value_name = "DIR")]
    hf: PathBuf,
}

/// Writes the folder; the library reads it back and compares before this returns.
pub fn run(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let check = export_hf(open(&args.bundle)?, &args.hf)?;
    answer(&format!(
        "{}\nread back and compared on {} rows: largest difference {:.1e}",
        args.hf.display(),
        check.rows,
        check.max_difference
    ));
    Ok(ExitCode::SUCCESS)
}

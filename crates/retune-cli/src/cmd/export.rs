//! `retune export`: a saved model in the layout of other programs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use retune::export::{ExportCheck, export_hf};
use retune::hub::HubOptions;
use retune::peft::export_peft;

use super::open;
use crate::console::{Console, answer, tell};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder that `retune train` wrote
    bundle: PathBuf,

    #[command(flatten)]
    layout: Layout,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Layout {
    /// Folder to write in the Hugging Face layout, for transformers' AutoModelForSequenceClassification or
    /// AutoModelForImageClassification, or for timm where the model came with its names
    #[arg(long, value_name = "DIR")]
    hf: Option<PathBuf>,

    /// Folder to write in the layout of PEFT: the low-rank updates and the head of a model tuned with --method lora
    #[arg(long, value_name = "DIR")]
    peft: Option<PathBuf>,
}

/// Writes the folder; the library reads it back and compares before this returns.
pub fn run(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let bundle = open(&args.bundle)?;
    if let Some(decision) = &bundle.manifest.decision {
        tell(&format!(
            "note: the model's answers are decided for the {}; other programs answer with the largest score, and labels \
             from 0.5 on: `decision` in {} says how to answer",
            decision.goal(),
            args.bundle.join("bundle.json").display()
        ));
    }
    if let Some(dir) = &args.layout.peft {
        let mut console = Console::new();
        let on = &mut |progress| console.download(progress);
        let check = export_peft(bundle, dir, &HubOptions::from_env(), on);
        console.end();
        written(dir, &check?);
    } else if let Some(dir) = &args.layout.hf {
        written(dir, &export_hf(bundle, dir)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn written(dir: &Path, check: &ExportCheck) {
    answer(&format!(
        "{}\nread back and compared on {} rows: largest difference {:.1e}",
        dir.display(),
        check.rows,
        check.max_difference
    ));
}

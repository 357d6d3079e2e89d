//! `retune eval`: a saved model's figures on a labelled file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use retune::data::picture::Tta;
use retune::eval::table;
use retune::tables::bundle::is_table_model;
use retune::tables::scorer::Scorer;

use super::{open, table as read_table, with_views};
use crate::args::FileArgs;
use crate::console::{answer, answer_json};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Folder that `retune train` wrote
    bundle: PathBuf,

    /// Labelled file with the columns of the training data
    #[arg(long, value_name = "FILE")]
    data: PathBuf,

    /// Report also by each value of this column; may be repeated
    #[arg(long = "slice", value_name = "COL")]
    slices: Vec<String>,

    #[command(flatten)]
    file: FileArgs,

    /// Average the scores over views of each picture: none, flip or crops=N [default: as the model was trained]
    #[arg(long, value_name = "VIEWS", value_parser = str::parse::<Tta>)]
    tta: Option<Tta>,

    /// Print only JSON, in the shape of metrics.json
    #[arg(long)]
    json: bool,
}

/// Prints the figures.
pub fn run(args: &EvalArgs) -> Result<ExitCode, Failure> {
    let evaluated = if is_table_model(&args.bundle) {
        let scorer = Scorer::open(&args.bundle)?;
        let rows = read_table(&args.data, &args.file)?;
        let name = args.data.display().to_string();
        scorer.evaluated(&rows, (&name, &args.slices))?
    } else {
        let bundle = with_views(open(&args.bundle)?, args.tta)?;
        let rows = read_table(&args.data, &args.file)?;
        bundle.evaluate(&rows, &args.slices)?
    };
    if args.json {
        answer_json(&evaluated)?;
    } else {
        answer(table::table(&evaluated).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

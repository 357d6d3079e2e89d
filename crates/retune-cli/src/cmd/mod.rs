//! The commands, one file each.

mod bench;
mod curve;
mod eval;
mod export;
mod inspect;
mod list;
mod plan;
mod predict;
mod pull;
mod quickstart;
mod report;
mod train;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use retune::Bundle;
use retune::data::{Table, read};

use crate::args::FileArgs;
use crate::failure::Failure;

/// Fine-tunes a pre-trained model on your own data and shows whether it helped.
#[derive(Debug, Parser)]
#[command(
    name = "retune",
    version,
    max_term_width = 100,
    after_help = "Begin with `retune quickstart`, or with a file of your own: `retune train FILE`."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tune a small model on built-in sample data and look around
    Quickstart(quickstart::QuickstartArgs),
    /// Show what a data file holds and what would be made of it
    Inspect(inspect::InspectArgs),
    /// Show what `train` would do, without doing it
    Plan(plan::PlanArgs),
    /// Tune a model, measure it on rows it has not seen, save it
    Train(train::TrainArgs),
    /// Show how many labels it takes to beat the floors
    Curve(curve::CurveArgs),
    /// Measure a saved model on a labelled file
    Eval(eval::EvalArgs),
    /// Answer new texts with a saved model
    Predict(predict::PredictArgs),
    /// Write a saved model's report page anew
    Report(report::ReportArgs),
    /// Write a saved model for other programs
    Export(export::ExportArgs),
    /// Fetch a pre-trained model
    Pull(pull::PullArgs),
    /// List what is built in
    List(list::ListArgs),
    /// Measure how fast this machine trains
    Bench(bench::BenchArgs),
}

/// Runs a command to its exit code.
pub fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Quickstart(args) => quickstart::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Curve(args) => curve::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Pull(args) => pull::run(&args),
        Command::List(args) => list::run(&args),
        Command::Bench(args) => bench::run(&args),
    }
}

/// Opens a saved model.
fn open(bundle: &Path) -> Result<Bundle, Failure> {
    Ok(Bundle::open(bundle)?)
}

/// Reads a data file with the user's flags.
fn table(path: &Path, flags: &FileArgs) -> Result<Table, Failure> {
    Ok(read::read(path, &flags.options()?)?)
}

/// How the user called this program, so that the commands it proposes work when typed.
fn program() -> String {
    std::env::args()
        .next()
        .map_or_else(|| "retune".to_owned(), |typed| quoted(&typed))
}

/// A path or text as the user has to type it in a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+=,%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_path_survives_the_shell() {
        assert_eq!(quoted("runs/a-2"), "runs/a-2");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
        assert_eq!(quoted(""), "''");
    }
}

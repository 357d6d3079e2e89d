//! The commands, one file each.

mod bench;
mod compare;
mod curve;
mod doctor;
mod eval;
mod export;
mod inspect;
mod list;
mod lr_find;
mod plan;
mod predict;
mod pretrain;
mod pull;
mod quickstart;
mod recommend;
mod report;
mod runs;
mod score;
mod simulate;
mod train;
mod tune;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use retune::Bundle;
use retune::data::picture::Tta;
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
    /// Examine whether the model of a run trains as it should, from its first batch
    Doctor(doctor::DoctorArgs),
    /// Find a learning rate by a short training at rising rates
    LrFind(lr_find::LrFindArgs),
    /// Choose a recipe from a small space, on the validation rows
    Tune(tune::TuneArgs),
    /// Tune a model, measure it on rows it has not seen, save it
    Train(train::TrainArgs),
    /// Train a model of events, or of items by their texts, to go on from elsewhere
    Pretrain(pretrain::PretrainArgs),
    /// Show how many labels it takes to beat the floors
    Curve(curve::CurveArgs),
    /// Measure a saved model on a labelled file
    Eval(eval::EvalArgs),
    /// Answer new texts with a saved model
    Predict(predict::PredictArgs),
    /// Show what a saved recommender would show a user next
    Recommend(recommend::RecommendArgs),
    /// Score a stream of events, each from the past of its card
    Score(score::ScoreArgs),
    /// Make up transactions with known frauds
    Simulate(simulate::SimulateArgs),
    /// Write a saved model's report page, or its model card, anew
    Report(report::ReportArgs),
    /// List the runs below a folder
    Runs(runs::RunsArgs),
    /// Compare finished runs, row by row where they answered the same test
    Compare(compare::CompareArgs),
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
        Command::Doctor(args) => doctor::run(&args),
        Command::LrFind(args) => lr_find::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Pretrain(args) => pretrain::run(&args),
        Command::Curve(args) => curve::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Recommend(args) => recommend::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Runs(args) => runs::run(&args),
        Command::Compare(args) => compare::run(&args),
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

/// The model with the views of pictures that were asked for, or else with those it was saved with.
fn with_views(bundle: Bundle, asked: Option<Tta>) -> Result<Bundle, Failure> {
    Ok(match asked {
        Some(tta) => bundle.with_views(tta)?,
        None => bundle,
    })
}

/// Reads a data file with the user's flags.
fn table(path: &Path, flags: &FileArgs) -> Result<Table, Failure> {
    Ok(read::read(path, &flags.options()?)?)
}

/// Writes a page beside its place and renames it there, so that a full disk leaves an old one as it was.
fn write_page(path: &Path, page: &str) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let written = fs::write(&partial, page).and_then(|()| fs::rename(&partial, path));
    written.map_err(|e| {
        let _ = fs::remove_file(&partial);
        Failure::user(format!(
            "cannot write {}: {e}; choose another place with --out FILE",
            path.display()
        ))
    })
}

/// A time in the unit that fits.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
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

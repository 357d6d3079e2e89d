//! `retune train`: from a recipe or a labelled file to a saved, measured model.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use retune::eval::Event;
use retune::eval::table::table;
use retune::recipe::Recipe;
use retune::run::Finished;

use super::{plan, program, quoted};
use crate::args::RunArgs;
use crate::console::{Console, answer, answer_json};
use crate::failure::{Failure, GATE};
use crate::interrupt;

#[derive(Debug, Args)]
pub struct TrainArgs {
    #[command(flatten)]
    run: RunArgs,

    /// Print only JSON: the content of the run's metrics.json
    #[arg(long)]
    json: bool,
}

/// A finished run and what a command that uses it has to know.
pub struct Tuned {
    /// The run.
    pub finished: Finished,
    /// Whether the model reads two texts per row.
    pub pair: bool,
}

/// Trains and prints the figures.
pub fn run(args: &TrainArgs) -> Result<ExitCode, Failure> {
    let mut console = Console::new();
    let Tuned { finished, pair } = tune(&args.run.recipe()?, &mut console)?;
    if args.json {
        answer_json(&finished.evaluated)?;
    } else {
        answer(&figures(&finished));
        answer(&next(&finished, pair));
    }
    Ok(verdict(&finished, &console))
}

/// Runs a recipe to its end, or to the step at which Ctrl-C is pressed.
pub fn tune(recipe: &Recipe, console: &mut Console) -> Result<Tuned, Failure> {
    let plan = plan::resolve(recipe, console)?;
    for line in plan.to_string().lines() {
        console.note(line);
    }
    let usual = plan.task.evaluation(plan.processor.labels()).primary;
    console.watch(plan.recipe.train.metric.as_deref().unwrap_or(&usual));
    let pair = plan.roles.text.len() > 1;
    // Before there is a model to keep, Ctrl-C simply ends the program.
    let mut listening = Ok(());
    let finished = retune::train(plan, &mut |event| {
        if matches!(event, Event::Stage { name, .. } if name == "train") {
            listening = interrupt::listen();
        }
        console.event(event);
        interrupt::flow()
    });
    console.end();
    listening?;
    let finished = finished?;
    if finished.interrupted {
        console.note(&format!(
            "stopped early: {} holds the best model so far; to go on from it, type\n  \
             {} train … --model {}",
            finished.bundle.display(),
            program(),
            quoted(&finished.bundle.display().to_string()),
        ));
    }
    console.note(&format!("done in {:.0} s", finished.seconds));
    Ok(Tuned { finished, pair })
}

/// The exit code of a finished run; says which gates were missed.
pub fn verdict(finished: &Finished, console: &Console) -> ExitCode {
    let missed: Vec<_> = finished.gates.iter().filter(|gate| !gate.passed).collect();
    for gate in &missed {
        let got = gate.got.map_or_else(
            || "cannot be computed on these rows".to_owned(),
            |got| format!("is {got:.4}"),
        );
        console.note(&format!(
            "gate not met: {} {got}, wanted {}",
            gate.metric, gate.wanted
        ));
    }
    if missed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(GATE)
    }
}

/// The figures beside their floors.
pub fn figures(finished: &Finished) -> String {
    table(&finished.evaluated).trim_end().to_owned()
}

/// Where to look and what to type after a run.
fn next(finished: &Finished, pair: bool) -> String {
    let bundle = finished.bundle.display().to_string();
    let mut text = String::new();
    let _ = writeln!(text, "\nsaved    {bundle}");
    let _ = writeln!(
        text,
        "report   {}",
        finished.bundle.join("report.html").display()
    );
    let _ = write!(
        text,
        "predict  {} predict {} {}",
        program(),
        quoted(&bundle),
        if pair {
            "\"first text\" \"second text\""
        } else {
            "\"your own text\""
        }
    );
    text
}

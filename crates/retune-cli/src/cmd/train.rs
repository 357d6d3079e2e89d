//! `retune train`: from a recipe or a labelled file to a saved, measured model.

use std::fmt::{Display, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use retune::eval::Event;
use retune::eval::table::{table, verdict};
use retune::events;
use retune::recipe::Recipe;
use retune::recommend;
use retune::run::{Finished, Flow};
use retune::tables;

use super::{plan, program, quoted};
use crate::args::RunArgs;
use crate::console::{Console, answer, answer_json};
use crate::failure::{Failure, GATE};
use crate::interrupt;

#[derive(Debug, Args)]
pub struct TrainArgs {
    #[command(flatten)]
    run: RunArgs,

    /// Go on with the unfinished run in this folder: the --out of the run that was cut off
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,

    /// Go on although gates, verdict, decision or saved states are to be handled differently now
    #[arg(long, requires = "resume")]
    force: bool,

    /// Print only JSON: the content of the run's metrics.json
    #[arg(long)]
    json: bool,
}

/// A finished run and what a command that uses it has to know.
pub struct Tuned {
    /// The run.
    pub finished: Finished,
    /// How the model is used.
    pub usage: Use,
}

/// How a model is used.
#[derive(Debug, Clone, Copy)]
pub enum Use {
    /// `predict`, with inputs that look like this.
    Predict(&'static str),
    /// `predict` on a file.
    Rows,
    /// `score` on a stream of events.
    Score,
    /// `recommend`.
    Recommend,
    /// `train --event-model`.
    History,
}

/// Trains and prints the figures.
pub fn run(args: &TrainArgs) -> Result<ExitCode, Failure> {
    let mut console = Console::new();
    let (recipe, going_on) = match &args.resume {
        None => (args.run.recipe()?, None),
        Some(folder) => (
            resumed(&args.run, folder)?,
            Some((folder.as_path(), args.force)),
        ),
    };
    let Tuned { finished, usage } = tune(&recipe, going_on, &mut console)?;
    if args.json {
        answer_json(&finished.evaluated)?;
    } else {
        answer(&figures(&finished));
        answer(&next(&finished, usage));
    }
    Ok(exit_code(&finished, &console))
}

/// The recipe of the run in `folder` with the flags laid over it.
fn resumed(flags: &RunArgs, folder: &Path) -> Result<Recipe, Failure> {
    let path = folder.join("recipe.toml");
    if flags.target.is_some() {
        return Err(Failure::user(
            "--resume goes on with the recipe of the run; leave the file or recipe out",
        ));
    }
    if !path.is_file() {
        return Err(Failure::user(format!(
            "{} holds no run; `retune train FILE --out DIR` begins one",
            folder.display()
        )));
    }
    let recipe = flags.over(Recipe::read(&path)?)?;
    Ok(Recipe {
        out: Some(folder.to_path_buf()),
        ..recipe
    })
}

/// Runs a recipe to its end, or to the step at which Ctrl-C is pressed; or goes on with the run in a folder, by
/// force where asked.
pub fn tune(
    recipe: &Recipe,
    going_on: Option<(&Path, bool)>,
    console: &mut Console,
) -> Result<Tuned, Failure> {
    let begun = going_on.map(|(folder, _)| folder);
    let forced = going_on.map(|(_, force)| force);
    let (finished, usage) = if events::asked(recipe) {
        let plan = plan::of_events(recipe, begun, console)?;
        show(&plan, events::pretrain::PRIMARY, console);
        let run = |on: Watch<'_>| events::pretrain::pretrain(&plan, forced, on);
        (watched(console, run)?, Use::History)
    } else if recommend::asked(recipe) {
        let plan = plan::recommender(recipe, begun, console)?;
        show(&plan, recommend::PRIMARY, console);
        let run = |on: Watch<'_>| match forced {
            None => recommend::train(plan, on),
            Some(force) => recommend::resume(plan, force, on),
        };
        (watched(console, run)?, Use::Recommend)
    } else if tables::asked(recipe) {
        let plan = plan::of_table(recipe, begun, console)?;
        show(&plan, &plan.evaluation().primary, console);
        let usual = if plan.is_fraud() {
            Use::Score
        } else {
            Use::Rows
        };
        let run = |on: Watch<'_>| match forced {
            None => tables::train(plan, on),
            Some(force) => tables::resume(plan, force, on),
        };
        (watched(console, run)?, usual)
    } else {
        let plan = plan::resolve(recipe, begun, console)?;
        let usual = plan.task.evaluation(plan.processor.labels()).primary;
        let metric = plan.recipe.train.metric.clone().unwrap_or(usual);
        show(&plan, &metric, console);
        let input = match (plan.roles.pictures, plan.roles.text.len()) {
            (true, _) => "PICTURE.jpg",
            (false, 2) => "\"first text\" \"second text\"",
            _ => "\"your own text\"",
        };
        let run = |on: Watch<'_>| match forced {
            None => retune::train(plan, on),
            Some(force) => retune::resume(plan, force, on),
        };
        (watched(console, run)?, Use::Predict(input))
    };
    if finished.interrupted {
        console.note(&stopped(&finished));
    }
    console.note(&done(&finished));
    Ok(Tuned { finished, usage })
}

/// How to go on from a run that was stopped.
fn stopped(finished: &Finished) -> String {
    format!(
        "stopped early: {} holds the best model so far; to go on from it, type\n  \
             {} train … --model {}",
        finished.bundle.display(),
        program(),
        quoted(&finished.bundle.display().to_string()),
    )
}

/// What sees the events of a run and may stop it.
type Watch<'a> = &'a mut (dyn FnMut(&Event) -> Flow + Send);

/// Says what is about to happen.
fn show(plan: &impl Display, metric: &str, console: &mut Console) {
    for line in plan.to_string().lines() {
        console.note(line);
    }
    console.watch(metric);
}

/// Carries out a run before the eyes of the user, who may stop it by Ctrl-C.
fn watched(
    console: &mut Console,
    run: impl FnOnce(Watch<'_>) -> retune::Result<Finished>,
) -> Result<Finished, Failure> {
    // Before there is a model to keep, Ctrl-C simply ends the program.
    let mut listening = Ok(());
    let finished = run(&mut |event: &Event| {
        if matches!(event, Event::Stage { name, .. } if name == "train") {
            listening = interrupt::listen();
        }
        console.event(event);
        interrupt::flow()
    });
    console.end();
    listening?;
    Ok(finished?)
}

/// What the run took, and what the plan expected.
fn done(finished: &Finished) -> String {
    let gigabytes = |bytes: u64| format!("{:.2} GB", bytes as f64 / 1e9);
    let memory = finished.peak_bytes.map_or_else(String::new, |bytes| {
        format!(" with {} of memory", gigabytes(bytes))
    });
    let forecast = finished.forecast.map_or_else(String::new, |forecast| {
        let memory = gigabytes(forecast.memory_bytes);
        format!(" (forecast: {:.0} s, {memory})", forecast.seconds)
    });
    format!("done in {:.0} s{memory}{forecast}", finished.seconds)
}

/// The exit code of a finished run; says what was asked for and is not met.
pub fn exit_code(finished: &Finished, console: &Console) -> ExitCode {
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
    let wanted = finished
        .require
        .filter(|wanted| !wanted.met(&finished.evaluated));
    if let Some(wanted) = wanted {
        let found = finished.evaluated.verdict.as_ref();
        console.note(&format!(
            "verdict not met: it is `{}`, wanted {}",
            found.map_or("not known".to_owned(), |v| v.word.to_string()),
            wanted.name()
        ));
    }
    if missed.is_empty() && wanted.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(GATE)
    }
}

/// The figures beside their floors.
pub fn figures(finished: &Finished) -> String {
    let mut text = table(&finished.evaluated).trim_end().to_owned();
    if let Some(found) = &finished.evaluated.verdict {
        let _ = write!(text, "\n\n{}", verdict(found).trim_end());
    }
    text
}

/// Where to look and what to type after a run.
fn next(finished: &Finished, usage: Use) -> String {
    let bundle = finished.bundle.display().to_string();
    let mut text = String::new();
    let _ = writeln!(text, "\nsaved    {bundle}");
    let report = finished.bundle.join("report.html");
    if !matches!(usage, Use::History) {
        let _ = writeln!(text, "report   {}", report.display());
    }
    if matches!(usage, Use::Score) {
        let page = finished.bundle.join("fraud.html");
        let _ = writeln!(text, "alerts   {}", page.display());
    }
    let (program, bundle) = (program(), quoted(&bundle));
    let _ = match usage {
        Use::Predict(input) => write!(text, "predict  {program} predict {bundle} {input}"),
        Use::Rows => write!(text, "predict  {program} predict {bundle} --data FILE"),
        Use::Score => write!(text, "use it   {program} score {bundle} --data FILE.jsonl"),
        Use::Recommend => write!(text, "use it   {program} recommend {bundle} --user USER"),
        Use::History => write!(
            text,
            "go on    {program} train LABELLED-EVENTS --event-model {bundle}"
        ),
    };
    text
}

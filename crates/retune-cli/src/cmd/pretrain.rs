//! `retune pretrain`: models to go on from on other data: recommenders that know items by their texts alone, and models of events
//! that learn without labels.

use std::process::ExitCode;

use clap::Args;
use retune::events::bundle::TASK as EVENTS;
use retune::plan::free_folder;
use retune::recipe::{Recipe, VerdictLevel};
use retune::recommend::{Mode, TASK, says_who_took_what};

use super::{program, quoted, train};
use crate::args::RunArgs;
use crate::console::{Console, answer, answer_json};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct PretrainArgs {
    #[command(flatten)]
    run: RunArgs,

    /// Print only JSON: the content of the run's metrics.json
    #[arg(long)]
    json: bool,
}

/// Trains and says how to go on.
pub fn run(args: &PretrainArgs) -> Result<ExitCode, Failure> {
    let mut console = Console::new();
    let mut recipe = args.run.recipe()?;
    let events = of_events(&recipe)?;
    if events {
        recipe.task = Some(EVENTS.to_owned());
    } else {
        recipe.task = Some(TASK.to_owned());
        recipe.recommend.mode = Mode::Inductive;
    }
    if recipe.verdict == VerdictLevel::Fast {
        recipe.verdict = VerdictLevel::Off;
    }
    if recipe.out.is_none() {
        recipe.out = Some(free_folder(recipe.data.train.as_deref(), "-pretrained"));
    }
    let finished = train::tune(&recipe, None, &mut console)?.finished;
    if args.json {
        answer_json(&finished.evaluated)?;
    } else {
        let bundle = quoted(&finished.bundle.display().to_string());
        answer(&train::figures(&finished));
        let how = if events {
            "LABELLED-EVENTS --event-model"
        } else {
            "OTHER-EVENTS --items OTHER-ITEMS --model"
        };
        answer(&format!(
            "\nsaved    {bundle}\ngo on    {} train {how} {bundle}",
            program()
        ));
    }
    Ok(train::exit_code(&finished, &console))
}

/// Whether the data are events of cards, and not what users took of the items of a shop.
fn of_events(recipe: &Recipe) -> Result<bool, Failure> {
    match recipe.task.as_deref() {
        Some(EVENTS) => Ok(true),
        None if recipe.recommend.items.is_none() && !says_who_took_what(recipe) => Ok(true),
        None | Some(TASK) if recipe.recommend.items.is_some() => Ok(false),
        None | Some(TASK) => Err(Failure::user(
            "items are known by their texts here; name the file of items with --items FILE",
        )),
        Some(_) => Err(Failure::user(
            "retune pretrain learns from events or from what users took; leave --task out",
        )),
    }
}

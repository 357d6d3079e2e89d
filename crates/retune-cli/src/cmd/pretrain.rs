//! `retune pretrain`: a recommender that knows items by their texts alone, to go on from on other catalogues.

use std::process::ExitCode;

use clap::Args;
use retune::plan::free_folder;
use retune::recipe::VerdictLevel;
use retune::recommend::{Mode, TASK};

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
    recipe.task.get_or_insert_with(|| TASK.to_owned());
    if recipe.task.as_deref() != Some(TASK) {
        return Err(Failure::user(
            "retune pretrain makes recommenders; leave --task out",
        ));
    }
    if recipe.recommend.items.is_none() {
        return Err(Failure::user(
            "items are known by their texts here; name the file of items with --items FILE",
        ));
    }
    recipe.recommend.mode = Mode::Inductive;
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
        answer(&format!(
            "\nsaved    {bundle}\ngo on    {} train OTHER-EVENTS --items OTHER-ITEMS --model {bundle}",
            program()
        ));
    }
    Ok(train::exit_code(&finished, &console))
}

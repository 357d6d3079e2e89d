//! `retune plan`: what `train` would do, and every problem that would stop it.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use retune::data::roles::Roles;
use retune::data::split::SplitRecord;
use retune::hub::HubOptions;
use retune::plan::{Plan, Summary};
use retune::recipe::Recipe;
use retune::recommend;
use retune::{events, tables};
use serde::Serialize;

use crate::args::RunArgs;
use crate::console::{Console, answer, answer_json};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    run: RunArgs,

    /// Print only JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints: the figures of the plan and what they rest on.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    out: &'a Path,
    roles: &'a Roles,
    split: &'a SplitRecord,
    recipe: &'a Recipe,
}

/// Prints the plan.
pub fn run(args: &PlanArgs) -> Result<ExitCode, Failure> {
    let mut console = Console::new();
    let recipe = args.run.recipe()?;
    if recommend::asked(&recipe) {
        let plan = recommender(&recipe, None, &mut console)?;
        if args.json {
            answer_json(&plan.summary())?;
        } else {
            answer(plan.to_string().trim_end());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if tables::asked(&recipe) {
        let plan = of_table(&recipe, None, &mut console)?;
        if args.json {
            answer_json(&plan.summary())?;
        } else {
            answer(plan.to_string().trim_end());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let plan = resolve(&recipe, None, &mut console)?;
    if args.json {
        answer_json(&Shown {
            summary: &plan.summary,
            out: &plan.out,
            roles: &plan.roles,
            split: &plan.split,
            recipe: &plan.recipe,
        })?;
    } else {
        answer(plan.to_string().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// The same for a recommender.
pub fn recommender(
    recipe: &Recipe,
    begun: Option<&Path>,
    console: &mut Console,
) -> Result<recommend::Plan, Failure> {
    if let Some(data) = &recipe.data.train {
        console.note(&format!("reading {}", data.display()));
    }
    let on = &mut |progress: retune::hub::Progress| console.download(progress);
    let plan = recommend::Plan::resolve(recipe, begun, &HubOptions::from_env(), on);
    console.end();
    Ok(plan?)
}

/// The same for a table or a stream of events.
pub fn of_table(
    recipe: &Recipe,
    begun: Option<&Path>,
    console: &mut Console,
) -> Result<tables::Plan, Failure> {
    if let Some(data) = &recipe.data.train {
        console.note(&format!("reading {}", data.display()));
    }
    Ok(tables::Plan::resolve(recipe, begun)?)
}

/// The same for a pre-training on events.
pub fn of_events(
    recipe: &Recipe,
    begun: Option<&Path>,
    console: &mut Console,
) -> Result<events::Plan, Failure> {
    if let Some(data) = &recipe.data.train {
        console.note(&format!("reading {}", data.display()));
    }
    Ok(events::Plan::resolve(recipe, begun)?)
}

/// Opens data and model, fetching the model where it is not here yet; for a new run, or to go on with the one in
/// `begun`.
pub fn resolve(
    recipe: &Recipe,
    begun: Option<&Path>,
    console: &mut Console,
) -> Result<Plan, Failure> {
    // The first line of a run: reading a large file or fetching a model may take a while.
    if let Some(data) = &recipe.data.train {
        console.note(&format!("reading {}", data.display()));
    }
    let hub = HubOptions::from_env();
    let on = &mut |progress: retune::hub::Progress| console.download(progress);
    let plan = match begun {
        None => Plan::resolve(recipe, &hub, on),
        Some(folder) => Plan::resume(recipe, folder, &hub, on),
    };
    console.end();
    Ok(plan?)
}

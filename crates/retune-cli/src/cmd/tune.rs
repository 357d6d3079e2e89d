//! `retune tune`: the best recipe of a small space, chosen on the validation rows.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use retune::eval::report::render_search;
use retune::eval::table::align;
use retune::eval::{Search, Trial};
use retune::plan::named_after;
use retune::tables;
use retune::tune::{Tuned, tune};
use serde_json::json;

use super::{plan, program, quoted, write_page};
use crate::args::{RunArgs, option};
use crate::console::{Console, answer, answer_json};
use crate::failure::Failure;
use crate::interrupt;

#[derive(Debug, Args)]
pub struct TuneArgs {
    #[command(flatten)]
    run: RunArgs,

    /// Values to try, as in lr=1e-5,3e-5 or method=full,lora or lora.rank=4,16; may be repeated [default: learning rates
    /// around the usual one; for tables model=gbdt,linear,tabular]
    #[arg(long, value_name = "KEY=V,..", value_parser = values)]
    over: Vec<(String, String)>,

    /// Try only so many candidates of the grid, drawn by the seed [default: all]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    trials: Option<usize>,

    /// One candidate in so many goes on, with so many times the steps [default: 3]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    eta: Option<usize>,

    /// Print only JSON
    #[arg(long)]
    json: bool,
}

fn values(text: &str) -> Result<(String, String), String> {
    option(text).map_err(|_| "expected KEY=VALUE,.., as in lr=1e-5,3e-5".to_owned())
}

/// Searches, writes the page and the best recipe, prints the table and what to type next.
pub fn run(args: &TuneArgs) -> Result<ExitCode, Failure> {
    let mut console = Console::new();
    let mut recipe = args.run.recipe()?;
    for (key, text) in &args.over {
        recipe.tune.set(key, text);
    }
    recipe.tune.trials = args.trials.or(recipe.tune.trials);
    recipe.tune.eta = args.eta.unwrap_or(recipe.tune.eta);
    let data = recipe.data.train.as_deref();
    let usual = named_after(data, "-tune");
    let out = recipe.out.take().unwrap_or(usual);
    let found = if tables::asked(&recipe) {
        let plan = plan::of_table(&recipe, None, &mut console)?;
        interrupt::listen()?;
        tables::tune::tune(&plan, &recipe, &out, &mut interrupt::watched(&mut console))
    } else {
        let plan = plan::resolve(&recipe, None, &mut console)?;
        interrupt::listen()?;
        tune(&plan, &recipe, &out, &mut interrupt::watched(&mut console))
    };
    console.end();
    let found = found?;
    let best = out.join("best.toml");
    write(&out, &best, &found)?;
    if args.json {
        answer_json(&shown(&found, &best))?;
        return Ok(ExitCode::SUCCESS);
    }
    answer(align(&table(&found.search)).trim_end());
    answer(&format!("\n{}", conclusion(&found.search)));
    answer(&format!("\nreport   {}", out.join("tune.html").display()));
    answer(&format!("train    {} {}", program(), command(&best)));
    Ok(ExitCode::SUCCESS)
}

fn command(best: &Path) -> String {
    format!("train {}", quoted(&best.display().to_string()))
}

fn write(out: &Path, best: &Path, found: &Tuned) -> Result<(), Failure> {
    let page = render_search(&found.search, &format!("retune {}", command(best)));
    let json = serde_json::to_string_pretty(&shown(found, best)).unwrap_or_default();
    write_page(best, &found.recipe.to_toml())?;
    write_page(&out.join("tune.html"), &page)?;
    write_page(&out.join("tune.json"), &json)
}

/// What `--json` prints.
fn shown(found: &Tuned, best: &Path) -> serde_json::Value {
    let search = &found.search;
    let (at, rung) = search.best().unwrap_or_default();
    let candidate = &search.candidates[at];
    json!({
        "search": search,
        "best": {
            "name": candidate.name,
            "trial": candidate.trials.get(rung),
            "recipe": best,
        },
    })
}

/// One line per candidate, the furthest and best first.
fn table(search: &Search) -> Vec<Vec<String>> {
    let mut head = vec![format!("{} candidates", search.candidates.len())];
    for rung in &search.rungs {
        let share = (1e3 * rung.share).round() / 10.0;
        head.push(format!("{share} % of the steps"));
    }
    head.extend(["steps in all", ""].map(str::to_owned));
    let mut rows = vec![head];
    let cell = |trial: Option<&Trial>| match trial {
        Some(Trial {
            score: Some(score), ..
        }) => format!("{score:.4}"),
        Some(_) => "failed".to_owned(),
        None => String::new(),
    };
    for (i, reached) in search.order() {
        let candidate = &search.candidates[i];
        let best = search.best().is_some_and(|(best, _)| best == i);
        let mut row = vec![format!(
            "{} {}",
            if best { '*' } else { ' ' },
            candidate.name
        )];
        row.extend((0..search.rungs.len()).map(|rung| cell(candidate.trials.get(rung))));
        let steps: u64 = candidate.trials.iter().map(|trial| trial.steps).sum();
        row.push(steps.to_string());
        let note = candidate.trials[reached - 1].note.clone();
        row.push(note.unwrap_or_default());
        rows.push(row);
    }
    rows
}

/// The choice, and how far its figure can be trusted.
fn conclusion(search: &Search) -> String {
    let Some((best, rung)) = search.best() else {
        return "no training gave a score".to_owned();
    };
    let candidate = &search.candidates[best];
    let score = candidate.trials[rung].score.unwrap_or(f64::NAN);
    format!(
        "best     {}, {} {score:.4} on {} validation rows\n\
         note: this figure is too good on average, being the best of {} trainings on the same rows; the one to trust is \
         the test figure of the run below, whose rows took no part here",
        candidate.name,
        search.metric,
        search.rows,
        search.trainings()
    )
}

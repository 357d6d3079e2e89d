//! `retune lr-find`: which learning rate to train with, from one short training at rising rates.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use retune::eval::report::render_rates;
use retune::eval::table::{align, number};
use retune::eval::{RangeTest, TestEnd};
use retune::lr_find::{Rates, lr_find};
use retune::plan::free_folder;

use super::{plan, program, quoted, write_page};
use crate::args::RunArgs;
use crate::console::{Console, answer, answer_json};
use crate::failure::Failure;
use crate::interrupt;

/// Lines of the table, at most.
const LINES: usize = 15;

#[derive(Debug, Args)]
pub struct LrFindArgs {
    #[command(flatten)]
    run: RunArgs,

    /// Learning rate of the first step
    #[arg(
        long,
        value_name = "X",
        default_value = "1e-7",
        allow_negative_numbers = true
    )]
    from: f64,

    /// Learning rate of the last step
    #[arg(
        long,
        value_name = "X",
        default_value = "1",
        allow_negative_numbers = true
    )]
    to: f64,

    /// Optimiser steps from the first rate to the last
    #[arg(
        long,
        value_name = "N",
        default_value_t = Rates::default().steps,
        allow_negative_numbers = true
    )]
    steps: u64,

    /// Print only JSON
    #[arg(long)]
    json: bool,
}

/// Tries the rates, writes the page, prints the levels and what to type next.
pub fn run(args: &LrFindArgs) -> Result<ExitCode, Failure> {
    let rates = Rates {
        from: args.from,
        to: args.to,
        steps: args.steps,
    };
    let problems = rates.problems();
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let mut console = Console::new();
    let mut recipe = args.run.recipe()?;
    if recipe.out.is_none() {
        recipe.out = Some(free_folder(recipe.data.train.as_deref(), "-lr"));
    }
    let plan = plan::resolve(&recipe, None, &mut console)?;
    interrupt::listen()?;
    let found = lr_find(&plan, &rates, &mut interrupt::watched(&mut console));
    console.end();
    let found = found?;
    let page = plan.out.join("lr-find.html");
    write(&plan.out, &page, &found)?;
    if args.json {
        answer_json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    answer(align(&table(&found)).trim_end());
    answer(&format!("\n{}", found.sentence()));
    answer(&format!("\nreport   {}", page.display()));
    if let Some(lr) = found.suggestion {
        let typed: Vec<String> = std::env::args().skip(1).collect();
        answer(&format!("train    {} {}", program(), train(&typed, lr)));
    }
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path, page: &Path, found: &RangeTest) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|e| {
        Failure::user(format!(
            "cannot create {}: {e}; choose another folder with --out",
            folder.display()
        ))
    })?;
    write_page(page, &render_rates(found))?;
    let json = serde_json::to_string_pretty(found).unwrap_or_default();
    write_page(&folder.join("lr-find.json"), &json)
}

/// Some of the levels by rising rate, with what happened there.
fn table(found: &RangeTest) -> Vec<Vec<String>> {
    let points = &found.points;
    let marked = |lr: f64| {
        let fall = found.fall.filter(|_| found.suggestion.is_some());
        match fall {
            Some(fall) if lr == fall.steepest => "steepest fall",
            Some(fall) if lr == fall.least => "least loss",
            _ => "",
        }
    };
    let every = points.len().div_ceil(LINES).max(1);
    let mut rows = vec![["rate", "loss", ""].map(str::to_owned).to_vec()];
    for (i, point) in points.iter().enumerate() {
        let mark = marked(point.lr);
        if i % every != 0 && mark.is_empty() {
            continue;
        }
        let Some(level) = point.level else { continue };
        rows.push(vec![
            format!("{:.1e}", point.lr),
            number(level),
            mark.to_owned(),
        ]);
    }
    let end = match found.end {
        TestEnd::Finished => return rows,
        TestEnd::Rose => "four times the least loss: nothing is learned beyond",
        TestEnd::Diverged => "no longer a finite number",
    };
    let last = points.last().map_or(0.0, |point| point.lr);
    rows.push(vec![format!("{last:.1e}"), String::new(), end.to_owned()]);
    rows
}

/// What the user typed as a `train` with this learning rate.
fn train(typed: &[String], lr: f64) -> String {
    const OWN: [&str; 5] = ["--from", "--to", "--steps", "--lr", "--out"];
    let mut words = vec!["train".to_owned()];
    // The command itself comes first.
    let mut typed = typed.iter().skip(1);
    while let Some(word) = typed.next() {
        if OWN.contains(&word.as_str()) {
            typed.next();
            continue;
        }
        let own = OWN.iter().any(|own| {
            word.strip_prefix(own)
                .is_some_and(|rest| rest.starts_with('='))
        });
        if !own && word != "--json" {
            words.push(quoted(word));
        }
    }
    words.push(format!("--lr {lr:.1e}"));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_keeps_what_train_knows_and_nothing_else() {
        let typed = "lr-find data.csv --steps 50 --to=0.1 --method lora --with rank=4 --lr 3 --json --out x";
        let mut typed: Vec<String> = typed.split(' ').map(str::to_owned).collect();
        typed.extend(["--label", "my label"].map(str::to_owned));
        assert_eq!(
            train(&typed, 0.000_123),
            "train data.csv --method lora --with rank=4 --label 'my label' --lr 1.2e-4"
        );
    }
}

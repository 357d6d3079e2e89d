//! `retune list`: what is built in.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use retune::eval::METRICS;
use retune::families::FAMILIES;
use retune::hub::CATALOGUE;
use retune::methods::MethodRecipe;
use retune::tables;
use retune::tasks::TASKS;
use serde_json::json;

use crate::console::{answer, answer_json};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct ListArgs {
    /// What to list
    kind: Kind,

    /// Print only JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Models,
    Families,
    Tasks,
    Methods,
    Metrics,
}

/// Prints one name and its description per line.
pub fn run(args: &ListArgs) -> Result<ExitCode, Failure> {
    let rows = rows(args.kind);
    if args.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, about)| json!({"name": name, "about": about}))
            .collect();
        answer_json(&rows)?;
    } else {
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, about) in rows {
            answer(&format!("{name:width$}  {about}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn rows(kind: Kind) -> Vec<(&'static str, String)> {
    match kind {
        Kind::Models => CATALOGUE
            .iter()
            .map(|m| (m.name, format!("{} ({}, {})", m.about, m.family, m.licence)))
            .collect(),
        Kind::Families => FAMILIES
            .iter()
            .map(|f| {
                (
                    f.name,
                    format!("{} (reads {})", f.about, f.model_types.join(", ")),
                )
            })
            .chain(tables::Family::ALL.map(|f| (f.name(), f.about().to_owned())))
            .collect(),
        Kind::Tasks => TASKS
            .iter()
            .chain(&tables::TASKS)
            .map(|t| (t.name(), t.about().to_owned()))
            .collect(),
        Kind::Methods => MethodRecipe::all()
            .iter()
            .map(|m| (m.method().name(), m.method().about().to_owned()))
            .collect(),
        Kind::Metrics => METRICS.iter().map(|m| (m.name, m.doc.to_owned())).collect(),
    }
}

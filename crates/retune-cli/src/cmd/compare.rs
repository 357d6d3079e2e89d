//! `retune compare`: finished runs side by side.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use retune::compare::{Compared, compare};
use retune::eval::table::{align, cell, ordered};
use retune::eval::{Metrics, RunRecord, Word, report};
use serde::Serialize;
use serde_json::json;

use super::{duration, write_page};
use crate::console::{answer, answer_json};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Folders that `retune train` wrote, two or more
    #[arg(value_name = "BUNDLE", required = true)]
    bundles: Vec<PathBuf>,

    /// Folders of another recipe: those before are taken together as seeds of one recipe, and so are these
    #[arg(long, value_name = "BUNDLE", num_args = 1..)]
    against: Vec<PathBuf>,

    /// Page to write: figures, paired differences and the runs' curves in one chart
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,

    /// Print only JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints of a run.
#[derive(Serialize)]
struct Shown<'a> {
    run: &'a str,
    folder: &'a PathBuf,
    task: &'a str,
    method: &'a str,
    model: &'a str,
    created: &'a str,
    rows: usize,
    primary: &'a str,
    metrics: &'a Metrics,
    verdict: Option<Word>,
    seconds: Option<f64>,
}

/// Prints figures and differences.
pub fn run(args: &CompareArgs) -> Result<ExitCode, Failure> {
    let found = compare(&args.bundles, &args.against)?;
    if let Some(path) = &args.out {
        let page = report::render_compare(&found.runs, &found.comparisons);
        write_page(path, &page)?;
    }
    if args.json {
        let runs = found.runs.iter().zip(&found.folders);
        let runs: Vec<_> = runs.map(|(run, folder)| shown(run, folder)).collect();
        answer_json(&json!({
            "runs": runs,
            "comparisons": found.comparisons,
            "unpaired": found.unpaired,
            "notes": found.notes,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    answer(align(&figures(&found.runs)).trim_end());
    answer(differences(&found).trim_end());
    if let Some(path) = &args.out {
        answer(&format!("\n{}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn shown<'a>(run: &'a RunRecord, folder: &'a PathBuf) -> Shown<'a> {
    Shown {
        run: &run.title,
        folder,
        task: &run.task,
        method: &run.method,
        model: &run.model,
        created: &run.created,
        rows: run.evaluated.n,
        primary: &run.evaluated.primary,
        metrics: &run.evaluated.metrics,
        verdict: run.evaluated.verdict.as_ref().map(|verdict| verdict.word),
        seconds: seconds(run),
    }
}

/// What tuning took.
fn seconds(run: &RunRecord) -> Option<f64> {
    run.costs.get("tuned").map(|cost| cost.seconds)
}

/// One column per run.
fn figures(runs: &[RunRecord]) -> Vec<Vec<String>> {
    let row = |name: &str, of: &dyn Fn(&RunRecord) -> String| {
        let cells = runs.iter().map(of);
        std::iter::once(name.to_owned()).chain(cells).collect()
    };
    let mut rows: Vec<Vec<String>> = vec![
        row("", &|run| run.title.clone()),
        row("  task", &|run| run.task.clone()),
        row("  method", &|run| run.method.clone()),
        row("  model", &|run| run.model.clone()),
        row("  test rows", &|run| run.evaluated.n.to_string()),
    ];
    let mut names: Vec<String> = Vec::new();
    for name in runs.iter().flat_map(|run| ordered(&run.evaluated)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in &names {
        let primary = runs.iter().any(|run| run.evaluated.primary == *name);
        let mark = if primary { "* " } else { "  " };
        rows.push(row(&format!("{mark}{name}"), &|run| {
            let figure = run.evaluated.metrics.get(name);
            figure.map_or_else(|| "-".to_owned(), cell)
        }));
    }
    let word = |run: &RunRecord| run.evaluated.verdict.as_ref().map(|v| v.word.to_string());
    rows.push(row("  verdict over the floors", &|run| {
        word(run).unwrap_or_else(|| "-".to_owned())
    }));
    rows.push(row("  time of tuning", &|run| {
        seconds(run).map_or_else(|| "-".to_owned(), duration)
    }));
    rows
}

/// Paired differences, pairs that have none, and notes.
fn differences(found: &Compared) -> String {
    let mut text = String::new();
    if !found.comparisons.is_empty() {
        text.push_str("\non the same test rows (positive: the first one is better)\n");
        let row = |c: &retune::eval::Comparison| {
            let v = &c.verdict;
            vec![
                format!("  {} against {}", c.left, c.right),
                format!("{} better by {}", v.metric, cell(&v.interval())),
                v.word.to_string(),
                v.p.map_or_else(String::new, |p| format!("p {p:.3}")),
            ]
        };
        text.push_str(&align(
            &found.comparisons.iter().map(row).collect::<Vec<_>>(),
        ));
    }
    if !found.unpaired.is_empty() {
        text.push_str(
            "\nonly their intervals can be compared, which are unpaired: overlapping ones do not say that runs are alike\n",
        );
        for pair in &found.unpaired {
            let _ = writeln!(text, "  {} and {}: {}", pair.left, pair.right, pair.why);
        }
    }
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

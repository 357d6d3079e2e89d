//! What the report of a run shows, gathered from its parts.

use std::path::Path;

use retune_data::Example;
use retune_eval::{Event, RunRecord, Targets};

use crate::bundle::{Manifest, Saved, pretty, read_json, read_manifest};
use crate::curve;
use crate::error::{Error, Result};
use crate::outcome::shown;
use crate::plan::Plan;
use crate::recipe::Recipe;
use crate::run_folder::{RECIPE, RunFolder};

/// Mistakes shown.
const MISTAKES: usize = 20;
/// Bytes of pictures in the record, and so on the page.
const PICTURES: usize = 4 << 20;
/// Points of the scatter plot.
const POINTS: usize = 2000;

pub(crate) fn of(events_at: &Path, saved: &Saved, manifest: &Manifest) -> Result<RunRecord> {
    let plan = saved.plan;
    let predictions = &saved.outcome.predictions;
    let recipe_toml = plan.recipe.to_toml();
    let mut record = RunRecord {
        title: plan
            .out
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        task: manifest.task.clone(),
        model: manifest.base.reference.clone(),
        method: manifest.method.clone(),
        created: manifest.created.clone(),
        reproduce: format!(
            "retune train {}/recipe.toml --out again",
            plan.out.display()
        ),
        recipe_toml,
        data: data(saved),
        machine: with_forecast(saved, manifest),
        classes: plan.processor.labels().names().to_vec(),
        events: events(events_at)?,
        evaluated: saved.outcome.evaluated.clone(),
        reliability: match predictions.targets {
            Targets::Value(_) | Targets::Vectors(_) => Vec::new(),
            _ => retune_eval::metrics::reliability(predictions, 10),
        },
        scatter: match &predictions.targets {
            Targets::Value(truth) => (0..truth.len().min(POINTS))
                .map(|i| {
                    let got = predictions.scores.row(i)[0];
                    (f64::from(truth[i]), f64::from(got))
                })
                .collect(),
            _ => Vec::new(),
        },
        mistakes: retune_eval::metrics::mistakes(predictions, MISTAKES)
            .into_iter()
            .map(|i| shown(plan, i, predictions))
            .collect(),
        before_after: saved.outcome.before_after.clone(),
        costs: saved.costs.clone(),
        curve: curve::beside(&plan.out, &plan.recipe, &manifest.data),
        fingerprints: manifest.data.clone(),
        license: None,
        pictures: saved.outcome.pictures.clone(),
    };
    record.limit_pictures(PICTURES);
    Ok(record)
}

/// Writes a record, its card and its report.
pub(crate) fn write(run: &RunFolder, record: &RunRecord) -> Result<()> {
    run.write("run.json", &pretty(record)?)?;
    run.write("card.md", retune_eval::report::card(record).as_bytes())?;
    run.write(
        "report.html",
        retune_eval::report::render(record).as_bytes(),
    )
}

/// The record of a bundle, with the label curve that may have been measured since.
pub(crate) fn read(folder: &Path) -> Result<RunRecord> {
    let manifest = read_manifest(folder)?;
    let mut record: RunRecord = read_json(&folder.join("run.json"))?;
    let recipe = Recipe::read(&folder.join(RECIPE)).ok();
    let curve = recipe.and_then(|recipe| curve::beside(folder, &recipe, &manifest.data));
    record.curve = curve.or(record.curve);
    Ok(record)
}

pub(crate) fn events(path: &Path) -> Result<Vec<Event>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    text.lines()
        .map(|line| serde_json::from_str(line).map_err(|e| Error::Internal(e.to_string())))
        .collect()
}

/// The events of a run that may be at work, or was cut off within a line: what can be read of them.
pub(crate) fn readable_events(path: &Path) -> Result<Vec<Event>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    let lines = text.lines();
    Ok(lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

fn data(saved: &Saved) -> Vec<(String, String)> {
    let plan = saved.plan;
    let [train, valid, test] = plan.summary.rows;
    let files: Vec<String> = plan
        .table
        .files
        .iter()
        .take(3)
        .map(|f| f.display().to_string())
        .collect();
    let mut rows = vec![
        ("files".to_string(), files.join(", ")),
        (
            "rows".to_string(),
            format!("{train} training, {valid} validation, {test} test"),
        ),
        ("split".to_string(), plan.split.how.clone()),
    ];
    rows.extend(sizes(plan));
    for reason in &plan.roles.reasons {
        rows.push((
            format!("column `{}`", reason.column),
            format!("{}: {}", reason.role, reason.why),
        ));
    }
    rows.extend(
        plan.summary
            .notes
            .iter()
            .map(|n| ("note".to_string(), n.clone())),
    );
    rows
}

/// How large pictures are to the model, or how long texts are.
fn sizes(plan: &Plan) -> Vec<(String, String)> {
    if let Some([height, width]) = plan.summary.picture {
        let size = format!("{width} × {height} pixels");
        return vec![("pictures as the model sees them".to_string(), size)];
    }
    let mut lengths: Vec<usize> = plan.train.iter().map(Example::tokens).collect();
    lengths.sort_unstable();
    let at = |share: f64| {
        let last = lengths.len().saturating_sub(1);
        let length = lengths.get((share * last as f64) as usize);
        length.copied().unwrap_or(0)
    };
    let lengths = format!(
        "median {}, 90 % up to {}, longest {}",
        at(0.5),
        at(0.9),
        at(1.0)
    );
    let cut = format!(
        "{:.1} % at {} tokens",
        plan.summary.truncated_share * 100.0,
        plan.summary.max_length
    );
    vec![
        ("tokens per training text".to_string(), lengths),
        ("texts cut".to_string(), cut),
    ]
}

/// What every report says of machine and run.
pub(crate) fn machine(manifest: &Manifest) -> Vec<(String, String)> {
    let pair = |name: &str, text: String| (name.to_string(), text);
    let memory = manifest.peak_rss_bytes;
    vec![
        pair("retune", manifest.retune.clone()),
        pair(
            "machine",
            format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        ),
        pair("precision", manifest.precision.name().to_string()),
        pair("threads", rayon::current_num_threads().to_string()),
        pair("wall time", format!("{:.0} s", manifest.seconds)),
        pair(
            "peak memory",
            memory.map_or("not known".to_string(), gigabytes),
        ),
        pair(
            "steps",
            format!(
                "{} done, weights of step {}",
                manifest.steps, manifest.best_step
            ),
        ),
    ]
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

/// The same, with what the plan expected and what came from the checkpoint.
fn with_forecast(saved: &Saved, manifest: &Manifest) -> Vec<(String, String)> {
    let [all, trained] = saved.plan.summary.parameters;
    let forecast = &saved.plan.summary.forecast;
    let pair = |name: &str, text: String| (name.to_string(), text);
    let mut rows = machine(manifest);
    rows.extend([
        pair("wall time forecast", format!("{:.0} s", forecast.seconds)),
        pair("peak memory forecast", gigabytes(forecast.memory_bytes)),
        pair(
            "parameters",
            format!(
                "{:.1} million, {:.1} million trained",
                all as f64 / 1e6,
                trained as f64 / 1e6
            ),
        ),
        pair(
            "from the checkpoint",
            format!("{} tensors", manifest.loaded.loaded),
        ),
        pair("newly initialised", manifest.loaded.new.join(", ")),
        pair("unused tensors", manifest.loaded.unused.join(", ")),
    ]);
    rows
}

//! A plan as people read it, and what reports say of data and machine.

use std::fmt;
use std::path::PathBuf;

use retune_data::leaks::Finding;
use retune_data::split::SplitRecord;
use serde::Serialize;

use super::plan::Plan;
use crate::recipe::Recipe;

/// Columns of one role that are listed one by one.
const LISTED: usize = 12;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = &self.roles.reasons;
        let (fields, others): (Vec<_>, Vec<_>) = reasons.iter().partition(|r| r.role == "field");
        for reason in &others {
            writeln!(f, "{:<12} `{}`: {}", reason.role, reason.column, reason.why)?;
        }
        for reason in fields.iter().take(LISTED) {
            writeln!(f, "{:<12} `{}`: {}", reason.role, reason.column, reason.why)?;
        }
        if fields.len() > LISTED {
            writeln!(f, "{:<12} and {} more", "field", fields.len() - LISTED)?;
        }
        let mut line = |what: &str, text: String| writeln!(f, "{what:<12} {text}");
        line("task", self.task.name().to_string())?;
        line(
            "model",
            format!("{}: {}", self.family.name(), self.family.about()),
        )?;
        if let Some(engine) = &self.engine {
            let spec = engine.spec();
            line(
                "past",
                format!(
                    "{} features of what {} did before; labels count {} days late",
                    spec.names().len(),
                    spec.entities.join(" and "),
                    spec.delay / 86_400
                ),
            )?;
        }
        if let Some(history) = &self.history {
            line("events", history.origin())?;
        }
        if self.learns_on() {
            let method = self.recipe.method.method();
            line("method", format!("{}: {}", method.name(), method.about()))?;
        }
        line(
            "rows",
            format!(
                "{} training, {} validation, {} test",
                self.train.at.len(),
                self.valid.at.len(),
                self.test.at.len()
            ),
        )?;
        line("split", self.split.how.clone())?;
        for note in self.split.notes.iter().chain(&self.notes) {
            line("note", note.clone())?;
        }
        for leak in &self.leaks {
            line("leak", told(leak))?;
        }
        line("out", self.out.display().to_string())
    }
}

/// A suspicion in words.
fn told(leak: &Finding) -> String {
    format!(
        "`{}`: {}; {}",
        leak.column,
        leak.why.trim_end_matches('.'),
        leak.what_to_do
    )
}

/// The plan in figures, for `--json`.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Task name.
    pub task: &'static str,
    /// Name of the model's family.
    pub model: &'static str,
    /// Names of the inputs: fields, then features of the past.
    pub inputs: Vec<String>,
    /// Rows for training, validation and test.
    pub rows: [usize; 3],
    /// How rows were divided.
    pub split: SplitRecord,
    /// Folder of the bundle.
    pub out: PathBuf,
    /// Columns and divisions that may make the figures better than they will be.
    pub leaks: Vec<Finding>,
    /// Sentences worth reading before the run.
    pub notes: Vec<String>,
    /// The recipe with every choice filled in.
    pub recipe: Recipe,
}

impl Plan {
    /// The plan in figures.
    pub fn summary(&self) -> Summary {
        Summary {
            task: self.task.name(),
            model: self.family.name(),
            inputs: self.inputs(),
            rows: [&self.train, &self.valid, &self.test].map(|side| side.at.len()),
            split: self.split.clone(),
            out: self.out.clone(),
            leaks: self.leaks.clone(),
            notes: self.notes.clone(),
            recipe: self.recipe.clone(),
        }
    }
}

/// What a report says of the data.
pub(super) fn data(plan: &Plan) -> Vec<(String, String)> {
    let pair = |name: &str, text: String| (name.to_string(), text);
    let files: Vec<String> = plan
        .table
        .files
        .iter()
        .take(3)
        .map(|f| f.display().to_string())
        .collect();
    let mut rows = vec![
        pair("files", files.join(", ")),
        pair(
            "rows",
            format!(
                "{} training, {} validation, {} test",
                plan.train.at.len(),
                plan.valid.at.len(),
                plan.test.at.len()
            ),
        ),
        pair("split", plan.split.how.clone()),
        pair("inputs", plan.inputs().join(", ")),
    ];
    for reason in &plan.roles.reasons {
        rows.push((
            format!("column `{}`", reason.column),
            format!("{}: {}", reason.role, reason.why),
        ));
    }
    let notes = plan.split.notes.iter().chain(&plan.notes);
    rows.extend(notes.map(|note| pair("note", note.clone())));
    rows.extend(plan.leaks.iter().map(|leak| pair("leak", told(leak))));
    rows
}

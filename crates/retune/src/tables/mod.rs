//! Tables of numbers and words, and streams of events: trees and networks over fields, and features of each event's past.
//!
//! ```text
//! files ─read→ Table ─cast→ Cast ─replay→ features of the past ─divide→ rows ─Fields::encode→ Cells
//!   ─Trees | Net→ Predictions ─evaluate→ Evaluated ─save→ bundle ─open→ Scorer
//! ```
//!
//! The loop of networks ([`crate::train`]), intervals, verdict, record and report are those of every other task.

mod alerts;
pub mod attribution;
pub mod bundle;
pub mod correction;
pub mod curve;
mod figures;
mod found;
pub mod gbdt;
pub mod history;
pub mod inputs;
pub mod joint;
pub mod linear;
pub mod net;
mod periods;
pub mod plan;
mod queue;
mod rolling;
pub mod run;
pub mod scorer;
mod show;
mod taught;
pub mod tune;
mod two;
mod undersample;
mod unread;

use retune_data::fields::Cells;
use retune_data::processor::Labels;
use retune_data::read::head;
use retune_data::roles::{RoleRequest, TaskKind, detect_label, no_texts};
use retune_data::{DataError, Target};
use retune_eval::Evaluation;

use crate::model::Reads;
use crate::recipe::{DataRecipe, Recipe};
use crate::tasks::Task;
use crate::tasks::text_classification::Classification;
use crate::tasks::text_regression::Regression;

pub(crate) use alerts::PATTERNS;
pub(crate) use bundle::{CARD, labels};
pub use plan::{Family, Plan};
pub(crate) use queue::keys;
pub use run::{resume, train};
pub(crate) use taught::USUAL_LR;

/// One class per row.
pub const CLASSIFICATION: Classification = Classification {
    name: "tabular-classification",
    about: "one class per row of numbers and words; trees or a network",
    reads: Reads::Fields,
};
/// A number per row.
pub const REGRESSION: Regression = Regression {
    name: "tabular-regression",
    about: "a number per row of numbers and words; trees or a network",
    reads: Reads::Fields,
};
/// Which events are frauds.
pub const FRAUD: Classification = Classification {
    name: "fraud",
    about: "which events of a stream are frauds: features of each event's past, natural shares, costs and alerts",
    reads: Reads::Fields,
};

/// Whether a column's name says that it tells frauds.
pub(crate) fn tells_fraud(name: &str) -> bool {
    name.to_lowercase().contains("fraud")
}

/// Rows with what is right of them.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// `[rows, inputs]`; NaN where a value is missing.
    pub cells: &'a Cells,
    /// One per row.
    pub targets: &'a [Target],
}

/// The tasks on tables.
pub const TASKS: [&dyn Task; 3] = [&CLASSIFICATION, &REGRESSION, &FRAUD];

/// The task of this name.
pub fn task(name: &str) -> Option<&'static dyn Task> {
    TASKS.iter().find(|task| task.name() == name).copied()
}

/// What models of a task are rated by: of two classes how well the rarer one is found, which counting right answers hides.
pub fn evaluation(task: &dyn Task, labels: &Labels) -> Evaluation {
    let mut of = task.evaluation(labels);
    let two = labels.names().len() == 2;
    if task.name() == FRAUD.name {
        of.primary = "average_precision".to_string();
    } else if two {
        of.primary = "auroc".to_string();
    }
    of
}

/// Whether a recipe asks for a task on tables: by its task, by its model, or by data that have a label and nothing but numbers and
/// short words beside it.
pub fn asked(recipe: &Recipe) -> bool {
    match &recipe.task {
        Some(name) => task(name).is_some(),
        None if Family::ALL
            .iter()
            .any(|f| recipe.model.as_deref() == Some(f.name())) =>
        {
            true
        }
        None => recipe.data.text.is_empty() && holds_fields(&recipe.data),
    }
}

/// Whether the first rows of a file have a label and neither texts nor pictures.
fn holds_fields(data: &DataRecipe) -> bool {
    let Some(path) = data.train.as_deref().filter(|path| path.is_file()) else {
        return false;
    };
    let Ok(table) = head(path, &data.read_options()) else {
        return false;
    };
    let request = RoleRequest {
        label: data.label.clone(),
        ignore: data.ignore.clone(),
        group: data.group_by.clone(),
        time: data.time.clone(),
        ..RoleRequest::default()
    };
    // Which column is the label may be open; the plan then asks for it.
    let kind = detect_label(&table, &request).map(|roles| roles.task);
    let learned = match kind {
        Ok(kind) => kind.is_some_and(|kind| kind != TaskKind::MultiLabel),
        Err(error) => matches!(error, DataError::Ambiguous { .. }),
    };
    learned && no_texts(&table, &request)
}

//! Tasks: what is asked of a model. One file each, one line in [`tasks!`].
//!
//! A task knows its loss, its scores, its metrics and how to phrase an answer. It knows no family and no
//! method.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use burn::tensor::Tensor;
use retune_data::Target;
use retune_data::batch::HostBatch;
use retune_data::processor::Labels;
use retune_data::roles::TaskKind;
use retune_eval::{Decision, Evaluation, Targets};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::events;
use crate::head::{Form, Units};
use crate::losses::{Loss, Objective};
use crate::model::Reads;
use crate::recommend;

/// A task.
pub trait Task: Debug + Send + Sync {
    /// Name in recipes and `retune list tasks`.
    fn name(&self) -> &'static str;
    /// One line about it.
    fn about(&self) -> &'static str;
    /// The kind of label column it reads.
    fn kind(&self) -> TaskKind;
    /// What its models read.
    fn reads(&self) -> Reads;
    /// Metrics, the primary one, and class names.
    fn evaluation(&self, labels: &Labels) -> Evaluation;
    /// Loss of outputs `[rows, outputs]` under an objective: the run's own in training,
    /// [`Objective::plain`] wherever a loss is reported for comparison.
    fn loss(
        &self,
        output: Tensor<2>,
        labels: &Labels,
        targets: &[Target],
        weights: &[f32],
        objective: &Objective,
    ) -> Loss;
    /// Loss of the outputs of a training batch: for its own rows and for what is mixed into their pictures.
    fn batch_loss(
        &self,
        output: Tensor<2>,
        labels: &Labels,
        batch: &HostBatch,
        objective: &Objective,
    ) -> Loss {
        let of = |output, targets: &[Target], weights: &[f32]| {
            self.loss(output, labels, targets, weights, objective)
        };
        let mixed = &batch.mixed;
        if mixed.targets.is_empty() {
            return of(output, &batch.targets, &batch.weights);
        }
        let own = of(output.clone(), &batch.targets, &batch.weights);
        let other = of(output, &mixed.targets, &mixed.weights);
        Loss {
            sum: own.sum + other.sum,
            weight: own.weight + other.weight,
        }
    }
    /// Outputs `[rows, outputs]` to scores of the same shape: probabilities, or values in the user's
    /// units; of [`Form::Cosine`], vectors `[rows, width]`.
    fn scores(&self, output: Tensor<2>, labels: &Labels) -> Tensor<2>;
    /// What the head makes of the vector that it reads.
    fn form(&self) -> Form {
        Form::Affine
    }
    /// Mean and scale of the labels, in which the head trains: outputs are `raw * scale + mean`.
    fn units(&self, _labels: &Labels) -> Units {
        Units::default()
    }
    /// `problem_type` of transformers' `config.json`.
    fn problem_type(&self) -> &'static str;
    /// One answer from one row of scores, the usual one where nothing is decided.
    fn answer(&self, scores: &[f32], labels: &Labels, decision: Option<&Decision>) -> Answer;
    /// The right answer of one row, as reports show it.
    fn truth(&self, target: &Target, labels: &Labels) -> String {
        let name = |i: usize| labels.names().get(i).cloned().unwrap_or_default();
        match target {
            Target::Class(class) => name(*class as usize),
            Target::Labels(flags) => {
                let on = flags.iter().enumerate().filter(|(_, f)| **f == Some(true));
                let names: Vec<String> = on.map(|(i, _)| name(i)).collect();
                if names.is_empty() {
                    "(none)".to_string()
                } else {
                    names.join(", ")
                }
            }
            Target::Value(value) => value.to_string(),
            Target::None => String::new(),
        }
    }
    /// The right answers in the form that metrics read.
    fn targets(&self, targets: &[Target]) -> Targets;
}

/// A model's answer for one row.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Answer {
    /// The class, or that of the nearest pictures; absent for other tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The labels that apply; absent for other tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// The number; absent for other tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Probability of the answer, or cosine of the nearest picture of its class, -1 to 1; absent for regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Probability of each class or label; empty for regression.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, f64>,
    /// From which score on a class or label is answered, where a goal has chosen that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, f64>,
    /// The vector, `[width]`, of length 1 up to views of a picture; empty for other tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vector: Vec<f32>,
}

impl Answer {
    /// The answer in one phrase, as reports show it.
    pub fn phrase(&self) -> String {
        match (&self.label, &self.labels, self.value) {
            (Some(label), ..) => label.clone(),
            (_, Some(labels), _) if labels.is_empty() => "(none)".to_string(),
            (_, Some(labels), _) => labels.join(", "),
            (.., Some(value)) => format!("{value:.4}"),
            _ if self.vector.is_empty() => String::new(),
            _ => format!("a vector of {} numbers", self.vector.len()),
        }
    }
}

/// One line per task: module.
macro_rules! tasks {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// Every registered task.
        pub const TASKS: &[&dyn Task] = &[$(&$module::TASK),+];
    };
}

tasks! {
    text_classification,
    text_multi_label,
    text_regression,
    image_classification,
    image_multi_label,
    image_regression,
    image_embedding,
}

/// The task of this name.
pub fn task(name: &str) -> Option<&'static dyn Task> {
    TASKS.iter().find(|task| task.name() == name).copied()
}

/// The task of a bundle in `folder` that names it so.
///
/// # Errors
/// A recommender, which is asked otherwise; a model of events, which is not asked; a task of a newer version.
pub fn of_bundle(name: &str, folder: &Path) -> Result<&'static dyn Task> {
    if name == recommend::TASK {
        return Err(Error::User(format!(
            "{0} is a recommender: ask it with `retune recommend {0} --user USER`",
            folder.display()
        )));
    }
    if name == events::bundle::TASK {
        return Err(Error::User(format!(
            "{0} is a model of events, which answers nothing by itself: go on from it with `retune train EVENTS \
             --event-model {0}`",
            folder.display()
        )));
    }
    task(name).ok_or_else(|| Error::Damaged {
        path: folder.join("bundle.json"),
        what: format!("task `{name}` is not known to this version"),
    })
}

/// The task that suits a label column of this kind, beside inputs of this one.
pub fn task_for(kind: TaskKind, reads: Reads) -> Option<&'static dyn Task> {
    let suits = |task: &&&dyn Task| task.kind() == kind && task.reads() == reads;
    TASKS.iter().find(suits).copied()
}

fn named_scores(scores: &[f32], labels: &Labels) -> BTreeMap<String, f64> {
    labels
        .names()
        .iter()
        .cloned()
        .zip(scores.iter().map(|s| f64::from(*s)))
        .collect()
}

fn named_thresholds(decision: Option<&Decision>, labels: &Labels) -> BTreeMap<String, f64> {
    let thresholds = decision.map_or(Vec::new(), Decision::thresholds);
    thresholds
        .into_iter()
        .filter_map(|(class, t)| Some((labels.names().get(class)?.clone(), t.value)))
        .collect()
}

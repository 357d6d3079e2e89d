//! The records a run leaves behind: events while it runs, figures and the report's content at its end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::calibration::Calibration;
use crate::curve::LabelCurve;

mod decided;
mod parent;
mod pictures;
mod proof;
#[cfg(test)]
pub(crate) mod sample;

pub use decided::{Change, Chosen, Decided};
pub use parent::ParentTest;
pub use pictures::{ContactSheet, Gallery, HeatMaps, InlinePicture, PictureFormat, Pictures};
pub use proof::{Comparison, Cost, FloorVerdict, Verdict, Word};

/// A value with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The value on all rows.
    pub value: f64,
    /// 2.5 % bound.
    pub low: f64,
    /// 97.5 % bound.
    pub high: f64,
}

/// Metric name to value: the shape of `metrics`, of each baseline and of each slice.
pub type Metrics = BTreeMap<String, Interval>;

/// Which metrics to compute for a task, and which one decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Metric names, in the order they are shown.
    pub metrics: Vec<String>,
    /// The metric that selects the best model.
    pub primary: String,
    /// Names of the classes or labels; empty for regression.
    pub classes: Vec<String>,
}

/// Figures of one split: the content of `metrics.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// `test`, `valid` or the name of the file evaluated.
    pub split: String,
    /// Number of rows.
    pub n: usize,
    /// The metric that decides.
    pub primary: String,
    /// The model's figures.
    pub metrics: Metrics,
    /// Floors on the same rows: `majority` or `prior`, `base_model`, `frozen`, `scratch`,
    /// `classical`.
    pub baselines: BTreeMap<String, Metrics>,
    /// How much better the model is than each floor in the primary metric, on the same resamples: positive is better,
    /// whichever way the metric points.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gains: BTreeMap<String, Interval>,
    /// Column, then value, then figures.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub slices: BTreeMap<String, BTreeMap<String, SliceMetrics>>,
    /// Precision, recall and F1 of each class or label; empty for regression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_class: Vec<PerClass>,
    /// `confusion[truth][predicted]`; empty unless each row has one class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confusion: Vec<Vec<u64>>,
    /// Whether tuning helped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Whether probabilities mean what they say, before and after temperature scaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// What a stated goal made of the answers: the figures above are those of the decided ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decided>,
    /// What became of the parent's answers, where the run went on with a tuned model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_test: Option<ParentTest>,
    /// Sentences about what the figures cannot say: metrics left out, too few rows, what a baseline is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Figures of one slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceMetrics {
    /// Number of rows in the slice.
    pub n: usize,
    /// The figures.
    pub metrics: Metrics,
}

/// Figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PerClass {
    /// Name of the class or label.
    pub class: String,
    /// Rows that truly have it.
    pub support: u64,
    /// Of the rows predicted as this class, the share that is right.
    pub precision: Interval,
    /// Of the rows of this class, the share that is found.
    pub recall: Interval,
    /// Harmonic mean of the two.
    pub f1: Interval,
}

/// What happens during a run, in order; one JSON object per line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A stage begins: `read`, `encode`, `base_model`, `frozen`, `train`, `evaluate`, `save`.
    Stage {
        /// Name of the stage.
        name: String,
        /// Units of work in the stage, where known.
        total: Option<u64>,
    },
    /// Work done in the running stage.
    Progress {
        /// Units done so far.
        done: u64,
    },
    /// One optimiser step.
    Step {
        /// 1-based step.
        step: u64,
        /// Steps in the whole run.
        steps: u64,
        /// Passes over the training rows so far, fractional.
        epoch: f64,
        /// Mean training loss of the step.
        loss: f64,
        /// Learning rate of the step.
        lr: f64,
        /// Global gradient norm before clipping.
        grad_norm: f64,
        /// Tokens in the step.
        tokens: u64,
        /// Wall time of the step in milliseconds.
        ms: f64,
        /// Wall time before it spent waiting for its batches, in milliseconds.
        #[serde(default)]
        wait_ms: f64,
    },
    /// A validation pass.
    Validated {
        /// Step after which it ran.
        step: u64,
        /// Mean validation loss.
        loss: f64,
        /// Metric name to value (no intervals while training).
        metrics: BTreeMap<String, f64>,
        /// Whether this is the best model so far.
        best: bool,
    },
    /// The state of the run was saved: it can go on from here.
    Saved {
        /// Step after which it was saved.
        step: u64,
    },
    /// Training ended.
    Stopped {
        /// Last step.
        step: u64,
        /// `finished`, `early_stopping` or `interrupted`.
        reason: String,
        /// Step of the weights that are kept.
        best_step: u64,
    },
    /// Something a person should know.
    Note {
        /// The sentence.
        text: String,
    },
}

/// A row worth showing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// `file:line`.
    pub id: String,
    /// The row's text, shortened; of a picture its file.
    pub text: String,
    /// The right answer.
    pub truth: String,
    /// The model's answer.
    pub predicted: String,
    /// The model's probability of its answer, or the absolute error for regression.
    pub confidence: f64,
    /// The row's picture, made small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<InlinePicture>,
}

/// Everything the report shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Name of the run.
    pub title: String,
    /// Task name.
    pub task: String,
    /// Model reference as the user wrote it.
    pub model: String,
    /// Method name.
    pub method: String,
    /// RFC 3339 time of the run's end.
    pub created: String,
    /// Command lines that reproduce the run, one per line.
    pub reproduce: String,
    /// The resolved recipe.
    pub recipe_toml: String,
    /// Label and value pairs: rows, splits, duplicates removed, length percentiles, class counts.
    pub data: Vec<(String, String)>,
    /// Label and value pairs: machine, threads, versions, wall times, parameters.
    pub machine: Vec<(String, String)>,
    /// Class or label names; empty for regression.
    pub classes: Vec<String>,
    /// The run's events.
    pub events: Vec<Event>,
    /// Figures of the test split.
    pub evaluated: Evaluated,
    /// Reliability diagram: `(mean confidence, share right, rows)` per bin; empty for regression.
    pub reliability: Vec<(f64, f64, u64)>,
    /// Truth and prediction pairs for a scatter plot; at most 2,000; empty unless regression.
    pub scatter: Vec<(f64, f64)>,
    /// The most confident mistakes (largest errors for regression).
    pub mistakes: Vec<Shown>,
    /// A few test rows before and after tuning: `(row, answer before tuning)`.
    pub before_after: Vec<(Shown, String)>,
    /// What the model (`tuned`) and each floor cost.
    #[serde(default)]
    pub costs: BTreeMap<String, Cost>,
    /// What fewer labels would have given.
    #[serde(default)]
    pub curve: Option<LabelCurve>,
    /// Each data file and its SHA-256.
    #[serde(default)]
    pub fingerprints: BTreeMap<String, String>,
    /// Licence of the base model, where it is known.
    #[serde(default)]
    pub license: Option<String>,
    /// Pictures beside those of the rows above; absent where the model reads texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pictures: Option<Pictures>,
}

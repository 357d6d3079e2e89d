//! Predictions to metrics with intervals, and the page that shows them.
//!
//! `Predictions ─evaluate→ Evaluated`, and `RunRecord ─render→ report.html`. No tensors here.

pub mod bootstrap;
pub mod metrics;
pub mod predictions;
pub mod records;
pub mod report;
pub mod table;

pub use metrics::{
    METRICS, Metric, evaluate, gain, majority, majority_predictions, metric, mistakes, point,
    reliability,
};
pub use predictions::{Matrix, Predictions, Slice, Targets};
pub use records::{Evaluated, Evaluation, Event, Interval, Metrics, RunRecord};

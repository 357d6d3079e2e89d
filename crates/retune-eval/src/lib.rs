//! Predictions to metrics with intervals, to a verdict over the floors, and the page that shows them.
//!
//! `Predictions ─evaluate→ Evaluated`, `Predictions ─judge→ Verdict`, and `RunRecord ─render→ report.html`. No tensors
//! here.

pub mod bootstrap;
pub mod calibration;
pub mod curve;
pub mod decision;
pub mod delong;
pub mod fraud;
pub mod halving;
pub mod metrics;
pub mod predictions;
pub mod range_test;
pub mod ranking;
pub mod records;
pub mod report;
pub mod retrieval;
pub mod significance;
pub mod table;
pub mod threshold;
mod verdict;

pub use calibration::{Calibration, temperature};
pub use curve::{CurvePoint, Forecast, LabelCurve};
pub use decision::Decision;
pub use halving::{Candidate, Rung, Search, Trial};
pub use metrics::{
    METRICS, Metric, evaluate, gain, majority, majority_predictions, metric, mistakes, point,
    reliability,
};
pub use predictions::{Matrix, Predictions, Slice, Targets};
pub use range_test::{RangeTest, TestEnd};
pub use records::{
    Change, Chosen, Comparison, Cost, Decided, Evaluated, Evaluation, Event, FloorVerdict,
    Interval, Metrics, ParentTest, RunRecord, Verdict, Word,
};
pub use retrieval::Retrieved;
pub use threshold::{Goal, OutOfReach, Threshold, nearest, threshold};
pub use verdict::judge;

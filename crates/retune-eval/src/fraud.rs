//! Scores of events, few of which are fraud, to figures that an alert queue is run by.
//!
//! `Scored ─rate→ FraudFigures`, `Scored ─choose→ AlertThreshold`, `FraudEvaluated ─report::render_fraud→ page`.
//! Accuracy says nothing where one event in a hundred is fraud. What counts is how much fraud stands at the top of the
//! queue that analysts can read (Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection -
//! Practical Handbook", 2022), and what it costs.
//!
//! Events of one card are alike. Every interval resamples whole cards, as often as there are cards, and gives all
//! events of a card the weight of the card; events are sorted once, and a resample is one pass over the sorted events.

mod choose;
mod cost;
mod curve;
mod daily;
mod evaluate;
mod fixed;
mod order;
mod pictures;
mod prior;
mod probability;
mod record;
mod scored;
mod segments;
mod settings;
#[cfg(test)]
mod tests;
mod top;
mod verdict;

pub use choose::{AlertGoal, AlertThreshold, choose};
pub use cost::{CostCurve, CostPoint, ReviewCost, cost_curve};
pub use curve::{RecallPoint, precision_recall};
pub use evaluate::{PAIRED, gains, rate};
pub use pictures::{DayAlerts, DayScores, FraudCurves};
pub use prior::{BadShare, Undersampling};
pub use record::{FraudEvaluated, FraudFigures, FraudPart};
pub use scored::{BadEvents, Named, Scored};
pub use segments::false_alarm_ratios;
pub use settings::Settings;
pub use verdict::judge;

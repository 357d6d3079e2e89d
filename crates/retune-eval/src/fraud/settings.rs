//! At which points of the queue a model is rated.

use super::cost::ReviewCost;
use super::scored::BadEvents;

/// Where figures are taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// False-positive rates that recall is rated at, 0 to 1.
    pub false_positive_rates: Vec<f64>,
    /// Precisions that recall is rated at, 0 to 1.
    pub precisions: Vec<f64>,
    /// Lengths of the queue over all events that precision is rated at.
    pub alerts: Vec<usize>,
    /// Cards that are called each day.
    pub cards: Vec<usize>,
    /// Share of the events that are alerts, 0 to 1.
    pub alert_share: f64,
    /// What reviews and misses cost, where that is known.
    pub cost: Option<ReviewCost>,
    /// The score from which on an alert is raised, where it was chosen before, on other events.
    pub threshold: Option<f64>,
}

impl Default for Settings {
    /// 0.1, 1 and 5 % false positives, precision 0.5 and 0.9, the first 100 and 1000 events, 100 cards a day, 1 % of
    /// the events as alerts; neither cost nor threshold.
    fn default() -> Self {
        Self {
            false_positive_rates: vec![0.001, 0.01, 0.05],
            precisions: vec![0.5, 0.9],
            alerts: vec![100, 1000],
            cards: vec![100],
            alert_share: 0.01,
            cost: None,
            threshold: None,
        }
    }
}

impl Settings {
    /// Whether every share is one.
    pub(super) fn check(&self) -> Result<(), BadEvents> {
        let shares = [self.alert_share];
        for (name, shares) in [
            ("false_positive_rates", &self.false_positive_rates[..]),
            ("precisions", &self.precisions),
            ("alert_share", &shares),
        ] {
            let wrong = shares.iter().find(|s| !(**s > 0.0 && **s <= 1.0));
            if let Some(value) = wrong {
                return Err(BadEvents::Setting {
                    name,
                    value: *value,
                });
            }
        }
        Ok(())
    }
}

/// A share as people write it: `1%`, `0.1%`.
pub(super) fn percent(share: f64) -> String {
    // Hundreds of a share carry rounding errors.
    format!("{}%", (share * 1e8).round() / 1e6)
}

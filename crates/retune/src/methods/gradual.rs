//! Gradual unfreezing: the head first, then one layer after the other from the top (Howard & Ruder, "ULMFiT",
//! arXiv:1801.06146).

use serde::{Deserialize, Serialize};

use super::{Method, Place};

/// Unfreezes the model from the head down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gradual {
    /// Share of the steps after which everything trains.
    pub until: f64,
}

impl Default for Gradual {
    fn default() -> Self {
        Self { until: 0.4 }
    }
}

impl Method for Gradual {
    fn name(&self) -> &'static str {
        "gradual"
    }

    fn about(&self) -> &'static str {
        "the head first, then layer after layer from the top (until = 0.4 of the steps)"
    }

    fn lr(&self) -> f64 {
        1e-4
    }

    fn start(&self, place: &Place) -> Option<f64> {
        Some(self.until * place.depth as f64 / (place.layers + 1) as f64)
    }

    fn problem(&self) -> Option<(&'static str, String)> {
        let text = || format!("{} is out of range 0 to 1; try 0.4", self.until);
        (!(0.0..=1.0).contains(&self.until)).then(|| ("until", text()))
    }
}

//! Full fine-tuning: every parameter trains.

use serde::{Deserialize, Serialize};

use super::{Method, Place};

/// Trains every parameter of backbone and head.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Full {}

impl Method for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn about(&self) -> &'static str {
        "every parameter trains; best results with enough labels"
    }

    fn lr(&self) -> f64 {
        5e-5
    }

    fn start(&self, _place: &Place) -> Option<f64> {
        Some(0.0)
    }
}

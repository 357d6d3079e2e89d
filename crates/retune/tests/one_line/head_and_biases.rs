//! A method in one file: the head and every bias train.

use serde::{Deserialize, Serialize};

use super::{Method, Place};

/// Trains the head and the biases of the backbone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadAndBiases {}

impl Method for HeadAndBiases {
    fn name(&self) -> &'static str {
        "head_and_biases"
    }

    fn about(&self) -> &'static str {
        "the head and every bias train"
    }

    fn lr(&self) -> f64 {
        1e-3
    }

    fn start(&self, place: &Place) -> Option<f64> {
        (place.in_head() || place.path.ends_with(".bias")).then_some(0.0)
    }
}

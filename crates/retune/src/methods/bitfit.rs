//! BitFit: the head and every bias train (Ben Zaken, Goldberg & Ravfogel, arXiv:2106.10199).

use serde::{Deserialize, Serialize};

use super::{Method, Place};

/// Trains the head and the biases of the backbone, the shifts of its norms among them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bitfit {}

impl Method for Bitfit {
    fn name(&self) -> &'static str {
        "bitfit"
    }

    fn about(&self) -> &'static str {
        "the head and every bias train; a thousandth of the parameters"
    }

    fn lr(&self) -> f64 {
        1e-3
    }

    fn start(&self, place: &Place) -> Option<f64> {
        (place.in_head() || place.name() == "bias").then_some(0.0)
    }
}

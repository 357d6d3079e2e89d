//! Head only: the backbone stays as it is, and what it makes of each row is computed once.

use serde::{Deserialize, Serialize};

use super::{Method, Place};

/// Trains the head on frozen features.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Head {}

impl Method for Head {
    fn name(&self) -> &'static str {
        "head"
    }

    fn about(&self) -> &'static str {
        "only the head trains, on features computed once; epochs take milliseconds"
    }

    fn lr(&self) -> f64 {
        1e-3
    }

    fn epochs(&self) -> f64 {
        20.0
    }

    fn start(&self, place: &Place) -> Option<f64> {
        place.in_head().then_some(0.0)
    }

    fn frozen_backbone(&self) -> bool {
        true
    }
}

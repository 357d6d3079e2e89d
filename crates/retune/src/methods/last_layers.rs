//! The head and the last layers train; the rest stays as it is.

use serde::{Deserialize, Serialize};

use super::{Method, Place};

/// Trains the head and the last `layers` layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LastLayers {
    /// How many layers train.
    pub layers: usize,
}

impl Default for LastLayers {
    fn default() -> Self {
        Self { layers: 2 }
    }
}

impl Method for LastLayers {
    fn name(&self) -> &'static str {
        "last_layers"
    }

    fn about(&self) -> &'static str {
        "the head and the last layers train (layers = 2): cheaper, forgets less"
    }

    fn lr(&self) -> f64 {
        1e-4
    }

    fn start(&self, place: &Place) -> Option<f64> {
        // The embeddings lie one below the first layer, whatever the model's depth.
        let trains = place.depth <= self.layers && place.depth <= place.layers;
        trains.then_some(0.0)
    }

    fn problem(&self) -> Option<(&'static str, String)> {
        let text = "0 layers train; `method.head` trains the head alone";
        (self.layers == 0).then(|| ("layers", text.to_string()))
    }
}

//! Full fine-tuning: every parameter trains.

use super::Method;

/// The method's entry.
pub const METHOD: Full = Full;

/// Trains every parameter of backbone and head.
#[derive(Debug)]
pub struct Full;

impl Method for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn about(&self) -> &'static str {
        "every parameter trains; best results with enough labels"
    }

    fn trains(&self, _path: &str) -> bool {
        true
    }
}

//! A method in one file: the head and every bias train.

use super::Method;

/// The method's entry.
pub const METHOD: HeadAndBiases = HeadAndBiases;

/// Trains the head and the biases of the backbone.
#[derive(Debug)]
pub struct HeadAndBiases;

impl Method for HeadAndBiases {
    fn name(&self) -> &'static str {
        "head-and-biases"
    }

    fn about(&self) -> &'static str {
        "the head and every bias train"
    }

    fn trains(&self, path: &str) -> bool {
        path.starts_with("head.") || path.ends_with(".bias")
    }
}

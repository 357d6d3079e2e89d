//! One class per picture, out of two or more.

use super::text_classification::Classification;
use crate::model::Reads;

/// The task's entry.
pub const TASK: Classification = Classification {
    name: "image-classification",
    about: "one class per picture; trained by cross-entropy",
    reads: Reads::Pictures,
};

//! A number per picture.

use super::text_regression::Regression;
use crate::model::Reads;

/// The task's entry.
pub const TASK: Regression = Regression {
    name: "image-regression",
    about: "a number per picture; trained by squared error",
    reads: Reads::Pictures,
};

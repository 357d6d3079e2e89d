//! Any number of labels per picture.

use super::text_multi_label::MultiLabel;
use crate::model::Reads;

/// The task's entry.
pub const TASK: MultiLabel = MultiLabel {
    name: "image-multi-label",
    about: "any number of labels per picture; trained by binary cross-entropy per label",
    reads: Reads::Pictures,
};

//! What can be wrong with one picture: the reason here, the place filled in by whoever knows it.

use crate::error::DataError;

/// Kinds of faults, for callers that count or skip bad pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The file cannot be opened or read.
    Unreadable,
    /// There are no bytes at all.
    Empty,
    /// The content is of no picture format.
    NotAPicture,
    /// A picture format, or a variant of one, that is not decoded.
    Unsupported,
    /// More pixels, bytes or memory than the limits allow.
    TooLarge,
    /// The picture ends too early.
    Truncated,
    /// The content contradicts its own format.
    Broken,
}

/// Why a picture cannot be used. Fits behind `error: ` once [`PictureError::place`] is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {}: {problem}; {cure}", if place.is_empty() { "the picture" } else { place })]
pub struct PictureError {
    /// What kind of fault it is.
    pub fault: Fault,
    /// The file, or the row that holds the picture; empty where only the caller knows.
    pub place: String,
    /// What was found and what was expected.
    pub problem: String,
    /// What to do next.
    pub cure: String,
}

impl PictureError {
    pub(super) fn new(fault: Fault, problem: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            fault,
            place: String::new(),
            problem: problem.into(),
            cure: cure.into(),
        }
    }

    /// The same error at `place`, such as `picture in row 7 of data.parquet`; a file name known already is kept
    /// before it.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        self.place = if self.place.is_empty() {
            place.to_string()
        } else {
            format!("{} ({place})", self.place)
        };
        self
    }
}

impl From<PictureError> for DataError {
    fn from(e: PictureError) -> Self {
        let file = if e.place.is_empty() {
            "the picture".to_string()
        } else {
            e.place
        };
        Self::File {
            file,
            problem: e.problem,
            cure: e.cure,
        }
    }
}

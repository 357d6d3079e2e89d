//! What a run has to prove, and on which rows the saved model trains.

use retune_eval::{Evaluated, Word};
use serde::{Deserialize, Serialize};

/// How hard the proof tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictLevel {
    /// Every floor with a search of its own, three seeds on each side.
    Full,
    /// Every floor once, in about the time that tuning takes.
    Fast,
    /// Only the floors that cost next to nothing.
    Off,
}

/// What a verdict has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Require {
    /// Better than every floor.
    Improved,
    /// Worse than no floor.
    NotWorse,
}

/// On which rows the saved model is trained once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Refit {
    /// Training, validation and test rows.
    All,
}

impl Require {
    /// Its name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Improved => "improved",
            Self::NotWorse => "not-worse",
        }
    }

    /// Whether the verdict of these figures is good enough.
    pub fn met(self, evaluated: &Evaluated) -> bool {
        evaluated
            .verdict
            .as_ref()
            .is_some_and(|verdict| match self {
                Self::Improved => verdict.word == Word::Improved,
                Self::NotWorse => verdict.word != Word::Worse,
            })
    }
}

//! What a run can prove: the verdict over its floors, what each model cost, and how two runs differ.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Interval;

/// What paired rows say of one model against another, from the worst to the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Word {
    /// The interval of the difference lies below 0.
    #[serde(rename = "worse")]
    Worse,
    /// The interval holds 0, or there is too little to tell.
    #[serde(rename = "no evidence")]
    NoEvidence,
    /// The interval of the difference lies above 0.
    #[serde(rename = "improved")]
    Improved,
}

impl Word {
    /// What the interval of a difference says, positive being better.
    pub fn of(difference: &Interval) -> Self {
        match difference {
            d if d.low > 0.0 => Self::Improved,
            d if d.high < 0.0 => Self::Worse,
            _ => Self::NoEvidence,
        }
    }

    /// The weakest of several words; [`Word::NoEvidence`] when there are none.
    pub fn weakest(words: impl IntoIterator<Item = Self>) -> Self {
        words.into_iter().min().unwrap_or(Self::NoEvidence)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worse => "worse",
            Self::NoEvidence => "no evidence",
            Self::Improved => "improved",
        })
    }
}

/// How the tuned model stands against one floor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FloorVerdict {
    /// The metric that was compared.
    pub metric: String,
    /// How much better the tuned model is, in the metric's units: positive is better, whichever way the metric points.
    pub difference: f64,
    /// Lower bound of the simultaneous 95 % interval (Holm-corrected over the floors).
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// What that says.
    pub word: Word,
    /// Two-sided p-value of the paired bootstrap, Holm-adjusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// p-value of McNemar's exact test, Holm-adjusted; for accuracy of one model per side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcnemar: Option<f64>,
}

/// Whether tuning helped: the tuned model against every floor on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The weakest word over all floors.
    pub word: Word,
    /// Did tuning help? The weakest word over `base_model`, `frozen` and `scratch`.
    pub helped: Word,
    /// Is it worth shipping? The weakest word over `classical`, `majority` and `prior`, and over the floors of
    /// recommendations: `popularity`, `popularity_7_days`, `markov`, `item_knn`, `ease`.
    pub worth_shipping: Word,
    /// What the words are about: one model, or a recipe over several seeds.
    pub scope: String,
    /// The smallest difference in the primary metric that these rows would show with 80 % power against the strongest
    /// floor; absent where the two answer alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detectable: Option<f64>,
    /// Rows that both sides answered.
    pub rows: usize,
    /// Tuned models, one per seed.
    pub seeds: usize,
    /// Floor to its verdict.
    pub floors: BTreeMap<String, FloorVerdict>,
    /// Why a floor is missing or a word is weaker than its interval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What it took to make one model: the tuned one or a floor.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Wall time in seconds.
    pub seconds: f64,
    /// Time of all cores in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Energy in joules, where the platform measures it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_joules: Option<f64>,
    /// Largest resident size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_rss_bytes: Option<u64>,
    /// Parameters that were trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_parameters: Option<u64>,
    /// Seconds until this model was as good on the validation rows as the one from random initialisation ever became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_to_scratch_best: Option<f64>,
}

impl FloorVerdict {
    /// The difference as a value with its interval.
    pub fn interval(&self) -> Interval {
        Interval {
            value: self.difference,
            low: self.low,
            high: self.high,
        }
    }
}

/// Two runs on the same test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Title of the run that takes the place of the tuned model: a positive difference says that it is the better one.
    pub left: String,
    /// Title of the other run.
    pub right: String,
    /// The difference.
    pub verdict: FloorVerdict,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn words_are_ordered_and_written_as_they_are_shown() {
        let words = [Word::Worse, Word::NoEvidence, Word::Improved];
        assert!(words.is_sorted());
        for word in words {
            let written = serde_json::to_string(&word).unwrap();
            assert_eq!(written, format!("\"{word}\""));
            assert_eq!(serde_json::from_str::<Word>(&written).unwrap(), word);
        }
        assert_eq!(Word::weakest(words), Word::Worse);
        assert_eq!(Word::weakest([Word::Improved]), Word::Improved);
        assert_eq!(Word::weakest([]), Word::NoEvidence);
    }
}

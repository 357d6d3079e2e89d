//! The records of a rating: what a report and `metrics.json` show of recommendations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::evaluate::{gain, rate};
use super::{Rated, Seen};
use crate::records::{Interval, Metrics, Verdict};

/// The figures of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankingFigures {
    /// Number of users.
    pub n: usize,
    /// Figures with intervals over users: each of [`super::RANKING_METRICS`] at each of [`super::CUTOFFS`], as
    /// `ndcg@10`.
    pub metrics: Metrics,
    /// Share of the catalogue that is recommended to anyone, as `coverage@10`.
    pub coverage: BTreeMap<String, f64>,
    /// Parts of the users or of their targets, at one cutoff.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<RankingSlice>,
}

/// The figures of a part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankingSlice {
    /// `target`, by how popular the targets are in training, or `history`, by the number of events before the question.
    pub by: String,
    /// `head`, `tail` or `cold`; or the range of lengths.
    pub value: String,
    /// Number of users.
    pub n: usize,
    /// The figures.
    pub metrics: Metrics,
}

/// How users were asked: figures under different settings cannot be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// `test`, `valid` or the name of the file evaluated.
    pub split: String,
    /// `loo`, the last event of each user, or `temporal`, the first one after a common moment.
    pub protocol: String,
    /// Whether items of a user's history can be recommended.
    pub seen: Seen,
    /// Share of the events that have their user and time in common with another: their order is that of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tied_events: Option<f64>,
}

/// A model and its floors on the same questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankingEvaluated {
    /// How users were asked.
    #[serde(flatten)]
    pub setting: Setting,
    /// Number of items that were ranked: all of the catalogue.
    pub items: usize,
    /// The figure that decides, `ndcg@10` as a rule.
    pub primary: String,
    /// The model's figures.
    pub model: RankingFigures,
    /// Floors on the same users.
    pub baselines: BTreeMap<String, RankingFigures>,
    /// How much higher the model is than each floor in the primary figure, on the same resamples.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gains: BTreeMap<String, Interval>,
    /// Whether the model beats the floors, by [`super::judge`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Floors that were left out, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub absent: BTreeMap<String, String>,
    /// Sentences about what the figures cannot say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl RankingEvaluated {
    /// Rates a model; floors are added by [`Self::compare`].
    ///
    /// # Panics
    /// As [`rate`].
    pub fn new(setting: Setting, model: &Rated, primary: &str, seed: u64) -> Self {
        Self {
            setting,
            items: model.popularity.takers.len(),
            primary: primary.to_owned(),
            model: rate(model, seed),
            baselines: BTreeMap::new(),
            gains: BTreeMap::new(),
            verdict: None,
            absent: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// Rates a floor on the questions of the model, and the difference to it.
    ///
    /// # Panics
    /// When the two do not answer the same number of questions.
    pub fn compare(&mut self, name: &str, (model, floor): (&Rated, &Rated), seed: u64) {
        self.baselines.insert(name.to_owned(), rate(floor, seed));
        if let Some(gain) = gain(model, floor, &self.primary, seed) {
            self.gains.insert(name.to_owned(), gain);
        }
    }
}

//! The records of a rating: what a report and `metrics.json` show of fraud.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::evaluate::{gains, rate};
use super::pictures::FraudCurves;
use super::{AlertThreshold, BadEvents, Scored, Settings};
use crate::records::{Interval, Metrics, Verdict};

/// The figures of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FraudFigures {
    /// Number of events.
    pub n: usize,
    /// Number of those that are fraud.
    pub fraud: usize,
    /// Number of cards, which are resampled; `None` where none are known and events are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cards: Option<usize>,
    /// Days from the first to the last event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<usize>,
    /// Figures with intervals over cards: `average_precision`, `auroc`, `recall@1%fpr`, `recall@90%precision`,
    /// `precision@100`, `card_precision@100`, `recall@1%alerts`, `precision@1%alerts`, `amount_recall@1%alerts`,
    /// `predicted@1%alerts`, `brier`, `ece`, and `precision`, `recall`, `fpr`, `alerts_per_day`, `amount_recall`, `cost`
    /// and `savings` `@threshold`.
    pub metrics: Metrics,
    /// Recall of each pattern of fraud when the share of the settings is reviewed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<FraudPart>,
    /// False-positive rate of each segment over that of all events, at the same share or at the threshold; 1 is equal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<FraudPart>,
    /// Sentences about what the figures cannot say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The figure of a pattern or segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FraudPart {
    /// Its name.
    pub name: String,
    /// Fraud of the pattern, or legitimate events of the segment.
    pub n: usize,
    /// The figure.
    pub figure: Interval,
}

/// A model and its floors on the same events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FraudEvaluated {
    /// `test`, `valid` or the name of the file evaluated.
    pub split: String,
    /// The model's figures.
    pub model: FraudFigures,
    /// Floors on the same events.
    pub baselines: BTreeMap<String, FraudFigures>,
    /// How much higher the model is than each floor in each of [`super::PAIRED`], on the same resamples.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gains: BTreeMap<String, Metrics>,
    /// Whether the model beats the floors, by [`super::judge`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The threshold of the alerts, chosen on other events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<AlertThreshold>,
    /// What the charts of the report show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curves: Option<FraudCurves>,
}

impl FraudEvaluated {
    /// Rates a model; floors are added by [`Self::compare`].
    ///
    /// # Errors
    /// As [`rate`].
    pub fn new(
        split: &str,
        model: &Scored,
        settings: &Settings,
        seed: u64,
    ) -> Result<Self, BadEvents> {
        Ok(Self {
            split: split.to_owned(),
            model: rate(model, settings, seed)?,
            baselines: BTreeMap::new(),
            gains: BTreeMap::new(),
            verdict: None,
            chosen: None,
            curves: None,
        })
    }

    /// Rates a floor on the events of the model, and the differences to it.
    ///
    /// # Errors
    /// As [`rate`] and [`gains`].
    pub fn compare(
        &mut self,
        name: &str,
        (model, floor): (&Scored, &Scored),
        settings: &Settings,
        seed: u64,
    ) -> Result<(), BadEvents> {
        let gains = gains(model, floor, seed)?;
        let figures = rate(floor, settings, seed)?;
        self.baselines.insert(name.to_owned(), figures);
        self.gains.insert(name.to_owned(), gains);
        Ok(())
    }
}

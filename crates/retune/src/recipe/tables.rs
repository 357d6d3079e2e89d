//! How a model of a table or of a stream of events is made.

use std::path::PathBuf;

use retune_data::fields::CastRequest;
use retune_eval::fraud::AlertGoal;
use serde::{Deserialize, Serialize};

use super::{Check, Recipe, above, out_of_range};
use crate::error::Problem;

/// How a model of a table or of a stream of events is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TablesRecipe {
    /// Columns that say whom an event belongs to, whoever acts first. Default: detected.
    pub entities: Vec<String>,
    /// Column of amounts. Default: detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Column that says when a label came to be known. Default: detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_time: Option<String>,
    /// How long labels take: training ends so long before the test begins, and no feature sees a label before.
    pub delay: Span,
    /// How long the training period is. Default: from the first event on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_span: Option<Span>,
    /// When the test begins, as in 2018-08-08. Default: with the last share of the events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_from: Option<String>,
    /// How long the test is. Default: to the last event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_span: Option<Span>,
    /// Test periods that follow each other, each with a training of its own before it; the last one is the run's.
    pub rolling: usize,
    /// Whether test events of cards are left out that had a fraud since training began which is known by then.
    pub leave_known: bool,
    /// Whether features of each event's past are made: `true` for `fraud` where there is a time and an entity.
    pub past: bool,
    /// What the score of an alert is chosen for: `cost=5` (of a look at one), `alerts=100` (a day), `precision=0.5` or
    /// `recall=0.8`. Default: the cost where there are amounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertGoal>,
    /// A model of events that learned without labels (`retune pretrain`): what it finds surprising becomes columns of trees and
    /// networks, and `events` goes on from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_model: Option<PathBuf>,
    /// Width of a new model of events.
    pub event_width: usize,
    /// Layers of a new model of events.
    pub event_layers: usize,
    /// Share of the legitimate events that train, drawn at random, all frauds training; scores stay probabilities among all
    /// events.
    pub keep_legitimate: f64,
    /// How probabilities of two classes are set right on the validation rows: `platt`, `isotonic`, `temperature` or `off`.
    pub calibrate: Calibrate,
    /// Share of the labels before the test that is used, drawn at random: what it is worth to have more of them.
    pub label_share: f64,
    /// Seed by which they are drawn. Default: the run's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_seed: Option<u64>,
    /// Networks that share their layers.
    pub members: usize,
    /// Width of their hidden layers.
    pub net_width: usize,
    /// Hidden layers.
    pub net_layers: usize,
    /// Rows per optimiser step of networks. Default: a thirty-second of the training rows, 32 to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_per_step: Option<usize>,
}

/// How probabilities of two classes are set right on the validation rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Calibrate {
    /// They stay as they are.
    #[default]
    Off,
    /// A sigmoid of the logit with a slope and a shift (Platt 1999).
    Platt,
    /// Rising steps (Zadrozny & Elkan 2002); needs hundreds of positive rows, and makes scores equal that were apart.
    Isotonic,
    /// A slope of the logit alone (Guo et al. 2017).
    Temperature,
}

/// A span of time: `7d`, `12h`, `30m` or `90s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub i64);

/// Seconds of the units of spans, the longest first.
const UNITS: [(&str, i64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let found = UNITS.iter().find_map(|(unit, seconds)| {
            let number: i64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            number.checked_mul(*seconds).filter(|span| *span >= 0)
        });
        found
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no span of time; write 7d, 12h, 30m or 90s"))
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        let whole = UNITS.iter().find(|(_, seconds)| span.0 % seconds == 0);
        let (unit, seconds) = whole.unwrap_or(&UNITS[3]);
        format!("{}{unit}", span.0 / seconds)
    }
}

impl Default for TablesRecipe {
    fn default() -> Self {
        Self {
            entities: Vec::new(),
            amount: None,
            label_time: None,
            delay: Span(7 * 86_400),
            train_span: None,
            test_from: None,
            test_span: None,
            rolling: 1,
            leave_known: false,
            past: true,
            alert: None,
            event_model: None,
            event_width: 64,
            event_layers: 2,
            keep_legitimate: 1.0,
            calibrate: Calibrate::Off,
            label_share: 1.0,
            label_seed: None,
            members: 16,
            net_width: 128,
            net_layers: 2,
            rows_per_step: None,
        }
    }
}

impl Recipe {
    /// The parts of events that the recipe names.
    pub(crate) fn cast(&self) -> CastRequest {
        let of = &self.tables;
        CastRequest {
            time: self.data.time.clone(),
            entities: of.entities.clone(),
            amount: of.amount.clone(),
            label_time: of.label_time.clone(),
        }
    }
}

impl TablesRecipe {
    pub(super) fn problems(&self) -> Vec<Problem> {
        let checks: [Check; 9] = [
            (
                above(self.label_share, 1.0),
                "label_share",
                "is out of range 0 to 1; try 0.1, or 1 for all of them",
            ),
            (
                (16..=512).contains(&self.event_width) && self.event_width.is_multiple_of(16),
                "event_width",
                "is no multiple of 16 from 16 to 512; try 64",
            ),
            (
                (1..=16).contains(&self.event_layers),
                "event_layers",
                "is out of range 1 to 16; try 2",
            ),
            (
                (1..=100).contains(&self.rolling),
                "rolling",
                "is out of range 1 to 100; try 4",
            ),
            (
                above(self.keep_legitimate, 1.0),
                "keep_legitimate",
                "is out of range 0 to 1; try 0.1, or 1 for all of them",
            ),
            (
                (1..=256).contains(&self.members),
                "members",
                "is out of range 1 to 256; try 16",
            ),
            (
                (8..=4096).contains(&self.net_width),
                "net_width",
                "is out of range 8 to 4096; try 128",
            ),
            (
                (1..=16).contains(&self.net_layers),
                "net_layers",
                "is out of range 1 to 16; try 2",
            ),
            (
                self.rows_per_step.is_none_or(|n| (1..=65536).contains(&n)),
                "rows_per_step",
                "is out of range 1 to 65536; try 256",
            ),
        ];
        out_of_range("tables", self, &checks)
    }
}

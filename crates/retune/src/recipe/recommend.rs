//! How a recommender is made: what of the data it reads, what it is made of, how it trains and how it is asked.

use std::path::PathBuf;

use retune_data::interactions::Repeats;
use serde::{Deserialize, Serialize};

use super::{Check, TrainRecipe, out_of_range};
use crate::error::Problem;
use crate::recommend::{Mode, Score, Untaken};

/// How a recommender is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecommendRecipe {
    /// File of items: ids and columns that say what they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<PathBuf>,
    /// More shops to learn from, each with events and items of its own.
    pub also: Vec<AlsoShop>,
    /// Column of users. Default: detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Column of items. Default: detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Column of kinds of events. Default: detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Column of ratings. Default: detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<String>,
    /// Column of ids in the file of items. Default: detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// Columns that make the text of an item, in this order. Default: detected.
    pub item_text: Vec<String>,
    /// Columns of categories of items. Default: detected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub item_category: Vec<String>,
    /// Whether the order of rows is the order of events, and no column of times is looked for.
    pub file_order: bool,
    /// Events that a user has at least.
    pub min_user_events: usize,
    /// Events that an item has at least.
    pub min_item_events: usize,
    /// Rating that an event has at least; default: all count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_rating: Option<f64>,
    /// What becomes of an item that a user takes again: `keep`, or the `first` or `last` time alone.
    pub repeats: Repeats,
    /// What is asked: the last event of each user (`loo`), or the first after a common moment (`temporal`).
    pub protocol: Protocol,
    /// Where the test period of `temporal` begins: the last share of the events, as in 10%, or a date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<String>,
    /// Whether items that a user took before are ranked: `hide`, `show`, or `auto` (hidden where nobody repeats).
    pub seen: SeenItems,
    /// What trains: `transductive`, `inductive`, `adaptor` or `lora`.
    pub mode: Mode,
    /// Text encoder of the items: a folder, a catalogue name or a name of the hub. Default: that of the model gone on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
    /// Width of the vectors of items and states.
    pub width: usize,
    /// Layers of the transformer.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Events of a history that the model reads, the last ones.
    pub history: usize,
    /// Buckets of the time between events; 0 for none.
    pub gaps: usize,
    /// Whether the model reads what was done (viewed, bought). Default: as in the model gone on from, and else where
    /// events are of two kinds or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<bool>,
    /// Whether the model reads categories of items beside their texts. Default: as in the model gone on from, and else no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub categories: Option<bool>,
    /// How a state and an item make a score: `cosine` or `dot`. Default: as in the model gone on from, and else the cosine
    /// where items have texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// Whether what an item's popularity adds to its score is given instead of learned. Default: as in the model gone on
    /// from, and else where items stand on their texts alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub popularity: Option<bool>,
    /// How popular an item is taken to be then that nobody has taken: `missed` by chance, or `new`.
    pub untaken: Untaken,
    /// Users per optimiser step.
    pub users_per_step: usize,
    /// Items that each next item is told apart from: `auto`, `all`, or so many drawn at random.
    pub negatives: Negatives,
}

/// Another shop to learn from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlsoShop {
    /// File of events.
    pub events: PathBuf,
    /// File of items.
    pub items: PathBuf,
}

/// What is asked of a recommender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The last event of each user is the test, the one before it the validation.
    Loo,
    /// A common moment parts training from test.
    Temporal,
}

/// Whether items of a history are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeenItems {
    /// Hidden where fewer than one event in a hundred is a repeat.
    Auto,
    /// Never recommended.
    Hide,
    /// Recommended as they score.
    Show,
}

/// Items that each next item is told apart from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Negatives {
    /// All of up to 20,000 items, and else 256 drawn at random.
    Auto,
    /// All items.
    All,
    /// So many, drawn at random for each step.
    #[serde(untagged)]
    Drawn(usize),
}

/// Largest catalogue whose items all compete by default.
const ALL_UP_TO: usize = 20_000;
/// Items drawn for larger ones.
const DRAWN: usize = 256;

impl Negatives {
    /// How many are drawn from so many items; `None` for all.
    pub fn of(self, items: usize) -> Option<usize> {
        match self {
            Self::All => None,
            Self::Auto => (items > ALL_UP_TO).then_some(DRAWN),
            Self::Drawn(k) => (k < items).then_some(k),
        }
    }
}

impl Default for RecommendRecipe {
    fn default() -> Self {
        Self {
            items: None,
            also: Vec::new(),
            user: None,
            item: None,
            event: None,
            rating: None,
            item_id: None,
            item_text: Vec::new(),
            item_category: Vec::new(),
            file_order: false,
            min_user_events: 5,
            min_item_events: 1,
            min_rating: None,
            repeats: Repeats::default(),
            protocol: Protocol::Loo,
            cut_off: None,
            seen: SeenItems::Auto,
            mode: Mode::default(),
            encoder: None,
            width: 64,
            layers: 2,
            heads: 2,
            history: 200,
            gaps: 0,
            kinds: None,
            categories: None,
            score: None,
            popularity: None,
            untaken: Untaken::default(),
            users_per_step: 128,
            negatives: Negatives::Auto,
        }
    }
}

impl RecommendRecipe {
    pub(super) fn problems(&self) -> Vec<Problem> {
        let checks: [Check; 7] = [
            (
                self.min_user_events >= 3,
                "min_user_events",
                "must be at least 3: one to learn from, one to select by, one to test",
            ),
            (
                self.min_item_events >= 1,
                "min_item_events",
                "must be at least 1",
            ),
            (
                (8..=1024).contains(&self.width),
                "width",
                "is out of range 8 to 1024; try 64",
            ),
            (
                (1..=48).contains(&self.layers),
                "layers",
                "is out of range 1 to 48; try 2",
            ),
            (
                self.heads >= 1 && self.width.is_multiple_of(self.heads),
                "heads",
                "must divide the width; try 2",
            ),
            (
                (2..=4096).contains(&self.history),
                "history",
                "is out of range 2 to 4096; try 200",
            ),
            (
                (1..=65536).contains(&self.users_per_step),
                "users_per_step",
                "is out of range 1 to 65536; try 128",
            ),
        ];
        let mut found = out_of_range("recommend", self, &checks);
        if matches!(self.negatives, Negatives::Drawn(0)) {
            found.push(Problem::new(
                "recommend.negatives",
                "0 is no number of items; write all, or 256",
            ));
        }
        found
    }
}

impl TrainRecipe {
    /// Keys that are set and that a recommender does not read.
    pub(crate) fn unread_by_recommenders(&self) -> Vec<String> {
        let read = Self {
            epochs: self.epochs,
            lr: self.lr,
            patience: self.patience,
            max_steps: self.max_steps,
            dropout: self.dropout,
            ema: self.ema,
            weight_decay: self.weight_decay,
            clip_norm: self.clip_norm,
            checkpoint_every: self.checkpoint_every,
            keep_checkpoints: self.keep_checkpoints,
            ..Self::default()
        };
        let table = |recipe: &Self| toml::Table::try_from(recipe).unwrap_or_default();
        let (asked, read) = (table(self), table(&read));
        let unread = asked
            .iter()
            .filter(|(key, value)| read.get(*key) != Some(value));
        unread.map(|(key, _)| key.clone()).collect()
    }
}

//! The recipe: what a person asks for, as a TOML file or as flags. It records, [`crate::plan`] decides.

mod changes;
mod pictures;
mod recommend;
mod tables;
mod verdict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retune_data::batch::Order;
use retune_data::processor::Long;
use retune_data::read::ReadOptions;
use serde::{Deserialize, Serialize};

use crate::decide::DecideRecipe;
use crate::error::Problem;
use crate::losses::LossRecipe;
use crate::methods::MethodRecipe;
use crate::ops::Precision;
use crate::train::schedule::Schedule;
use crate::tune::TuneRecipe;

pub use changes::Change;
pub use pictures::PicturesRecipe;
pub use recommend::{AlsoShop, Negatives, Protocol, RecommendRecipe, SeenItems};
pub use tables::{Calibrate, Span, TablesRecipe};
pub use verdict::{Refit, Require, VerdictLevel};

/// More threads than any machine has cores; far more threads than cores only get in each other's way.
const MAX_THREADS: usize = 1024;

/// A whole recipe. Every key has a default; unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Model reference: a folder, a catalogue name or `org/name[@revision]`. Default: chosen for the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Task name. Default: chosen from the label column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Folder of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
    /// Seed of splits, fresh weights, shuffling and dropout.
    pub seed: u64,
    /// `cpu`.
    pub device: String,
    /// Threads; default: all cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Memory that a run may use, in 10⁹ bytes; default: what is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
    /// Format of products, `f32` or `bf16`; default: bf16 where the CPU multiplies it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// How hard the proof tries that tuning helped: `full`, `fast` or `off`.
    pub verdict: VerdictLevel,
    /// What the verdict must be for `train` to exit with 0: `improved`, or `not-worse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require: Option<Require>,
    /// `all` trains the saved model once more on every row after it has been measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refit: Option<Refit>,
    /// Where the rows come from.
    pub data: DataRecipe,
    /// How rows become tokens.
    pub processor: ProcessorRecipe,
    /// What trains: `[method.NAME]` with the method's options.
    pub method: MethodRecipe,
    /// How it trains.
    pub train: TrainRecipe,
    /// What training minimises.
    pub loss: LossRecipe,
    /// How pictures train.
    pub pictures: PicturesRecipe,
    /// How a recommender is made.
    pub recommend: RecommendRecipe,
    /// How a model of a table or of a stream of events is made.
    pub tables: TablesRecipe,
    /// What `retune tune` tries.
    #[serde(skip_serializing_if = "TuneRecipe::is_default")]
    pub tune: TuneRecipe,
    /// What answers are decided for.
    #[serde(skip_serializing_if = "DecideRecipe::is_empty")]
    pub decide: DecideRecipe,
    /// Smallest value of a test metric (largest for errors) below which `train` exits with 1.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub gates: BTreeMap<String, f64>,
}

/// Where the rows come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataRecipe {
    /// Training file, or a folder of text files by class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<PathBuf>,
    /// Validation file; default: a share of the training rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<PathBuf>,
    /// Test file; default: a share of the training rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// File of rows to train on again, against forgetting what they taught.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<PathBuf>,
    /// Their share of the rows of each epoch.
    pub replay_share: f64,
    /// One text column, or two for pairs. Default: detected.
    pub text: Vec<String>,
    /// Label column. Default: detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Columns that detection leaves aside.
    pub ignore: Vec<String>,
    /// Rows with the same value of this column stay on one side of a split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_by: Option<String>,
    /// Time column: the newest rows become the test split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Share of rows for validation.
    pub valid_share: f64,
    /// Share of rows for the test.
    pub test_share: f64,
    /// Field delimiter; default: detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// Text encoding; default: UTF-8, or what a byte-order mark says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Use at most this many rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<usize>,
    /// Columns to report the test figures by.
    pub slices: Vec<String>,
}

/// How rows become tokens or pixels.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessorRecipe {
    /// Longest sequence in tokens; default: the checkpoint's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// What happens to longer texts: `truncate`, `head-tail` or `chunk-mean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long: Option<Long>,
    /// Pixels along each side of pictures; default: the checkpoint's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture_size: Option<usize>,
}

/// How it trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainRecipe {
    /// Passes over the training rows; fractions are allowed. Default: the method's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Peak learning rate of AdamW. Default: the method's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Rows per optimiser step (per micro-batch when accumulating).
    pub batch_size: usize,
    /// Most tokens in a micro-batch.
    pub max_tokens: usize,
    /// Micro-batches per optimiser step.
    pub accumulate: usize,
    /// Share of the steps over which the rate rises.
    pub warmup_share: f64,
    /// `linear`, `cosine` or `constant`.
    pub schedule: Schedule,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Largest global gradient norm; 0 for none.
    pub clip_norm: f64,
    /// Validations without improvement before stopping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Metric that selects the best model; default: the task's primary one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Validations per epoch.
    pub evals_per_epoch: usize,
    /// Order of rows: `shuffled`, `bucketed` by length, or `file`.
    pub order: Order,
    /// Stop after this many optimiser steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Dropout in place of the checkpoint's rates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Factor of the learning rate from each layer to the one below it; 1 for the same rate everywhere.
    pub layer_decay: f64,
    /// Strength with which the backbone is pulled to its pre-trained weights; 0 for none.
    pub l2sp: f64,
    /// Decay of the average of the weights that is kept in place of the last ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Share of the tuned weights in the model that is kept, the rest being the pre-trained ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wise_ft: Option<f64>,
    /// Optimiser steps between saved states of the run; default: one a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<u64>,
    /// Saved states that are kept while the run lasts.
    pub keep_checkpoints: usize,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            model: None,
            task: None,
            out: None,
            seed: 42,
            device: "cpu".to_string(),
            threads: None,
            memory: None,
            precision: None,
            data: DataRecipe::default(),
            processor: ProcessorRecipe::default(),
            method: MethodRecipe::default(),
            train: TrainRecipe::default(),
            verdict: VerdictLevel::Fast,
            require: None,
            refit: None,
            loss: LossRecipe::default(),
            pictures: PicturesRecipe::default(),
            recommend: RecommendRecipe::default(),
            tables: TablesRecipe::default(),
            tune: TuneRecipe::default(),
            decide: DecideRecipe::default(),
            gates: BTreeMap::new(),
        }
    }
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self {
            train: None,
            valid: None,
            test: None,
            replay: None,
            replay_share: 0.2,
            text: Vec::new(),
            label: None,
            ignore: Vec::new(),
            group_by: None,
            time: None,
            valid_share: 0.1,
            test_share: 0.2,
            delimiter: None,
            encoding: None,
            max_rows: None,
            slices: Vec::new(),
        }
    }
}

impl Default for TrainRecipe {
    fn default() -> Self {
        Self {
            epochs: None,
            lr: None,
            batch_size: 16,
            max_tokens: 4096,
            accumulate: 1,
            warmup_share: 0.1,
            schedule: Schedule::Linear,
            weight_decay: 0.01,
            clip_norm: 1.0,
            patience: None,
            metric: None,
            evals_per_epoch: 1,
            order: Order::Shuffled,
            max_steps: None,
            dropout: None,
            layer_decay: 1.0,
            l2sp: 0.0,
            ema: None,
            wise_ft: None,
            checkpoint_every: None,
            keep_checkpoints: 2,
        }
    }
}

impl Recipe {
    /// Reads a TOML recipe. Relative paths in it are relative to the working directory.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or holds an unknown key or a value of the wrong type; the
    /// text names line and column.
    pub fn read(path: &Path) -> Result<Self, Vec<Problem>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            vec![Problem::new(
                &path.display().to_string(),
                format!("cannot read the recipe: {error}; check the path"),
            )]
        })?;
        Self::parse(&text).map_err(|text| vec![Problem::new(&path.display().to_string(), text)])
    }

    /// Reads a recipe from TOML text.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_string())
    }

    /// The recipe as TOML, defaults included.
    pub fn to_toml(&self) -> String {
        // A recipe holds only types that TOML has, so this cannot fail.
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// Format of the model's products: the one asked for, or the best for this CPU.
    pub fn products(&self) -> Precision {
        self.precision.unwrap_or_else(Precision::best)
    }

    /// Bytes that a run may use, where the recipe says so.
    pub fn memory_limit(&self) -> Option<u64> {
        self.memory.map(|gigabytes| (gigabytes * 1e9) as u64)
    }

    /// Peak learning rate: the one asked for, or the method's.
    pub fn lr(&self) -> f64 {
        self.train.lr.unwrap_or_else(|| self.method.method().lr())
    }

    /// Passes over the training rows: as asked for, or the method's.
    pub fn epochs(&self) -> f64 {
        self.train
            .epochs
            .unwrap_or_else(|| self.method.method().epochs())
    }

    /// Everything that can be seen to be wrong without opening a file.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.device != "cpu" {
            found.push(Problem::new(
                "device",
                format!("`{}` is not known; this build knows `cpu`", self.device),
            ));
        }
        if let Some(threads) = self.threads.filter(|n| !(1..=MAX_THREADS).contains(n)) {
            found.push(Problem::new(
                "threads",
                format!(
                    "{threads} is out of range 1 to {MAX_THREADS}; leave it out to use every core"
                ),
            ));
        }
        if let Some(gigabytes) = self.memory.filter(|gigabytes| !above(*gigabytes, 1e6)) {
            found.push(Problem::new(
                "memory",
                format!("{gigabytes} is out of range 0 to 1e6; it counts 10^9 bytes, and left out it is what is free"),
            ));
        }
        let method = self.method.method();
        if let Some((key, text)) = method.problem() {
            found.push(Problem::new(
                &format!("method.{}.{key}", method.name()),
                text,
            ));
        }
        if self.require.is_some() && self.verdict == VerdictLevel::Off {
            found.push(Problem::new(
                "require",
                "there is no verdict to require anything of; leave out --verdict off",
            ));
        }
        found.extend(self.train.problems());
        found.extend(self.loss.problems());
        found.extend(self.pictures.problems());
        found.extend(self.recommend.problems());
        found.extend(self.tables.problems());
        found.extend(self.decide.problems());
        found.extend(self.data.problems());
        if !self.tune.is_default() {
            found.extend(self.tune.problems(self));
        }
        found
    }
}

/// Whether a value is in range, its key, and what to write instead.
type Check = (bool, &'static str, &'static str);

/// The checks of a section that failed, with the values that are written there.
fn out_of_range(section: &str, of: &impl Serialize, checks: &[Check]) -> Vec<Problem> {
    let written = toml::Value::try_from(of).ok();
    let wrong = checks.iter().filter(|(ok, ..)| !ok);
    wrong
        .map(|(_, key, text)| {
            let value = written.as_ref().and_then(|all| all.get(key));
            let value = value.map_or(String::new(), ToString::to_string);
            Problem::new(&format!("{section}.{key}"), format!("{value} {text}"))
        })
        .collect()
}

fn above(value: f64, high: f64) -> bool {
    value > 0.0 && value <= high
}

fn share(value: f64) -> bool {
    (0.0..1.0).contains(&value)
}

impl TrainRecipe {
    fn problems(&self) -> Vec<Problem> {
        let checks = [self.pace(), self.regularisation(), self.counts()].concat();
        let wrong = checks.iter().filter(|(ok, ..)| !ok);
        wrong
            .map(|(_, key, text)| self.problem(key, text))
            .collect()
    }

    /// Whether each of these is in range: key, and what to write instead.
    fn pace(&self) -> Vec<Check> {
        vec![
            (
                self.lr.is_none_or(|lr| above(lr, 1.0)),
                "lr",
                "is out of range 0 to 1; 5e-5 is a good start",
            ),
            (
                self.epochs.is_none_or(|epochs| above(epochs, 1e4)),
                "epochs",
                "is out of range 0 to 10000; try 3",
            ),
            (
                share(self.warmup_share),
                "warmup_share",
                "is out of range 0 to 1; try 0.1",
            ),
            (
                above(self.layer_decay, 1.0),
                "layer_decay",
                "is out of range 0 to 1; try 0.9, or 1 for the same rate everywhere",
            ),
            (
                (0.0..1e6).contains(&self.clip_norm),
                "clip_norm",
                "is out of range; try 1, or 0 for none",
            ),
        ]
    }

    fn regularisation(&self) -> Vec<Check> {
        vec![
            (
                share(self.weight_decay),
                "weight_decay",
                "is out of range 0 to 1; try 0.01",
            ),
            (
                self.dropout.is_none_or(share),
                "dropout",
                "is out of range 0 to 1; try 0.1",
            ),
            (
                (0.0..1e6).contains(&self.l2sp),
                "l2sp",
                "is out of range; try 0.1, or 0 for none",
            ),
            (
                self.ema.is_none_or(share),
                "ema",
                "is out of range 0 to 1; try 0.99",
            ),
            (
                self.wise_ft.is_none_or(|a| above(a, 1.0)),
                "wise_ft",
                "is out of range 0 to 1; try 0.5",
            ),
        ]
    }

    fn counts(&self) -> Vec<Check> {
        let one = "must be at least 1";
        vec![
            (
                self.batch_size >= 1,
                "batch_size",
                "must be at least 1; try 16",
            ),
            (
                self.max_tokens >= 16,
                "max_tokens",
                "must be at least 16; try 4096",
            ),
            (self.accumulate >= 1, "accumulate", one),
            (self.evals_per_epoch >= 1, "evals_per_epoch", one),
            (self.patience != Some(0), "patience", one),
            (self.max_steps != Some(0), "max_steps", one),
            (
                self.checkpoint_every != Some(0),
                "checkpoint_every",
                "must be at least 1; leave it out for one a minute",
            ),
            (self.keep_checkpoints >= 1, "keep_checkpoints", one),
        ]
    }

    /// A problem with the value at `key`, which it shows.
    fn problem(&self, key: &str, text: &str) -> Problem {
        let written = toml::Value::try_from(self).ok();
        let value = written.as_ref().and_then(|all| all.get(key));
        let value = value.map_or(String::new(), |value| format!("{value} "));
        Problem::new(&format!("train.{key}"), format!("{value}{text}"))
    }
}

impl DataRecipe {
    /// The options of the reader.
    pub(crate) fn read_options(&self) -> ReadOptions {
        let byte = |text: &String| match text.as_str() {
            "\\t" => Some(b'\t'),
            text => text.bytes().next(),
        };
        ReadOptions {
            delimiter: self.delimiter.as_ref().and_then(byte),
            encoding: self.encoding.clone(),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.train.is_none() {
            found.push(Problem::new(
                "data.train",
                "no data given; type `retune train FILE`",
            ));
        }
        for (key, share) in [
            ("data.valid_share", self.valid_share),
            ("data.test_share", self.test_share),
        ] {
            if !(share > 0.0 && share < 0.9) {
                found.push(Problem::new(
                    key,
                    format!("{share} is out of range 0 to 0.9; try 0.1"),
                ));
            }
        }
        if !(self.replay_share > 0.0 && self.replay_share < 1.0) {
            found.push(Problem::new(
                "data.replay_share",
                format!("{} is out of range 0 to 1; try 0.2", self.replay_share),
            ));
        }
        if self.valid_share + self.test_share >= 0.95 {
            found.push(Problem::new(
                "data.test_share",
                "validation and test shares leave no rows for training",
            ));
        }
        if self.text.len() > 2 {
            found.push(Problem::new(
                "data.text",
                "more than two text columns; name one, or two for pairs",
            ));
        }
        if self
            .delimiter
            .as_ref()
            .is_some_and(|d| d.len() != 1 && d != "\\t")
        {
            found.push(Problem::new(
                "data.delimiter",
                "must be one character, or \\t for a tab",
            ));
        }
        found
    }
}

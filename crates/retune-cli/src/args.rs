//! The flags of a run, shared by `train` and `plan`, and how they override a recipe.

/// Sets each slot whose flag was given.
macro_rules! overrule {
    ($($flag:expr => $slot:expr),+ $(,)?) => {
        $(if let Some(value) = $flag.clone() {
            $slot = value.into();
        })+
    };
}

mod decide;
mod file;
mod loss;
mod pictures;
mod recommend;
mod tables;

use std::path::{Path, PathBuf};

use clap::Args;
use retune::data::batch::Order;
use retune::data::processor::Long;
use retune::error::Problem;
use retune::methods::MethodRecipe;
use retune::ops::Precision;
use retune::recipe::{DataRecipe, Recipe, Refit, Require, TrainRecipe, VerdictLevel};
use retune::train::schedule::Schedule;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

pub use file::FileArgs;

/// What to tune, on what, and how. Every flag overrides the same key of the recipe.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A recipe (ends in .toml) or a labelled file: .csv, .tsv, .jsonl, .json, .parquet, or a folder of text files by class
    #[arg(value_name = "RECIPE.toml | DATA")]
    pub target: Option<PathBuf>,

    /// Pre-trained model: a folder, a name of `retune list models`, or org/name[@revision] of the hub; chosen for the
    /// task when left out
    #[arg(long, value_name = "REF")]
    pub model: Option<String>,

    /// What to learn, see `retune list tasks`; found from the data when left out
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,

    /// How to tune, see `retune list methods` [default: full]
    #[arg(long, value_name = "NAME")]
    pub method: Option<String>,

    /// Option of the method, as in rank=16; may be repeated
    #[arg(long = "with", value_name = "OPTION=VALUE", value_parser = option)]
    options: Vec<(String, String)>,

    /// How hard to try to prove that tuning helped: full, fast or off [default: fast]
    #[arg(long, value_name = "HOW", value_parser = word::<VerdictLevel>)]
    verdict: Option<VerdictLevel>,

    /// Train the saved model once more on all rows after it has been measured
    #[arg(long, value_name = "all", value_parser = word::<Refit>)]
    refit: Option<Refit>,

    /// Exit with 1 unless the verdict is improved, or not-worse
    #[arg(long, value_name = "WHAT", value_parser = word::<Require>)]
    require: Option<Require>,

    /// Folder to write; must be new or empty [default: runs/NAME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Least acceptable test value of a metric (most, where lower is better), as in accuracy=0.9; exit code 1 when missed
    #[arg(long = "gate", value_name = "METRIC=VALUE", value_parser = gate)]
    gates: Vec<(String, f64)>,

    /// Seed of every random choice [default: 42]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<u64>,

    /// Device to compute on [default: cpu]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,

    /// CPU threads [default: all]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<usize>,

    /// Memory that the run may use, in 10^9 bytes; what needs more is not begun [default: what is free]
    #[arg(long, value_name = "GB", allow_negative_numbers = true)]
    memory: Option<f64>,

    /// Format of products: f32, or bf16 with f32 weights [default: bf16 where the CPU multiplies it]
    #[arg(long, value_name = "NAME", value_parser = word::<Precision>)]
    precision: Option<Precision>,

    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    fit: FitArgs,

    #[command(flatten)]
    loss: loss::LossArgs,

    #[command(flatten)]
    pictures: pictures::PictureArgs,

    #[command(flatten)]
    recommend: recommend::RecommendArgs,

    #[command(flatten)]
    tables: tables::TableArgs,

    #[command(flatten)]
    decide: decide::DecideArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
struct DataArgs {
    /// Labelled file, when not given as the first argument
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,

    /// Labelled file for validation, in place of a share of the data
    #[arg(long, value_name = "FILE")]
    valid: Option<PathBuf>,

    /// Labelled file for the test, in place of a share of the data
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,

    /// Labelled file to train on again beside the data, against forgetting what it taught
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,

    /// Share of its rows in each epoch [default: 0.2]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    replay_share: Option<f64>,

    /// Column to read; twice for a pair of texts
    #[arg(long, value_name = "COL")]
    text: Vec<String>,

    /// Column to learn
    #[arg(long, value_name = "COL")]
    label: Option<String>,

    /// Column to leave alone; may be repeated
    #[arg(long, value_name = "COL")]
    ignore: Vec<String>,

    /// Column whose equal values stay on one side of the split (a patient, a customer)
    #[arg(long, value_name = "COL")]
    group_by: Option<String>,

    /// Column to split by time: oldest rows train, newest rows test
    #[arg(long, value_name = "COL")]
    time: Option<String>,

    /// Share of the rows for validation [default: 0.1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    valid_share: Option<f64>,

    /// Share of the rows for the test [default: 0.2]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    test_share: Option<f64>,

    /// Report the test figures also by each value of this column; may be repeated
    #[arg(long = "slice", value_name = "COL")]
    slices: Vec<String>,

    /// Use at most this many rows, drawn at random
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_rows: Option<usize>,

    #[command(flatten)]
    file: FileArgs,

    /// Tokens per text (or per chunk) [default: what the model was trained for]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_length: Option<usize>,

    /// What to do with longer texts: truncate, head-tail or chunk-mean [default: truncate]
    #[arg(long, value_name = "HOW", value_parser = word::<Long>)]
    long: Option<Long>,

    /// Pixels along each side of pictures [default: what the model was trained for]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    picture_size: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
struct FitArgs {
    /// Passes over the training rows; may be a fraction [default: 3, or what suits the method]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    epochs: Option<f64>,

    /// Highest learning rate [default: 5e-5, or what suits the method]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    lr: Option<f64>,

    /// Most rows per batch [default: 16]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    batch_size: Option<usize>,

    /// Most tokens per batch [default: 4096]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_tokens: Option<usize>,

    /// Batches per optimiser step [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    accumulate: Option<usize>,

    /// Share of the steps in which the learning rate rises [default: 0.1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    warmup_share: Option<f64>,

    /// How the learning rate falls afterwards: linear, cosine or constant [default: linear]
    #[arg(long, value_name = "HOW", value_parser = word::<Schedule>)]
    schedule: Option<Schedule>,

    /// Decoupled weight decay; never applied to biases and norms [default: 0.01]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    weight_decay: Option<f64>,

    /// Largest global gradient norm; 0 for no limit [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    clip_norm: Option<f64>,

    /// Stop after this many validations without a better model [default: never]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    patience: Option<usize>,

    /// Metric that decides which model is best, see `retune list metrics`
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,

    /// Validations per epoch [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    evals_per_epoch: Option<usize>,

    /// Order of the training rows: shuffled, bucketed (by length) or file [default: shuffled]
    #[arg(long, value_name = "HOW", value_parser = word::<Order>)]
    order: Option<Order>,

    /// Stop after this many optimiser steps
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_steps: Option<u64>,

    /// Dropout probability in place of the checkpoint's own
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    dropout: Option<f64>,

    /// Factor of the learning rate from each layer to the one below it [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    layer_decay: Option<f64>,

    /// How strongly the model is pulled to its pre-trained weights, against forgetting [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    l2sp: Option<f64>,

    /// Keep a running average of the weights with this decay, as in 0.99
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    ema: Option<f64>,

    /// Keep only this share of what tuning changed, the rest being the pre-trained weights (WiSE-FT)
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    wise_ft: Option<f64>,

    /// Optimiser steps between saved states of the run, for --resume [default: one a minute]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    checkpoint_every: Option<u64>,

    /// Saved states that are kept while the run lasts [default: 2]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    keep_checkpoints: Option<usize>,
}

impl RunArgs {
    /// The recipe file (or an empty recipe) with the flags laid over it.
    pub fn recipe(&self) -> Result<Recipe, Failure> {
        let file = self.target.as_deref().filter(|path| is_recipe(path));
        let mut recipe = match file {
            Some(path) => Recipe::read(path)?,
            None => Recipe::default(),
        };
        if let (None, Some(target)) = (file, &self.target) {
            if self.data.data.is_some() {
                return Err(Failure::user(format!(
                    "two data files: `{}` and --data; leave one out (validation and test files go to --valid and --test)",
                    target.display()
                )));
            }
            recipe.data.train = Some(target.clone());
        }
        self.over(recipe)
    }

    /// A recipe with the flags laid over it.
    pub fn over(&self, mut recipe: Recipe) -> Result<Recipe, Failure> {
        overrule!(
            self.model => recipe.model,
            self.task => recipe.task,
            self.seed => recipe.seed,
            self.device => recipe.device,
            self.threads => recipe.threads,
            self.memory => recipe.memory,
            self.precision => recipe.precision,
            self.out => recipe.out,
            self.verdict => recipe.verdict,
            self.require => recipe.require,
            self.refit => recipe.refit,
            self.data.max_length => recipe.processor.max_length,
            self.data.long => recipe.processor.long,
            self.data.picture_size => recipe.processor.picture_size,
        );
        recipe.method = self.method(&recipe)?;
        self.data.lay_over(&mut recipe.data);
        self.fit.lay_over(&mut recipe.train);
        self.loss.lay_over(&mut recipe.loss);
        self.pictures.lay_over(&mut recipe.pictures);
        self.recommend.lay_over(&mut recipe.recommend);
        self.tables.lay_over(&mut recipe.tables);
        self.decide.lay_over(&mut recipe.decide);
        recipe.gates.extend(self.gates.iter().cloned());
        Ok(recipe)
    }

    /// The recipe's method, or the one named, with the options given.
    fn method(&self, recipe: &Recipe) -> Result<MethodRecipe, Failure> {
        let chosen = recipe.method.with(self.method.as_deref(), &self.options);
        Ok(chosen.map_err(|text| {
            vec![Problem::new(
                "method",
                format!("{text}; see `retune list methods`"),
            )]
        })?)
    }
}

impl DataArgs {
    fn lay_over(&self, recipe: &mut DataRecipe) {
        overrule!(
            self.data => recipe.train,
            self.valid => recipe.valid,
            self.test => recipe.test,
            self.replay => recipe.replay,
            self.replay_share => recipe.replay_share,
            self.label => recipe.label,
            self.group_by => recipe.group_by,
            self.time => recipe.time,
            self.valid_share => recipe.valid_share,
            self.test_share => recipe.test_share,
            self.max_rows => recipe.max_rows,
            self.file.delimiter => recipe.delimiter,
            self.file.encoding => recipe.encoding,
        );
        for (flag, slot) in [
            (&self.text, &mut recipe.text),
            (&self.ignore, &mut recipe.ignore),
            (&self.slices, &mut recipe.slices),
        ] {
            if !flag.is_empty() {
                slot.clone_from(flag);
            }
        }
    }
}

impl FitArgs {
    fn lay_over(&self, recipe: &mut TrainRecipe) {
        overrule!(
            self.epochs => recipe.epochs,
            self.lr => recipe.lr,
            self.batch_size => recipe.batch_size,
            self.max_tokens => recipe.max_tokens,
            self.accumulate => recipe.accumulate,
            self.warmup_share => recipe.warmup_share,
            self.schedule => recipe.schedule,
            self.weight_decay => recipe.weight_decay,
            self.clip_norm => recipe.clip_norm,
            self.patience => recipe.patience,
            self.metric => recipe.metric,
            self.evals_per_epoch => recipe.evals_per_epoch,
            self.order => recipe.order,
            self.max_steps => recipe.max_steps,
            self.dropout => recipe.dropout,
            self.layer_decay => recipe.layer_decay,
            self.l2sp => recipe.l2sp,
            self.ema => recipe.ema,
            self.wise_ft => recipe.wise_ft,
            self.checkpoint_every => recipe.checkpoint_every,
            self.keep_checkpoints => recipe.keep_checkpoints,
        );
    }
}

fn is_recipe(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("toml"))
}

/// Reads a one-word value by the names the recipe uses, so that flags and recipes agree.
pub fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|e| e.to_string())
}

/// The words on either side of the first `=`.
pub fn option(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("expected OPTION=VALUE, as in rank=16")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

fn gate(text: &str) -> Result<(String, f64), String> {
    named(text, "expected METRIC=VALUE, as in accuracy=0.9")
}

/// The name and the number on either side of the last `=`.
fn named(text: &str, wanted: &str) -> Result<(String, f64), String> {
    let (name, value) = text.rsplit_once('=').ok_or(wanted)?;
    let value = value.trim().parse().map_err(|_| wanted)?;
    Ok((name.trim().to_owned(), value))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;
    use retune::losses::ClassWeights;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        run: RunArgs,
    }

    fn parse(flags: &[&str]) -> Result<Recipe, String> {
        let all = std::iter::once("retune").chain(flags.iter().copied());
        let only = Only::try_parse_from(all).map_err(|e| e.to_string())?;
        only.run.recipe().map_err(|e| format!("{e:?}"))
    }

    #[test]
    fn flags_override_the_recipe_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.toml");
        std::fs::write(
            &path,
            "seed = 7\n[data]\ntrain = \"a.csv\"\n[train]\nlr = 1e-4\nepochs = 5.0\n",
        )
        .unwrap();
        let recipe = parse(&[path.to_str().unwrap(), "--lr", "3e-5", "--label", "y"]).unwrap();
        assert_eq!(recipe.train.lr, Some(3e-5));
        assert_eq!(recipe.train.epochs, Some(5.0));
        assert_eq!(recipe.seed, 7);
        assert_eq!(recipe.data.label.as_deref(), Some("y"));
    }

    #[test]
    fn words_and_gates_are_checked() {
        assert!(
            parse(&["a.csv", "--schedule", "wavy"])
                .unwrap_err()
                .contains("linear")
        );
        assert!(
            parse(&["a.csv", "--gate", "accuracy"])
                .unwrap_err()
                .contains("METRIC=VALUE")
        );
        let recipe = parse(&["a.csv", "--gate", "accuracy=0.9", "--long", "head-tail"]).unwrap();
        assert_eq!(recipe.gates["accuracy"], 0.9);
    }

    #[test]
    fn a_method_keeps_its_options_and_takes_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.toml");
        std::fs::write(&path, "[method.lora]\nrank = 4\n").unwrap();
        let path = path.to_str().unwrap();
        let options = |flags: &[&str]| parse(flags).unwrap().method.options();
        let one = options(&[path, "--with", "alpha=4"]);
        assert_eq!(
            (one["rank"].as_integer(), one["alpha"].as_float()),
            (Some(4), Some(4.0))
        );
        let two = options(&[path, "--method", "lora", "--with", "targets=query,up"]);
        assert_eq!(two["targets"].as_array().unwrap().len(), 2);
        let three = options(&[path, "--method", "lora", "--with", "targets=all-linear"]);
        assert_eq!(three["targets"][0].as_str(), Some("all-linear"));
        assert!(options(&[path, "--method", "head"]).is_empty());
        let wrong = parse(&[path, "--with", "rang=4"]).unwrap_err();
        assert!(wrong.contains("rang") && wrong.contains("rank"), "{wrong}");
    }

    #[test]
    fn class_weights_are_balanced_or_named() {
        let weights = |text: &str| parse(&["a.csv", "--class-weights", text]);
        let recipe = weights("balanced").unwrap();
        assert_eq!(recipe.loss.class_weights, Some(ClassWeights::Balanced));
        let recipe = weights("a=b=2, c = 0.5").unwrap();
        let Some(ClassWeights::ByName(named)) = recipe.loss.class_weights else {
            panic!("{recipe:?}");
        };
        assert_eq!(
            named,
            [("a=b".to_owned(), 2.0), ("c".to_owned(), 0.5)].into()
        );
        for wrong in ["balance", "a=", "a=1,b"] {
            assert!(
                weights(wrong).unwrap_err().contains("NAME=WEIGHT"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_help_tells_the_defaults_of_the_recipe() {
        let defaults = serde_json::to_value(Recipe::default()).unwrap();
        let command = <Only as clap::CommandFactory>::command();
        let mut told = 0;
        let sections = ["data", "train", "loss", "pictures"].map(|name| &defaults[name]);
        for section in std::iter::once(&defaults).chain(sections) {
            for (key, value) in section.as_object().unwrap() {
                if value.is_array() || value.is_object() {
                    continue;
                }
                let arg = command.get_arguments().find(|a| a.get_id() == key).unwrap();
                let help = arg.get_help().unwrap().to_string();
                let (_, shown) = help
                    .split_once("[default: ")
                    .unwrap_or_else(|| panic!("--{key} tells no default: {help}"));
                let shown = shown.split(']').next().unwrap();
                match value.as_f64() {
                    Some(number) => assert_eq!(shown.parse::<f64>().unwrap(), number, "--{key}"),
                    None => assert_eq!(Some(shown), value.as_str(), "--{key}"),
                }
                told += 1;
            }
        }
        assert!(told >= 15, "{told}");
    }

    #[test]
    fn a_negative_number_is_a_value_and_not_a_flag() {
        let recipe = parse(&["a.csv", "--lr", "-1"]).unwrap();
        assert_eq!(recipe.train.lr, Some(-1.0));
        assert!(!recipe.problems().is_empty());
        let seed = parse(&["a.csv", "--seed", "-1"]).unwrap_err();
        assert!(seed.contains("invalid value '-1' for '--seed"), "{seed}");
    }

    #[test]
    fn data_is_named_once() {
        assert!(
            parse(&["a.csv", "--data", "b.csv"])
                .unwrap_err()
                .contains("two data files")
        );
    }
}

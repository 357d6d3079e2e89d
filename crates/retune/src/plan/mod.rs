//! From a recipe to a plan: opens the data, finds the model, chooses what was left open and says why,
//! counts rows, tokens and steps, and reports every problem at once before anything is computed.

mod batches;
pub(crate) mod data;
mod fit;
mod forecast;
mod memory;
mod pictures;
mod show;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retune_data::roles::Roles;
use retune_data::split::SplitRecord;
use retune_data::survey::Survey;
use retune_data::{Example, Processor, Table};
use retune_eval::metric;
use retune_kernels::process;
use serde::Serialize;

use crate::bundle::sha256;
use crate::embedding;
use crate::error::Problem;
use crate::hub::{self, HubOptions};
use crate::model::Reads;
use crate::pretrained::BaseModel;
use crate::recipe::Recipe;
use crate::run_folder;
use crate::tasks::{self, Task};
pub(crate) use batches::{TrainRows, micro_batches, steps};
pub use forecast::Forecast;

/// The model that is taken when none is named.
pub(crate) fn default_model(reads: Reads) -> &'static str {
    match reads {
        Reads::Text => "all-minilm-l6-v2",
        Reads::Pictures => "efficientnet-lite0",
        Reads::Fields => "gbdt",
    }
}

/// Everything that a run needs, decided.
pub struct Plan {
    /// The recipe with every choice filled in.
    pub recipe: Recipe,
    /// Folder of the bundle to write.
    pub out: PathBuf,
    /// The task.
    pub task: &'static dyn Task,
    /// The pre-trained model.
    pub base: BaseModel,
    /// Every row read.
    pub table: Table,
    /// What each column is, with reasons.
    pub roles: Roles,
    /// What was seen of every picture; `None` of texts.
    pub survey: Option<Survey>,
    /// Fitted on the training rows.
    pub processor: Processor,
    /// Encoded training rows.
    pub train: Vec<Example>,
    /// Encoded rows that are trained on again, against forgetting.
    pub replay: Vec<Example>,
    /// Encoded validation rows.
    pub valid: Vec<Example>,
    /// Encoded test rows.
    pub test: Vec<Example>,
    /// Where each row went and why.
    pub split: SplitRecord,
    /// Folder in which what is computed once is kept.
    pub cache: PathBuf,
    /// What `retune plan` shows.
    pub summary: Summary,
}

/// A metric by which models are chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Selecting {
    /// Its name.
    pub name: String,
    /// 1 where larger is better, -1 where smaller is.
    pub sign: f64,
}

/// The plan in figures, for people and for `--json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Task name.
    pub task: String,
    /// Model reference.
    pub model: String,
    /// Where the model was found.
    pub model_source: String,
    /// Method name.
    pub method: String,
    /// Choices made for the user: what and why.
    pub choices: Vec<(String, String)>,
    /// Rows for training, validation and test.
    pub rows: [usize; 3],
    /// Classes or labels; empty for regression.
    pub classes: Vec<String>,
    /// Tokens of one pass over the training rows.
    pub tokens_per_epoch: usize,
    /// Longest sequence kept.
    pub max_length: usize,
    /// Rows and columns of pixels of a picture; absent for texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<[usize; 2]>,
    /// Share of training rows that were cut.
    pub truncated_share: f64,
    /// Optimiser steps.
    pub steps: u64,
    /// Optimiser steps of one pass.
    pub steps_per_epoch: u64,
    /// Parameters, and how many of them train.
    pub parameters: [usize; 2],
    /// Memory and time expected.
    pub forecast: Forecast,
    /// Sentences worth reading before the run.
    pub notes: Vec<String>,
}

impl Plan {
    /// Decides everything. `on` is told about a model that has to be downloaded.
    ///
    /// # Errors
    /// Every problem found, not only the first.
    pub fn resolve(
        recipe: &Recipe,
        hub: &HubOptions,
        on: &mut dyn FnMut(hub::Progress),
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = recipe.problems();
        let out = out_folder(recipe, &mut problems);
        Self::decide(recipe, (out, problems), hub, on)
    }

    /// The plan of a run that was begun in `out` and is to go on there.
    ///
    /// # Errors
    /// As [`Plan::resolve`].
    pub fn resume(
        recipe: &Recipe,
        out: &Path,
        hub: &HubOptions,
        on: &mut dyn FnMut(hub::Progress),
    ) -> Result<Self, Vec<Problem>> {
        Self::decide(recipe, (out.to_path_buf(), recipe.problems()), hub, on)
    }

    /// The metric that selects the best model.
    pub fn selecting_metric(&self) -> Selecting {
        let usual = || self.task.evaluation(self.processor.labels()).primary;
        let name = self.recipe.train.metric.clone().unwrap_or_else(usual);
        let higher = metric(&name).is_none_or(|m| m.higher_is_better);
        Selecting {
            name,
            sign: if higher { 1.0 } else { -1.0 },
        }
    }

    /// SHA-256 of each data file, of the first ones where they are more than `most`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn data_hashes(
        &self,
        most: usize,
    ) -> crate::error::Result<BTreeMap<String, String>> {
        let files = self.table.files.iter().filter(|path| path.is_file());
        files
            .take(most)
            .map(|path| Ok((path.display().to_string(), sha256(path)?)))
            .collect()
    }

    /// Training, validation and test rows in one list.
    pub(crate) fn every_row(&self) -> Vec<Example> {
        let sides = [&self.train, &self.valid, &self.test];
        sides.into_iter().flatten().cloned().collect()
    }

    fn decide(
        recipe: &Recipe,
        (out, mut problems): (PathBuf, Vec<Problem>),
        hub: &HubOptions,
        on: &mut dyn FnMut(hub::Progress),
    ) -> Result<Self, Vec<Problem>> {
        let named = recipe.task.as_deref().map(tasks::task);
        if let (Some(name), Some(None)) = (&recipe.task, named) {
            problems.push(unknown("task", name, tasks::TASKS.iter().map(|t| t.name())));
        }
        let read = data::read(recipe, named.flatten(), &mut problems);
        let task = named.flatten().or(read.as_ref().and_then(|read| read.task));
        if let Some(task) = task {
            check_metrics(recipe, task, &mut problems);
        }
        let reads = read.as_ref().map_or(Reads::Text, data::Read::reads);
        let usual = || default_model(reads).to_string();
        let reference = recipe.model.clone().unwrap_or_else(usual);
        let base = BaseModel::resolve(&reference, hub, !problems.is_empty(), on)
            .map_err(|error| problems.push(Problem::new("model", error.to_string())));
        let (Some(task), Some(read), Ok(Some(base))) = (task, read, base) else {
            return Err(problems);
        };
        problems.extend(misfit(&base, task, reads));
        problems.extend(embedding::misfits(recipe, task));
        if !problems.is_empty() {
            return Err(problems);
        }
        let chosen = Chosen {
            recipe: recipe.clone(),
            out,
            task,
            base,
            cache: hub.home.join("features"),
            memory: recipe.memory_limit().or_else(process::memory_bytes),
        };
        data::encode(chosen, read).map_err(|problem| vec![problem])
    }
}

/// A model or task for other inputs than the data have.
fn misfit(base: &BaseModel, task: &dyn Task, reads: Reads) -> Option<Problem> {
    let what = |reads| match reads {
        Reads::Text => "texts",
        Reads::Pictures => "pictures",
        Reads::Fields => "tables",
    };
    if base.family.reads != reads {
        let text = format!(
            "{} reads {}, and the data are {}: leave --model out to take {}, or name another",
            base.reference,
            what(base.family.reads),
            what(reads),
            default_model(reads)
        );
        return Some(Problem::new("model", text));
    }
    (task.reads() != reads).then(|| {
        let text = format!(
            "{} is for {}, and the data are {}: leave --task out",
            task.name(),
            what(task.reads()),
            what(reads)
        );
        Problem::new("task", text)
    })
}

/// What is settled before rows are encoded.
struct Chosen {
    recipe: Recipe,
    out: PathBuf,
    task: &'static dyn Task,
    base: BaseModel,
    cache: PathBuf,
    /// Bytes that the run may use; `None` where nobody knows.
    memory: Option<u64>,
}

impl Chosen {
    /// The usual learning rate of the method for models of the family.
    fn lr(&self) -> f64 {
        let method = self.recipe.method.method();
        let pace = if method.frozen_backbone() {
            1.0
        } else {
            self.base.family.pace
        };
        method.lr() * pace
    }
}

/// A problem that lists the valid names and the nearest one.
pub(crate) fn unknown<'a>(key: &str, got: &str, names: impl Iterator<Item = &'a str>) -> Problem {
    let names: Vec<&str> = names.collect();
    let similar = |name: &&str| strsim::jaro_winkler(name, got);
    let near = names
        .iter()
        .copied()
        .filter(|name| similar(name) > 0.8)
        .max_by(|a, b| similar(a).total_cmp(&similar(b)));
    let hint = near.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
    let list = names.join(", ");
    Problem::new(key, format!("`{got}` is not known{hint} (known: {list})"))
}

fn check_metrics(recipe: &Recipe, task: &dyn Task, problems: &mut Vec<Problem>) {
    let labels = retune_data::processor::Labels::Classes { names: Vec::new() };
    let metrics = task.evaluation(&labels).metrics;
    let known = || metrics.iter().map(String::as_str);
    if let Some(metric) = &recipe.train.metric
        && !metrics.contains(metric)
    {
        problems.push(unknown("train.metric", metric, known()));
    }
    for metric in recipe.gates.keys().filter(|m| !metrics.contains(m)) {
        problems.push(unknown(&format!("gates.{metric}"), metric, known()));
    }
}

/// The output folder: the given one, which must be free, or the next free `runs/NAME`.
pub(crate) fn out_folder(recipe: &Recipe, problems: &mut Vec<Problem>) -> PathBuf {
    let out = match &recipe.out {
        Some(out) => out.clone(),
        None => free_folder(recipe.data.train.as_deref(), ""),
    };
    let taken = match std::fs::read_dir(&out) {
        Ok(mut entries) => entries.next().is_some() && !run_folder::abandoned(&out),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    if taken && run_folder::unfinished(&out) {
        problems.push(Problem::new(
            "out",
            format!(
                "{0} holds an unfinished run; go on with it by `retune train --resume {0}`, or choose another folder with --out",
                out.display()
            ),
        ));
    } else if taken {
        let other = numbered(&out);
        problems.push(Problem::new(
            "out",
            format!(
                "{} exists and is not an empty folder; nothing is overwritten: try --out {}",
                out.display(),
                other.display()
            ),
        ));
    } else if let Err(error) = writable(&out) {
        problems.push(Problem::new(
            "out",
            format!(
                "cannot write to {}: {error}; choose another folder with --out",
                out.display()
            ),
        ));
    }
    out
}

/// `runs/NAME` after the data file, with an ending.
pub fn named_after(data: Option<&Path>, ending: &str) -> PathBuf {
    let file = data.and_then(Path::file_name);
    let file = file.map_or("run".to_string(), |s| s.to_string_lossy().into_owned());
    // `x.parquet.brotli` is named `x` too.
    let name = file
        .split('.')
        .find(|part| !part.is_empty())
        .unwrap_or("run");
    Path::new("runs").join(format!("{name}{ending}"))
}

/// The first free one of `runs/NAME`, `runs/NAME-2`, ….
pub fn free_folder(data: Option<&Path>, ending: &str) -> PathBuf {
    let first = named_after(data, ending);
    if first.exists() {
        numbered(&first)
    } else {
        first
    }
}

/// `NAME-2`, `NAME-3`, … whichever is free.
fn numbered(taken: &Path) -> PathBuf {
    let name = |n: u32| PathBuf::from(format!("{}-{n}", taken.display()));
    let free = (2..u32::MAX).map(name).find(|path| !path.exists());
    free.unwrap_or_default()
}

/// Tries to write in the nearest folder that exists above the output folder.
fn writable(out: &Path) -> std::io::Result<()> {
    let above = out.ancestors().skip(1);
    let nearest = above
        .map(|folder| {
            if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            }
        })
        .find(|folder| folder.exists());
    tempfile::tempfile_in(nearest.unwrap_or(Path::new("."))).map(drop)
}

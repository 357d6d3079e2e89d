//! The bundle of a model of tables: what each column is, the model, the state of the past, figures and report.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use retune_data::fields::{Cast, Fields};
use retune_data::processor::Labels;
use retune_data::windows::Engine;
use retune_data::{Column, Table, Values};
use retune_eval::fraud::AlertGoal;
use serde::{Deserialize, Serialize};

use super::correction::Correction;
use super::figures::Measured;
use super::gbdt::Trees;
use super::history::{HistoryForm, Live};
use super::inputs::Inputs;
use super::linear::Line;
use super::net::{Net, NetForm};
use super::plan::Plan;
use super::task;
use crate::bundle::{Manifest, PREDICTIONS, Prior, pretty, read_json, read_manifest, sha256};
use crate::checkpoint::{self, Checkpoint};
use crate::error::{Error, Result};
use crate::predictor::answered_rows;
use crate::run_folder::RunFolder;
use crate::tasks::{Answer, Task};
use crate::weights::{HostTensor, Place, Source, host_values};

const CONFIG: &str = "config.json";
const TREES: &str = "trees.json";
const LINEAR: &str = "linear.json";
const WEIGHTS: &str = "model.safetensors";
/// Weights of the model of events, and what every card has done after the last event of the data.
const HISTORY: [&str; 2] = ["history.safetensors", "timelines.state"];
/// In `predictions.parquet` of a fraud model: whose event it is.
pub(crate) const CARD: &str = "card";
/// State of the past of every entity after the last event of the data.
pub(super) const PAST: &str = "past.state";

/// `config.json`: all that an answer depends on besides the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    model_type: String,
    /// The columns that the model reads.
    pub fields: Fields,
    /// Who plays which part in a stream of events.
    pub cast: Cast,
    /// The column of labels.
    pub label: String,
    /// What outputs stand for.
    pub labels: Labels,
    /// Of two classes the one that the task is about.
    pub positive: usize,
    /// From which score on an event is an alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// How a model of events reads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryForm>,
    /// What that score was chosen for, where the recipe said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertGoal>,
    /// How the model's probabilities are corrected.
    #[serde(default, skip_serializing_if = "Correction::is_none")]
    pub correction: Correction,
    /// What a network is made of, and what it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<(NetForm, Inputs)>,
}

/// A model that was trained.
pub(super) enum Kept {
    Trees(Trees),
    Linear(Line),
    Net {
        weights: Vec<HostTensor>,
        form: NetForm,
        inputs: Inputs,
    },
}

/// What a finished run has to save.
pub(super) struct Saved<'a> {
    pub plan: &'a Plan,
    pub kept: &'a Kept,
    /// Weights of the model of events that learned with a network.
    pub past: Option<&'a [HostTensor]>,
    pub correction: &'a Correction,
    pub measured: &'a Measured,
    /// Step of the weights, and steps done.
    pub steps: (u64, u64),
    pub seconds: f64,
}

/// Writes the model's files and returns the manifest, which is to be written last.
pub(super) fn save(run: &RunFolder, saved: &Saved) -> Result<Manifest> {
    let plan = saved.plan;
    let folder = run.parts();
    let mut names = vec![CONFIG, "recipe.toml"];
    let mut net = None;
    match saved.kept {
        Kept::Trees(trees) => {
            let text = serde_json::to_vec(trees).map_err(|e| Error::Internal(e.to_string()))?;
            run.write(TREES, &text)?;
            names.push(TREES);
        }
        Kept::Linear(line) => {
            let text = serde_json::to_vec(line).map_err(|e| Error::Internal(e.to_string()))?;
            run.write(LINEAR, &text)?;
            names.push(LINEAR);
        }
        Kept::Net {
            weights,
            form,
            inputs,
        } => {
            checkpoint::write(&folder.join(WEIGHTS), weights, &[])?;
            names.push(WEIGHTS);
            net = Some((form.clone(), inputs.clone()));
        }
    }
    if let Some(engine) = &plan.engine {
        let mut bytes = Vec::new();
        engine.save(&mut bytes)?;
        run.write(PAST, &bytes)?;
        names.push(PAST);
    }
    if let Some(history) = &plan.history {
        let own = || host_values(&history.model);
        let weights = saved.past.map_or_else(own, <[HostTensor]>::to_vec);
        checkpoint::write(&folder.join(HISTORY[0]), &weights, &[])?;
        run.write(HISTORY[1], &history.timelines.to_bytes()?)?;
        names.extend(HISTORY);
    }
    let alerts = saved.measured.alerts.as_ref();
    let config = Config {
        model_type: MODEL_TYPE.to_string(),
        fields: plan.fields.clone(),
        cast: plan.cast.clone(),
        label: plan.roles.label.clone().unwrap_or_default(),
        labels: plan.labels.clone(),
        positive: plan.positive,
        threshold: alerts.map(|alerts| alerts.threshold),
        history: plan.history.as_ref().map(|history| history.of.clone()),
        alert: plan.recipe.tables.alert,
        correction: saved.correction.clone(),
        net,
    };
    run.write(CONFIG, &pretty(&config)?)?;
    run.write("recipe.toml", plan.recipe.to_toml().as_bytes())?;
    retune_data::write::write(&answered(saved), &folder.join(PREDICTIONS))?;
    manifest(saved, &folder, &names)
}

/// The test rows: where they stand, whose events they are, what is right and what the model answers.
fn answered(saved: &Saved) -> Table {
    let (plan, own) = (saved.plan, &saved.measured.predictions);
    let card = plan.cast.entities.first().filter(|_| plan.is_fraud());
    let card = card.and_then(|name| plan.table.column(name).ok());
    let card = card.map(|card| {
        let of = |row: &usize| card.text(*row).map(Cow::into_owned);
        Column {
            name: CARD.to_string(),
            values: Values::Text(plan.test.at.iter().map(of).collect()),
        }
    });
    let right = plan.test.targets.iter();
    let truth = right.map(|target| plan.task.truth(target, &plan.labels));
    let one = |row| {
        let decision = own.decision.as_ref();
        plan.task
            .answer(own.scores.row(row), &plan.labels, decision)
    };
    let answers: Vec<Answer> = (0..own.scores.rows).map(one).collect();
    answered_rows(
        own.ids.clone(),
        card.into_iter().collect(),
        truth.collect(),
        (&answers, &plan.labels),
    )
}

/// What a model of tables answers, and which of two classes is the positive one.
pub(crate) fn labels(folder: &Path) -> Result<(Labels, usize)> {
    let config: Config = read_json(&folder.join(CONFIG))?;
    Ok((config.labels, config.positive))
}

/// `bundle.json`, over the files of these names.
fn manifest(saved: &Saved, folder: &Path, names: &[&str]) -> Result<Manifest> {
    let plan = saved.plan;
    let files = names
        .iter()
        .map(|name| Ok(((*name).to_string(), sha256(&folder.join(name))?)));
    let (task, family) = (plan.task.name(), plan.family.name());
    Ok(Manifest {
        split: plan.split.clone(),
        data: plan.data_hashes()?,
        decision: saved.measured.predictions.decision.clone(),
        prior: Prior::of(&plan.task.targets(&plan.train.targets), &plan.labels),
        best_step: saved.steps.0,
        steps: saved.steps.1,
        seconds: saved.seconds,
        files: files.collect::<Result<_>>()?,
        ..Manifest::now(task, family, plan.recipe.products())
    })
}

/// `model_type` in `config.json`.
const MODEL_TYPE: &str = "retune-tables";

/// A model that answers.
pub(super) enum Opened {
    Trees(Trees),
    Linear(Line),
    Net { net: Box<Net>, inputs: Inputs },
}

/// A model of tables that is open.
pub struct TableBundle {
    /// Its folder.
    pub folder: PathBuf,
    /// The task.
    pub task: &'static dyn Task,
    /// `bundle.json`.
    pub manifest: Manifest,
    /// `config.json`.
    pub config: Config,
    /// The past of every entity after the last event of the training data.
    pub engine: Option<Engine>,
    /// What a model of events says of a stream.
    pub live: Option<Live>,
    pub(super) model: Opened,
}

/// Whether a folder holds a model of tables.
pub fn is_table_model(folder: &Path) -> bool {
    folder.join("bundle.json").is_file()
        && read_manifest(folder).is_ok_and(|manifest| task(&manifest.task).is_some())
}

impl TableBundle {
    /// Opens and checks a bundle.
    ///
    /// # Errors
    /// Another kind of bundle, a newer format, or a file whose SHA-256 is not the one in `bundle.json`.
    pub fn open(folder: &Path) -> Result<Self> {
        let manifest = read_manifest(folder)?;
        let Some(task) = task(&manifest.task) else {
            return Err(Error::User(format!(
                "{} was made for {}, not for tables",
                folder.display(),
                manifest.task
            )));
        };
        manifest.check(folder)?;
        let config: Config = read_json(&folder.join(CONFIG))?;
        let model = match &config.net {
            None if folder.join(LINEAR).is_file() => {
                Opened::Linear(read_json(&folder.join(LINEAR))?)
            }
            None => Opened::Trees(read_json(&folder.join(TREES))?),
            Some((form, inputs)) => {
                let checkpoint = Checkpoint::open(&folder.join(WEIGHTS))?;
                let keys = |path: &str| vec![path.to_string()];
                let place = Place::cpu(false, manifest.precision);
                let mut source =
                    Source::new(Some(&checkpoint), &keys, &place, 0, Net::spread(form));
                let net = Net::load(&mut source, form).map_err(|e| Error::User(e.to_string()))?;
                Opened::Net {
                    net: Box::new(net),
                    inputs: inputs.clone(),
                }
            }
        };
        let past = folder.join(PAST);
        let engine = past.is_file().then(|| Engine::open(&past)).transpose()?;
        let files = HISTORY.map(|name| folder.join(name));
        let live = config
            .history
            .as_ref()
            .map(|of| Live::open(of, (&files[0], &files[1])))
            .transpose()?;
        Ok(Self {
            folder: folder.to_path_buf(),
            task,
            manifest,
            config,
            engine,
            live,
            model,
        })
    }
}

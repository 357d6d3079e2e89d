//! The bundle: everything a tuned model needs to be used, checked and explained, in one folder.
//!
//! Weights and tokenizer are stored the way Hugging Face checkpoints are, so that an export is a copy.
//! `bundle.json` holds a format version and the SHA-256 of every file that answers depend on.

mod prior;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retune_data::picture::Tta;
use retune_data::processor::{Labels, load_tokenizer, rows_with_label};
use retune_data::roles::Roles;
use retune_data::split::SplitRecord;
use retune_data::survey::Decoded;
use retune_data::{Column, Processor, Table, Values};
use retune_eval::metrics::majority_predictions;
use retune_eval::{Cost, Decision, Evaluated, evaluate};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::embedding::{self, Gallery};
use crate::error::{Error, Result};
use crate::families::{ModelConfig, build_model, family_of};
use crate::hub::files::{self, OPTIONAL};
use crate::model::{Model, Pooling};
use crate::ops::Precision;
use crate::outcome::{self, Outcome};
use crate::peft;
use crate::plan::{Forecast, Plan};
use crate::predictor::{self, Predictor};
use crate::pretrained::read_config;
use crate::record;
use crate::run_folder::{self, RunFolder};
use crate::scoring;
use crate::tasks::{self, Task};
use crate::weights::{HostTensor, LoadReport, Named, Place, host, params};

pub use prior::{Prior, prior_name};

/// Version of the folder's layout. Every released version stays readable.
pub const FORMAT: u32 = 1;
/// Data files whose SHA-256 a bundle lists.
pub(crate) const LISTED: usize = 64;

/// `bundle.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Layout version.
    pub format: u32,
    /// Version of retune that wrote the bundle.
    pub retune: String,
    /// RFC 3339 time.
    pub created: String,
    /// Task name.
    pub task: String,
    /// Method name.
    pub method: String,
    /// Family name.
    pub family: String,
    /// Format of the model's products; f32 in bundles that do not say.
    #[serde(default = "f32")]
    pub precision: Precision,
    /// What the head reads; the first token in bundles that do not say.
    #[serde(default = "first")]
    pub pooling: Pooling,
    /// The base model.
    pub base: BaseRecord,
    /// The bundle that the run went on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// What came from the checkpoint and what is new.
    pub loaded: LoadReport,
    /// How rows were split.
    pub split: SplitRecord,
    /// SHA-256 of each data file.
    pub data: BTreeMap<String, String>,
    /// How scores become answers where a goal was stated; the usual answers in bundles that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Views of each picture over which scores are averaged; one in bundles that do not say.
    #[serde(default, skip_serializing_if = "is_none")]
    pub tta: Tta,
    /// What is known of the training answers, for the prior baseline.
    pub prior: Prior,
    /// Step of the saved weights, and steps done.
    pub best_step: u64,
    /// See `best_step`.
    pub steps: u64,
    /// Wall time of the run in seconds, up to saving.
    pub seconds: f64,
    /// Largest resident size of the run in bytes, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// What the plan expected of time and memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// Whether the model was trained once more on every row after it was measured: the figures are of the model before.
    #[serde(default)]
    pub refit: bool,
    /// SHA-256 of each file of the bundle that answers depend on.
    pub files: BTreeMap<String, String>,
}

impl Manifest {
    /// That of a model which this program saves now, as far as task and family tell; all else is what a bundle has that says
    /// nothing of it.
    pub(crate) fn now(task: &str, family: &str, precision: Precision) -> Self {
        Self {
            format: FORMAT,
            retune: env!("CARGO_PKG_VERSION").to_string(),
            created: jiff::Timestamp::now().to_string(),
            task: task.to_string(),
            method: "full".to_string(),
            family: family.to_string(),
            precision,
            pooling: first(),
            base: BaseRecord {
                reference: family.to_string(),
                revision: None,
                files: BTreeMap::new(),
            },
            parent: None,
            loaded: LoadReport::default(),
            split: SplitRecord::default(),
            data: BTreeMap::new(),
            decision: None,
            tta: Tta::default(),
            prior: Prior::Classes(Vec::new()),
            best_step: 0,
            steps: 0,
            seconds: 0.0,
            peak_rss_bytes: retune_kernels::process::peak_resident_bytes(),
            forecast: None,
            refit: false,
            files: BTreeMap::new(),
        }
    }

    /// Whether the files of the bundle in `folder` are those that were written.
    pub(crate) fn check(&self, folder: &Path) -> Result<()> {
        let damaged = |name: &str, what: &str| Error::Damaged {
            path: folder.join(name),
            what: format!("{what}; copy the bundle again"),
        };
        for (name, wanted) in &self.files {
            if !folder.join(name).is_file() {
                return Err(damaged(name, "it is missing"));
            }
            if sha256(&folder.join(name))? != *wanted {
                return Err(damaged(name, "its SHA-256 is not the one in bundle.json"));
            }
        }
        Ok(())
    }
}

fn f32() -> Precision {
    Precision::F32
}

fn is_none(tta: &Tta) -> bool {
    *tta == Tta::None
}

fn first() -> Pooling {
    Pooling::First
}

/// Where the base model came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaseRecord {
    /// As the user named it.
    pub reference: String,
    /// Revision, when it came from a hub.
    pub revision: Option<String>,
    /// SHA-256 of each of its files.
    pub files: BTreeMap<String, String>,
}

/// The bundle that a run went on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// As the user named it.
    pub reference: String,
    /// SHA-256 of its `bundle.json`, which holds those of its files.
    pub sha256: String,
}

/// What a finished run has to save.
pub(crate) struct Saved<'a> {
    pub plan: &'a Plan,
    pub model: &'a Model,
    /// Factors of the low-rank updates that are in the model, by path.
    pub updates: &'a [HostTensor],
    /// Step of the weights, and steps done.
    pub steps: (u64, u64),
    pub loaded: &'a LoadReport,
    pub outcome: &'a Outcome,
    pub costs: &'a BTreeMap<String, Cost>,
    pub seconds: f64,
}

/// The test rows with the model's answers.
pub(crate) const PREDICTIONS: &str = "predictions.parquet";

/// Writes the files of the bundle.
pub(crate) fn save(run: &RunFolder, saved: &Saved) -> Result<()> {
    let plan = saved.plan;
    let folder = run.parts();
    write_weights(&folder, saved.model, &plan.base.config)?;
    peft::write_updates(&folder, saved.updates, &plan.base)?;
    let config = tuned_config(&plan.base.config, plan.task, plan.processor.labels());
    run.write("config.json", &pretty(&config.0)?)?;
    for name in OPTIONAL {
        let from = plan.base.folder.join(name);
        if from.is_file() {
            let content = std::fs::read(&from).map_err(|e| Error::io("read", &from, e))?;
            run.write(name, &content)?;
        }
    }
    run.write("processor.json", &pretty(&plan.processor)?)?;
    run.write("recipe.toml", plan.recipe.to_toml().as_bytes())?;
    run.write("metrics.json", &pretty(&saved.outcome.evaluated)?)?;
    embedding::keep(&folder, plan, saved.outcome)?;
    let predictions = predictions_table(plan, saved.outcome);
    retune_data::write::write(&predictions, &folder.join(PREDICTIONS))?;
    let manifest = manifest(&folder, saved)?;
    run.write("bundle.json", &pretty(&manifest)?)?;
    record::write(run, &record::of(&run.events_path(), saved, &manifest)?)
}

pub(crate) fn pretty<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| Error::Internal(error.to_string()))
}

/// Writes `model.safetensors` under the names that the family's checkpoints use.
pub(crate) fn write_weights(folder: &Path, model: &Model, config: &ModelConfig) -> Result<()> {
    let family = family_of(config)?;
    let key = |path: &str| {
        (family.keys)(config, path)
            .into_iter()
            .next()
            .unwrap_or_default()
    };
    let named = params(model);
    let entry = |named: &Named| (key(&named.path), named.shape.clone());
    let entries: Vec<_> = named.iter().map(entry).collect();
    // One tensor at a time: a second copy of the model need not fit into memory.
    let mut values = |i: usize| Cow::Owned(host(named[i].value.clone()));
    let path = folder.join("model.safetensors");
    Ok(crate::checkpoint::write_each(
        &path,
        &entries,
        &[],
        &mut values,
    )?)
}

/// `config.json` with the head's labels and architecture, as transformers reads them.
fn tuned_config(base: &ModelConfig, task: &dyn Task, labels: &Labels) -> ModelConfig {
    let mut config = base.0.clone();
    let names: Vec<String> = match labels.names() {
        [] => vec!["LABEL_0".to_string()],
        names => names.to_vec(),
    };
    let by_id: serde_json::Map<_, _> = names
        .iter()
        .enumerate()
        .map(|(i, name)| (i.to_string(), name.as_str().into()))
        .collect();
    let by_name: serde_json::Map<_, _> = names
        .iter()
        .enumerate()
        .map(|(i, name)| (name.clone(), i.into()))
        .collect();
    if let Ok(family) = family_of(base) {
        config["architectures"] = serde_json::json!([(family.architecture)(base.model_type())]);
    }
    config["id2label"] = by_id.into();
    config["label2id"] = by_name.into();
    config["problem_type"] = task.problem_type().into();
    ModelConfig(config)
}

fn manifest(folder: &Path, saved: &Saved) -> Result<Manifest> {
    let plan = saved.plan;
    let mut files = BTreeMap::new();
    let kept = [
        "config.json",
        "model.safetensors",
        peft::UPDATES,
        embedding::GALLERY,
        "processor.json",
        "recipe.toml",
    ];
    for name in kept.iter().chain(OPTIONAL) {
        let path = folder.join(name);
        if path.is_file() {
            files.insert((*name).to_string(), sha256(&path)?);
        }
    }
    let data = plan.data_hashes(LISTED)?;
    let targets: Vec<_> = plan.train.iter().map(|e| e.target.clone()).collect();
    let (task, family) = (plan.task.name(), plan.base.family.name);
    Ok(Manifest {
        method: plan.recipe.method.method().name().to_string(),
        pooling: saved.model.head.pooling,
        base: BaseRecord {
            reference: plan.base.reference.clone(),
            revision: plan.base.revision.clone(),
            files: plan.base.files.clone(),
        },
        parent: plan.base.parent.clone(),
        loaded: saved.loaded.clone(),
        split: plan.split.clone(),
        data,
        decision: saved.outcome.predictions.decision.clone(),
        tta: plan.recipe.pictures.tta,
        prior: Prior::of(&plan.task.targets(&targets), plan.processor.labels()),
        best_step: saved.steps.0,
        steps: saved.steps.1,
        seconds: saved.seconds,
        refit: plan.recipe.refit.is_some(),
        forecast: Some(plan.summary.forecast),
        files,
        ..Manifest::now(task, family, plan.recipe.products())
    })
}

/// SHA-256 of a file, in hexadecimal.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let facts = files::facts(path).map_err(|e| Error::User(e.to_string()))?;
    Ok(facts.sha256)
}

/// Test rows with their texts, right answers, answers and scores.
fn predictions_table(plan: &Plan, of: &Outcome) -> Table {
    let rows: Vec<usize> = plan.test.iter().map(|e| e.meta.row as usize).collect();
    let named = plan.roles.text.iter();
    let asked = named.filter_map(|name| Some((name, plan.table.column(name).ok()?)));
    let asked = asked.map(|(name, column)| {
        let cell = |row: &usize| column.text(*row).map(Cow::into_owned);
        Column {
            name: name.clone(),
            values: Values::Text(rows.iter().map(cell).collect()),
        }
    });
    let truth = plan.test.iter().map(|e| outcome::truth(plan, e));
    let answers: Vec<_> = (0..rows.len())
        .map(|i| outcome::answer(plan, i, &of.predictions))
        .collect();
    predictor::answered_rows(
        rows.iter().map(|r| plan.table.place(*r)).collect(),
        asked.collect(),
        truth.collect(),
        (&answers, plan.processor.labels()),
    )
}

/// A saved model, open.
pub struct Bundle {
    /// Its folder.
    pub folder: PathBuf,
    /// `bundle.json`.
    pub manifest: Manifest,
    /// Its task.
    pub task: &'static dyn Task,
    /// `config.json`.
    pub config: ModelConfig,
    /// The processor, with its tokenizer.
    pub processor: Processor,
    /// The model, outside the gradient graph.
    pub model: Model,
    /// Tokens that the model has a vector for.
    pub vectors: usize,
    /// Known pictures with their labels, where the task is about vectors.
    pub(crate) gallery: Option<Gallery>,
}

impl Bundle {
    /// Opens and checks a bundle.
    ///
    /// # Errors
    /// Not a bundle, a newer format, or a file whose SHA-256 is not the one in `bundle.json`.
    pub fn open(folder: &Path) -> Result<Self> {
        let manifest = read_manifest(folder)?;
        manifest.check(folder)?;
        let task = tasks::of_bundle(&manifest.task, folder)?;
        let path = folder.join("processor.json");
        let mut processor: Processor = read_json(&path)?;
        if let Some(what) = processor.problem() {
            return Err(Error::Damaged { path, what });
        }
        if let Processor::Text(_) = processor {
            processor.attach(load_tokenizer(folder)?);
        }
        let config = read_config(folder)?;
        let outputs = processor.labels().outputs();
        let mut model = load_model(folder, &config, outputs, manifest.precision)?;
        model.head.pooling = manifest.pooling;
        model.head = model.head.in_form(task.form());
        let vectors = (family_of(&config)?.facts)(&config)?.vocabulary;
        Ok(Self {
            vectors,
            gallery: Gallery::open(folder)?,
            folder: folder.to_path_buf(),
            manifest,
            task,
            config,
            processor,
            model,
        })
    }

    /// The same with other views of each picture than it was saved with.
    ///
    /// # Errors
    /// A model of texts.
    pub fn with_views(mut self, tta: Tta) -> Result<Self> {
        if let Processor::Text(_) = self.processor {
            return Err(Error::User(format!(
                "{} reads texts, and --tta {tta} is for pictures; leave it out",
                self.folder.display()
            )));
        }
        self.manifest.tta = tta;
        Ok(self)
    }

    /// Answers rows and texts.
    pub fn predictor(self) -> Predictor {
        Predictor::new(self)
    }

    /// Figures on labelled rows, by slice.
    ///
    /// # Errors
    /// The table lacks the bundle's columns, or holds answers or tokens that the model does not know.
    pub fn evaluate(&self, table: &Table, slices: &[String]) -> Result<Evaluated> {
        let (rows, unlabelled) = self.labelled(table)?;
        let given = (self.task, &self.processor);
        let examples = embedding::examples(given, (table, &Decoded::default()), &rows)?;
        let place = |row: u64| table.place(row as usize);
        predictor::known(&self.processor, &examples, self.vectors, &place)?;
        let (model, processor) = (&self.model, &self.processor);
        let (first, _) = scoring::scores(model, self.task, processor, &examples, &mut |_| ())?;
        let views = (&examples[..], self.manifest.tta);
        let scores = scoring::over_views(first, (model, self.task), processor, views)?;
        let labels = self.processor.labels();
        let targets = if embedding::rates(self.task) {
            embedding::rated_rows_of(
                &self.processor,
                (table, &rows),
                &scores,
                self.gallery.as_ref(),
            )
        } else {
            let targets: Vec<_> = examples.iter().map(|e| e.target.clone()).collect();
            self.task.targets(&targets)
        };
        let evaluation = self.task.evaluation(labels);
        let columns = slices.iter().map(|name| scoring::slice(table, name, &rows));
        let predictions = retune_eval::Predictions {
            scores,
            targets,
            slices: columns.collect::<retune_data::Result<_>>()?,
            ids: rows.iter().map(|r| table.place(*r)).collect(),
            decision: self.manifest.decision.clone(),
        };
        let name = table
            .files
            .first()
            .map_or("data".to_string(), |f| f.display().to_string());
        let seed = 42;
        let mut evaluated = evaluate(&predictions, &evaluation, &name, seed);
        let prior = majority_predictions(&self.manifest.prior.targets(), &predictions);
        let name = prior_name(labels);
        evaluated.compare(name, (&predictions, &prior), &evaluation, seed);
        if unlabelled > 0 {
            evaluated
                .notes
                .push(format!("{unlabelled} rows without a label are left out"));
        }
        Ok(evaluated)
    }

    /// The rows that have an answer to compare with, and how many have none.
    fn labelled(&self, table: &Table) -> Result<(Vec<usize>, usize)> {
        let label = self.processor.label();
        if let Some(label) = label {
            table.column(label)?;
        }
        let roles = Roles {
            text: self.processor.inputs().to_vec(),
            pictures: matches!(self.processor, Processor::Image(_)),
            label: label.cloned(),
            task: Some(self.task.kind()),
            group: None,
            time: None,
            reasons: Vec::new(),
        };
        let (rows, unlabelled) = rows_with_label(table, &roles);
        if rows.is_empty() {
            return Err(Error::User(format!(
                "no row of {} has a label, so there is nothing to measure; \
                 `retune predict` answers rows without labels",
                table.file()
            )));
        }
        Ok((rows, unlabelled))
    }

    /// The report page, rendered anew from the run's record.
    ///
    /// # Errors
    /// Not a bundle, or one without a record that can be read.
    pub fn report(folder: &Path) -> Result<String> {
        Ok(retune_eval::report::render(&record::read(folder)?))
    }

    /// The model card, written anew from the run's record.
    ///
    /// # Errors
    /// As [`Bundle::report`].
    pub fn card(folder: &Path) -> Result<String> {
        Ok(retune_eval::report::card(&record::read(folder)?))
    }
}

/// The tuned model of a folder in the Hugging Face layout; every tensor must be there.
pub(crate) fn load_model(
    folder: &Path,
    config: &ModelConfig,
    outputs: usize,
    precision: Precision,
) -> Result<Model> {
    let checkpoint = Checkpoint::open(folder)?;
    let place = Place::cpu(false, precision);
    let built = build_model(config, Some(&checkpoint), outputs, &place, 0);
    let (model, report) = built.map_err(|source| Error::Build {
        folder: folder.to_path_buf(),
        source,
    })?;
    if let Some(path) = report.new.first() {
        return Err(Error::Damaged {
            path: folder.join("model.safetensors"),
            what: format!("it has no `{path}`; copy the bundle again"),
        });
    }
    Ok(model)
}

pub(crate) fn read_manifest(folder: &Path) -> Result<Manifest> {
    let path = folder.join("bundle.json");
    if run_folder::unfinished(folder) {
        return Err(Error::User(format!(
            "{0} is not a bundle yet: its run is not finished; `retune train --resume {0}` goes on with it",
            folder.display()
        )));
    }
    if !path.is_file() {
        return Err(Error::User(format!(
            "{} is not a bundle: it has no bundle.json; `retune train FILE --out DIR` writes one",
            folder.display()
        )));
    }
    let value: serde_json::Value = read_json(&path)?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if format != Some(u64::from(FORMAT)) {
        let found = format.map_or("unknown".to_string(), |format| format.to_string());
        return Err(Error::User(format!(
            "{} has format {found}, and this version of retune reads format {FORMAT}; \
             use the version of retune that wrote it, or a newer one",
            path.display()
        )));
    }
    serde_json::from_value(value).map_err(|error| Error::Damaged {
        path,
        what: format!("{error}; copy the bundle again"),
    })
}

pub(crate) fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    serde_json::from_str(&text).map_err(|error| Error::Damaged {
        path: path.to_path_buf(),
        what: format!("{error}; copy the bundle again"),
    })
}

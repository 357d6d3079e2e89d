//! The bundle of a model of events: what it is made of, how events become codes, and its weights.

use std::path::{Path, PathBuf};

use retune_data::fields::{Cast, Fields};
use retune_data::timelines::{ROLES, TimelineSpec};
use serde::{Deserialize, Serialize};

use super::model::{EventForm, EventModel};
use super::shipped;
use crate::bundle::{Parent, read_json, read_manifest, sha256};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::ops::Precision;
use crate::weights::{LoadReport, Place, Source};

pub(super) const CONFIG: &str = "config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
/// `model_type` in `config.json`.
pub(super) const MODEL_TYPE: &str = "retune-events";
/// What `bundle.json` says it was made for.
pub const TASK: &str = "events";
/// Where the weights of the model begin.
pub(super) const ROOT: &str = "past";

/// `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(super) model_type: String,
    /// What the model is made of.
    pub form: EventForm,
    /// How events become codes.
    pub spec: TimelineSpec,
    /// The fields of a row that events have.
    pub fields: Fields,
    /// Who played which part in the events it learned from.
    pub cast: Cast,
}

/// A model that learned from events without labels, to go on from.
pub struct EventBase {
    /// Its folder.
    pub folder: PathBuf,
    /// What `config.json` says.
    pub config: Config,
    /// What the bundle is.
    pub parent: Parent,
    checkpoint: Checkpoint,
}

impl EventBase {
    /// The model in `folder`, or the one of this name that comes with the program.
    ///
    /// # Errors
    /// A folder without a whole model of events.
    pub fn open(folder: &Path) -> Result<Self> {
        if folder == Path::new(shipped::NAME) && !folder.exists() {
            return shipped::open();
        }
        Self::read(folder)
    }

    pub(super) fn read(folder: &Path) -> Result<Self> {
        let manifest = read_manifest(folder)?;
        if manifest.task != TASK {
            return Err(Error::User(format!(
                "{} was made for {}, not for events; name the folder that `retune pretrain EVENTS` wrote",
                folder.display(),
                manifest.task
            )));
        }
        manifest.check(folder)?;
        let config: Config = read_json(&folder.join(CONFIG))?;
        config.spec.check()?;
        Ok(Self {
            folder: folder.to_path_buf(),
            parent: Parent {
                reference: folder.display().to_string(),
                sha256: sha256(&folder.join("bundle.json"))?,
            },
            config,
            checkpoint: Checkpoint::open(&folder.join(WEIGHTS))?,
        })
    }

    /// The model for events of this form. Parts that its own events do not have begin anew; `same` says that all of them are
    /// its own.
    ///
    /// # Errors
    /// Weights that do not fit.
    pub fn model(
        &self,
        form: &EventForm,
        same: bool,
        place: &Place,
        seed: u64,
    ) -> Result<(EventModel, LoadReport)> {
        let keys = |path: &str| {
            let part = path.split('.').find_map(|part| part.parse::<usize>().ok());
            let foreign =
                !path.contains(".body.") && part.is_some_and(|part| part >= ROLES) && !same;
            if foreign {
                Vec::new()
            } else {
                vec![path.to_string()]
            }
        };
        let mut source = Source::new(
            Some(&self.checkpoint),
            &keys,
            place,
            seed,
            form.body.spread(),
        );
        let model = EventModel::load(&mut source, ROOT, form)
            .map_err(|error| Error::User(error.to_string()))?;
        Ok((model, source.finish(&|_| true)))
    }
}

/// The model to train: one that goes on from another, of which is said whether all parts of events are its own, or one of random
/// numbers.
///
/// # Errors
/// Weights that do not fit.
pub fn begun(
    origin: Option<&(EventBase, bool)>,
    form: &EventForm,
    place: &Place,
    seed: u64,
) -> Result<(EventModel, LoadReport)> {
    match origin {
        Some((base, same)) => base.model(form, *same, place, seed),
        None => Ok((fresh(form, place, seed)?, LoadReport::default())),
    }
}

/// A model from weights that begin without [`ROOT`].
///
/// # Errors
/// Weights that do not fit the form.
pub fn load(checkpoint: &Checkpoint, form: &EventForm) -> Result<EventModel> {
    let keys = |path: &str| {
        vec![
            path.trim_start_matches(ROOT)
                .trim_start_matches('.')
                .to_string(),
        ]
    };
    let place = Place::cpu(false, Precision::F32);
    let mut source = Source::new(Some(checkpoint), &keys, &place, 0, form.body.spread());
    EventModel::load(&mut source, ROOT, form).map_err(|error| Error::User(error.to_string()))
}

/// A model of random numbers.
///
/// # Errors
/// None that a form can cause.
pub fn fresh(form: &EventForm, place: &Place, seed: u64) -> Result<EventModel> {
    let keys = |path: &str| vec![path.to_string()];
    let mut source = Source::new(None, &keys, place, seed, form.body.spread());
    EventModel::load(&mut source, ROOT, form).map_err(|error| Error::Internal(error.to_string()))
}

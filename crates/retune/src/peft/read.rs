//! An adapter folder, checked and merged into the tensors of its base model. What this version would compute
//! otherwise than PEFT is refused by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{CONFIG, DOWN, PREFIX, UP, WEIGHTS, is_adapter};
use crate::bundle::sha256;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::families::ModelConfig;
use crate::hub::CATALOGUE;
use crate::pretrained::read_config;
use crate::weights::{HostTensor, merged};

/// Tasks whose adapters fit a classifier.
const TASKS: [&str; 2] = ["SEQ_CLS", "FEATURE_EXTRACTION"];
/// First factors that leave the base weights as they are.
const STARTS: [&str; 4] = ["gaussian", "orthogonal", "eva", "true"];
/// Options that change what is computed, and that have to be off.
const OFF: [&str; 13] = [
    "use_dora",
    "fan_in_fan_out",
    "alpha_pattern",
    "lora_bias",
    "layer_replication",
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
];

/// `adapter_config.json`, as far as it says what to compute.
#[derive(Debug, Deserialize)]
struct AdapterConfig {
    base_model_name_or_path: Option<String>,
    revision: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    rank_pattern: Option<Map<String, Value>>,
}

impl AdapterConfig {
    fn scale(&self, rank: usize) -> f64 {
        let rank = rank as f64;
        self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    fn one_rank(&self) -> bool {
        self.rank_pattern.as_ref().is_none_or(Map::is_empty)
    }
}

/// A folder with an adapter, its configuration checked.
pub(crate) struct AdapterFolder {
    folder: PathBuf,
    config: AdapterConfig,
    tensors: Checkpoint,
}

impl AdapterFolder {
    /// Opens a folder.
    ///
    /// # Errors
    /// A pickle, a kind of adapter that is not read, a damaged file.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let damaged = |error: serde_json::Error| Error::Damaged {
            path: path.clone(),
            what: format!("{error}; write the adapter again with save_pretrained"),
        };
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
        let value: Value = serde_json::from_str(&text).map_err(damaged)?;
        if let Some(what) = refused(&value) {
            return Err(Error::User(format!("{}: {what}", path.display())));
        }
        let weights = folder.join(WEIGHTS);
        if !weights.is_file() {
            return Err(Error::User(no_weights(folder)));
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            config: serde_json::from_value(value).map_err(damaged)?,
            tensors: Checkpoint::open(&weights)?,
        })
    }

    /// Reference of the base model. A relative folder is looked for from here, as PEFT does, and then from the
    /// adapter's own folder.
    pub fn base(&self) -> Result<String> {
        let named = self.config.base_model_name_or_path.as_deref();
        let named = named.filter(|name| !name.is_empty()).ok_or_else(|| {
            Error::User(format!(
                "{} has no base_model_name_or_path; write the folder or the name of the model there that the adapter was made for",
                self.folder.join(CONFIG).display()
            ))
        })?;
        let beside = self.folder.join(named);
        let base = match &self.config.revision {
            _ if Path::new(named).is_dir() => named.to_string(),
            _ if beside.is_dir() => beside.display().to_string(),
            Some(revision) => format!("{named}@{revision}"),
            // The catalogue has more sources than the hub for the same files.
            None => match CATALOGUE.iter().find(|entry| entry.hub_id == named) {
                Some(entry) => entry.name.to_string(),
                None => named.to_string(),
            },
        };
        if is_adapter(Path::new(&base)) {
            return Err(Error::User(format!(
                "the base model {base} of {} is itself an adapter; merge it into its own base with PEFT (merge_and_unload) and name that folder",
                self.folder.display()
            )));
        }
        Ok(base)
    }

    /// The error when the base model was not found.
    pub fn no_base(&self, error: &Error) -> Error {
        Error::User(format!(
            "{} is an adapter, and its base model cannot be opened: {error}; base_model_name_or_path in {CONFIG} may name a folder",
            self.folder.display()
        ))
    }

    /// SHA-256 of the adapter's files.
    pub fn hashes(&self) -> Result<BTreeMap<String, String>> {
        [CONFIG, WEIGHTS]
            .into_iter()
            .map(|name| Ok((name.to_string(), sha256(&self.folder.join(name))?)))
            .collect()
    }

    /// The base model's configuration with the classes of the adapter's own `config.json`, where it has one.
    pub fn config_over(&self, base: &ModelConfig) -> Result<ModelConfig> {
        let mut config = base.clone();
        if self.folder.join("config.json").is_file() {
            let own = read_config(&self.folder)?;
            for key in ["id2label", "label2id", "problem_type"] {
                config.0[key] = own.0[key].clone();
            }
        }
        Ok(config)
    }

    /// The tensors of the base model that the adapter changes, as they are with it.
    ///
    /// # Errors
    /// A tensor that the base model has no place for, or of another shape.
    pub fn merged_into(&self, base: &Checkpoint) -> Result<Vec<HostTensor>> {
        let of_lora = |name: &&str| name.ends_with(DOWN) || name.ends_with(UP);
        let mut others = self.tensors.names().filter(|name| !of_lora(name));
        if let Some(name) = others.find(|name| name.contains(".lora_")) {
            return Err(self.unknown(name));
        }
        let mut found = Vec::new();
        for name in self.tensors.names() {
            let part = name
                .strip_prefix(PREFIX)
                .ok_or_else(|| self.unknown(name))?;
            if let Some(layer) = part.strip_suffix(DOWN) {
                found.push(self.updated(layer, base)?);
            } else if let Some(layer) = part.strip_suffix(UP) {
                self.shape(&format!("{PREFIX}{layer}{DOWN}"))?;
            } else {
                let key = key_in(base, part).unwrap_or(part).to_string();
                let shape = self.shape(name)?.to_vec();
                found.push((key, shape, self.tensors.f32(name)?));
            }
        }
        Ok(found)
    }

    /// A layer's weight with its update added.
    fn updated(&self, layer: &str, base: &Checkpoint) -> Result<HostTensor> {
        let down = format!("{PREFIX}{layer}{DOWN}");
        let up = format!("{PREFIX}{layer}{UP}");
        let weight = format!("{layer}.weight");
        let key = key_in(base, &weight).ok_or_else(|| {
            Error::User(format!(
                "{} updates `{layer}`, which its base model does not have; is base_model_name_or_path in {CONFIG} right?",
                self.folder.join(WEIGHTS).display()
            ))
        })?;
        let shape = base.shape(key).unwrap_or_default().to_vec();
        let (a, b) = (self.shape(&down)?, self.shape(&up)?);
        let (&[rank, input], &[output, columns]) = (a, b) else {
            return Err(self.unknown(&down));
        };
        let fits = shape == [output, input] && rank == columns && rank > 0;
        if !fits || (self.config.one_rank() && rank != self.config.r) {
            return Err(Error::User(format!(
                "{}: the factors of `{layer}` have shapes {a:?} and {b:?}, which do not make the weight of shape {shape:?} with rank r = {}; is base_model_name_or_path in {CONFIG} right?",
                self.folder.join(WEIGHTS).display(),
                self.config.r
            )));
        }
        let parts = vec![
            ("layer.weight".to_string(), shape.clone(), base.f32(key)?),
            (
                "layer.adapter.down".to_string(),
                a.to_vec(),
                self.tensors.f32(&down)?,
            ),
            (
                "layer.adapter.up".to_string(),
                b.to_vec(),
                self.tensors.f32(&up)?,
            ),
        ];
        let mut whole = merged(parts, self.config.scale(rank));
        let (_, _, values) = whole.swap_remove(0);
        Ok((key.to_string(), shape, values))
    }

    fn shape(&self, name: &str) -> Result<&[usize]> {
        self.tensors.shape(name).ok_or_else(|| Error::Damaged {
            path: self.folder.join(WEIGHTS),
            what: format!(
                "it has no tensor `{name}`; write the adapter again with save_pretrained"
            ),
        })
    }

    fn unknown(&self, name: &str) -> Error {
        Error::User(format!(
            "{} holds `{name}`, which is no part of a plain LoRA adapter; merge it into its base model with PEFT (merge_and_unload) and give that folder",
            self.folder.join(WEIGHTS).display()
        ))
    }
}

/// The base checkpoint's name of a tensor; with or without the leading name of the model.
fn key_in<'a>(base: &'a Checkpoint, name: &str) -> Option<&'a str> {
    let inner = |name: &str| name.split_once('.').map(|(_, inner)| inner.to_string());
    let mut near = None;
    for key in base.names() {
        if key == name {
            return Some(key);
        }
        if inner(key).as_deref() == Some(name) || inner(name).as_deref() == Some(key) {
            near = Some(key);
        }
    }
    near
}

/// What of a configuration is not read, and what to do.
fn refused(config: &Value) -> Option<String> {
    let text = |key: &str| config[key].as_str();
    let kind = text("peft_type").unwrap_or_default();
    let cure = "merge it into its base model with PEFT (merge_and_unload) and give that folder";
    if kind != "LORA" {
        return Some(format!(
            "peft_type is `{kind}`, and only LORA is read; {cure}"
        ));
    }
    if let Some(task) = text("task_type").filter(|task| !TASKS.contains(task)) {
        return Some(format!(
            "task_type is `{task}`, and only {} are read",
            TASKS.join(" and ")
        ));
    }
    let off = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        _ => false,
    };
    if let Some(key) = OFF.iter().find(|key| !off(&config[**key])) {
        return Some(format!(
            "{key} is {}, which is not read; {cure}",
            config[*key]
        ));
    }
    let start = text("init_lora_weights").unwrap_or("true");
    if !STARTS.contains(&start.to_lowercase().as_str()) {
        return Some(format!(
            "init_lora_weights is `{start}`, which changes the base model, too; {cure}"
        ));
    }
    None
}

/// Why there are no weights to read.
fn no_weights(folder: &Path) -> String {
    let pickle = folder.join("adapter_model.bin");
    if pickle.is_file() {
        return format!(
            "{} is a pickle, which could run code when it is read; load it with PEFT and write it anew: \
             model.save_pretrained(\"NEW_FOLDER\", safe_serialization=True)",
            pickle.display()
        );
    }
    format!(
        "{} has {CONFIG} and no {WEIGHTS}; give the folder that save_pretrained of PEFT wrote",
        folder.display()
    )
}

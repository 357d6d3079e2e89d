//! The pre-trained model of a run: where its files are and what they say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retune_data::processor::Labels;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::families::{BuildError, Facts, Family, ModelConfig, build_model, family_of};
use crate::hub::{self, HubError, HubOptions};
use crate::model::{Model, Pooling};
use crate::weights::{LoadReport, Place, Source};

/// A pre-trained model on disk, described but not loaded.
pub struct BaseModel {
    /// As the user wrote it.
    pub reference: String,
    /// Folder of its files.
    pub folder: PathBuf,
    /// Where it came from: `folder`, `cache`, `hub`, `package`, …
    pub source: String,
    /// Revision, when it came from a hub.
    pub revision: Option<String>,
    /// SHA-256 of each file.
    pub files: BTreeMap<String, String>,
    /// `config.json`.
    pub config: ModelConfig,
    /// Its family.
    pub family: &'static Family,
    /// Its sizes.
    pub facts: Facts,
    /// Longest sequence it was trained on, special tokens included.
    pub max_length: usize,
    /// How a sentence-transformers folder pools; the mean unless it says `[CLS]`.
    pub pooling: Pooling,
    /// Its tensors, not read yet.
    pub checkpoint: Checkpoint,
}

impl BaseModel {
    /// Finds the model. With `local_only` (the plan has failed already) nothing is downloaded, and `None`
    /// means that the model is not on this machine.
    pub fn resolve(
        reference: &str,
        hub: &HubOptions,
        local_only: bool,
        on: &mut dyn FnMut(hub::Progress),
    ) -> Result<Option<Self>> {
        if local_only && !Path::new(reference).is_dir() {
            hub::check_reference(reference)?;
            return Ok(None);
        }
        let resolved = hub::resolve(reference, hub, on).map_err(|error| match error {
            // A mistyped folder reads like a name of the hub.
            HubError::Unreachable { .. } => Error::User(format!(
                "{error}; there is no folder {reference} here either"
            )),
            error => Error::Hub(error),
        })?;
        let config = read_config(&resolved.folder)?;
        let family = family_of(&config)?;
        let facts = (family.facts)(&config)?;
        Ok(Some(Self {
            reference: resolved.reference,
            max_length: trained_length(&resolved.folder, facts.max_length),
            pooling: pooling(&resolved.folder),
            checkpoint: Checkpoint::open(&resolved.folder)?,
            folder: resolved.folder,
            source: resolved.source.to_string(),
            revision: resolved.revision,
            files: resolved.files,
            config,
            family,
            facts,
        }))
    }

    /// Builds the model with a head for `labels`; `dropout` replaces the checkpoint's rates. The
    /// checkpoint's own output layer is kept only when it answers the same classes in the same order.
    pub fn build(
        &self,
        labels: &Labels,
        place: &Place,
        seed: u64,
        dropout: Option<f64>,
    ) -> Result<(Model, LoadReport)> {
        let config = match dropout {
            Some(p) => self.config.with_dropout(p),
            None => self.config.clone(),
        };
        let wrong = |source: BuildError| Error::Build {
            folder: self.folder.clone(),
            source,
        };
        let built = build_model(
            &config,
            Some(&self.checkpoint),
            labels.outputs(),
            place,
            seed,
        );
        let (mut model, mut report) = built.map_err(wrong)?;
        if !report.head_is_new() && !self.answers(labels) {
            let keys = |_: &str| Vec::new();
            let std = self.facts.initializer_range;
            let mut fresh = Source::new(None, &keys, place, seed, std);
            let head = model.head.restarted(&mut fresh);
            model.head = head.map_err(|e| wrong(e.into()))?;
            let new = fresh.finish(&|_| true).new;
            report.loaded -= new.len();
            report.new.extend(new);
        }
        Ok((model, report))
    }

    /// The same architecture with fresh random weights.
    pub fn build_fresh(
        &self,
        labels: &Labels,
        place: &Place,
        seed: u64,
        dropout: Option<f64>,
    ) -> Result<(Model, LoadReport)> {
        let config = match dropout {
            Some(p) => self.config.with_dropout(p),
            None => self.config.clone(),
        };
        let built = build_model(&config, None, labels.outputs(), place, seed);
        built.map_err(|source| Error::Build {
            folder: self.folder.clone(),
            source,
        })
    }

    /// Whether the checkpoint was tuned to answer `labels`.
    fn answers(&self, labels: &Labels) -> bool {
        let config = &self.config.0;
        if let Labels::Number { .. } = labels {
            return self.config.text("problem_type", "") == "regression";
        }
        let name = |i: usize| config["id2label"][i.to_string()].as_str();
        let mut names = labels.names().iter().enumerate();
        names.all(|(i, wanted)| name(i) == Some(wanted.as_str()))
    }
}

/// `config.json` of a folder.
pub fn read_config(folder: &Path) -> Result<ModelConfig> {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
    let value = serde_json::from_str(&text).map_err(|error| Error::Damaged {
        path,
        what: format!("it is not JSON ({error}); fetch the model again"),
    })?;
    Ok(ModelConfig(value))
}

/// A value of a JSON file in a folder; `None` when there is no such file or key.
fn fact(folder: &Path, file: &str, key: &str) -> Option<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join(file)).ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    value.get(key).cloned()
}

/// The sequence length that a sentence-transformers folder or a tokenizer names, within `limit`.
fn trained_length(folder: &Path, limit: usize) -> usize {
    let read = |file, key| {
        let length = fact(folder, file, key)?.as_f64()?;
        (length >= 4.0).then_some(length as usize)
    };
    read("sentence_bert_config.json", "max_seq_length")
        .or_else(|| read("tokenizer_config.json", "model_max_length"))
        .unwrap_or(limit)
        .min(limit)
}

fn pooling(folder: &Path) -> Pooling {
    match fact(folder, "1_Pooling/config.json", "pooling_mode_cls_token") {
        Some(serde_json::Value::Bool(true)) => Pooling::First,
        _ => Pooling::Mean,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_sentence_transformers_folder_names_length_and_pooling() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(
            (trained_length(dir.path(), 512), pooling(dir.path())),
            (512, Pooling::Mean)
        );
        write("tokenizer_config.json", r#"{"model_max_length": 1e30}"#);
        assert_eq!(trained_length(dir.path(), 512), 512);
        write("sentence_bert_config.json", r#"{"max_seq_length": 256}"#);
        assert_eq!(trained_length(dir.path(), 512), 256);
        std::fs::create_dir(dir.path().join("1_Pooling")).unwrap();
        write(
            "1_Pooling/config.json",
            r#"{"pooling_mode_cls_token": true}"#,
        );
        assert_eq!(pooling(dir.path()), Pooling::First);
    }
}

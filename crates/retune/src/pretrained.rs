//! The pre-trained model of a run: where its files are and what they say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retune_data::picture::{Preprocess, Resize, Size};
use retune_data::processor::Labels;
use retune_data::{DataError, Processor};

use crate::bundle::{self, Parent};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Problem, Result};
use crate::families::{
    BuildError, ConfigError, Facts, Family, ModelConfig, build_model, family_of,
};
use crate::hub::{self, HubError, HubOptions, Resolved};
use crate::model::{Model, Pooling, Reads};
use crate::ops::Precision;
use crate::peft::{self, AdapterFolder};
use crate::weights::{Adapters, HeadClasses, LoadReport, Place, Source};

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
    /// How a sentence-transformers folder pools, the mean unless it says `[CLS]`; of pictures what the family's heads read.
    pub pooling: Pooling,
    /// What its own head reads: what the bundle says, and else what the family's heads read.
    pub head_pooling: Pooling,
    /// The bundle that it is, when `retune train` wrote it.
    pub parent: Option<Parent>,
    /// Its tensors, not read yet.
    pub checkpoint: Checkpoint,
}

impl BaseModel {
    /// Finds the model; a folder with a PEFT adapter is merged into the base model that it names. With `local_only`
    /// (the plan has failed already) nothing is downloaded, and `None` means that the model is not on this machine.
    pub fn resolve(
        reference: &str,
        hub: &HubOptions,
        local_only: bool,
        on: &mut dyn FnMut(hub::Progress),
    ) -> Result<Option<Self>> {
        if !peft::is_adapter(Path::new(reference)) {
            return Self::whole(reference, hub, local_only, on);
        }
        let adapter = AdapterFolder::open(Path::new(reference))?;
        let base = adapter.base()?;
        let found =
            Self::whole(&base, hub, local_only, on).map_err(|error| adapter.no_base(&error))?;
        found
            .map(|base| base.adapted(reference, &adapter, on))
            .transpose()
    }

    fn whole(
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
        Self::described(resolved).map(Some)
    }

    fn described(resolved: Resolved) -> Result<Self> {
        let config = read_config(&resolved.folder)?;
        let family = family_of(&config)?;
        let facts = (family.facts)(&config)?;
        let mut model = Self {
            reference: resolved.reference,
            max_length: trained_length(&resolved.folder, facts.max_length),
            pooling: match family.reads {
                Reads::Text => pooling(&resolved.folder),
                Reads::Pictures | Reads::Fields => facts.head.pooling,
            },
            head_pooling: facts.head.pooling,
            parent: None,
            checkpoint: Checkpoint::open(&resolved.folder)?,
            folder: resolved.folder,
            source: resolved.source.to_string(),
            revision: resolved.revision,
            files: resolved.files,
            config,
            family,
            facts,
        };
        let manifest = model.folder.join("bundle.json");
        if manifest.is_file() {
            let sha256 = bundle::sha256(&manifest)?;
            let manifest = bundle::read_manifest(&model.folder)?;
            manifest.check(&model.folder)?;
            // A tuned backbone says most in the vectors that its own head reads.
            model.pooling = manifest.pooling;
            model.head_pooling = manifest.pooling;
            model.parent = Some(Parent {
                reference: model.reference.clone(),
                sha256,
            });
        }
        Ok(model)
    }

    /// The model with an adapter merged into it.
    fn adapted(
        mut self,
        reference: &str,
        adapter: &AdapterFolder,
        on: &mut dyn FnMut(hub::Progress),
    ) -> Result<Self> {
        let tensors = adapter.merged_into(&self.checkpoint)?;
        self.checkpoint.lay_over(tensors);
        self.config = adapter.config_over(&self.config)?;
        self.files.extend(adapter.hashes()?);
        self.reference = reference.to_string();
        self.head_pooling = self.facts.head.pooling;
        if self
            .head_rows()
            .is_some_and(|rows| self.classes().len() != rows)
        {
            on(hub::Progress::Note {
                text: format!(
                    "{reference} does not say which classes its head answers, so the head starts anew; \
                     a config.json with id2label beside adapter_config.json lets it be kept"
                ),
            });
        }
        Ok(self)
    }

    /// Builds the model with a head for `labels`; `dropout` replaces the checkpoint's rates. Of the checkpoint's own
    /// output layer the rows of the classes that it knows by name are kept.
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
        let origins = self.origins(labels);
        let known = self
            .head_rows()
            .filter(|_| origins.iter().any(Option::is_some));
        let rows = known.unwrap_or(origins.len());
        let built = build_model(&config, Some(&self.checkpoint), rows, place, seed);
        let (mut model, mut report) = built.map_err(wrong)?;
        if let Some(name) = report
            .unused
            .iter()
            .find(|name| self.checkpoint.laid_over(name))
        {
            return Err(peft::no_place(&self.reference, name, self.family.name));
        }
        let same = known == Some(origins.len()) && origins.iter().copied().eq((0..rows).map(Some));
        if !report.head_is_new() && !same {
            let keys = |_: &str| Vec::new();
            let std = self.facts.initializer_range;
            let mut fresh = Source::new(None, &keys, place, seed, std);
            let head = model.head.rearranged(&mut fresh, &origins);
            model.head = head.map_err(|e| wrong(e.into()))?;
            if known.is_some() {
                report.classes = Some(self.changes(labels));
            } else {
                let new = fresh.finish(&|_| true).new;
                report.loaded -= new.len();
                report.new.extend(new);
            }
        }
        if !report.head_is_new() {
            model.head.pooling = self.head_pooling;
        }
        Ok((model, report))
    }

    /// Whether any layer can have a low-rank update like `adapters`, wherever it is.
    pub fn adapts(&self, labels: &Labels, adapters: &Adapters, seed: u64) -> bool {
        let place = Place {
            adapters: Some(Adapters {
                targets: vec![".*".to_string()],
                ..adapters.clone()
            }),
            ..Place::cpu(false, Precision::F32)
        };
        let built = self.build(labels, &place, seed, None);
        built.is_ok_and(|(_, report)| report.new.iter().any(|path| path.contains(".adapter.")))
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

    /// How pictures become what the model reads, in its own size or with `side` pixels along each side: what the bundle
    /// says that it is, or transformers' `preprocessor_config.json`, or timm's `pretrained_cfg`, or what is usual.
    ///
    /// # Errors
    /// A file that says something else than is expected; a side out of range.
    pub fn preprocess(&self, side: Option<usize>) -> std::result::Result<Preprocess, Problem> {
        let wrong = |e: DataError| Problem::new("model", e.to_string());
        let read = |name: &str| std::fs::read_to_string(self.folder.join(name)).ok();
        let own = read("processor.json").and_then(|text| serde_json::from_str(&text).ok());
        let found = if let Some(Processor::Image(own)) = own {
            own.preprocess
        } else if let Some(text) = read("preprocessor_config.json") {
            Preprocess::from_transformers(&text, "preprocessor_config.json").map_err(wrong)?
        } else if self.config.0.get("pretrained_cfg").is_some() {
            Preprocess::from_timm(&self.config.0.to_string(), "config.json").map_err(wrong)?
        } else if self.family.name == "efficientnet" {
            Preprocess::efficientnet_lite0()
        } else {
            // What timm takes where nothing is said, which is what ImageNet's classifiers are trained with.
            Preprocess::from_timm("{}", "config.json").map_err(wrong)?
        };
        let Some(side) = side else {
            return Ok(found);
        };
        if !(8..=1024).contains(&side) {
            let text =
                format!("{side} is out of range 8 to 1024; leave it out for the model's own");
            return Err(Problem::new("processor.picture_size", text));
        }
        Ok(resized(found, side))
    }

    /// The model for pictures as a processor makes them, where shapes of its parameters depend on their size.
    ///
    /// # Errors
    /// A size that the model cannot have.
    pub fn resize(&mut self, processor: &Processor) -> std::result::Result<(), Problem> {
        let (Some(resized), Processor::Image(image)) = (self.family.resized, processor) else {
            return Ok(());
        };
        let size = image.preprocess.crop;
        let config = resized(&self.config, [size.height, size.width]);
        let wrong = |e: ConfigError| {
            let text = format!(
                "the model has no form for {} x {} pixels ({e}); leave it out for the model's own size",
                size.height, size.width
            );
            Problem::new("processor.picture_size", text)
        };
        self.facts = (self.family.facts)(&config).map_err(wrong)?;
        self.config = config;
        Ok(())
    }

    /// Bytes of `tokenizer.json`.
    pub fn tokenizer_bytes(&self) -> u64 {
        let file = self.folder.join("tokenizer.json");
        std::fs::metadata(file).map_or(0, |facts| facts.len())
    }

    /// Outputs of the checkpoint's own head; `None` when it has none.
    fn head_rows(&self) -> Option<usize> {
        let keys = (self.family.keys)(&self.config, "head.out.weight");
        let shape = keys.iter().find_map(|key| self.checkpoint.shape(key));
        shape?.first().copied()
    }

    /// Names of the outputs of the checkpoint's own head, as far as config.json gives them; none of a regression.
    fn classes(&self) -> Vec<String> {
        let named = &self.config.0["id2label"];
        let name = |i: usize| named[i.to_string()].as_str().map(str::to_string);
        (0..self.head_rows().unwrap_or(0)).map_while(name).collect()
    }

    /// For each output that `labels` need, the output of the checkpoint's head that answers it.
    fn origins(&self, labels: &Labels) -> Vec<Option<usize>> {
        let regression = self.config.text("problem_type", "") == "regression";
        match labels {
            Labels::Number { .. } => vec![(regression && self.head_rows() == Some(1)).then_some(0)],
            _ if regression => vec![None; labels.outputs()],
            _ => {
                let known = self.classes();
                let place = |name: &String| known.iter().position(|known| known == name);
                labels.names().iter().map(place).collect()
            }
        }
    }

    /// What becomes of the classes of the checkpoint's own head.
    fn changes(&self, labels: &Labels) -> HeadClasses {
        let (before, now) = (self.classes(), labels.names());
        let (kept, new) = now.iter().cloned().partition(|name| before.contains(name));
        let dropped = before.into_iter().filter(|name| !now.contains(name));
        HeadClasses {
            kept,
            new,
            dropped: dropped.collect(),
        }
    }
}

/// The same with `side` pixels along each side, of which the same share is cut off.
fn resized(from: Preprocess, side: usize) -> Preprocess {
    let scaled = |n: usize| n * side / from.crop.height.max(1);
    let size = |s: Size| Size {
        height: scaled(s.height),
        width: scaled(s.width),
    };
    let resize = match from.resize {
        Resize::Keep => Resize::Exact(Size::square(side)),
        Resize::Shortest(n) => Resize::Shortest(scaled(n)),
        Resize::Cover(s) => Resize::Cover(size(s)),
        Resize::Exact(s) => Resize::Exact(size(s)),
        Resize::Pad(s, fill) => Resize::Pad(size(s), fill),
    };
    Preprocess {
        resize,
        crop: Size::square(side),
        ..from
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

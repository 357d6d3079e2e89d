//! Export to the Hugging Face layout, reloaded and compared before it is called done.

mod pictures;

use std::path::Path;

use retune_data::Processor;
use retune_data::read::{ReadOptions, read};
use serde::Serialize;

use crate::bundle::{Bundle, PREDICTIONS, load_model};
use crate::embedding;
use crate::error::{Error, Result};
use crate::families::family_of;
use crate::model::Model;
use crate::ops::Precision;
use crate::peft::UPDATES;
use crate::pretrained::read_config;
use crate::staging::Staging;

/// Rows compared after an export.
const ROWS: usize = 64;
/// Files of a bundle that mean nothing to transformers, or that describe the base model's embeddings.
const OWN: [&str; 5] = [
    "processor.json",
    "recipe.toml",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
];
/// Largest difference of an output that passes.
const TOLERANCE: f64 = 1e-4;

/// What the comparison of an export found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportCheck {
    /// Rows compared.
    pub rows: usize,
    /// Largest difference of an output.
    pub max_difference: f64,
}

#[derive(Serialize)]
struct Parity {
    texts: Vec<Vec<String>>,
    logits: Vec<Vec<f32>>,
}

/// Writes a folder that transformers' `AutoModelForSequenceClassification` or `AutoModelForImageClassification` loads,
/// or timm where the model has timm's names, with what it answers: `parity.json` (texts and outputs) or
/// `parity.safetensors` (pixels and outputs) for `golden/check_export.py` and `golden/check_pictures.py`.
///
/// # Errors
/// The folder is not free, or the reloaded export answers differently.
pub fn export_hf(bundle: Bundle, dir: &Path) -> Result<ExportCheck> {
    refuse(&bundle, dir)?;
    let staging = begin(&bundle, dir, &[UPDATES])?;
    if let Processor::Image(processor) = &bundle.processor {
        pictures::describe(&staging, &bundle.config, processor)?;
    }
    let config = read_config(staging.folder())?;
    let outputs = bundle.processor.labels().outputs();
    let load = |folder: &Path, precision| load_model(folder, &config, outputs, precision);
    if let Processor::Image(processor) = &bundle.processor {
        // Other programs are compared with in f32.
        let [own, copy] = [&bundle.folder, staging.folder()].map(|f| load(f, Precision::F32));
        return pictures::compared(processor, [&own?, &copy?], staging);
    }
    let copy = load(staging.folder(), bundle.manifest.precision)?;
    compared(bundle, copy, staging)
}

/// An export begun: the bundle's files that mean something to transformers, but for those `without`.
pub(crate) fn begin(bundle: &Bundle, dir: &Path, without: &[&str]) -> Result<Staging> {
    let staging = Staging::create(dir)?;
    let names = bundle.manifest.files.keys().map(String::as_str);
    for name in names.filter(|name| !OWN.contains(name) && !without.contains(name)) {
        let from = bundle.folder.join(name);
        let content = std::fs::read(&from).map_err(|e| Error::io("read", &from, e))?;
        staging.write(name, &content)?;
    }
    if matches!(bundle.processor, Processor::Text(_)) {
        staging.write("tokenizer_config.json", &tokenizer_config(bundle)?)?;
    }
    Ok(staging)
}

/// Compares the bundle with the model that its export was read back as, adds `parity.json` and publishes.
pub(crate) fn compared(bundle: Bundle, copy: Model, staging: Staging) -> Result<ExportCheck> {
    let folder = bundle.folder.clone();
    let predictor = bundle.predictor();
    let texts = sample(&folder, predictor.text_columns())?;
    let wanted = predictor.outputs(&texts)?;
    let got = predictor.with_model(copy).outputs(&texts)?;
    let max_difference = difference(&wanted.concat(), &got.concat())?;
    let rows = texts.len();
    let parity = Parity {
        texts,
        logits: wanted,
    };
    let json = serde_json::to_vec(&parity).map_err(|e| Error::Internal(e.to_string()))?;
    staging.write("parity.json", &json)?;
    staging.publish()?;
    Ok(ExportCheck {
        rows,
        max_difference,
    })
}

/// The largest difference of outputs.
fn difference(wanted: &[f32], got: &[f32]) -> Result<f64> {
    let gaps = wanted.iter().zip(got);
    let gaps = gaps.map(|(a, b)| f64::from((a - b).abs()));
    let largest = gaps.fold(
        0.0,
        |top: f64, gap| if gap.is_nan() { gap } else { top.max(gap) },
    );
    if largest.is_nan() || largest > TOLERANCE {
        return Err(Error::Internal(format!(
            "the exported model answers differently from the bundle (by {largest:e}); nothing was written"
        )));
    }
    Ok(largest)
}

/// What cannot be exported, or not there.
pub(crate) fn refuse(bundle: &Bundle, dir: &Path) -> Result<()> {
    if dir
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
    {
        return Err(Error::User(format!(
            "{} exists and is not empty; nothing is overwritten: choose another folder",
            dir.display()
        )));
    }
    if embedding::rates(bundle.task) {
        return Err(Error::User(format!(
            "other programs have no head of cosines; read vectors by `retune predict {} --data FILE --out vectors.parquet`",
            bundle.folder.display()
        )));
    }
    let facts = (family_of(&bundle.config)?.facts)(&bundle.config)?;
    if bundle.manifest.pooling != facts.head.pooling {
        return Err(Error::User(
            "this head reads the mean of the vectors, which other programs' heads of this model do not; \
             tune with another method than `head` to export"
                .to_string(),
        ));
    }
    Ok(())
}

/// The tokenizer's configuration, with the length at which the model cuts texts.
fn tokenizer_config(bundle: &Bundle) -> Result<Vec<u8>> {
    let path = bundle.folder.join("tokenizer_config.json");
    let damaged = |what: String| Error::Damaged {
        path: path.clone(),
        what: format!("{what}; copy the bundle again"),
    };
    let mut config: serde_json::Value = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?,
        Err(_) => serde_json::json!({"tokenizer_class": "PreTrainedTokenizerFast"}),
    };
    if !config.is_object() {
        return Err(damaged("it is no JSON object".to_string()));
    }
    if let Processor::Text(text) = &bundle.processor {
        config["model_max_length"] = text.max_length.into();
    }
    serde_json::to_vec_pretty(&config).map_err(|e| Error::Internal(e.to_string()))
}

/// Texts of the first test rows of the bundle.
fn sample(folder: &Path, columns: &[String]) -> Result<Vec<Vec<String>>> {
    let table = read(&folder.join(PREDICTIONS), &ReadOptions::default())?;
    (0..table.rows().min(ROWS))
        .map(|row| {
            columns
                .iter()
                .map(|name| {
                    let text = table.column(name)?.text(row);
                    Ok(text.unwrap_or_default().into_owned())
                })
                .collect()
        })
        .collect()
}

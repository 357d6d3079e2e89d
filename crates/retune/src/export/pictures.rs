//! Exports of models of pictures: the files that transformers and timm read beside the weights, and a comparison on
//! noise, which needs no file of the user's.

use std::sync::Arc;

use retune_data::batch::{HostBatch, Pictures};
use retune_data::processor::ImageProcessor;
use retune_kernels::dropout::mix;
use serde_json::json;

use super::{ExportCheck, difference};
use crate::bundle::pretty;
use crate::checkpoint;
use crate::error::{Error, Result};
use crate::families::ModelConfig;
use crate::model::{Inputs, Model, Pass};
use crate::scoring::to_host;
use crate::staging::Staging;

/// Pictures of noise that are compared.
const PICTURES: usize = 4;

/// Adds how pictures become what the model reads.
pub(super) fn describe(
    staging: &Staging,
    config: &ModelConfig,
    processor: &ImageProcessor,
) -> Result<()> {
    let steps = &processor.preprocess;
    let unsaid = || {
        Error::User(
            "other programs have no words for how this model's pictures are resized and cut; leave out --picture-size"
                .to_string(),
        )
    };
    if config.0.get("model_type").is_some() {
        let steps = steps.to_transformers().ok_or_else(unsaid)?;
        return staging.write("preprocessor_config.json", &pretty(&steps)?);
    }
    let mut steps = steps.to_timm().ok_or_else(unsaid)?;
    let names = processor.labels.names();
    let outputs = processor.labels.outputs();
    steps["num_classes"] = outputs.into();
    let mut config = config.0.clone();
    config["pretrained_cfg"] = steps;
    config["num_classes"] = outputs.into();
    config["label_names"] = json!(names);
    staging.write("config.json", &pretty(&config)?)
}

/// Compares the model of the bundle with the one that its export was read back as, adds `parity.safetensors` and
/// publishes.
pub(super) fn compared(
    processor: &ImageProcessor,
    [own, copy]: [&Model; 2],
    staging: Staging,
) -> Result<ExportCheck> {
    let size = processor.preprocess.crop;
    let shape = vec![PICTURES, size.height, size.width, 3];
    let value = |i: usize| (mix(i as u64) >> 40) as f32 / 4_194_304.0 - 2.0;
    let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
    let batch = HostBatch {
        pictures: Arc::new(Pictures {
            height: size.height,
            width: size.width,
            values: values.clone(),
        }),
        lengths: vec![1; PICTURES],
        chunks: vec![1; PICTURES],
        keys: vec![0; PICTURES],
        ..HostBatch::default()
    };
    let outputs = |model: &Model| to_host(model.output(&Inputs::new(&batch), &Pass::default()));
    let wanted = outputs(own);
    let max_difference = difference(&wanted, &outputs(copy))?;
    let logits = vec![PICTURES, wanted.len() / PICTURES];
    let tensors = [
        ("pixels".to_string(), shape, values),
        ("logits".to_string(), logits, wanted),
    ];
    checkpoint::write(&staging.folder().join("parity.safetensors"), &tensors, &[])?;
    staging.publish()?;
    Ok(ExportCheck {
        rows: PICTURES,
        max_difference,
    })
}

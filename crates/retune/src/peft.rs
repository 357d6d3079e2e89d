//! Low-rank adapters in the layout of the Python library PEFT: `adapter_config.json` and
//! `adapter_model.safetensors`, read as a start for training and written from a bundle.
//!
//! A layer's update is `base_model.model.LAYER.lora_A.weight` `[rank, in]` and `….lora_B.weight` `[out, rank]`, times
//! `lora_alpha / r`; a module trained whole stands under `base_model.model.` and its own name.

mod read;
mod write;

use std::path::Path;

use crate::error::{Error, Result};
use crate::pretrained::BaseModel;
use crate::weights::HostTensor;

pub(crate) use read::AdapterFolder;
pub use write::export_peft;

/// File of a bundle with the factors of the updates that were added to its model, named as PEFT names them.
pub(crate) const UPDATES: &str = "adapter.safetensors";

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.";
const DOWN: &str = ".lora_A.weight";
const UP: &str = ".lora_B.weight";

/// Whether a folder holds an adapter.
pub(crate) fn is_adapter(folder: &Path) -> bool {
    folder.join(CONFIG).is_file()
}

/// Writes the factors of a run's updates beside the model that they were added to; nothing when there are none.
pub(crate) fn write_updates(folder: &Path, updates: &[HostTensor], base: &BaseModel) -> Result<()> {
    if updates.is_empty() {
        return Ok(());
    }
    let module = |layer: &str| module(base, layer);
    let name = |path: &str| match path.rsplit_once(".adapter.") {
        Some((layer, "down")) => format!("{PREFIX}{}{DOWN}", module(layer)),
        Some((layer, _)) => format!("{PREFIX}{}{UP}", module(layer)),
        None => path.to_string(),
    };
    let named = updates.iter().cloned();
    let named: Vec<HostTensor> = named.map(|(path, s, v)| (name(&path), s, v)).collect();
    Ok(crate::checkpoint::write(
        &folder.join(UPDATES),
        &named,
        &[],
    )?)
}

/// Name that transformers gives the layer at a path.
fn module(base: &BaseModel, layer: &str) -> String {
    let keys = (base.family.keys)(&base.config, &format!("{layer}.weight"));
    let key = keys.into_iter().next().unwrap_or_default();
    // Of a part of a tensor, `LAYER.weight[0/3]`, the part stays: no other layer has its name then.
    match key.rsplit_once(".weight") {
        Some((layer, part)) => format!("{layer}{part}"),
        None => key,
    }
}

/// An adapter changes a tensor that the model does not have.
pub(crate) fn no_place(adapter: &str, tensor: &str, family: &str) -> Error {
    Error::User(format!(
        "the adapter in {adapter} changes `{tensor}`, and models of the family `{family}` have no such part; \
         train it with other target_modules or modules_to_save"
    ))
}

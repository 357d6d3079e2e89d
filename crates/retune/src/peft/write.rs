//! Export of a bundle's adapter, read back on its base model and compared before it is called done.

use std::path::Path;

use retune_data::Processor;
use serde_json::{Value, json};

use super::{CONFIG, DOWN, PREFIX, UPDATES, WEIGHTS};
use crate::bundle::{BaseRecord, Bundle, pretty};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::export::{self, ExportCheck};
use crate::families::family_of;
use crate::hub::{CATALOGUE, HubOptions, Progress};
use crate::methods::MethodRecipe;
use crate::methods::lora::Lora;
use crate::pretrained::BaseModel;
use crate::recipe::Recipe;
use crate::weights::{HostTensor, Place, host_values};

/// Writes a folder that PEFT loads: the low-rank updates and the head of a bundle that was tuned with `lora`, with
/// its tokenizer, its `config.json` (the names of the classes are in it) and `parity.json` (texts and outputs) for
/// `golden/check_peft.py`. The base model is needed to read it back.
///
/// # Errors
/// The folder is not free; the bundle has no updates; the base model is not found or is another one now; or the
/// export answers differently when it is read back.
pub fn export_peft(
    bundle: Bundle,
    dir: &Path,
    hub: &HubOptions,
    on: &mut dyn FnMut(Progress),
) -> Result<ExportCheck> {
    if matches!(bundle.processor, Processor::Image(_)) {
        return Err(Error::User(
            "PEFT has no layout for models of pictures; --hf writes the whole model".to_string(),
        ));
    }
    export::refuse(&bundle, dir)?;
    let lora = lora(&bundle)?;
    whole_base(&bundle.manifest.base)?;
    let staging = export::begin(&bundle, dir, &[UPDATES, "model.safetensors"])?;
    let updates = Checkpoint::open(&bundle.folder.join(UPDATES))?;
    let head = head(&bundle)?;
    let mut tensors = head.clone();
    for name in updates.names() {
        let shape = updates.shape(name).unwrap_or_default().to_vec();
        tensors.push((name.to_string(), shape, updates.f32(name)?));
    }
    let config = config(&bundle.manifest.base, &lora, &updates, &head);
    staging.write(CONFIG, &pretty(&config)?)?;
    crate::checkpoint::write(&staging.folder().join(WEIGHTS), &tensors, &[])?;

    // From here on as with any adapter folder.
    let folder = staging.folder().display().to_string();
    let copy = BaseModel::resolve(&folder, hub, false, on)?;
    let copy = copy.ok_or_else(|| Error::Internal("the export was not found".to_string()))?;
    same_base(&bundle.manifest.base, &copy)?;
    let place = Place::cpu(false, bundle.manifest.precision);
    let (model, report) = copy.build(bundle.processor.labels(), &place, 0, None)?;
    if !report.new.is_empty() || report.classes.is_some() {
        return Err(Error::Internal(
            "the exported head is not whole".to_string(),
        ));
    }
    export::compared(bundle, model, staging)
}

/// The method's options; an error for a bundle without updates.
fn lora(bundle: &Bundle) -> Result<Lora> {
    let recipe = Recipe::read(&bundle.folder.join("recipe.toml")).map_err(Error::Problems)?;
    match recipe.method {
        MethodRecipe::Lora(lora) if bundle.manifest.files.contains_key(UPDATES) => Ok(lora),
        _ => Err(Error::User(format!(
            "{} holds no low-rank updates (its method is `{}`); tune with --method lora, or export the whole model with --hf",
            bundle.folder.display(),
            bundle.manifest.method
        ))),
    }
}

/// The head's tensors under the names of PEFT; opening the bundle has made sure that it has one.
fn head(bundle: &Bundle) -> Result<Vec<HostTensor>> {
    let family = family_of(&bundle.config)?;
    let name = |path: &str| {
        let keys = (family.keys)(&bundle.config, path);
        format!("{PREFIX}{}", keys.first().map_or(path, String::as_str))
    };
    let values = host_values(&bundle.model).into_iter();
    let head = values.filter(|(path, ..)| path.starts_with("head."));
    Ok(head
        .map(|(path, shape, values)| (name(&path), shape, values))
        .collect())
}

/// `adapter_config.json`.
fn config(base: &BaseRecord, lora: &Lora, updates: &Checkpoint, head: &[HostTensor]) -> Value {
    let layers = updates.names().filter_map(|name| name.strip_suffix(DOWN));
    let layers: Vec<&str> = layers.map(|name| name.trim_start_matches(PREFIX)).collect();
    // The outermost module below the model: `classifier` of `classifier.out_proj.weight`.
    let mut modules: Vec<&str> = head.iter().map(|(name, ..)| module(name)).collect();
    modules.sort_unstable();
    modules.dedup();
    let (name, revision) = reference(base);
    json!({
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": name,
        "revision": revision,
        "inference_mode": true,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "use_rslora": lora.rslora,
        "target_modules": layers,
        "modules_to_save": modules,
        "bias": "none",
        "fan_in_fan_out": false,
    })
}

/// The module that PEFT saves whole for a head's tensor: the one that holds its layer, or the layer where nothing does.
fn module(tensor: &str) -> &str {
    let name = tensor.trim_start_matches(PREFIX);
    let layer = name.rsplit_once('.').map_or(name, |(layer, _)| layer);
    layer.rsplit_once('.').map_or(layer, |(module, _)| module)
}

/// The base model as transformers names it, and its revision.
fn reference(base: &BaseRecord) -> (String, Option<String>) {
    let name = base.reference.as_str();
    if let Some(entry) = CATALOGUE.iter().find(|entry| entry.name == name) {
        return (entry.hub_id.to_string(), None);
    }
    if Path::new(name).is_dir() {
        let whole = std::path::absolute(name).unwrap_or(name.into());
        return (whole.display().to_string(), None);
    }
    match name.split_once('@') {
        Some((id, revision)) => (id.to_string(), Some(revision.to_string())),
        None => (name.to_string(), None),
    }
}

/// Checks that the base model was no adapter itself.
fn whole_base(base: &BaseRecord) -> Result<()> {
    if !base.files.contains_key(CONFIG) {
        return Ok(());
    }
    Err(Error::User(format!(
        "the bundle was tuned on top of the adapter {}, so its updates alone are no adapter of a whole model; \
         export the whole model with --hf",
        base.reference
    )))
}

/// Checks that the base model is the one that was tuned.
fn same_base(then: &BaseRecord, now: &BaseModel) -> Result<()> {
    let weights = |name: &&String| name.ends_with(".safetensors");
    let changed = then.files.keys().filter(weights);
    match changed
        .into_iter()
        .find(|name| then.files.get(*name) != now.files.get(*name))
    {
        Some(name) => Err(Error::User(format!(
            "{name} of the base model {} is not the file that was tuned; put that one back, or export the whole model with --hf",
            then.reference
        ))),
        None => Ok(()),
    }
}

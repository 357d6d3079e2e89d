//! Which files of a folder are the weights of a model.

use std::path::{Path, PathBuf};

use super::{CheckpointError, index, pickle};

/// Names of an unsharded checkpoint and of the index of a sharded one, the preferred format first.
pub(crate) const LAYOUTS: [(&str, &str); 2] = [
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
];

/// What training programs write beside the weights.
const BESIDE: [&str; 5] = [
    "training_args.bin",
    "optimizer.pt",
    "optimizer.bin",
    "scheduler.pt",
    "rng_state.pth",
];

/// The files of one model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Files {
    /// Files with tensors, in order of their names.
    pub tensors: Vec<PathBuf>,
    /// The index that names them, where there are several.
    pub index: Option<PathBuf>,
}

impl Files {
    fn one(file: PathBuf) -> Self {
        Self {
            tensors: vec![file],
            index: None,
        }
    }

    /// Of a folder, or a single file.
    pub fn of(path: &Path) -> Result<Self, CheckpointError> {
        if path.is_file() {
            return Ok(Self::one(path.into()));
        }
        let (safe, torch) = (Self::of_layout(path, 0)?, |folder| {
            Self::of_layout(folder, 1)
        });
        if let Some(found) = safe {
            return Ok(found);
        }
        let names = names(path)?;
        let is_safe = |name: &&String| name.ends_with(".safetensors");
        let is_torch = |name: &&String| pickle::is_name(name) && !BESIDE.contains(&name.as_str());
        if let Some(found) = only(path, names.iter().filter(is_safe).collect())? {
            return Ok(found);
        }
        if let Some(found) = torch(path)? {
            return Ok(found);
        }
        let found = only(path, names.iter().filter(is_torch).collect())?;
        found.ok_or_else(|| CheckpointError::Missing {
            folder: path.to_path_buf(),
        })
    }

    fn of_layout(folder: &Path, layout: usize) -> Result<Option<Self>, CheckpointError> {
        let (single, list) = LAYOUTS[layout];
        let (single, list) = (folder.join(single), folder.join(list));
        if single.is_file() {
            return Ok(Some(Self::one(single)));
        }
        if !list.is_file() {
            return Ok(None);
        }
        let shards = index::shards(&index::read(&list)?);
        Ok(Some(Self {
            tensors: shards.into_iter().map(|shard| folder.join(shard)).collect(),
            index: Some(list),
        }))
    }
}

/// The file of that name, where there is one; an error where there are several.
fn only(folder: &Path, names: Vec<&String>) -> Result<Option<Files>, CheckpointError> {
    match names[..] {
        [] => Ok(None),
        [name] => Ok(Some(Files::one(folder.join(name)))),
        [one, ..] => Err(CheckpointError::Ambiguous {
            folder: folder.to_path_buf(),
            count: names.len(),
            ending: one.rsplit('.').next().unwrap_or_default().to_string(),
        }),
    }
}

/// Names of the files in a folder.
fn names(folder: &Path) -> Result<Vec<String>, CheckpointError> {
    let io = |e| CheckpointError::io("read", folder, e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default();
            names.push(name.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

//! `model.safetensors.index.json` and `pytorch_model.bin.index.json`: which shard holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::CheckpointError;

/// Largest index that is read, in bytes; those of the largest public models have some hundred thousand.
const LARGEST: u64 = 64 << 20;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Shard of each tensor. Shards are names of files beside the index, never paths.
pub fn read(path: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    let damaged = |what: String| CheckpointError::damaged(path, what);
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text))
        .map_err(|e| CheckpointError::io("read", path, e))?;
    if text.len() as u64 > LARGEST {
        return Err(damaged(format!("it has more than {LARGEST} bytes")));
    }
    let index: Index =
        serde_json::from_str(&text).map_err(|e| damaged(format!("it is no index: {e}")))?;
    if index.weight_map.is_empty() {
        return Err(damaged("it names no tensors".to_string()));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = if name.starts_with("pytorch") {
        ".bin"
    } else {
        ".safetensors"
    };
    for (tensor, shard) in &index.weight_map {
        if !is_file_name(shard, ending) {
            return Err(damaged(format!(
                "it places tensor `{tensor}` in `{shard}`, which is not the name of a {ending} file in the same folder"
            )));
        }
    }
    Ok(index.weight_map)
}

/// Names of the shards in an index, each once, in order.
pub fn shards(index: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<&String> = index.values().collect();
    names.into_iter().cloned().collect()
}

/// Whether `name` is the plain name of a file with this ending on every system.
fn is_file_name(name: &str, ending: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    name.len() <= 200
        && name.ends_with(ending)
        && !name.starts_with(['.', '-'])
        && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const INDEX: &str = "model.safetensors.index.json";

    fn with(text: &str) -> Result<BTreeMap<String, String>, CheckpointError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(INDEX);
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn lists_each_shard_once() {
        let text = r#"{"metadata":{"total_size":8},"weight_map":
            {"a":"m-2.safetensors","b":"m-1.safetensors","c":"m-2.safetensors"}}"#;
        let index = with(text).unwrap();
        assert_eq!(shards(&index), ["m-1.safetensors", "m-2.safetensors"]);
    }

    #[test]
    fn shards_outside_the_folder_are_refused() {
        for shard in [
            "../m.safetensors",
            "/etc/m.safetensors",
            "a/m.safetensors",
            "a\\\\m.safetensors",
            "C:m.safetensors",
            ".safetensors",
            "model.bin",
            "",
        ] {
            let text = format!(r#"{{"weight_map":{{"a":"{shard}"}}}}"#);
            let error = with(&text).unwrap_err().to_string();
            assert!(error.contains("in the same folder"), "{shard}: {error}");
        }
    }

    #[test]
    fn an_index_without_tensors_is_damaged() {
        for text in ["", "[]", "{}", r#"{"weight_map":{}}"#] {
            assert!(
                with(text).unwrap_err().to_string().contains(INDEX),
                "{text}"
            );
        }
    }
}

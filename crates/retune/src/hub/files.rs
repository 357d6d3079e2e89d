//! Which files make a model, and their hashes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::HubError;
use crate::checkpoint;
use crate::checkpoint::files::Files;

/// The file that every model has.
pub const CONFIG: &str = "config.json";

/// Files beside the weights that a model may have.
pub const OPTIONAL: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
];

/// What is known of a stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// Size and hash of a file.
pub fn facts(path: &Path) -> Result<FileFacts, HubError> {
    let read = || -> io::Result<FileFacts> {
        let mut file = File::open(path)?;
        let mut hash = Sha256::new();
        let mut block = vec![0; 1 << 20];
        let mut size = 0;
        loop {
            let read = file.read(&mut block)?;
            if read == 0 {
                break;
            }
            size += read as u64;
            hash.update(&block[..read]);
        }
        let sha256 = checkpoint::hex(&hash.finalize());
        Ok(FileFacts { size, sha256 })
    };
    read().map_err(HubError::io("read", path))
}

/// Names of a model's files in a folder: the configuration and what else is there, and the weights.
///
/// # Errors
/// [`HubError::Checkpoint`] when there are no weights, or when a shard is missing.
pub fn present(folder: &Path) -> Result<Vec<String>, HubError> {
    let mut names: Vec<String> = [CONFIG]
        .iter()
        .chain(OPTIONAL)
        .filter(|name| folder.join(name).is_file())
        .map(ToString::to_string)
        .collect();
    let weights = Files::of(folder)?;
    for path in weights.index.into_iter().chain(weights.tensors) {
        std::fs::metadata(&path).map_err(HubError::io("read", &path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        names.push(name.into_owned());
    }
    Ok(names)
}

/// Whether `name` stays inside the folder it is joined to, on every system.
pub fn stays_inside(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    name.split('/')
        .all(|part| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn hashes_as_sha256sum_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"abc").unwrap();
        let found = facts(&path).unwrap();
        assert_eq!(found.size, 3);
        assert_eq!(
            found.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn lists_the_files_of_a_model_only() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["config.json", "notes.txt", "vocab.txt", "model.safetensors"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        let names = present(dir.path()).unwrap();
        assert_eq!(names, ["config.json", "vocab.txt", "model.safetensors"]);
    }

    #[test]
    fn names_that_leave_the_folder_are_noticed() {
        assert!(stays_inside("1_Pooling/config.json"));
        for name in ["../a", "a/../b", "/a", "a//b", "", "a\\b", "C:a", ".a"] {
            assert!(!stays_inside(name), "{name}");
        }
    }
}

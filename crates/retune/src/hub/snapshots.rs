//! The Hugging Face cache on disk, as its own programs keep it; it is read, never written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

use super::catalogue::CatalogueEntry;
use super::files;
use super::reference::HubId;

/// A model in the Hugging Face cache.
#[derive(Debug, PartialEq)]
pub struct Snapshot {
    /// Folder of its files.
    pub folder: PathBuf,
    /// Its commit.
    pub revision: Option<String>,
    /// SHA-256 of each file.
    pub files: BTreeMap<String, String>,
}

/// The snapshot of a repository, if it is there and complete.
///
/// `Ok(None)` when there is nothing; `Err` says why what is there cannot be used.
pub fn find(hf_home: &Path, id: &HubId) -> Result<Option<Snapshot>, String> {
    let Some((folder, revision)) = locate(hf_home, id) else {
        return Ok(None);
    };
    if !folder.join(files::CONFIG).is_file() {
        return Err(format!("{} has no {}", folder.display(), files::CONFIG));
    }
    let names = files::present(&folder).map_err(|e| e.to_string())?;
    snapshot(folder, revision, names.iter().map(String::as_str)).map(Some)
}

/// The snapshot of a catalogue entry, if it is there and every file has the catalogue's hash.
///
/// `Ok(None)` when there is nothing; `Err` says why what is there cannot be used.
pub fn find_entry(hf_home: &Path, entry: &CatalogueEntry) -> Result<Option<Snapshot>, String> {
    let id = HubId {
        id: entry.hub_id.to_string(),
        revision: None,
    };
    if entry.hub_id.is_empty() {
        return Ok(None);
    }
    let Some((folder, revision)) = locate(hf_home, &id) else {
        return Ok(None);
    };
    for file in entry.files {
        // The sizes first: a wrong one spares the hashing.
        let path = folder.join(file.name);
        let size = fs::metadata(&path).map(|m| m.len());
        if size.ok() != Some(file.size) {
            return Err(format!("{} is not the catalogue's", path.display()));
        }
    }
    let found = snapshot(folder, revision, entry.files.iter().map(|f| f.name))?;
    for file in entry.files {
        if found.files.get(file.name).map(String::as_str) != Some(file.sha256) {
            let path = found.folder.join(file.name);
            return Err(format!("{} is not the catalogue's", path.display()));
        }
    }
    Ok(Some(found))
}

fn locate(hf_home: &Path, id: &HubId) -> Option<(PathBuf, String)> {
    let wanted = id.revision.clone().unwrap_or_else(|| "main".to_string());
    let repo = Repo::with_revision(id.id.clone(), RepoType::Model, wanted.clone());
    let root = hf_home.join("hub");
    let refs = root.join(repo.folder_name()).join("refs").join(&wanted);
    let commit = match fs::read_to_string(refs) {
        Ok(text) => text.trim().to_string(),
        // A commit is its own name.
        Err(_) => wanted,
    };
    if commit.is_empty() || !commit.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let folder = Cache::new(root).repo(repo).pointer_path(&commit);
    folder.is_dir().then_some((folder, commit))
}

fn snapshot<'a>(
    folder: PathBuf,
    revision: String,
    names: impl Iterator<Item = &'a str>,
) -> Result<Snapshot, String> {
    let mut hashes = BTreeMap::new();
    for name in names {
        let facts = files::facts(&folder.join(name)).map_err(|e| e.to_string())?;
        hashes.insert(name.to_string(), facts.sha256);
    }
    Ok(Snapshot {
        folder,
        revision: Some(revision),
        files: hashes,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::hub::catalogue::{CATALOGUE, CatalogueFile};

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A cache with one model in it, laid out as huggingface_hub does.
    fn cache(id: &str, files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let model = dir
            .path()
            .join("hub")
            .join(format!("models--{}", id.replace('/', "--")));
        fs::create_dir_all(model.join("refs")).unwrap();
        fs::write(model.join("refs/main"), COMMIT).unwrap();
        for (name, content) in files {
            let path = model.join("snapshots").join(COMMIT).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir
    }

    fn id(id: &str, revision: Option<&str>) -> HubId {
        HubId {
            id: id.to_string(),
            revision: revision.map(str::to_string),
        }
    }

    #[test]
    fn finds_a_snapshot_by_branch_and_by_commit() {
        let dir = cache(
            "a/b",
            &[("config.json", b"{}"), ("model.safetensors", b"abc")],
        );
        for revision in [None, Some(COMMIT)] {
            let found = find(dir.path(), &id("a/b", revision)).unwrap().unwrap();
            assert_eq!(found.revision.as_deref(), Some(COMMIT));
            assert!(found.files["model.safetensors"].starts_with("ba7816bf"));
        }
        assert_eq!(find(dir.path(), &id("a/b", Some("v2"))), Ok(None));
        assert_eq!(find(dir.path(), &id("a/c", None)), Ok(None));
    }

    #[test]
    fn an_incomplete_snapshot_is_refused() {
        let dir = cache("a/b", &[("config.json", b"{}")]);
        let error = find(dir.path(), &id("a/b", None)).unwrap_err();
        assert!(error.contains(".safetensors"), "{error}");
        let dir = cache("a/b", &[("model.safetensors", b"")]);
        let error = find(dir.path(), &id("a/b", None)).unwrap_err();
        assert!(error.contains("config.json"), "{error}");
    }

    #[test]
    fn a_catalogue_name_takes_only_the_catalogues_files() {
        const ENTRY: CatalogueEntry = CatalogueEntry {
            files: &[CatalogueFile {
                name: "config.json",
                sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                size: 3,
                own: None,
            }],
            ..CATALOGUE[0]
        };
        let dir = cache(ENTRY.hub_id, &[("config.json", b"abc"), ("other", b"")]);
        let found = find_entry(dir.path(), &ENTRY).unwrap().unwrap();
        assert_eq!(found.files.len(), 1);
        for wrong in [&b"abd"[..], b"ab"] {
            let dir = cache(ENTRY.hub_id, &[("config.json", wrong)]);
            let error = find_entry(dir.path(), &ENTRY).unwrap_err();
            assert!(error.contains("not the catalogue's"), "{error}");
        }
    }

    #[test]
    fn a_reference_cannot_point_outside() {
        let dir = cache("a/b", &[("config.json", b"{}")]);
        let refs = dir.path().join("hub/models--a--b/refs/main");
        fs::write(refs, "../../../..").unwrap();
        assert_eq!(find(dir.path(), &id("a/b", None)), Ok(None));
    }
}

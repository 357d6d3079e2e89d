//! Models on this machine: one folder each under `HOME/models`, complete or not there.
//!
//! A model is put together in a hidden folder beside its place and moved there in one step. Whoever puts
//! one there holds the model's lock, so that two processes fetch it once.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::catalogue::CatalogueEntry;
use super::files::{self, FileFacts};
use super::{HubError, Progress};

const MANIFEST: &str = "MANIFEST.json";
const FORMAT: u32 = 1;

/// What a stored model is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// What it was asked for by.
    pub reference: String,
    /// `hub` or `package`.
    pub origin: String,
    /// Commit on the hub.
    pub revision: Option<String>,
    /// Its files by name.
    pub files: BTreeMap<String, FileFacts>,
}

impl Manifest {
    /// Of a model with these files.
    pub fn new(
        reference: &str,
        origin: &str,
        revision: Option<String>,
        files: BTreeMap<String, FileFacts>,
    ) -> Self {
        Self {
            format: FORMAT,
            reference: reference.to_string(),
            origin: origin.to_string(),
            revision,
            files,
        }
    }
}

/// What stands at a model's place.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// The model.
    Whole(Manifest),
    /// Something that cannot be used, and why.
    Damaged(String),
}

/// The place of one model.
#[derive(Debug)]
pub struct Place {
    models: PathBuf,
    downloads: PathBuf,
    key: String,
}

impl Place {
    /// The place of the model named `key` below `home`.
    pub fn new(home: &Path, key: &str) -> Self {
        Self {
            models: home.join("models"),
            downloads: home.join("downloads"),
            key: key.to_string(),
        }
    }

    /// Folder of the model.
    pub fn folder(&self) -> PathBuf {
        self.models.join(&self.key)
    }

    /// Folder of what has been downloaded in part, for all models.
    pub fn downloads(&self) -> &Path {
        &self.downloads
    }

    /// Folder of what has been downloaded of this model in part.
    pub fn partial_downloads(&self) -> PathBuf {
        self.downloads.join(&self.key)
    }

    /// Looks at what is there. Sizes are always compared, hashes with `verify` only: they were taken when
    /// the files were stored.
    pub fn find(&self, entry: Option<&CatalogueEntry>, verify: bool) -> Found {
        let path = self.folder().join(MANIFEST);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(_) if !self.folder().exists() => return Found::Nothing,
            Err(error) => return Found::Damaged(format!("{MANIFEST}: {error}")),
        };
        let manifest: Manifest = match serde_json::from_str(&text) {
            Ok(manifest) => manifest,
            Err(error) => return Found::Damaged(format!("{MANIFEST}: {error}")),
        };
        match self.check(&manifest, entry, verify) {
            Ok(()) => Found::Whole(manifest),
            Err(what) => Found::Damaged(what),
        }
    }

    fn check(
        &self,
        manifest: &Manifest,
        entry: Option<&CatalogueEntry>,
        verify: bool,
    ) -> Result<(), String> {
        if manifest.format != FORMAT {
            return Err(format!("{MANIFEST} has format {}", manifest.format));
        }
        for file in entry.iter().flat_map(|entry| entry.files) {
            let stored = manifest.files.get(file.name).map(|facts| &facts.sha256[..]);
            if stored != Some(file.sha256) {
                return Err(format!("{} is not the catalogue's", file.name));
            }
        }
        for (name, stored) in &manifest.files {
            if !files::stays_inside(name) {
                return Err(format!("{MANIFEST} names `{name}`"));
            }
            let path = self.folder().join(name);
            let size = fs::metadata(&path)
                .map_err(|e| format!("{name}: {e}"))?
                .len();
            if size != stored.size {
                return Err(format!("{name} has {size} of {} bytes", stored.size));
            }
            if verify && files::facts(&path).map_err(|e| e.to_string())? != *stored {
                return Err(format!(
                    "{name} does not have the SHA-256 it was stored with"
                ));
            }
        }
        Ok(())
    }

    /// Takes the model's lock, waiting for another process if need be; released when dropped.
    pub fn lock(&self, on: &mut dyn FnMut(Progress)) -> Result<File, HubError> {
        for folder in [&self.models, &self.downloads] {
            fs::create_dir_all(folder).map_err(HubError::io("create", folder))?;
        }
        let path = self.models.join(format!(".{}.lock", self.key));
        let file = File::create(&path).map_err(HubError::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("another process is fetching {}: waiting for it", self.key);
                on(Progress::Waiting { text });
                file.lock().map_err(HubError::io("lock", &path))?;
            }
            Err(TryLockError::Error(error)) => return Err(HubError::io("lock", &path)(error)),
        }
        Ok(file)
    }

    /// An empty folder to put the model together in; what dead processes left is removed. The caller holds
    /// the lock.
    pub fn stage(&self) -> Result<PathBuf, HubError> {
        let prefix = format!(".{}.partial-", self.key);
        let entries = fs::read_dir(&self.models).map_err(HubError::io("read", &self.models))?;
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(HubError::io("remove", &path))?;
            }
        }
        let stage = self.models.join(format!("{prefix}{}", std::process::id()));
        fs::create_dir(&stage).map_err(HubError::io("create", &stage))?;
        Ok(stage)
    }

    /// Moves the staged model to its place, over a damaged one if need be.
    pub fn publish(&self, stage: &Path, manifest: &Manifest) -> Result<(), HubError> {
        let path = stage.join(MANIFEST);
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&path)?;
            file.write_all(serde_json::to_string_pretty(manifest)?.as_bytes())?;
            file.sync_all()
        };
        write().map_err(HubError::io("write", &path))?;
        sync_folder(stage);
        let folder = self.folder();
        // A name that `stage` cleans up, should this process die here.
        let old = self
            .models
            .join(format!(".{}.partial-{}-old", self.key, std::process::id()));
        if folder.exists() {
            fs::rename(&folder, &old).map_err(HubError::io("move", &folder))?;
        }
        fs::rename(stage, &folder).map_err(HubError::io("move", &folder))?;
        sync_folder(&self.models);
        let _ = fs::remove_dir_all(&old);
        let _ = fs::remove_dir_all(self.partial_downloads());
        Ok(())
    }
}

/// Not every file system lets a folder be synced; its renames have been done all the same.
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|file| file.sync_all());
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn store(place: &Place, content: &[u8]) -> Manifest {
        let _lock = place.lock(&mut |_| {}).unwrap();
        let stage = place.stage().unwrap();
        fs::write(stage.join("config.json"), content).unwrap();
        let facts = files::facts(&stage.join("config.json")).unwrap();
        let files = BTreeMap::from([("config.json".to_string(), facts)]);
        let manifest = Manifest::new("a/b", "hub", Some("c0ffee".to_string()), files);
        place.publish(&stage, &manifest).unwrap();
        manifest
    }

    #[test]
    fn a_stored_model_is_found_and_its_damage_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), "a--b");
        assert_eq!(place.find(None, true), Found::Nothing);
        let manifest = store(&place, b"{}");
        assert_eq!(place.find(None, true), Found::Whole(manifest.clone()));
        let path = place.folder().join("config.json");
        fs::write(&path, b"[]").unwrap();
        assert_eq!(place.find(None, false), Found::Whole(manifest));
        let damaged = |found| matches!(found, Found::Damaged(_));
        assert!(damaged(place.find(None, true)));
        fs::write(&path, b"{").unwrap();
        assert!(damaged(place.find(None, false)));
        fs::remove_file(&path).unwrap();
        assert!(damaged(place.find(None, false)));
        fs::remove_file(place.folder().join(MANIFEST)).unwrap();
        assert!(damaged(place.find(None, false)));
        // And is mended by storing it again.
        let manifest = store(&place, b"{ }");
        assert_eq!(place.find(None, true), Found::Whole(manifest));
    }

    #[test]
    fn a_manifest_cannot_point_outside() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), "a--b");
        let mut manifest = store(&place, b"{}");
        let facts = manifest.files["config.json"].clone();
        manifest.files.insert("../x".to_string(), facts);
        let text = serde_json::to_string(&manifest).unwrap();
        fs::write(place.folder().join(MANIFEST), text).unwrap();
        let Found::Damaged(what) = place.find(None, false) else {
            panic!("accepted");
        };
        assert!(what.contains("../x"), "{what}");
    }

    #[test]
    fn remains_of_dead_processes_are_removed_but_not_those_of_other_models() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), "a");
        let _lock = place.lock(&mut |_| {}).unwrap();
        let models = dir.path().join("models");
        for name in [".a.partial-1", ".a.partial-2-old", ".ab.partial-1"] {
            fs::create_dir(models.join(name)).unwrap();
            fs::write(models.join(name).join("model.safetensors"), b"half").unwrap();
        }
        let stage = place.stage().unwrap();
        assert_eq!(fs::read_dir(stage).unwrap().count(), 0);
        assert!(!models.join(".a.partial-1").exists());
        assert!(!models.join(".a.partial-2-old").exists());
        assert!(models.join(".ab.partial-1").exists());
    }

    #[test]
    fn the_second_to_lock_waits_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), "a");
        let lock = place.lock(&mut |_| {}).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let place = &place;
            let waiter = scope.spawn(move || {
                let lock = place.lock(&mut |progress| tell.send(progress).unwrap());
                drop(lock.unwrap());
            });
            let Progress::Waiting { text } = told.recv().unwrap() else {
                panic!("not waiting");
            };
            assert!(text.contains("another process"), "{text}");
            drop(lock);
            waiter.join().unwrap();
        });
    }
}

//! A model from the hub: which of its files are fetched, and how they come to be one whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Repo, RepoType};

use super::cache::{Manifest, Place};
use super::catalogue::CatalogueEntry;
use super::files::{self, FileFacts};
use super::reference::HubId;
use super::transfer::{Client, Got, Outcome, Want};
use super::{HubError, HubOptions, Progress};
use crate::checkpoint::files::LAYOUTS;
use crate::checkpoint::index;

/// How long the first file of a catalogue entry may take: another source is waiting.
const PATIENCE: Duration = Duration::from_millis(4500);
/// Most bytes of a file that is not weights.
const LARGEST_TEXT: u64 = 256 << 20;

/// Fetches a repository. The caller holds the lock of its place.
pub fn fetch(
    id: &HubId,
    place: &Place,
    options: &HubOptions,
    on: &mut dyn FnMut(Progress),
) -> Result<Manifest, HubError> {
    let mut visit = Visit::begin(id, place, options)?;
    if !visit.file(files::CONFIG, LARGEST_TEXT, None, on)? {
        return Err(visit.lacks(files::CONFIG));
    }
    for name in files::OPTIONAL {
        visit.file(name, LARGEST_TEXT, None, on)?;
    }
    visit.weights(on)?;
    visit.publish(&id.to_string(), place)
}

/// Fetches a catalogue entry from the hub, as long as each file is the catalogue's. The caller holds the
/// lock of its place.
pub fn fetch_entry(
    entry: &CatalogueEntry,
    place: &Place,
    options: &HubOptions,
    on: &mut dyn FnMut(Progress),
) -> Result<Manifest, HubError> {
    let id = HubId {
        id: entry.hub_id.to_string(),
        revision: None,
    };
    let mut visit = Visit::begin(&id, place, options)?;
    visit.patience = Some(PATIENCE);
    for file in entry.files {
        if !visit.file(file.name, file.size, Some(file.sha256), on)? {
            return Err(visit.lacks(file.name));
        }
        visit.patience = None;
    }
    visit.publish(entry.name, place)
}

/// The files fetched so far from one repository.
struct Visit {
    client: Client,
    repo: Repo,
    id: HubId,
    // What earlier attempts fetched lies in a folder per commit below this one.
    downloads: PathBuf,
    folder: PathBuf,
    commit: Option<String>,
    patience: Option<Duration>,
    found: BTreeMap<String, FileFacts>,
}

impl Visit {
    fn begin(id: &HubId, place: &Place, options: &HubOptions) -> Result<Self, HubError> {
        let revision = id.revision.clone().unwrap_or_else(|| "main".to_string());
        let downloads = place.partial_downloads();
        let folder = downloads.join("unpinned");
        // Without a commit nothing tells whether a part belongs to what the hub has now.
        let _ = fs::remove_dir_all(&folder);
        Ok(Self {
            client: Client::new(options)?,
            repo: Repo::with_revision(id.id.clone(), RepoType::Model, revision),
            id: id.clone(),
            downloads,
            folder,
            commit: None,
            patience: None,
            found: BTreeMap::new(),
        })
    }

    fn lacks(&self, file: &str) -> HubError {
        HubError::NoFile {
            id: self.id.to_string(),
            file: file.to_string(),
        }
    }

    fn path(&self, name: &str) -> String {
        let revision = self.repo.url_revision();
        format!("{}/resolve/{revision}/{name}", self.repo.url())
    }

    /// Fetches a file; whether the repository has it.
    fn file(
        &mut self,
        name: &str,
        limit: u64,
        sha256: Option<&str>,
        on: &mut dyn FnMut(Progress),
    ) -> Result<bool, HubError> {
        let to = self.folder.join(name);
        if to.is_file() {
            let facts = files::facts(&to)?;
            if sha256.is_none_or(|expected| facts.sha256 == expected) {
                self.found.insert(name.to_string(), facts);
                return Ok(true);
            }
            fs::remove_file(&to).map_err(HubError::io("remove", &to))?;
        }
        let parent = to.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).map_err(HubError::io("create", parent))?;
        let want = Want {
            path: &self.path(name),
            name,
            sha256,
            limit,
            patience: self.patience,
        };
        match self.client.download(&want, &to, on)? {
            Outcome::Stored(got) => {
                self.keep(name, got)?;
                Ok(true)
            }
            Outcome::Refused(404) => Ok(false),
            Outcome::Refused(status @ (401 | 403)) => Err(HubError::Denied {
                id: self.id.to_string(),
                status,
            }),
            Outcome::Refused(status) => Err(HubError::Status {
                file: name.to_string(),
                status,
            }),
        }
    }

    /// Takes note of a fetched file, and of the commit that it and all others must belong to.
    fn keep(&mut self, name: &str, got: Got) -> Result<(), HubError> {
        if self.found.is_empty() {
            if let Some(commit) = &got.commit {
                self.pin(commit.clone(), name)?;
            }
        } else if self.commit.is_some() && got.commit.is_some() && got.commit != self.commit {
            return Err(HubError::Answer {
                file: name.to_string(),
                what: "the model was changed on the hub meanwhile; repeat the command".to_string(),
            });
        }
        self.found.insert(name.to_string(), got.facts);
        Ok(())
    }

    /// From here on the files are those of a commit; `name` has just been fetched.
    fn pin(&mut self, commit: String, name: &str) -> Result<(), HubError> {
        let folder = self.downloads.join(&commit);
        let entries =
            fs::read_dir(&self.downloads).map_err(HubError::io("read", &self.downloads))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path != folder && path != self.folder {
                let _ = fs::remove_dir_all(path);
            }
        }
        fs::create_dir_all(&folder).map_err(HubError::io("create", &folder))?;
        let from = self.folder.join(name);
        fs::rename(&from, folder.join(name)).map_err(HubError::io("move", &from))?;
        let _ = fs::remove_dir_all(&self.folder);
        self.folder = folder;
        self.commit = Some(commit);
        Ok(())
    }

    fn weights(&mut self, on: &mut dyn FnMut(Progress)) -> Result<(), HubError> {
        for (single, list) in LAYOUTS {
            if self.file(single, u64::MAX, None, on)? {
                return Ok(());
            }
            if !self.file(list, LARGEST_TEXT, None, on)? {
                continue;
            }
            for shard in index::shards(&index::read(&self.folder.join(list))?) {
                if !self.file(&shard, u64::MAX, None, on)? {
                    return Err(self.lacks(&shard));
                }
            }
            return Ok(());
        }
        Err(self.lacks(LAYOUTS[0].0))
    }

    /// Moves the fetched files to the model's place.
    fn publish(self, reference: &str, place: &Place) -> Result<Manifest, HubError> {
        let stage = place.stage()?;
        for name in self.found.keys() {
            move_file(&self.folder.join(name), &stage.join(name))?;
        }
        let manifest = Manifest::new(reference, "hub", self.commit, self.found);
        place.publish(&stage, &manifest)?;
        Ok(manifest)
    }
}

fn move_file(from: &Path, to: &Path) -> Result<(), HubError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(HubError::io("create", parent))?;
    }
    fs::rename(from, to).map_err(HubError::io("move", from))
}

//! The folder of a run: made with the recipe in it before anything is computed, filled with the states of the run
//! while it lasts, turned into a bundle at its end.
//!
//! What belongs to the bundle is written into a hidden folder inside and moved out of it when all of it is there,
//! `bundle.json` last: a folder with `bundle.json` is whole, one with `started.json` is a run that can go on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use retune_eval::Event;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, Checkpoint};
use crate::error::{Error, Result};
use crate::hub::files;
use crate::recipe::Recipe;
use crate::train::state::{Snapshot, State, Values};

pub(crate) const STARTED: &str = "started.json";
pub(crate) const RECIPE: &str = "recipe.toml";
pub(crate) const EVENTS: &str = "events.jsonl";
const STATES: &str = "checkpoints";
const LOCK: &str = ".lock";
const PARTS: &str = ".bundle.partial";
/// Keys of a recipe that no optimiser step depends on.
const FREE: &[&str] = &[
    "decide.",
    "gates.",
    "require",
    "verdict",
    "train.checkpoint_every",
    "train.keep_checkpoints",
];

/// What a run was begun with: `started.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Version of retune.
    pub retune: String,
    /// SHA-256 of each data file.
    pub data: BTreeMap<String, String>,
    /// SHA-256 of each file of the base model.
    pub base: BTreeMap<String, String>,
}

/// A state on disk: `step-N.json` beside `step-N.safetensors`.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    sha256: String,
    state: State,
}

/// The folder of a run that this process carries out.
pub struct RunFolder {
    folder: PathBuf,
    events: BufWriter<File>,
    // Held as long as the run lasts, so that a second run in the same place is told apart from a dead one.
    lock: File,
    keep: bool,
}

/// Whether a run was begun here and has no bundle yet.
pub fn unfinished(folder: &Path) -> bool {
    folder.join(STARTED).is_file() && !folder.join("bundle.json").is_file()
}

/// Whether an unfinished run here has died before it saved anything: nothing is lost by beginning anew.
pub fn abandoned(folder: &Path) -> bool {
    unfinished(folder) && states(folder).is_empty() && lock(folder).is_some()
}

/// Whether a process is at work on the run here.
pub(crate) fn running(folder: &Path) -> bool {
    let lock = File::open(folder.join(LOCK));
    // Shared, so that two who ask do not take each other for the run.
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The lock of the folder, unless another process holds it.
fn lock(folder: &Path) -> Option<File> {
    let file = File::create(folder.join(LOCK)).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

/// Saved states of the folder, the newest first: step and path of the JSON file.
fn states(folder: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(folder.join(STATES))
        .into_iter()
        .flatten()
        .flatten();
    let step = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("step-")?
            .strip_suffix(".json")?
            .parse()
            .ok()
    };
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| Some((step(&entry.path())?, entry.path())))
        .collect();
    found.sort_by_key(|(step, _)| std::cmp::Reverse(*step));
    found
}

impl RunFolder {
    /// Begins a run at `target`, which is free, empty or abandoned: the folder appears there with its recipe in it.
    ///
    /// # Errors
    /// [`Error::User`] when another run is at work there; [`Error::Io`] when the place is not writable.
    pub fn create(target: &Path, recipe: &str, started: &Started) -> Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let above = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        fs::create_dir_all(&above).map_err(|e| Error::io("create", &above, e))?;
        let making = readable(&format!(".{name}.starting-"), 0o777)
            .tempdir_in(&above)
            .map_err(|e| Error::io("create", target, e))?;
        let folder = making.path();
        let lock = lock(folder).ok_or_else(|| busy(target))?;
        write_synced(&folder.join(RECIPE), recipe.as_bytes())?;
        write_synced(&folder.join(STARTED), &pretty(started)?)?;
        write_synced(&folder.join(EVENTS), b"")?;
        if abandoned(target) {
            fs::remove_dir_all(target).map_err(|e| Error::io("create", target, e))?;
        } else if unfinished(target) {
            return Err(busy(target));
        } else if target.is_dir() {
            fs::remove_dir(target).map_err(|e| Error::io("create", target, e))?;
        }
        fs::rename(folder, target).map_err(|e| Error::io("create", target, e))?;
        let _ = making.keep();
        sync_folder(&above);
        Self::with_lock(target, lock)
    }

    /// Takes up the run at `target`, with the newest of its states that is whole. `on` is told of states that are
    /// not.
    ///
    /// # Errors
    /// [`Error::User`] when no unfinished run is there, or when it is still at work.
    pub fn reopen(target: &Path, on: &mut dyn FnMut(String)) -> Result<(Self, Option<Snapshot>)> {
        if !unfinished(target) {
            let what = if target.join("bundle.json").is_file() {
                "is finished; there is nothing to go on with"
            } else {
                "holds no run; `retune train FILE --out DIR` begins one"
            };
            return Err(Error::User(format!("{} {what}", target.display())));
        }
        let lock = lock(target).ok_or_else(|| busy(target))?;
        let mut found = None;
        for (step, path) in states(target) {
            match read_state(&path) {
                Ok(snapshot) => {
                    found = Some(snapshot);
                    break;
                }
                Err(error) => on(format!("the state of step {step} is left out: {error}")),
            }
        }
        let last = found.as_ref().map_or(0, |snapshot| snapshot.state.step);
        trim_events(&target.join(EVENTS), last)?;
        Ok((Self::with_lock(target, lock)?, found))
    }

    fn with_lock(target: &Path, lock: File) -> Result<Self> {
        let path = target.join(EVENTS);
        let events = OpenOptions::new().append(true).create(true).open(&path);
        let parts = target.join(PARTS);
        if parts.is_dir() {
            fs::remove_dir_all(&parts).map_err(|e| Error::io("create", &parts, e))?;
        }
        fs::create_dir_all(&parts).map_err(|e| Error::io("create", &parts, e))?;
        Ok(Self {
            folder: target.to_path_buf(),
            events: BufWriter::new(events.map_err(|e| Error::io("write", &path, e))?),
            lock,
            keep: false,
        })
    }

    /// What the run was begun with.
    pub fn started(&self) -> Result<Started> {
        let path = self.folder.join(STARTED);
        let text = fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
        serde_json::from_str(&text).map_err(|error| Error::Damaged {
            path,
            what: format!("{error}; begin the run anew in another folder"),
        })
    }

    /// How `recipe` differs from the one that the run was begun with: in what decides about steps, and in what they
    /// do not depend on.
    pub fn recipe_changes(&self, recipe: &Recipe) -> Result<(Vec<String>, Vec<String>)> {
        let path = self.folder.join(RECIPE);
        let then = Recipe::read(&path).map_err(Error::Problems)?;
        let (mut fixed, mut free) = (Vec::new(), Vec::new());
        for change in then.changes(recipe) {
            if ["threads", "memory", "out"].contains(&change.key.as_str()) {
                // The result is the same for any number of threads, in any memory and place.
            } else if FREE.iter().any(|free| change.key.starts_with(free)) {
                free.push(change.to_string());
            } else {
                fixed.push(change.to_string());
            }
        }
        Ok((fixed, free))
    }

    /// Where the run is.
    pub fn place(&self) -> &Path {
        &self.folder
    }

    /// Where the files of the bundle are gathered.
    pub fn parts(&self) -> PathBuf {
        self.folder.join(PARTS)
    }

    /// The events of the run so far.
    pub fn events_path(&self) -> PathBuf {
        self.folder.join(EVENTS)
    }

    /// Appends to `events.jsonl`. A write that fails shows when the bundle is published.
    pub fn event(&mut self, event: &Event) {
        if matches!(event, Event::Progress { .. }) {
            return;
        }
        if let Ok(line) = serde_json::to_string(event) {
            let _ = writeln!(self.events, "{line}");
            let _ = self.events.flush();
        }
    }

    /// Keeps a state, and of the older ones the newest `keep - 1`.
    pub fn save(&self, snapshot: &Snapshot, keep: usize) -> Result<()> {
        let folder = self.folder.join(STATES);
        fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        let stem = format!("step-{:08}", snapshot.state.step);
        let tensors = folder.join(format!("{stem}.safetensors"));
        let named = snapshot.tensors.iter();
        let entries: Vec<_> = named
            .map(|(n, shape, _)| (n.clone(), shape.clone()))
            .collect();
        checkpoint::write_each(&tensors, &entries, &[], &mut |i| {
            let (name, _, values) = &snapshot.tensors[i];
            // Values on a device are always there; a wrong number of them is refused.
            Cow::Owned(values.read(name).unwrap_or_default())
        })?;
        let kept = Kept {
            sha256: sha256(&tensors)?,
            state: snapshot.state.clone(),
        };
        write_synced(&folder.join(format!("{stem}.json")), &pretty(&kept)?)?;
        for (_, old) in states(&self.folder).into_iter().skip(keep.max(1)) {
            // The JSON file goes first: without it the tensors are no state.
            let _ = fs::remove_file(&old);
            let _ = fs::remove_file(old.with_extension("safetensors"));
        }
        Ok(())
    }

    /// Writes a file of the bundle and waits until it is on the disk.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.parts().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        }
        write_synced(&path, content)
    }

    /// Writes a file beside the bundle at once: what a run that fails leaves to look at.
    pub fn leave(&mut self, name: &str, content: &[u8]) -> Result<PathBuf> {
        self.keep = true;
        let path = self.folder.join(name);
        write_synced(&path, content)?;
        Ok(path)
    }

    /// Turns the folder into a bundle.
    pub fn publish(mut self) -> Result<()> {
        let events = self.events_path();
        let flushed = self
            .events
            .flush()
            .and_then(|()| self.events.get_ref().sync_all());
        flushed.map_err(|e| Error::io("write", &events, e))?;
        let io = |e| Error::io("create", &self.folder, e);
        let mut names = Vec::new();
        for entry in fs::read_dir(self.parts()).map_err(io)? {
            names.push(entry.map_err(io)?.file_name());
        }
        names.sort_by_key(|name| name == "bundle.json");
        for name in names {
            let (from, to) = (self.parts().join(&name), self.folder.join(&name));
            if to.is_dir() {
                fs::remove_dir_all(&to).map_err(io)?;
            }
            if name == "bundle.json" {
                sync_folder(&self.folder);
            }
            fs::rename(from, to).map_err(io)?;
        }
        sync_folder(&self.folder);
        self.keep = true;
        for folder in [PARTS, STATES] {
            let _ = fs::remove_dir_all(self.folder.join(folder));
        }
        for file in [STARTED, LOCK] {
            let _ = fs::remove_file(self.folder.join(file));
        }
        Ok(())
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if !self.keep && states(&self.folder).is_empty() {
            // Nothing is lost: the run ended before it saved anything.
            let _ = fs::remove_dir_all(&self.folder);
        }
        let _ = self.lock.unlock();
    }
}

/// The values of a recipe by their dotted keys.
fn busy(target: &Path) -> Error {
    Error::User(format!(
        "another run is writing {}; wait for it or choose another --out",
        target.display()
    ))
}

fn pretty<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| Error::Internal(error.to_string()))
}

/// Writes a file whole or not at all.
pub(crate) fn write_synced(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = readable(".writing-", 0o666).tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        sync_folder(folder);
        Ok(())
    };
    write().map_err(|e| Error::io("write", path, e))
}

/// Names for temporary files or folders that others may read; the system takes the process's umask off.
fn readable(prefix: &str, mode: u32) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    builder
}

/// Not every file system lets a folder be synced; what was renamed in it has been renamed.
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|f| f.sync_all());
}

fn sha256(path: &Path) -> Result<String> {
    let facts = files::facts(path).map_err(|e| Error::User(e.to_string()))?;
    Ok(facts.sha256)
}

/// A state, checked against its checksum.
fn read_state(path: &Path) -> std::result::Result<Snapshot, String> {
    let text = fs::read_to_string(path).map_err(|e| e.to_string())?;
    let kept: Kept = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let tensors = path.with_extension("safetensors");
    let found = sha256(&tensors).map_err(|e| e.to_string())?;
    if found != kept.sha256 {
        return Err("its tensors are not those that were written".to_string());
    }
    let checkpoint = Arc::new(Checkpoint::open(&tensors).map_err(|e| e.to_string())?);
    let stored = |name: &str| {
        let shape = checkpoint.shape(name).unwrap_or_default().to_vec();
        (
            name.to_string(),
            shape,
            Values::Stored(Arc::clone(&checkpoint)),
        )
    };
    Ok(Snapshot {
        state: kept.state,
        tensors: checkpoint.names().map(stored).collect(),
    })
}

/// Leaves the events up to the step that a run goes on from, so that none is there twice.
fn trim_events(path: &Path, last: u64) -> Result<()> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut kept = String::new();
    for line in text.lines() {
        let Ok(event) = serde_json::from_str::<Event>(line) else {
            continue;
        };
        let keep = match event {
            Event::Step { step, .. } | Event::Validated { step, .. } | Event::Saved { step } => {
                step <= last
            }
            Event::Stopped { .. } => false,
            Event::Stage { .. } | Event::Progress { .. } | Event::Note { .. } => true,
        };
        if keep {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    write_synced(path, kept.as_bytes())
}

//! Every run below a folder: finished bundles, runs that can go on, and folders that are damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use retune_eval::{Evaluated, Event, Interval, Word};
use serde::Serialize;

use crate::bundle::{read_json, read_manifest};
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use crate::record;
use crate::run_folder::{self, EVENTS, RECIPE, STARTED};

/// Files of which a folder of a run has at least one.
const MARKS: [&str; 3] = ["bundle.json", STARTED, EVENTS];

/// A run on disk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// How far it has come.
    #[serde(flatten)]
    pub state: RunState,
    /// Task name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Method name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Model reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The metric that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Its value on the test rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figure: Option<Interval>,
    /// The verdict over all floors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word: Option<Word>,
    /// Wall time up to saving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// When it was saved, for a run without a bundle when it was begun; RFC 3339.
    pub created: String,
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RunState {
    /// Its bundle is whole.
    Finished,
    /// It was cut off: `retune train --resume` goes on with it.
    Unfinished(Reached),
    /// A process is at work on it.
    Running(Reached),
    /// Something of it cannot be read.
    Damaged {
        /// What, and what to do.
        what: String,
    },
}

/// Steps done, as far as events tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// The last step.
    pub step: u64,
    /// Steps of the whole run; absent before its first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
}

/// Every run in `root` or below it, the newest first. Hidden folders and links are left out.
///
/// # Errors
/// `root` is no folder that can be read. A run that cannot be read is no error: it is listed as damaged.
pub fn runs(root: &Path) -> Result<Vec<Run>> {
    if !root.is_dir() {
        return Err(Error::User(format!(
            "there is no folder {}; `retune train FILE` writes its runs to runs/",
            root.display()
        )));
    }
    fs::read_dir(root).map_err(|e| Error::io("read", root, e))?;
    let (mut found, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        if MARKS.iter().any(|mark| folder.join(mark).is_file()) {
            found.push(run(folder));
            continue;
        }
        match fs::read_dir(&folder) {
            Ok(entries) => folders.extend(entries.flatten().filter_map(|e| visible_folder(&e))),
            Err(error) => found.push(damaged(folder, error.to_string())),
        }
    }
    let when = |run: &Run| run.created.parse::<Timestamp>().unwrap_or_default();
    found.sort_by(|a, b| (when(b), &a.folder).cmp(&(when(a), &b.folder)));
    Ok(found)
}

fn visible_folder(entry: &fs::DirEntry) -> Option<PathBuf> {
    let hidden = entry.file_name().to_string_lossy().starts_with('.');
    let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
    (folder && !hidden).then(|| entry.path())
}

fn run(folder: PathBuf) -> Run {
    let read = if folder.join("bundle.json").is_file() {
        finished(&folder)
    } else if folder.join(STARTED).is_file() {
        unfinished(&folder)
    } else {
        Err(Error::User(
            "it has neither bundle.json nor started.json; copy it again or remove it".to_string(),
        ))
    };
    read.unwrap_or_else(|error| damaged(folder, error.to_string()))
}

fn finished(folder: &Path) -> Result<Run> {
    let manifest = read_manifest(folder)?;
    let evaluated: Evaluated = read_json(&folder.join("metrics.json"))?;
    Ok(Run {
        folder: folder.to_path_buf(),
        state: RunState::Finished,
        task: Some(manifest.task),
        method: Some(manifest.method),
        model: Some(manifest.base.reference),
        figure: evaluated.metrics.get(&evaluated.primary).copied(),
        metric: Some(evaluated.primary),
        word: evaluated.verdict.map(|verdict| verdict.word),
        seconds: Some(manifest.seconds),
        created: manifest.created,
    })
}

fn unfinished(folder: &Path) -> Result<Run> {
    let recipe = Recipe::read(&folder.join(RECIPE)).map_err(Error::Problems)?;
    let steps = |event: &Event| match event {
        Event::Step { step, steps, .. } => Some((*step, *steps)),
        _ => None,
    };
    // A run that is cut off may leave half a line at the end of its events.
    let last = record::readable_events(&folder.join(EVENTS))?
        .iter()
        .rev()
        .find_map(steps);
    let reached = Reached {
        step: last.map_or(0, |(step, _)| step),
        steps: last.map(|(_, steps)| steps),
    };
    Ok(Run {
        folder: folder.to_path_buf(),
        state: if run_folder::running(folder) {
            RunState::Running(reached)
        } else {
            RunState::Unfinished(reached)
        },
        task: recipe.task,
        method: Some(recipe.method.method().name().to_string()),
        model: recipe.model,
        metric: recipe.train.metric,
        figure: None,
        word: None,
        seconds: None,
        created: modified(&folder.join(STARTED)),
    })
}

fn damaged(folder: PathBuf, what: String) -> Run {
    Run {
        state: RunState::Damaged { what },
        task: None,
        method: None,
        model: None,
        metric: None,
        figure: None,
        word: None,
        seconds: None,
        created: modified(&folder),
        folder,
    }
}

/// When the file was last written; where the system does not tell, as long ago as can be.
fn modified(path: &Path) -> String {
    let time = fs::metadata(path).and_then(|facts| facts.modified());
    let time = time.unwrap_or(SystemTime::UNIX_EPOCH);
    Timestamp::try_from(time).unwrap_or_default().to_string()
}

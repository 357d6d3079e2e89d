//! What a search or a curve has measured so far, on disk: one line per point, written through at once, so that the same
//! command goes on after a break. Beside it stands what decides about a point: the recipe, and what it was measured on.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::recipe::Recipe;
use crate::run_folder::{RECIPE, Started, write_synced};

/// The file that new points are added to.
pub(crate) struct PointFile {
    file: File,
    path: PathBuf,
}

impl PointFile {
    /// Opens the points in `folder`, which it makes where it is missing, and reads those that are whole: a line that was
    /// cut off is left out. `started` is what they are measured on, and `recipe` what else decides about a point.
    ///
    /// # Errors
    /// A folder that cannot be written, or that holds the points of another recipe, other data or another model.
    pub fn open<P: DeserializeOwned>(
        folder: &Path,
        started: &Started,
        recipe: &Recipe,
    ) -> Result<(Self, Vec<P>)> {
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        same(folder, RECIPE, &recipe.to_toml(), "another recipe")?;
        let Started { data, base, .. } = started;
        let inputs = serde_json::json!({ "data": data, "base": base }).to_string();
        same(
            folder,
            "inputs.json",
            &inputs,
            "other data or another model",
        )?;
        let path = folder.join("points.jsonl");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines = text.lines();
        let found = lines.filter_map(|line| serde_json::from_str(line).ok());
        let found = found.collect();
        let file = OpenOptions::new().append(true).create(true).open(&path);
        let file = file.map_err(|e| Error::io("write", &path, e))?;
        Ok((Self { file, path }, found))
    }

    /// Writes a point down and waits until it is on the disk.
    pub fn add(&mut self, point: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(point).map_err(|e| Error::Internal(e.to_string()))?;
        // A line before it may have been cut off.
        let written = writeln!(self.file, "\n{line}").and_then(|()| self.file.sync_data());
        written.map_err(|e| Error::io("write", &self.path, e))
    }
}

/// Checks that the file holds `text`; writes it where there is none.
fn same(folder: &Path, name: &str, text: &str, other: &str) -> Result<()> {
    let path = folder.join(name);
    match fs::read_to_string(&path) {
        Ok(there) if there != text => Err(Error::User(format!(
            "{} holds the points of {other}; choose another folder with --out",
            folder.display()
        ))),
        Ok(_) => Ok(()),
        Err(_) => write_synced(&path, text.as_bytes()),
    }
}

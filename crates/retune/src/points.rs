//! What a search or a curve has measured so far, on disk: one line per point, written through at once, so that the same
//! command goes on after a break. Beside it stands what decides about a point: the recipe, and what it was measured on.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use retune_eval::{CurvePoint, Event, LabelCurve};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::curve::CurveOptions;
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use crate::run_folder::{RECIPE, Started, write_synced};
use crate::train::Flow;

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

/// A point of a curve with what its model answered, `T`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Done<T> {
    /// Model, labels, seed and score.
    #[serde(flatten)]
    pub point: CurvePoint,
    /// What was answered.
    #[serde(flatten)]
    pub answers: T,
}

/// The points of a curve so far, in memory and on disk.
pub(crate) struct Points<T> {
    file: PointFile,
    folder: PathBuf,
    /// Those that the curve is made of.
    pub done: Vec<Done<T>>,
}

/// Of a model, a seed and a share.
pub(crate) type At = (&'static str, u64, f64);

impl<T: Serialize + DeserializeOwned> Points<T> {
    /// Those in `folder` that `options` want.
    ///
    /// # Errors
    /// As [`PointFile::open`].
    pub fn open(
        folder: &Path,
        started: &Started,
        recipe: &Recipe,
        options: &CurveOptions,
    ) -> Result<Self> {
        // What decides about a point; shares and seeds may grow.
        let mut recipe = recipe.clone();
        (recipe.out, recipe.threads, recipe.memory) = (None, None, None);
        let (file, mut done) = PointFile::open(folder, started, &recipe)?;
        done.retain(|done: &Done<T>| options.wants(&done.point));
        Ok(Self {
            file,
            folder: folder.to_path_buf(),
            done,
        })
    }

    /// Measures what is missing: `labels` says how many labels a share of a seed has, `measure` gives score and answers of a
    /// model that learned from them.
    ///
    /// # Errors
    /// Those of `measure`, a full disk, an observer that asks to stop.
    pub fn fill(
        &mut self,
        (options, models): (&CurveOptions, &[&'static str]),
        labels: &dyn Fn(u64, f64) -> usize,
        measure: &mut dyn FnMut(At) -> Result<(f64, T)>,
        on: &mut dyn FnMut(&Event) -> Flow,
    ) -> Result<()> {
        let total = options.shares.len() * options.seeds.len() * models.len();
        on(&Event::Stage {
            name: "curve".to_string(),
            total: Some(total as u64),
        });
        for &seed in &options.seeds {
            for &share in &options.shares {
                let rows = labels(seed, share);
                for &model in models {
                    let known =
                        |p: &CurvePoint| p.model == model && p.rows == rows && p.seed == seed;
                    if !self.done.iter().any(|done| known(&done.point)) {
                        let (score, answers) = measure((model, seed, share))?;
                        let point = CurvePoint {
                            rows,
                            share,
                            model: model.to_string(),
                            seed,
                            score,
                        };
                        let done = Done { point, answers };
                        self.file.add(&done)?;
                        self.done.push(done);
                    }
                    let done = self.done.len() as u64;
                    if on(&Event::Progress { done }) == Flow::Stop {
                        return Err(Error::User(format!(
                            "stopped; the points so far are in {}: the same command goes on",
                            self.folder.display()
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    /// The curve without intervals of its gaps.
    pub fn curve(&self, metric: &str) -> LabelCurve {
        LabelCurve::new(
            metric,
            self.done.iter().map(|done| done.point.clone()).collect(),
        )
    }

    /// What a model answered at a number of labels, by seed.
    pub fn answers(&self, model: &str, rows: usize) -> impl Iterator<Item = &T> {
        let mine = move |done: &&Done<T>| done.point.model == model && done.point.rows == rows;
        self.done.iter().filter(mine).map(|done| &done.answers)
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

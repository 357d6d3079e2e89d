//! How many labels it takes: the tuned model and its floors on growing shares of the training rows.
//!
//! The shares of a seed are nested, and stratified by class: every one is a prefix of the same order. Validation rows
//! shrink with them, since selecting a model takes labels too. The test rows are the same everywhere. Each finished
//! point is written down at once, so that a search that was cut off goes on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use retune_data::{Example, Target};
use retune_eval::curve::Band;
use retune_eval::{
    CurvePoint, Evaluation, Event, FloorVerdict, Interval, LabelCurve, Matrix, Predictions, judge,
    point,
};
use retune_kernels::dropout::mix;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bundle::{LISTED, read_json};
use crate::embedding;
use crate::error::{Error, Result};
use crate::floors::classical::Effort;
use crate::floors::frozen::{Frozen, Rows};
use crate::job::Job;
use crate::losses::Objective;
use crate::ops;
use crate::outcome::{predictions, selection};
use crate::plan::Plan;
use crate::points::Points;
use crate::proof::{self, scratch_lr};
use crate::recipe::Recipe;
use crate::run::{on_threads, started};
use crate::run_folder::RECIPE;
use crate::scoring;
use crate::train::Flow;

/// The finished curve in its folder.
pub const CURVE: &str = "curve.json";
/// Fewest optimiser steps of a network at any share: a few batches teach nothing.
const LEAST_STEPS: u64 = 60;
/// Fewest rows that train, and that select.
const LEAST_ROWS: usize = 16;
/// Share of the labels that the forecast may see when it is checked against the score with all of them.
const CHECKED_FROM: f64 = 0.5;

/// What a curve is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct CurveOptions {
    /// Shares of the training rows, above 0 and up to 1.
    pub shares: Vec<f64>,
    /// Seeds: each draws other rows and trains anew.
    pub seeds: Vec<u64>,
    /// Labels beyond the present ones that the forecast is for; 0 for as many again.
    pub more: usize,
}

/// A finished curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Points, gaps and the forecast for more labels.
    pub curve: LabelCurve,
    /// What was forecast for all labels from half of them, and the mean score that they gave.
    pub checked: Option<(retune_eval::Forecast, f64)>,
    /// SHA-256 of each data file.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
}

/// The curve in a folder beside the run in `folder` that asks the same: equal data files, and a recipe that differs
/// only in what no point of a curve depends on. The first one by name; `None` where there is none.
pub(crate) fn beside(
    folder: &Path,
    recipe: &Recipe,
    data: &BTreeMap<String, String>,
) -> Option<LabelCurve> {
    let above = folder.parent()?;
    let above = if above.as_os_str().is_empty() {
        Path::new(".")
    } else {
        above
    };
    let mut folders: Vec<_> = fs::read_dir(above)
        .ok()?
        .flatten()
        .map(|e| e.path())
        .collect();
    folders.sort();
    folders.into_iter().find_map(|folder| {
        let about = Recipe::read(&folder.join(RECIPE)).ok()?;
        let found: Curve = read_json(&folder.join(CURVE)).ok()?;
        let same = question(&about) == question(recipe) && found.data == *data && !data.is_empty();
        same.then_some(found.curve)
    })
}

/// The part of a recipe that decides about the points of a curve.
fn question(recipe: &Recipe) -> Recipe {
    let plain = Recipe::default();
    let mut recipe = recipe.clone();
    (recipe.out, recipe.threads, recipe.memory) = (None, None, None);
    (recipe.verdict, recipe.require, recipe.refit) = (plain.verdict, None, None);
    (recipe.decide, recipe.gates) = (plain.decide, plain.gates);
    recipe.data.slices = plain.data.slices;
    recipe.train.checkpoint_every = plain.train.checkpoint_every;
    recipe.train.keep_checkpoints = plain.train.keep_checkpoints;
    recipe
}

/// What a model answered on the test rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Scores {
    cols: usize,
    scores: Vec<f32>,
}

impl Scores {
    /// `[rows, cols]`.
    pub fn matrix(&self) -> Matrix {
        Matrix {
            rows: self.scores.len() / self.cols.max(1),
            cols: self.cols,
            data: self.scores.clone(),
        }
    }
}

impl From<Matrix> for Scores {
    fn from(scores: Matrix) -> Self {
        Self {
            cols: scores.cols,
            scores: scores.data,
        }
    }
}

/// What a curve is concluded from besides its points: the metric, the labels there are now, and the seed of resamples.
pub(crate) struct Terms<'a> {
    pub metric: &'a str,
    pub labels: usize,
    pub options: &'a CurveOptions,
    pub seed: u64,
}

/// How much better what tuned models answered is than what those from random numbers did, by seed.
pub(crate) type Gap<'a, T> = &'a dyn Fn(&[&T], &[&T]) -> Option<Interval>;

/// The curve with what `gap` finds around each difference, of the answers of tuned and scratch by seed, and with a forecast.
pub(crate) fn concluded<T: Serialize + DeserializeOwned>(
    points: &Points<T>,
    terms: &Terms,
    gap: Gap<T>,
    data: BTreeMap<String, String>,
) -> Curve {
    let mut curve = points.curve(terms.metric);
    for band in &mut curve.gaps {
        let of = |model: &str| points.answers(model, band.rows).collect::<Vec<_>>();
        if let Some(score) = gap(&of("tuned"), &of("scratch")) {
            *band = Band { score, ..*band };
        }
    }
    let more = match terms.options.more {
        0 => terms.labels,
        more => more,
    };
    curve.forecast = curve.forecast(1.0, terms.labels + more, terms.seed);
    Curve {
        curve,
        checked: None,
        data,
    }
}

/// The difference that is judged between predictions of tuned and scratch, by seed.
pub(crate) fn difference(
    (tuned, scratch): (&[Predictions], &[Predictions]),
    evaluation: &Evaluation,
    seed: u64,
) -> Option<Interval> {
    let sides = [("scratch", scratch.iter().collect())];
    let verdict = judge(&tuned.iter().collect::<Vec<_>>(), &sides, evaluation, seed);
    verdict.floors.get("scratch").map(FloorVerdict::interval)
}

type On<'a> = &'a mut dyn FnMut(&Event) -> Flow;

/// Measures every point that is not in `folder` yet, and concludes.
///
/// # Errors
/// A folder that cannot be written or that holds the points of another curve; diverged training; an observer that asks
/// to stop.
pub fn curve(
    plan: &Plan,
    options: &CurveOptions,
    folder: &Path,
    on: &mut (dyn FnMut(&Event) -> Flow + Send),
) -> Result<Curve> {
    if embedding::rates(plan.task) {
        return Err(Error::User(format!(
            "curves are of tasks with answers, and {} gives vectors; leave --task out",
            plan.task.name()
        )));
    }
    on_threads(&plan.recipe, || measured(plan, options, folder, on))
}

fn measured(plan: &Plan, options: &CurveOptions, folder: &Path, on: On) -> Result<Curve> {
    let mut points = Points::open(folder, &started(plan)?, &plan.recipe, options)?;
    let work = Work::read(plan, options, on)?;
    let evaluation = plan.task.evaluation(plan.processor.labels());
    points.fill(
        (options, &MODELS),
        &|seed, share| Share::of(plan, seed, share).train.len(),
        &mut |(model, seed, share)| {
            let scores = work.scores(model, seed, &Share::of(plan, seed, share))?;
            let answered = predictions(plan, &plan.test, scores.clone(), false);
            Ok((rated(&answered, &evaluation), scores.into()))
        },
        on,
    )?;
    let again = |all: &[&Scores]| -> Vec<Predictions> {
        let of = |scores: &&Scores| predictions(plan, &plan.test, scores.matrix(), false);
        all.iter().map(of).collect()
    };
    let terms = Terms {
        metric: &evaluation.primary,
        labels: plan.train.len(),
        options,
        seed: plan.recipe.seed,
    };
    let gap = |tuned: &[&Scores], scratch: &[&Scores]| {
        difference((&again(tuned), &again(scratch)), &evaluation, terms.seed)
    };
    let found = concluded(&points, &terms, &gap, plan.data_hashes(LISTED)?);
    Ok(Curve {
        checked: checked(&found.curve, terms.seed),
        ..found
    })
}

/// The primary figure of answers; not a number where it is undefined.
pub(crate) fn rated(answered: &Predictions, evaluation: &Evaluation) -> f64 {
    let found = point(answered, evaluation)
        .get(&evaluation.primary)
        .copied();
    found.unwrap_or(f64::NAN)
}

/// What is forecast for all labels from half of them, and the mean score that they give.
fn checked(curve: &LabelCurve, seed: u64) -> Option<(retune_eval::Forecast, f64)> {
    let bands = curve.bands("tuned");
    let whole = bands.iter().find(|band| band.share == 1.0)?;
    let forecast = curve.forecast(CHECKED_FROM, whole.rows, seed)?;
    Some((forecast, whole.score.value))
}

/// What is measured at each share.
const MODELS: [&str; 4] = ["frozen", "classical", "tuned", "scratch"];

impl CurveOptions {
    pub(crate) fn wants(&self, point: &CurvePoint) -> bool {
        self.seeds.contains(&point.seed) && self.shares.contains(&point.share)
    }
}

/// Indices of the rows of a share.
struct Share {
    train: Vec<usize>,
    valid: Vec<usize>,
}

impl Share {
    fn of(plan: &Plan, seed: u64, share: f64) -> Self {
        let cut = |rows: &[Example]| {
            let wanted = (share * rows.len() as f64).round() as usize;
            let mut order = nested(rows, seed);
            order.truncate(wanted.max(LEAST_ROWS));
            order
        };
        Self {
            train: cut(&plan.train),
            valid: cut(&plan.valid),
        }
    }

    /// The rows that any seed and share needs, ascending.
    fn all(plan: &Plan, options: &CurveOptions) -> Self {
        // Shares are nested: the largest one holds the others.
        let largest = options.shares.iter().copied().fold(0.0, f64::max);
        let (mut train, mut valid) = (BTreeSet::new(), BTreeSet::new());
        for &seed in &options.seeds {
            let share = Self::of(plan, seed, largest);
            train.extend(share.train);
            valid.extend(share.valid);
        }
        Self {
            train: train.into_iter().collect(),
            valid: valid.into_iter().collect(),
        }
    }
}

/// What all points need.
struct Work<'a> {
    plan: &'a Plan,
    objective: Objective,
    /// The training and validation rows that `features` has, and of all test rows.
    read: Share,
    features: [Rows; 3],
}

impl<'a> Work<'a> {
    fn read(plan: &'a Plan, options: &CurveOptions, on: On) -> Result<Self> {
        let read = Share::all(plan, options);
        let train = picked(&plan.train, &read.train);
        let valid = picked(&plan.valid, &read.valid);
        let total = train.len() + valid.len() + plan.test.len();
        on(&Event::Stage {
            name: "frozen".to_string(),
            total: Some(total as u64),
        });
        let (model, _) = Job::new(plan).model()?;
        let model = scoring::plain(&model);
        let labels = plan.processor.labels();
        let objective = Objective::new(&plan.recipe.loss, labels, &plan.train);
        let objective = objective.map_err(|problem| Error::Problems(vec![problem]))?;
        let frozen = Frozen {
            task: plan.task,
            processor: &plan.processor,
            objective: &objective,
        };
        let mut before = 0;
        let mut read_all = |rows: &[Example]| {
            let found = frozen.read((&model, plan.base.pooling), rows, &mut |done| {
                let done = (before + done) as u64;
                on(&Event::Progress { done });
            });
            before += rows.len();
            found
        };
        let features = [read_all(&train)?, read_all(&valid)?, read_all(&plan.test)?];
        Ok(Self {
            plan,
            objective,
            read,
            features,
        })
    }

    /// What one model trained on some rows answers on the test rows.
    fn scores(&self, model: &str, seed: u64, rows: &Share) -> Result<Matrix> {
        let plan = self.plan;
        let train = picked(&plan.train, &rows.train);
        let valid = picked(&plan.valid, &rows.valid);
        match model {
            "frozen" => {
                let given = Frozen {
                    task: plan.task,
                    processor: &plan.processor,
                    objective: &self.objective,
                };
                let [all, selecting, test] = &self.features;
                let rows = (
                    all.subset(&places(&rows.train, &self.read.train)),
                    selecting.subset(&places(&rows.valid, &self.read.valid)),
                    test.clone(),
                );
                given.scores(rows, &|scores| {
                    selection(plan, &predictions(plan, &valid, scores.clone(), false)).score
                })
            }
            "classical" => {
                let found = proof::classical(plan, (&train, &valid), Effort::Fast)?;
                let scores = found.and_then(|(mut floor, _)| floor.scores.pop());
                Ok(scores.unwrap_or_default())
            }
            network => {
                let mut job = Job::new(plan).on((&train, &valid), LEAST_STEPS);
                if network == "scratch" {
                    job = job.scratch(scratch_lr(plan));
                }
                job.recipe.seed = seed;
                let (start, _) = job.model()?;
                let quiet = &mut |_: &Event| Flow::Continue;
                let fitted = job.fit(start, None, (None, None), quiet)?;
                ops::cpu::release();
                let (tuned, _) = job.finished(fitted.model)?;
                Ok(job.scores(&tuned, &plan.test, None, &mut |_| ())?.0)
            }
        }
    }
}

fn picked(from: &[Example], rows: &[usize]) -> Vec<Example> {
    rows.iter().map(|i| from[*i].clone()).collect()
}

/// Where each of `rows` is in `sorted`, which has them all.
fn places(rows: &[usize], sorted: &[usize]) -> Vec<usize> {
    rows.iter()
        .filter_map(|row| sorted.binary_search(row).ok())
        .collect()
}

/// Row indices in a random order of which every prefix has the classes in their shares.
fn nested(rows: &[Example], seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|i| mix(mix(seed) ^ *i as u64));
    let class = |i: usize| match &rows[i].target {
        Target::Class(class) => Some(*class),
        _ => None,
    };
    let mut sizes: HashMap<Option<u32>, usize> = HashMap::new();
    for i in 0..rows.len() {
        *sizes.entry(class(i)).or_default() += 1;
    }
    let mut seen: HashMap<Option<u32>, usize> = HashMap::new();
    let place = |i: &usize| {
        let nth = seen.entry(class(*i)).or_default();
        let place = (*nth as f64 + 0.5) / sizes[&class(*i)] as f64;
        *nth += 1;
        place
    };
    let places: Vec<f64> = order.iter().map(place).collect();
    let mut both: Vec<(f64, usize)> = places.into_iter().zip(order).collect();
    both.sort_by(|a, b| a.0.total_cmp(&b.0));
    both.into_iter().map(|(_, i)| i).collect()
}

#[cfg(test)]
mod tests {
    use retune_data::{Features, Meta};

    use super::*;

    fn rows(classes: &[u32]) -> Vec<Example> {
        let row = |(row, class): (usize, &u32)| Example {
            features: Features::Tokens(Vec::new()),
            target: Target::Class(*class),
            meta: Meta {
                row: row as u64,
                weight: 1.0,
            },
        };
        classes.iter().enumerate().map(row).collect()
    }

    #[test]
    fn every_prefix_has_the_classes_in_their_shares() {
        // One row in five is of class 1.
        let rows = rows(&(0..500).map(|i| u32::from(i % 5 == 0)).collect::<Vec<_>>());
        for seed in [1, 2] {
            let order = nested(&rows, seed);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..500).collect::<Vec<_>>());
            for n in [20, 50, 123, 400] {
                let rare = order[..n].iter().filter(|i| *i % 5 == 0).count();
                assert!(rare.abs_diff(n / 5) <= 1, "{rare} of {n}");
            }
        }
        assert_ne!(nested(&rows, 1), nested(&rows, 2));
        assert_eq!(nested(&rows, 1), nested(&rows, 1));
    }
}

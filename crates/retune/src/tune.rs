//! A search over a small declared space by successive halving (Jamieson & Talwalkar, arXiv:1502.07943), on the
//! validation rows only: test rows are not looked at.
//!
//! Each rung trains its candidates from the start, with a whole schedule over the steps that the rung gives them: a model
//! that goes on is trained anew, so that every score is that of a finished training, and the last one that of the run
//! which `train` repeats from the same recipe. Points are kept on disk as they are made ([`crate::points`]).

mod space;

use std::path::{Path, PathBuf};

use retune_eval::halving::{Rung, rungs};
use retune_eval::{Event, Search, Trial};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Problem, Result};
use crate::features::SequenceVectors;
use crate::job::Job;
use crate::ops;
use crate::outcome::{predictions, selection};
use crate::plan::{Plan, steps};
use crate::points::PointFile;
use crate::recipe::{Recipe, VerdictLevel};
use crate::run::{known_features, on_threads, stage, started};
use crate::run_folder::Started;
use crate::train::Flow;

pub use space::{Candidate, TuneRecipe};

/// Fewest optimiser steps of a rung, unless a whole training has fewer: less tells candidates apart by luck.
const LEAST_STEPS: u64 = 20;

/// A finished search.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// Every candidate and what the validation rows said of it.
    pub search: Search,
    /// The best candidate's recipe, for a run of its own.
    pub recipe: Recipe,
}

/// A training on disk. What it was trained with is known by the settings and the recipe of the folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Point {
    settings: String,
    #[serde(flatten)]
    trial: Trial,
}

type On<'a> = &'a mut dyn FnMut(&Event) -> Flow;

/// Measures every point that is not in `folder` yet, and chooses. `asked` is the recipe that the plan was made of: what
/// it leaves open is chosen for each candidate's own method.
///
/// # Errors
/// [`Error::Problems`] for a space that cannot be tried; a space with nothing to choose from; a folder that cannot be
/// written or holds the points of another recipe, other data or another model; candidates that all diverge; an observer
/// that asks to stop.
pub fn tune(
    plan: &Plan,
    asked: &Recipe,
    folder: &Path,
    on: &mut (dyn FnMut(&Event) -> Flow + Send),
) -> Result<Tuned> {
    let recipe = start(plan, asked);
    let candidates = candidates(asked, &recipe, "lr=1e-5,3e-5,1e-4")?;
    check(plan, &candidates)?;
    let work = Work::open(plan, &recipe, candidates, folder)?;
    on_threads(&plan.recipe, || work.searched(asked.tune.eta, on))
}

/// The plan's recipe without what is chosen by method, and without a space of its own.
fn start(plan: &Plan, asked: &Recipe) -> Recipe {
    let mut recipe = plan.recipe.clone();
    (recipe.train.lr, recipe.train.epochs) = (asked.train.lr, asked.train.epochs);
    (recipe.tune, recipe.out) = (TuneRecipe::default(), None);
    recipe
}

fn check(plan: &Plan, candidates: &[Candidate]) -> Result<()> {
    let mut problems = problems_of(candidates, |candidate| {
        let mut found = candidate.recipe.loss.misfits(plan.task.kind());
        found.extend(candidate.of_tables());
        found
    });
    problems.extend(unmatched(plan, candidates)?);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::Problems(problems))
    }
}

/// The candidates around `start` of the space that is asked for; one alone is refused, with `example` of what to try.
pub(crate) fn candidates(asked: &Recipe, start: &Recipe, example: &str) -> Result<Vec<Candidate>> {
    let found = asked.tune.candidates(start).map_err(Error::Problems)?;
    let [only] = &found[..] else {
        return Ok(found);
    };
    Err(Error::User(format!(
        "there is nothing to choose: the space has one candidate ({}); try more values, as in --over {example}",
        only.name()
    )))
}

/// What is wrong with any of the candidates, each problem once.
pub(crate) fn problems_of(
    candidates: &[Candidate],
    of: impl Fn(&Candidate) -> Vec<Problem>,
) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for problem in candidates.iter().flat_map(of) {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}

/// Places of updates that the model does not have; the plan has examined those of its own method.
fn unmatched(plan: &Plan, candidates: &[Candidate]) -> Result<Vec<Problem>> {
    let mut found: Vec<Problem> = Vec::new();
    let mut seen: Vec<&toml::Value> = Vec::new();
    for candidate in candidates {
        let mut chosen = candidate.settings.iter();
        let Some((key, targets)) = chosen.find(|(key, _)| key.ends_with(".targets")) else {
            continue;
        };
        if seen.contains(&targets) {
            continue;
        }
        seen.push(targets);
        let mut job = Job::new(plan);
        job.recipe = candidate.recipe.clone();
        let (_, loaded) = job.model()?;
        if !loaded.new.iter().any(|path| path.contains(".adapter.")) {
            let text = format!("`{key}`: {targets} matches no layer of this model; try all-linear");
            found.push(Problem::new("tune.over", text));
        }
    }
    Ok(found)
}

/// The recipe with what its method chooses written in.
fn filled(recipe: &Recipe) -> Recipe {
    let mut whole = recipe.clone();
    whole.train.lr = Some(recipe.lr());
    whole.train.epochs = Some(recipe.epochs());
    whole
}

/// A finished training in words.
pub(crate) fn said(trial: &Trial, metric: &str) -> String {
    let found = trial.score.map(|score| format!("{metric} {score:.4}"));
    let what = found.or(trial.note.clone());
    let what = what.unwrap_or_else(|| "no score".to_string());
    match trial.steps {
        0 => what,
        steps => format!("{what} after {steps} steps"),
    }
}

/// The trainings of a search so far, in memory and on disk.
pub(crate) struct Trainings {
    folder: PathBuf,
    file: PointFile,
    done: Vec<Point>,
}

impl Trainings {
    /// Those in `folder`, of candidates made of `recipe`.
    ///
    /// # Errors
    /// As [`PointFile::open`].
    pub fn open(folder: &Path, started: &Started, recipe: &Recipe) -> Result<Self> {
        let mut deciding = recipe.clone();
        // No score depends on these; the space may change too.
        (deciding.threads, deciding.memory) = (None, None);
        (deciding.require, deciding.refit) = (None, None);
        deciding.verdict = VerdictLevel::Fast;
        deciding.gates.clear();
        let (file, done) = PointFile::open(folder, started, &deciding)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            file,
            done,
        })
    }

    /// The training of a candidate that took so many steps, where it is known how many it takes.
    pub fn find(&self, candidate: &Candidate, steps: Option<u64>) -> Option<Trial> {
        let settings = settings(candidate);
        let same = |point: &&Point| {
            point.settings == settings && steps.is_none_or(|steps| point.trial.steps == steps)
        };
        self.done.iter().find(same).map(|point| point.trial.clone())
    }

    /// Keeps a training.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn add(&mut self, candidate: &Candidate, trial: Trial) -> Result<Trial> {
        let settings = settings(candidate);
        let point = Point { settings, trial };
        self.file.add(&point)?;
        self.done.push(point.clone());
        Ok(point.trial)
    }

    /// What is said when the observer asks to stop.
    pub fn stopped(&self) -> Error {
        Error::User(format!(
            "stopped; the points so far are in {}: the same command goes on",
            self.folder.display()
        ))
    }
}

/// What all trainings need, and those that are done.
struct Work<'a> {
    plan: &'a Plan,
    candidates: Vec<Candidate>,
    features: Option<SequenceVectors>,
    trainings: Trainings,
}

impl<'a> Work<'a> {
    fn open(
        plan: &'a Plan,
        recipe: &Recipe,
        candidates: Vec<Candidate>,
        folder: &Path,
    ) -> Result<Self> {
        Ok(Self {
            plan,
            candidates,
            features: None,
            trainings: Trainings::open(folder, &started(plan)?, recipe)?,
        })
    }

    /// Trains rung after rung and chooses.
    fn searched(mut self, eta: usize, on: On) -> Result<Tuned> {
        self.read_features(on)?;
        let names: Vec<String> = self.candidates.iter().map(Candidate::name).collect();
        let steps = (0..names.len()).map(|i| self.job(i).steps.0).min();
        let shape = rungs(names.len(), eta, steps.unwrap_or(1), LEAST_STEPS);
        let metric = self.plan.selecting_metric().name;
        let mut search = Search::new(&metric, self.plan.valid.len(), shape, names);
        let total: usize = search.rungs.iter().map(|rung| rung.candidates).sum();
        stage(on, "candidates", Some(total as u64));
        for at in 0..search.rungs.len() {
            for i in search.entrants(at) {
                let done = search.trainings() as u64;
                let trial =
                    self.trial(i, &search.rungs[at], &mut |_| on(&Event::Progress { done }))?;
                let text = format!("{}: {}", search.candidates[i].name, said(&trial, &metric));
                on(&Event::Note { text });
                search.candidates[i].trials.push(trial);
                if on(&Event::Progress { done: done + 1 }) == Flow::Stop && done + 1 < total as u64
                {
                    return Err(self.trainings.stopped());
                }
            }
        }
        let Some((best, _)) = search.best() else {
            let first = search.candidates[0].trials[0].note.as_deref();
            return Err(Error::User(format!(
                "no candidate could be trained: {}; `retune lr-find` shows which learning rates can",
                first.unwrap_or("no score")
            )));
        };
        let recipe = filled(&self.candidates[best].recipe);
        Ok(Tuned { search, recipe })
    }

    fn job(&self, i: usize) -> Job<'a> {
        let mut job = Job::new(self.plan);
        job.recipe = self.candidates[i].recipe.clone();
        job.steps = steps(&job.recipe, job.train_rows());
        job
    }

    /// What a backbone that stays as it is makes of the rows, where a candidate leaves it so. The same for all of them:
    /// precision and base model are not searched.
    fn read_features(&mut self, on: On) -> Result<()> {
        let frozen = |c: &Candidate| c.recipe.method.method().frozen_backbone();
        let Some(i) = self.candidates.iter().position(frozen) else {
            return Ok(());
        };
        let job = self.job(i);
        let (model, _) = job.model()?;
        let plan = self.plan;
        let rows = [&plan.train, &plan.valid, &plan.replay].map(Vec::as_slice);
        self.features = known_features(&job, &model, &rows, on)?;
        Ok(())
    }

    /// The training of a candidate in a rung: the one that is on disk, or a new one.
    fn trial(&mut self, i: usize, rung: &Rung, on: On) -> Result<Trial> {
        let mut job = self.job(i);
        job.steps.0 = rung.steps(job.steps.0);
        if let Some(trial) = self.trainings.find(&self.candidates[i], Some(job.steps.0)) {
            return Ok(trial);
        }
        let trial = self.trained(&job, on)?;
        self.trainings.add(&self.candidates[i], trial)
    }

    /// Trains and validates. A training that diverges has no score.
    fn trained(&self, job: &Job, on: On) -> Result<Trial> {
        let metric = job.plan.selecting_metric().name;
        let mut trial = Trial {
            steps: job.steps.0,
            score: None,
            loss: None,
            note: None,
        };
        let mut watch = |event: &Event| match event {
            Event::Validated {
                best: true,
                loss,
                metrics,
                ..
            } => {
                trial.score = metrics.get(&metric).copied().filter(|x| x.is_finite());
                trial.loss = Some(*loss).filter(|loss| loss.is_finite());
                Flow::Continue
            }
            Event::Step { .. } => on(event),
            _ => Flow::Continue,
        };
        let frozen = job.recipe.method.method().frozen_backbone();
        let features = self.features.as_ref().filter(|_| frozen);
        let (model, _) = job.model()?;
        let fitted = job.fit(model, features, (None, None), &mut watch);
        ops::cpu::release();
        let fitted = match fitted {
            Ok(fitted) if fitted.interrupted => return Err(self.trainings.stopped()),
            Ok(fitted) => fitted,
            Err(error @ Error::Diverged(_)) => {
                (trial.score, trial.loss) = (None, None);
                trial.note = Some(error.to_string());
                return Ok(trial);
            }
            Err(error) => return Err(error),
        };
        if job.recipe.train.wise_ft.is_some() {
            // The loop validates the tuned weights; the model that is kept has the pre-trained ones mixed in.
            let (model, _) = job.finished(fitted.model)?;
            let (scores, loss) = job.scores(&model, job.valid, features, &mut |_| ())?;
            let found = selection(job.plan, &predictions(job.plan, job.valid, scores, false));
            trial.score = found.metrics.get(&metric).copied();
            trial.loss = Some(loss);
        }
        Ok(trial)
    }
}

/// The settings of a candidate as its points name them.
fn settings(candidate: &Candidate) -> String {
    let one = |(key, value): &(String, toml::Value)| format!("{key} = {value}");
    let all: Vec<String> = candidate.settings.iter().map(one).collect();
    all.join(", ")
}

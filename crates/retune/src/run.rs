//! A run: floors, training, evaluation and the bundle, from a plan.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use retune_data::Example;
use retune_eval::records::Shown;
use retune_eval::{Cost, Evaluated, Event, Matrix, metric};
use retune_kernels::process;

use crate::bundle::{self, Saved};
use crate::embedding;
use crate::error::{Error, Result};
use crate::features::SequenceVectors;
use crate::floors::classical::Effort;
use crate::floors::frozen::Frozen;
use crate::job::Job;
use crate::losses::Objective;
use crate::measured::measured;
use crate::model::Model;
use crate::ops;
use crate::outcome::{Outcome, predictions, selection};
use crate::plan::{Forecast, Plan, micro_batches};
use crate::proof::{self, Floor, Meter};
use crate::recipe::{Recipe, Require, VerdictLevel};
use crate::record;
use crate::run_folder::{RunFolder, Started};
use crate::scoring;
use crate::train::state::Snapshot;
use crate::train::{Diverged, Fitted};
use crate::weights::{HeadClasses, HostTensor, LoadReport};

pub use crate::train::Flow;

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// Folder of the bundle.
    pub bundle: std::path::PathBuf,
    /// Figures of the test split.
    pub evaluated: Evaluated,
    /// Gates of the recipe and whether they were met.
    pub gates: Vec<Gate>,
    /// What the recipe wants of the verdict.
    pub require: Option<Require>,
    /// A few test rows: after tuning, and the answer before.
    pub before_after: Vec<(Shown, String)>,
    /// Wall time.
    pub seconds: f64,
    /// Peak resident memory in bytes, where the system tells.
    pub peak_bytes: Option<u64>,
    /// What the plan expected of both, where it did.
    pub forecast: Option<Forecast>,
    /// Whether an observer stopped training.
    pub interrupted: bool,
}

/// A figure that had to be reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// Metric name.
    pub metric: String,
    /// Smallest (for errors: largest) value allowed.
    pub wanted: f64,
    /// Value on the test split; `None` when the metric could not be computed.
    pub got: Option<f64>,
    /// Whether it was reached.
    pub passed: bool,
}

type On<'a> = &'a mut dyn FnMut(&Event) -> Flow;

/// Carries out a plan. Its folder appears at `plan.out` at once, with the recipe and, while training lasts, its
/// saved states; it becomes a bundle when all of it is there.
///
/// # Errors
/// Diverged training, a full disk, a damaged checkpoint.
pub fn train(plan: Plan, on: &mut (dyn FnMut(&Event) -> Flow + Send)) -> Result<Finished> {
    let begun = Begun::new(&plan.recipe, &plan.out, started(&plan)?);
    begun.carried_out(None, on, |folder, from, on| {
        carry_out(&plan, folder, from, on)
    })
}

/// The unfinished run in `out` and its newest state, once it is sure that it was begun with these files and this recipe.
///
/// # Errors
/// As [`resume`].
fn reopened(
    out: &Path,
    (now, recipe): (&Started, &Recipe),
    force: bool,
    on: On,
) -> Result<(RunFolder, Option<Snapshot>)> {
    let mut notes = Vec::new();
    let (folder, from) = RunFolder::reopen(out, &mut |note| notes.push(note))?;
    same_run(&folder, (now, recipe), force)?;
    let step = from.as_ref().map_or(0, |snapshot| snapshot.state.step);
    notes.push(format!("going on after step {step}"));
    for text in notes {
        on(&Event::Note { text });
    }
    Ok((folder, from))
}

/// Goes on with the unfinished run in `plan.out`: the result is the same, bit for bit, as without the break.
///
/// # Errors
/// As [`train`]; data, base model or recipe that are not those the run was begun with. `force` lets a recipe
/// differ in what a finished step does not depend on.
pub fn resume(
    plan: Plan,
    force: bool,
    on: &mut (dyn FnMut(&Event) -> Flow + Send),
) -> Result<Finished> {
    let begun = Begun::new(&plan.recipe, &plan.out, started(&plan)?);
    begun.carried_out(Some(force), on, |folder, from, on| {
        carry_out(&plan, folder, from, on)
    })
}

/// A run by what it stands on.
pub(crate) struct Begun<'a> {
    recipe: &'a Recipe,
    out: &'a Path,
    now: Started,
}

impl<'a> Begun<'a> {
    pub(crate) fn new(recipe: &'a Recipe, out: &'a Path, now: Started) -> Self {
        Self { recipe, out, now }
    }

    /// Has `work` carry the run out on the threads that the recipe asks for: in a new folder, or where `going_on` says
    /// whether by force, in that of an unfinished run, from its newest state.
    pub(crate) fn carried_out(
        &self,
        going_on: Option<bool>,
        on: &mut (dyn FnMut(&Event) -> Flow + Send),
        work: impl FnOnce(RunFolder, Option<Snapshot>, On) -> Result<Finished> + Send,
    ) -> Result<Finished> {
        let Self { recipe, out, now } = self;
        on_threads(recipe, || {
            let (folder, from) = match going_on {
                None => (RunFolder::create(out, &recipe.to_toml(), now)?, None),
                Some(force) => reopened(out, (now, recipe), force, on)?,
            };
            work(folder, from, on)
        })
    }
}

/// Does `f` on the threads that the recipe asks for.
pub(crate) fn on_threads<R: Send>(
    recipe: &Recipe,
    f: impl FnOnce() -> Result<R> + Send,
) -> Result<R> {
    let Some(threads) = recipe.threads else {
        return f();
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::User(format!("cannot start {threads} threads: {e}")))?;
    pool.install(f)
}

/// What the plan stands on: hashes of the data files and of the base model.
pub(crate) fn started(plan: &Plan) -> Result<Started> {
    Ok(Started {
        retune: env!("CARGO_PKG_VERSION").to_string(),
        data: plan.data_hashes(usize::MAX)?,
        base: plan.base.files.clone(),
    })
}

/// Checks that a plan on these files, with this recipe, is the one that the run in `folder` was begun with.
fn same_run(folder: &RunFolder, (now, recipe): (&Started, &Recipe), force: bool) -> Result<()> {
    let then = folder.started()?;
    let mut found: Vec<String> = Vec::new();
    for (what, then, now) in [
        ("data", &then.data, &now.data),
        ("model", &then.base, &now.base),
    ] {
        let names = then
            .keys()
            .chain(now.keys().filter(|name| !then.contains_key(*name)));
        let changed = names.filter(|name| then.get(*name) != now.get(*name));
        found.extend(changed.map(|name| format!("{what}: {name} has changed since the run began")));
    }
    let (fixed, free) = folder.recipe_changes(recipe)?;
    found.extend(fixed);
    if !force {
        found.extend(
            free.into_iter()
                .map(|change| format!("{change} (--force allows this)")),
        );
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::User(format!(
        "this is not the run that was begun in {}:\n  {}\nput it back as it was, or begin anew with another --out",
        folder.place().display(),
        found.join("\n  ")
    )))
}

fn carry_out(
    plan: &Plan,
    mut folder: RunFolder,
    from: Option<Snapshot>,
    on: On,
) -> Result<Finished> {
    let clock = Instant::now();
    let job = Job::new(plan);
    let (model, loaded) = job.model()?;
    let mut record = recorder(on);
    let known = known_features(&job, &model, &sides(plan), &mut |e| record(e, &mut folder))?;
    let features = known.as_ref();
    let untuned = (&model, features);
    let mut floors = cheap_floors(&job, untuned, &mut |event| record(event, &mut folder))?;
    let meter = Meter::start();
    let fitted = tune(&job, model, (features, from), &mut folder, &mut record)?;
    let (interrupted, steps) = (fitted.interrupted, (fitted.best_step, fitted.steps));
    let mut cost = Cost {
        trained_parameters: Some(plan.summary.parameters[1] as u64),
        ..meter.cost()
    };
    let mut on = |event: &Event| record(event, &mut folder);
    let (tuned, mut updates) = job.finished(fitted.model)?;
    let (tuned, mut outcome) = measured(plan, tuned, (features, &floors[..]), &mut on)?;
    outcome.evaluated.notes.extend(head_notes(plan, &loaded));
    let mut again = Vec::new();
    let mut kept = tuned;
    if !interrupted {
        again = proof::other_seeds(plan, features, &mut on)?;
        let best = dear_floors(plan, &mut floors, &mut outcome.evaluated.notes, &mut on)?;
        if plan.recipe.refit.is_some() {
            (kept, updates) = refitted(plan, features, (steps.0, &mut outcome), &mut on)?;
        }
        let events = record::events(&folder.events_path())?;
        let until = |best| proof::seconds_until(plan, &events, best);
        cost.seconds_to_scratch_best = best.and_then(until);
    }
    proof::conclude(plan, &mut outcome, &floors, again);
    let costs = costs(&floors, cost);
    let mut on = |event: &Event| record(event, &mut folder);
    stage(&mut on, "save", None);
    let saved = Saved {
        plan,
        model: &kept,
        updates: &updates,
        steps,
        loaded: &loaded,
        outcome: &outcome,
        costs: &costs,
        seconds: clock.elapsed().as_secs_f64(),
    };
    bundle::save(&folder, &saved)?;
    folder.publish()?;
    let seconds = clock.elapsed().as_secs_f64();
    Ok(finished(plan, outcome, (seconds, interrupted)))
}

fn costs(floors: &[Floor], tuned: Cost) -> BTreeMap<String, Cost> {
    let floors = floors
        .iter()
        .map(|floor| (floor.name.to_string(), floor.cost));
    floors.chain([("tuned".to_string(), tuned)]).collect()
}

fn finished(plan: &Plan, outcome: Outcome, (seconds, interrupted): (f64, bool)) -> Finished {
    Finished {
        bundle: plan.out.clone(),
        gates: gates(&plan.recipe, &outcome.evaluated),
        require: plan.recipe.require,
        evaluated: outcome.evaluated,
        before_after: outcome.before_after,
        seconds,
        peak_bytes: process::peak_resident_bytes(),
        forecast: Some(plan.summary.forecast),
        interrupted,
    }
}

/// Adds the floors that are measured after tuning, so that a run that is cut off does not lose it; returns the best
/// validation score from scratch.
fn dear_floors(
    plan: &Plan,
    floors: &mut Vec<Floor>,
    notes: &mut Vec<String>,
    on: On,
) -> Result<Option<f64>> {
    if plan.recipe.verdict == VerdictLevel::Off {
        return Ok(None);
    }
    stage(on, "classical", None);
    let effort = match plan.recipe.verdict {
        VerdictLevel::Full => Effort::Full,
        _ => Effort::Fast,
    };
    if let Some((floor, note)) = proof::classical(plan, (&plan.train, &plan.valid), effort)? {
        floors.push(floor);
        notes.push(note);
    }
    let Some(scratch) = proof::scratch(plan, on)? else {
        notes.push("stopped before the model from scratch was measured".to_string());
        return Ok(None);
    };
    floors.push(scratch.floor);
    notes.push(scratch.note);
    Ok(scratch.best)
}

/// Writes every event into the run's folder and hands it on; once told to stop, it keeps saying so.
pub(crate) fn recorder(on: On) -> impl FnMut(&Event, &mut RunFolder) -> Flow {
    let mut stopped = false;
    move |event, folder| {
        folder.event(event);
        stopped |= on(event) == Flow::Stop;
        if stopped { Flow::Stop } else { Flow::Continue }
    }
}

pub(crate) fn stage(on: On, name: &str, total: Option<u64>) {
    on(&Event::Stage {
        name: name.to_string(),
        total,
    });
}

pub(crate) fn score(
    plan: &Plan,
    model: &Model,
    rows: &[Example],
    name: &str,
    on: On,
) -> Result<Matrix> {
    stage(on, name, Some(rows.len() as u64));
    let processor = &plan.processor;
    let (first, _) = scoring::scores(model, plan.task, processor, rows, &mut |done| {
        on(&Event::Progress { done: done as u64 });
    })?;
    let tta = plan.recipe.pictures.tta;
    scoring::over_views(first, (model, plan.task), processor, (rows, tta))
}

/// The model trained once more on every row, as the recipe asks; the figures stay those of the model before it.
fn refitted(
    plan: &Plan,
    features: Option<&SequenceVectors>,
    (best_step, outcome): (u64, &mut Outcome),
    on: On,
) -> Result<(Model, Vec<HostTensor>)> {
    let rows = plan.every_row();
    let job = Job::new(plan).on_all(&rows, best_step);
    stage(on, "refit", Some(job.steps.0));
    let (model, _) = job.model()?;
    let mut watch = |event: &Event| match event {
        Event::Step { step, .. } => on(&Event::Progress { done: *step }),
        _ => Flow::Continue,
    };
    let fitted = job.fit(model, features, (None, None), &mut watch)?;
    ops::cpu::release();
    outcome.evaluated.notes.push(format!(
        "the saved model was trained once more on all {} rows; every figure here is of the model before that, which \
         had not seen the test rows",
        rows.len()
    ));
    let (mut model, updates) = job.finished(fitted.model)?;
    if let Some(found) = &outcome.evaluated.calibration {
        model.head = model.head.at_temperature(found.temperature);
    }
    outcome.gallery = embedding::gallery(plan, &model)?;
    Ok((model, updates))
}

/// What the backbone makes of `rows`, when the method leaves it as it is.
pub(crate) fn known_features(
    job: &Job,
    model: &Model,
    rows: &[&[Example]],
    on: On,
) -> Result<Option<SequenceVectors>> {
    if !job.recipe.method.method().frozen_backbone() {
        return Ok(None);
    }
    let plan = job.plan;
    let rows = rows.concat();
    stage(on, "features", Some(rows.len() as u64));
    let base = format!(
        "{:?} {} {:?}",
        plan.base.files,
        job.recipe.products().name(),
        model.head.pooling
    );
    let plain = scoring::plain(model);
    let cache = (plan.cache.as_path(), base.as_str());
    let mut progress = |done: usize| {
        on(&Event::Progress { done: done as u64 });
    };
    SequenceVectors::of(&plain, &plan.processor, &rows, cache, &mut progress).map(Some)
}

/// Training, validation and test rows, and those that are trained on again.
fn sides(plan: &Plan) -> [&[Example]; 4] {
    [&plan.train, &plan.valid, &plan.test, &plan.replay]
}

/// The floors that are measured before tuning: the model as it came, and a linear head on its frozen features.
fn cheap_floors(
    job: &Job,
    (model, features): (&Model, Option<&SequenceVectors>),
    on: On,
) -> Result<Vec<Floor>> {
    let plan = job.plan;
    if plan.recipe.verdict == VerdictLevel::Off {
        return Ok(Vec::new());
    }
    let untuned = scoring::plain(model);
    let meter = Meter::start();
    stage(on, "base_model", Some(plan.test.len() as u64));
    let scores = job.answers(&untuned, features, &mut |done| {
        on(&Event::Progress { done: done as u64 });
    })?;
    let base = Floor {
        name: "base_model",
        scores: vec![scores],
        cost: meter.cost(),
    };
    if embedding::rates(plan.task) {
        // The vectors of frozen features are those of the model as it came.
        return Ok(vec![base]);
    }
    let meter = Meter::start();
    let rows = plan.train.len() + plan.valid.len() + plan.test.len();
    stage(on, "frozen", Some(rows as u64));
    let objective = Objective::new(&plan.recipe.loss, plan.processor.labels(), &plan.train);
    let objective = objective.map_err(|problem| Error::Problems(vec![problem]))?;
    let given = Frozen {
        task: plan.task,
        processor: &plan.processor,
        objective: &objective,
    };
    let mut before = 0;
    let mut read = |rows: &[Example]| {
        if let Some(known) = features {
            return given.known(known, rows);
        }
        let found = given.read((&untuned, plan.base.pooling), rows, &mut |done| {
            let done = (before + done) as u64;
            on(&Event::Progress { done });
        });
        before += rows.len();
        found
    };
    let rows = (read(&plan.train)?, read(&plan.valid)?, read(&plan.test)?);
    let scores = given.scores(rows, &|scores| {
        selection(plan, &predictions(plan, &plan.valid, scores.clone(), false)).score
    })?;
    let frozen = Floor {
        name: "frozen",
        scores: vec![scores],
        cost: meter.cost(),
    };
    Ok(vec![base, frozen])
}

/// What the untuned head was, and what became of its classes.
fn head_notes(plan: &Plan, loaded: &LoadReport) -> Vec<String> {
    let text = if loaded.head_is_new() {
        "base_model is the checkpoint with an untrained head: it has none for this task"
    } else {
        "base_model is the checkpoint with its own head, before tuning"
    };
    let measured = plan.recipe.verdict != VerdictLevel::Off;
    let base = measured.then(|| text.to_string());
    let classes = loaded.classes.as_ref().map(HeadClasses::note);
    base.into_iter().chain(classes).collect()
}

type Recorder<'a> = &'a mut dyn FnMut(&Event, &mut RunFolder) -> Flow;

fn tune(
    job: &Job,
    model: Model,
    (features, from): (Option<&SequenceVectors>, Option<Snapshot>),
    folder: &mut RunFolder,
    record: Recorder,
) -> Result<Fitted<Model>> {
    record(&train_stage(job), folder);
    let keep = job.recipe.train.keep_checkpoints;
    // The loop saves and reports in turn, both into the one folder.
    let shared = std::cell::RefCell::new(&mut *folder);
    let save = &mut |snapshot: &Snapshot| shared.borrow_mut().save(snapshot, keep);
    let on = &mut |event: &Event| record(event, &mut shared.borrow_mut());
    let fitted = job.fit(model, features, (Some(save), from), on);
    ops::cpu::release();
    fitted.map_err(|error| match error {
        Error::Diverged(found) => diverged(job, *found, folder),
        error => error,
    })
}

fn train_stage(job: &Job) -> Event {
    Event::Stage {
        name: "train".to_string(),
        total: Some(job.steps.0),
    }
}

/// The error with the rows of the step, which are left in the run's folder.
fn diverged(job: &Job, found: Diverged, folder: &mut RunFolder) -> Error {
    let rows = job.train_rows();
    let batches = micro_batches(&job.recipe, rows, found.epoch);
    let of_step = found.batches.start as usize..(found.batches.end as usize).min(batches.len());
    let places: Vec<String> = batches[of_step]
        .iter()
        .flatten()
        .map(|row| job.plan.table.place(rows.get(*row).meta.row as usize))
        .collect();
    let text = serde_json::json!({
        "step": found.step,
        "tensor": found.tensor,
        "rows": places,
    });
    match folder.leave("diverged.json", text.to_string().as_bytes()) {
        Ok(path) => Error::User(format!(
            "{}; the rows of that step are in {}",
            Error::Diverged(Box::new(found)),
            path.display()
        )),
        Err(_) => Error::Diverged(Box::new(found)),
    }
}

pub(crate) fn gates(recipe: &Recipe, evaluated: &Evaluated) -> Vec<Gate> {
    let check = |(name, wanted): (&String, &f64)| {
        let got = evaluated.metrics.get(name).map(|interval| interval.value);
        let higher = metric(name).is_none_or(|m| m.higher_is_better);
        let passed = got.is_some_and(|got| {
            if higher {
                got >= *wanted
            } else {
                got <= *wanted
            }
        });
        Gate {
            metric: name.clone(),
            wanted: *wanted,
            got,
            passed,
        }
    };
    recipe.gates.iter().map(check).collect()
}

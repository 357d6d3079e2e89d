//! A run: floors, training, evaluation and the bundle, from a plan.

use std::time::Instant;

use retune_data::batch::{HostBatch, prefetch};
use retune_data::{Example, Target};
use retune_eval::metrics::majority_predictions;
use retune_eval::records::Shown;
use retune_eval::{Evaluated, Event, Matrix, Predictions, evaluate, metric};

use crate::bundle::{self, Saved};
use crate::error::{Error, Result};
use crate::floors::frozen::{self, Frozen};
use crate::methods;
use crate::model::{Inputs, Model, Pass};
use crate::ops;
use crate::plan::{Plan, micro_batches};
use crate::scoring;
use crate::staging::Staging;
use crate::train::{self, EpochBatches, Fitted, Parts, TrainOptions, Validation};
use crate::weights::{LoadReport, Place};

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
    /// A few test rows: after tuning, and the answer before.
    pub before_after: Vec<(Shown, String)>,
    /// Wall time.
    pub seconds: f64,
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

/// Carries out a plan and writes the bundle; nothing is left at `plan.out` unless the whole bundle is
/// there.
///
/// # Errors
/// Diverged training, a full disk, a damaged checkpoint.
pub fn train(plan: Plan, on: &mut (dyn FnMut(&Event) -> Flow + Send)) -> Result<Finished> {
    let Some(threads) = plan.recipe.threads else {
        return carry_out(plan, on);
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::User(format!("cannot start {threads} threads: {e}")))?;
    pool.install(|| carry_out(plan, on))
}

fn carry_out(plan: Plan, on: On) -> Result<Finished> {
    let started = Instant::now();
    let mut staging = Staging::create(&plan.out)?;
    let mut stopped = false;
    let mut record = |event: &Event| {
        // Stopping before or after the training loop is honoured by the loop itself.
        staging.event(event);
        let flow = on(event);
        stopped |= flow == Flow::Stop;
        if stopped { Flow::Stop } else { Flow::Continue }
    };
    let seed = plan.recipe.seed;
    let labels = plan.processor.labels();
    let place = Place::cpu(true, plan.recipe.products());
    let dropout = plan.recipe.train.dropout;
    let (mut model, loaded) = plan.base.build(labels, &place, seed, dropout)?;
    let units = plan.task.units(labels);
    model.head = model.head.in_units(units, loaded.head_is_new());
    let floors = floors(&plan, &model, &loaded, &mut record)?;
    let model = methods::prepare(plan.method, model);
    let mut fitted = tune(&plan, model, &mut record)?;
    ops::cpu::release();
    fitted.model.head = fitted.model.head.folded();
    let tuned = scoring::plain(&fitted.model);
    let (scores, _) = score(&plan, &tuned, &plan.test, "evaluate", &mut record);
    let result = Outcome::new(&plan, scores, &floors);
    stage(&mut record, "save", None);
    let saved = Saved {
        plan: &plan,
        model: &tuned,
        fitted: &fitted,
        loaded: &loaded,
        outcome: &result,
        seconds: started.elapsed().as_secs_f64(),
    };
    bundle::save(&mut staging, &saved)?;
    staging.publish()?;
    Ok(Finished {
        bundle: plan.out.clone(),
        gates: gates(&plan, &result.evaluated),
        evaluated: result.evaluated,
        before_after: result.before_after,
        seconds: started.elapsed().as_secs_f64(),
        interrupted: fitted.interrupted,
    })
}

fn stage(on: On, name: &str, total: Option<u64>) {
    on(&Event::Stage {
        name: name.to_string(),
        total,
    });
}

fn score(plan: &Plan, model: &Model, rows: &[Example], name: &str, on: On) -> (Matrix, f64) {
    stage(on, name, Some(rows.len() as u64));
    scoring::scores(model, plan.task, &plan.processor, rows, &mut |done| {
        on(&Event::Progress { done: done as u64 });
    })
}

/// Scores of the floors on the test rows.
struct Floors {
    base: Matrix,
    frozen: Matrix,
    base_note: String,
}

fn floors(plan: &Plan, model: &Model, loaded: &LoadReport, on: On) -> Result<Floors> {
    let untuned = scoring::plain(model);
    let (base, _) = score(plan, &untuned, &plan.test, "base_model", on);
    let rows = plan.train.len() + plan.valid.len() + plan.test.len();
    stage(on, "frozen", Some(rows as u64));
    let given = Frozen {
        model: &untuned,
        pooling: plan.base.pooling,
        task: plan.task,
        processor: &plan.processor,
        train: &plan.train,
        valid: &plan.valid,
        test: &plan.test,
    };
    let mut progress = |done: usize| {
        on(&Event::Progress { done: done as u64 });
    };
    let frozen = frozen::scores(&given, &mut progress, &|scores| {
        selection(plan, &predictions(plan, &plan.valid, scores.clone(), false)).score
    })?;
    Ok(Floors {
        base,
        frozen,
        base_note: if loaded.head_is_new() {
            "base_model is the checkpoint with an untrained head: it has none for this task"
        } else {
            "base_model is the checkpoint with its own head, before tuning"
        }
        .to_string(),
    })
}

/// Scores with their right answers.
fn predictions(plan: &Plan, rows: &[Example], scores: Matrix, details: bool) -> Predictions {
    let targets: Vec<Target> = rows.iter().map(|e| e.target.clone()).collect();
    let mut predictions = Predictions {
        scores,
        targets: plan.task.targets(&targets),
        slices: Vec::new(),
        ids: Vec::new(),
    };
    if details {
        let at: Vec<usize> = rows.iter().map(|e| e.meta.row as usize).collect();
        let columns = plan.recipe.data.slices.iter();
        // The plan has checked that every slice column is there.
        predictions.slices = columns
            .filter_map(|column| scoring::slice(&plan.table, column, &at).ok())
            .collect();
        predictions.ids = at.iter().map(|row| plan.table.place(*row)).collect();
    }
    predictions
}

/// Metrics of a validation pass and the one that selects.
fn selection(plan: &Plan, predictions: &Predictions) -> Validation {
    let evaluation = plan.task.evaluation(plan.processor.labels());
    let metrics = retune_eval::metrics::point(predictions, &evaluation);
    let name = plan
        .recipe
        .train
        .metric
        .as_ref()
        .unwrap_or(&evaluation.primary);
    let value = metrics.get(name).copied().unwrap_or(f64::NEG_INFINITY);
    let higher = metric(name).is_none_or(|m| m.higher_is_better);
    Validation {
        loss: 0.0,
        metrics,
        score: if higher { value } else { -value },
    }
}

fn tune(plan: &Plan, model: Model, on: On) -> Result<Fitted<Model>> {
    let recipe = &plan.recipe.train;
    let steps = plan.summary.steps;
    stage(on, "train", Some(steps));
    let every = plan.summary.steps_per_epoch / recipe.evals_per_epoch.max(1) as u64;
    let options = TrainOptions {
        steps,
        steps_per_epoch: plan.summary.steps_per_epoch,
        accumulate: recipe.accumulate,
        lr: recipe.lr,
        warmup_share: recipe.warmup_share,
        schedule: recipe.schedule,
        weight_decay: recipe.weight_decay,
        clip_norm: recipe.clip_norm,
        eval_every: if recipe.evals_per_epoch > 1 {
            every.max(1)
        } else {
            0
        },
        patience: recipe.patience,
        seed: plan.recipe.seed,
    };
    let labels = plan.processor.labels();
    let parts = Parts {
        batches: &mut |epoch| epoch_batches(plan, epoch),
        loss: &|model: &Model, batch: &HostBatch, pass: &Pass| {
            let output = model.output(&Inputs::new(batch), pass);
            plan.task
                .loss(output, labels, &batch.targets, &batch.weights)
        },
        validate: &mut |model| {
            let plain = scoring::plain(model);
            let quiet = &mut |_| ();
            let (scores, loss) =
                scoring::scores(&plain, plan.task, &plan.processor, &plan.valid, quiet);
            let found = selection(plan, &predictions(plan, &plan.valid, scores, false));
            Ok(Validation { loss, ..found })
        },
        on,
    };
    train::fit(model, parts, &options)
}

/// Micro-batches of an epoch, collated ahead on a background thread.
fn epoch_batches(plan: &Plan, epoch: u64) -> EpochBatches<'static, HostBatch> {
    let batches = micro_batches(&plan.recipe, &plan.train, epoch);
    let processor = plan.processor.clone();
    let rows: Vec<Vec<Example>> = batches
        .into_iter()
        .map(|batch| batch.into_iter().map(|i| plan.train[i].clone()).collect())
        .collect();
    let collated = rows.into_iter().map(move |rows| {
        let refs: Vec<&Example> = rows.iter().collect();
        let batch = processor.collate(&refs);
        let tokens = batch.ids.len() as u64;
        (batch, tokens)
    });
    Box::new(prefetch(collated, 4))
}

/// What the test rows showed.
pub struct Outcome {
    /// The model's predictions.
    pub predictions: Predictions,
    /// Figures with floors.
    pub evaluated: Evaluated,
    /// A few rows after tuning, with the answer before.
    pub before_after: Vec<(Shown, String)>,
}

impl Outcome {
    fn new(plan: &Plan, scores: Matrix, floors: &Floors) -> Self {
        let seed = plan.recipe.seed;
        let labels = plan.processor.labels();
        let evaluation = plan.task.evaluation(labels);
        let predicted = predictions(plan, &plan.test, scores, true);
        let mut evaluated = evaluate(&predicted, &evaluation, "test", seed);
        let train: Vec<Target> = plan.train.iter().map(|e| e.target.clone()).collect();
        let prior = majority_predictions(&plan.task.targets(&train), &predicted);
        let of = |scores: &Matrix| predictions(plan, &plan.test, scores.clone(), false);
        for (name, floor) in [
            (bundle::prior_name(labels), &prior),
            ("base_model", &of(&floors.base)),
            ("frozen", &of(&floors.frozen)),
        ] {
            evaluated.compare(name, (&predicted, floor), &evaluation, seed);
        }
        evaluated.notes.push(floors.base_note.clone());
        Self {
            before_after: before_after(plan, &predicted.scores, &floors.base),
            predictions: predicted,
            evaluated,
        }
    }
}

/// A test row as reports show it.
pub(crate) fn shown(plan: &Plan, index: usize, scores: &Matrix) -> Shown {
    let example = &plan.test[index];
    let row = example.meta.row as usize;
    let labels = plan.processor.labels();
    let answer = plan.task.answer(scores.row(index), labels);
    let truth = plan.task.truth(&example.target, labels);
    let text: Vec<String> = plan
        .roles
        .text
        .iter()
        .filter_map(|c| Some(plan.table.column(c).ok()?.text(row)?.into_owned()))
        .collect();
    let error = match (&example.target, answer.value) {
        (Target::Value(wanted), Some(got)) => (f64::from(*wanted) - got).abs(),
        _ => 0.0,
    };
    Shown {
        id: plan.table.place(row),
        text: shortened(&text.join(" ⏐ ")),
        truth,
        predicted: answer.phrase(),
        confidence: answer.confidence.unwrap_or(error),
    }
}

fn shortened(text: &str) -> String {
    const LIMIT: usize = 400;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// Five test rows of short, readable texts, spread over the split.
fn before_after(plan: &Plan, after: &Matrix, before: &Matrix) -> Vec<(Shown, String)> {
    const WANTED: usize = 5;
    let n = plan.test.len();
    let readable = |i: &usize| (8..=40).contains(&plan.test[*i].tokens());
    let mut rows: Vec<usize> = (0..n).filter(readable).collect();
    if rows.len() < WANTED {
        rows = (0..n).collect();
    }
    let step = (rows.len() / WANTED).max(1);
    rows.into_iter()
        .step_by(step)
        .take(WANTED)
        .map(|i| {
            let old = plan.task.answer(before.row(i), plan.processor.labels());
            (shown(plan, i, after), old.phrase())
        })
        .collect()
}

fn gates(plan: &Plan, evaluated: &Evaluated) -> Vec<Gate> {
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
    plan.recipe.gates.iter().map(check).collect()
}

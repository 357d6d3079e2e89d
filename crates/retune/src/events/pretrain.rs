//! Pre-training: the next event of a card, and what is hidden of an event, without labels.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use burn::module::Module as _;
use retune_data::batch::{BatchOptions, Order, plan_batches};
use retune_eval::records::{Interval, Metrics};
use retune_eval::{Evaluated, Event};
use retune_kernels::dropout::mix;
use retune_kernels::process;

use super::batch::{EventBatch, Hidden};
use super::bundle::{self, CONFIG, Config, MODEL_TYPE, TASK, WEIGHTS};
use super::model::EventModel;
use super::plan::{LENGTH, Plan};
use crate::bundle::{Manifest, pretty, sha256};
use crate::checkpoint;
use crate::error::Result;
use crate::model::Pass;
use crate::ops;
use crate::run::{Begun, Finished, Flow, recorder, stage};
use crate::run_folder::{RunFolder, Started};
use crate::scoring::to_host;
use crate::train::state::Snapshot;
use crate::train::{self, Fitted, Parts, SaveWhen, TrainOptions, Validation};
use crate::weights::{self, LoadReport, Place};

/// Passes, learning rate and decay of averaged weights where the recipe names none.
const USUAL: (f64, f64, f64) = (8.0, 2e-3, 0.99);
/// Optimiser steps at least where the recipe names no number of passes.
const LEAST_STEPS: f64 = 400.0;
/// Timelines per optimiser step, and per batch outside training.
const TIMELINES: usize = 32;
/// One of so many timelines is held back to measure on.
const HELD_BACK: usize = 10;
/// 97.5 % point of the normal distribution.
const Z: f64 = 1.96;
/// The figure that selects: nats by which each held-back event is a surprise, given those before it.
pub const PRIMARY: &str = "surprise";

type On<'a> = &'a mut dyn FnMut(&Event) -> Flow;

/// A timeline's part, with its key.
type Part = (u64, Vec<u32>);

/// Carries out a plan, or goes on with the unfinished run in `plan.out` where `going_on` says whether by force.
///
/// # Errors
/// Diverged training, a full disk; data or recipe that are not those the run was begun with.
pub fn pretrain(
    plan: &Plan,
    going_on: Option<bool>,
    on: &mut (dyn FnMut(&Event) -> Flow + Send),
) -> Result<Finished> {
    let files = plan.table.files.iter().filter(|path| path.is_file());
    let data = files.map(|path| Ok((path.display().to_string(), sha256(path)?)));
    let started = Started {
        retune: env!("CARGO_PKG_VERSION").to_string(),
        data: data.collect::<Result<_>>()?,
        base: BTreeMap::new(),
    };
    let begun = Begun::new(&plan.recipe, &plan.out, started.clone());
    begun.carried_out(going_on, on, |folder, from, on| {
        carry_out(plan, (folder, &started), from, on)
    })
}

fn carry_out(
    plan: &Plan,
    (mut folder, started): (RunFolder, &Started),
    from: Option<Snapshot>,
    on: On,
) -> Result<Finished> {
    let clock = Instant::now();
    let mut record = recorder(on);
    let place = Place::cpu(true, plan.recipe.products());
    let (model, loaded) =
        bundle::begun(plan.origin.as_ref(), &plan.form, &place, plan.recipe.seed)?;
    let (train, held) = parts(plan);
    let fitted = fit(
        plan,
        model,
        (&train, &held),
        from,
        (&mut folder, &mut record),
    )?;
    ops::cpu::release();
    let mut on = |event: &Event| record(event, &mut folder);
    stage(&mut on, "evaluate", None);
    let plain = fitted.model.valid();
    let evaluated = evaluated(plan, &plain, (&train, &held));
    stage(&mut on, "save", None);
    save(plan, &folder, &plain)?;
    folder.write("metrics.json", &pretty(&evaluated)?)?;
    let manifest = manifest(
        plan,
        &folder.parts(),
        (started, loaded),
        (
            fitted.best_step,
            fitted.steps,
            clock.elapsed().as_secs_f64(),
        ),
    )?;
    folder.write("bundle.json", &pretty(&manifest)?)?;
    folder.publish()?;
    Ok(Finished {
        bundle: plan.out.clone(),
        gates: Vec::new(),
        require: plan.recipe.require,
        evaluated,
        before_after: Vec::new(),
        seconds: clock.elapsed().as_secs_f64(),
        peak_bytes: process::peak_resident_bytes(),
        forecast: None,
        interrupted: fitted.interrupted,
    })
}

/// Writes what the model is made of, and its weights.
fn save(plan: &Plan, folder: &RunFolder, model: &EventModel) -> Result<()> {
    checkpoint::write(&folder.parts().join(WEIGHTS), &rooted(model), &[])?;
    let config = Config {
        model_type: MODEL_TYPE.to_string(),
        form: plan.form.clone(),
        spec: plan.spec.clone(),
        fields: plan.fields.clone(),
        cast: plan.cast.clone(),
    };
    folder.write(CONFIG, &pretty(&config)?)?;
    folder.write("recipe.toml", plan.recipe.to_toml().as_bytes())
}

/// The weights by path.
fn rooted(model: &EventModel) -> Vec<weights::HostTensor> {
    let all = weights::host_values(model).into_iter();
    all.map(|(path, shape, values)| (format!("{}.{path}", bundle::ROOT), shape, values))
        .collect()
}

/// Timelines to learn from and those held back, in parts that the model reads at once.
fn parts(plan: &Plan) -> (Vec<Part>, Vec<Part>) {
    let timelines = &plan.told.timelines;
    let mut order: Vec<u64> = (0..timelines.len() as u64).collect();
    order.sort_by_key(|number| mix(mix(plan.recipe.seed) ^ number));
    let (held, train) = order.split_at((timelines.len() / HELD_BACK).max(1));
    let side = |numbers: &[u64]| {
        let mut numbers = numbers.to_vec();
        numbers.sort_unstable();
        let own = |number: u64| {
            let parts = timelines[number as usize].chunks(LENGTH).zip(0u64..);
            parts.map(move |(rows, part)| (number << 32 | part, rows.to_vec()))
        };
        numbers.into_iter().flat_map(own).collect()
    };
    (side(train), side(held))
}

type Recorder<'a> = &'a mut dyn FnMut(&Event, &mut RunFolder) -> Flow;

fn fit(
    plan: &Plan,
    model: EventModel,
    (train, held): (&[Part], &[Part]),
    from: Option<Snapshot>,
    (folder, record): (&mut RunFolder, Recorder),
) -> Result<Fitted<EventModel>> {
    let of = &plan.recipe.train;
    let pass = train.len().div_ceil(TIMELINES).max(1) as u64;
    let usual = || USUAL.0.max(LEAST_STEPS / pass as f64);
    let steps = (of.epochs.unwrap_or_else(usual) * pass as f64)
        .round()
        .max(1.0) as u64;
    let options = TrainOptions {
        steps: steps.min(of.max_steps.unwrap_or(u64::MAX)),
        steps_per_epoch: pass,
        lr: of.lr.unwrap_or(USUAL.1),
        patience: of.patience,
        weight_decay: of.weight_decay,
        clip_norm: of.clip_norm,
        seed: plan.recipe.seed,
        average: Some(of.ema.unwrap_or(USUAL.2)).filter(|decay| *decay > 0.0),
        save: of
            .checkpoint_every
            .map_or(SaveWhen::Time(crate::job::BETWEEN_STATES), SaveWhen::Steps),
        ..TrainOptions::default()
    };
    let keep = of.keep_checkpoints;
    let shared = std::cell::RefCell::new(folder);
    let mut on = |event: &Event| record(event, &mut shared.borrow_mut());
    stage(&mut on, "train", Some(options.steps));
    let parts = Parts {
        batches: &mut |epoch| lessons(plan, train, epoch),
        loss: &|model: &EventModel, (batch, hidden): &(EventBatch, Hidden), pass: &Pass| {
            model.loss(batch, hidden, pass)
        },
        validate: &mut |model: &EventModel| {
            let plain = model.valid();
            let sums = surprise(plan, &plain, held);
            let events: f64 = sums.iter().map(|(n, _)| n).sum();
            let mean = sums.iter().map(|(_, sum)| sum).sum::<f64>() / events.max(1.0);
            Ok(Validation {
                loss: mean,
                score: -mean,
                metrics: [(PRIMARY.to_string(), mean)].into(),
            })
        },
        on: &mut on,
        first: None,
        save: Some(&mut |snapshot: &Snapshot| shared.borrow().save(snapshot, keep)),
    };
    train::fit(model, parts, &options, from)
}

fn lessons<'a>(
    plan: &'a Plan,
    train: &'a [Part],
    epoch: u64,
) -> train::EpochBatches<'a, (EventBatch, Hidden)> {
    let seed = plan.recipe.seed;
    let options = BatchOptions {
        rows: TIMELINES,
        max_tokens: usize::MAX,
        order: Order::Shuffled,
        seed,
    };
    let lengths: Vec<usize> = train.iter().map(|(_, rows)| rows.len()).collect();
    let batches = plan_batches(&lengths, &options, epoch).into_iter();
    Box::new(batches.map(move |parts| {
        let chosen: Vec<Part> = parts.into_iter().map(|at| train[at].clone()).collect();
        let batch = EventBatch::of_rows(&plan.told, &chosen);
        let events = batch.events() as u64;
        Ok((
            batch.hiding(&plan.form.sizes, mix(seed ^ mix(epoch))),
            events,
        ))
    }))
}

/// Of each timeline in parts: how many events it has, and the sum of their surprises.
fn surprise(plan: &Plan, model: &EventModel, parts: &[Part]) -> Vec<(f64, f64)> {
    let width = plan.form.surprises();
    let mut found: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for some in parts.chunks(TIMELINES) {
        let batch = EventBatch::of_rows(&plan.told, some);
        let all: Vec<u32> = (0..batch.events() as u32).collect();
        let states = model.states(&batch, &Pass::default());
        let surprises = to_host(model.surprises(&states, &batch, &all));
        let mut rows = surprises.chunks(width);
        for (key, events) in some {
            let sum: f64 = rows
                .by_ref()
                .take(events.len())
                // The last column is a probability.
                .map(|row| row[..width - 1].iter().map(|s| f64::from(*s)).sum::<f64>())
                .sum();
            let own = found.entry(key >> 32).or_default();
            own.0 += events.len() as f64;
            own.1 += sum;
        }
    }
    found.into_values().collect()
}

/// Of each timeline how many events it has, and how they surprise one who knows nothing but how frequent each code is among
/// the training events.
fn counted(plan: &Plan, train: &[Part], parts: &[Part]) -> Vec<(f64, f64)> {
    let width = plan.told.moments.width;
    let code =
        |row: u32, at: usize| usize::from(plan.told.moments.codes[row as usize * width + at]);
    let mut tables: Vec<Vec<f64>> = plan
        .form
        .sizes
        .iter()
        .map(|size| vec![1.0; *size])
        .collect();
    for row in train.iter().flat_map(|(_, rows)| rows) {
        for (at, table) in tables.iter_mut().enumerate() {
            table[code(*row, at)] += 1.0;
        }
    }
    for table in &mut tables {
        let all: f64 = table.iter().sum();
        for count in table.iter_mut() {
            *count = (all / *count).ln();
        }
    }
    let mut found: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for (key, rows) in parts {
        let own = found.entry(key >> 32).or_default();
        own.0 += rows.len() as f64;
        own.1 += rows
            .iter()
            .flat_map(|row| plan.form.foretold().map(|at| tables[at][code(*row, at)]))
            .sum::<f64>();
    }
    found.into_values().collect()
}

/// Mean per event, with an interval over timelines (of a ratio, linearised).
fn mean(sums: &[(f64, f64)]) -> Interval {
    let n: f64 = sums.iter().map(|(n, _)| n).sum::<f64>().max(1.0);
    let value = sums.iter().map(|(_, sum)| sum).sum::<f64>() / n;
    let squares: f64 = sums
        .iter()
        .map(|(events, sum)| (sum - value * events).powi(2))
        .sum();
    let half = Z * squares.sqrt() / n;
    Interval {
        value,
        low: value - half,
        high: value + half,
    }
}

fn evaluated(plan: &Plan, model: &EventModel, (train, held): (&[Part], &[Part])) -> Evaluated {
    let own = surprise(plan, model, held);
    let counts = counted(plan, train, held);
    let gain: Vec<(f64, f64)> = own
        .iter()
        .zip(&counts)
        .map(|((n, own), (_, counts))| (*n, counts - own))
        .collect();
    let figure = |found: Interval| -> Metrics { [(PRIMARY.to_string(), found)].into() };
    let events = held.iter().map(|(_, rows)| rows.len()).sum();
    Evaluated {
        metrics: figure(mean(&own)),
        baselines: [("frequencies".to_string(), figure(mean(&counts)))].into(),
        gains: [("frequencies".to_string(), mean(&gain))].into(),
        notes: vec![format!(
            "surprise is -log p of the parts of each next event ({}) in nats, on {} cards that are held back",
            plan.spec.names().join(", "),
            own.len()
        )],
        ..Evaluated::empty("held-back cards", events, PRIMARY)
    }
}

fn manifest(
    plan: &Plan,
    folder: &Path,
    (started, loaded): (&Started, LoadReport),
    (best_step, steps, seconds): (u64, u64, f64),
) -> Result<Manifest> {
    let files = [CONFIG, WEIGHTS, "recipe.toml"]
        .map(|name| Ok((name.to_string(), sha256(&folder.join(name))?)));
    Ok(Manifest {
        parent: plan.origin.as_ref().map(|(base, _)| base.parent.clone()),
        loaded,
        data: started.data.clone(),
        best_step,
        steps,
        seconds,
        files: files.into_iter().collect::<Result<_>>()?,
        ..Manifest::now(TASK, super::FAMILY, plan.recipe.products())
    })
}

//! How fast this machine trains: steps of known models on made-up or given sequences, through the same loop,
//! operations and optimiser as a run.

mod gemm;
mod work;

use std::collections::BTreeMap;
use std::time::Instant;

use retune_data::Target;
use retune_data::batch::{HostBatch, prefetch};
use retune_eval::Event;
use retune_kernels::isa::Isa;
use retune_kernels::process;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::checkpoint::hex;
use crate::error::{Error, Result};
use crate::losses;
use crate::model::{Inputs, Model, Pass};
use crate::ops::{self, Precision, clock};
use crate::train::{self, EpochBatches, Flow, Parts, TrainOptions, Validation};
use crate::weights::host_values;

pub use gemm::{Rate, rate_of_a_layer, rates};
pub use work::{WORKLOADS, Workload, workload};

/// What to measure and how long.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Steps measured.
    pub steps: u64,
    /// Steps before them.
    pub warmup: u64,
    /// Threads; all when left out.
    pub threads: Option<usize>,
    /// Format of products.
    pub precision: Precision,
    /// Token ids of sequences to use in place of made-up ones.
    pub sequences: Option<Vec<Vec<u32>>>,
    /// Whether to compute with Burn's own operations instead of the kernels.
    pub plain: bool,
}

/// Share of a step that an operation takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OpTime {
    /// Name.
    pub op: String,
    /// Milliseconds per step.
    pub ms_per_step: f64,
    /// Share of the step.
    pub share: f64,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Workload name.
    pub workload: String,
    /// Instruction set.
    pub isa: String,
    /// Format of products.
    pub precision: String,
    /// Whether Burn's own operations were used.
    pub plain: bool,
    /// Threads.
    pub threads: usize,
    /// Steps measured.
    pub steps: u64,
    /// Sequences per step.
    pub rows: usize,
    /// Mean tokens per step.
    pub tokens_per_step: f64,
    /// Median wall time of a step.
    pub ms_per_step_median: f64,
    /// Least wall time of a step.
    pub ms_per_step_min: f64,
    /// Tokens over the time of all steps, waits included.
    pub tokens_per_s: f64,
    /// Operations of matrix products and attention over that time, in 10⁹ per second.
    pub gflops: f64,
    /// Best matrix product of the model's shapes, in 10⁹ per second.
    pub gemm_peak_gflops: f64,
    /// `gflops / gemm_peak_gflops`.
    pub share_of_peak: f64,
    /// Largest resident size, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// Page faults per step, where the system tells.
    pub page_faults_per_step: Option<f64>,
    /// Share of the time spent waiting for batches.
    pub wait_share: f64,
    /// Of all parameters after the last step.
    pub weights_sha256: String,
    /// Where the time goes.
    pub ops: Vec<OpTime>,
}

/// Runs a workload.
///
/// # Errors
/// Sequences with ids the model does not have; diverged training.
pub fn run(workload: &Workload, options: &BenchOptions) -> Result<Figures> {
    let in_pool = || {
        let measured = || measure(workload, options);
        if options.plain {
            ops::with_twins(measured)
        } else {
            measured()
        }
    };
    pool(options.threads)?.install(in_pool)
}

/// A pool of so many threads; of one per core when left out.
fn pool(threads: Option<usize>) -> Result<rayon::ThreadPool> {
    let threads = threads.unwrap_or_else(rayon::current_num_threads);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|e| Error::User(format!("cannot start {threads} threads: {e}")))
}

/// Names of the instruction sets this machine has.
pub fn isas() -> Vec<&'static str> {
    Isa::available().into_iter().map(Isa::name).collect()
}

/// Makes kernels use the instruction set of this name; false when the machine does not have it, or kernels
/// have run with another one.
pub fn choose_isa(name: &str) -> bool {
    Isa::named(name).is_some_and(Isa::choose)
}

/// Name of the instruction set in use.
pub fn isa() -> &'static str {
    Isa::current().name()
}

/// What the loop reported of the steps measured.
#[derive(Default)]
struct Seen {
    ms: Vec<f64>,
    wait: f64,
    tokens: u64,
    faults: Option<u64>,
}

fn measure(workload: &Workload, options: &BenchOptions) -> Result<Figures> {
    let model = workload.model(options.precision)?;
    let facts = workload.facts()?;
    let batches = workload.batches(options.sequences.as_deref())?;
    let mut seen = Seen::default();
    let fitted = steps(model, &batches, options, &mut seen)?;
    let tokens = seen.tokens as f64 / options.steps as f64;
    let total = seen.ms.iter().sum::<f64>() + seen.wait;
    let mut sorted = seen.ms.clone();
    sorted.sort_by(f64::total_cmp);
    let flops = work::flops(&facts, workload, &batches, options);
    let gflops = flops / 1e9 / (total / 1e3);
    let peak = gemm::peak(&facts, options.precision);
    Ok(Figures {
        workload: workload.name.to_string(),
        isa: Isa::current().name().to_string(),
        precision: options.precision.name().to_string(),
        plain: options.plain,
        threads: rayon::current_num_threads(),
        steps: options.steps,
        rows: workload.rows(),
        tokens_per_step: tokens,
        ms_per_step_median: sorted[sorted.len() / 2],
        ms_per_step_min: sorted[0],
        tokens_per_s: seen.tokens as f64 / (total / 1e3),
        gflops,
        gemm_peak_gflops: peak,
        share_of_peak: gflops / peak,
        peak_rss_bytes: process::peak_resident_bytes(),
        page_faults_per_step: seen.faults.map(|n| n as f64 / options.steps as f64),
        wait_share: seen.wait / total,
        weights_sha256: digest(&fitted),
        ops: budget(options.steps, seen.ms.iter().sum()),
    })
}

/// Trains for warm-up and measured steps; `seen` gets the latter.
fn steps(
    model: Model,
    batches: &[HostBatch],
    options: &BenchOptions,
    seen: &mut Seen,
) -> Result<Model> {
    let settings = settings(options.warmup + options.steps);
    let mut faults = None;
    let mut on = |event: &Event| {
        if let Event::Step {
            step,
            ms,
            wait_ms,
            tokens,
            ..
        } = event
        {
            if *step > options.warmup {
                seen.ms.push(*ms);
                seen.wait += wait_ms;
                seen.tokens += tokens;
            } else if *step == options.warmup {
                faults = process::page_faults();
                clock::start();
            }
        }
        Flow::Continue
    };
    if options.warmup == 0 {
        clock::start();
    }
    let parts = Parts {
        batches: &mut |_| endless(batches),
        loss: &|model: &Model, batch: &HostBatch, pass: &Pass| {
            let logits = model.output(&Inputs::new(batch), pass);
            losses::cross_entropy(logits, &batch.targets, &batch.weights)
        },
        validate: &mut |_| {
            Ok(Validation {
                loss: 0.0,
                metrics: BTreeMap::new(),
                score: 0.0,
            })
        },
        on: &mut on,
        first: None,
        save: None,
    };
    let fitted = train::fit(model, parts, &settings, None)?;
    seen.faults = process::page_faults()
        .zip(faults)
        .map(|(after, before)| after - before);
    Ok(fitted.model)
}

/// Full steps as a run takes them by default.
fn settings(steps: u64) -> TrainOptions {
    TrainOptions {
        steps,
        steps_per_epoch: steps,
        lr: 2e-5,
        weight_decay: 0.01,
        clip_norm: 1.0,
        seed: 1,
        ..TrainOptions::default()
    }
}

/// The batches over and over, made on a thread of their own as in a run.
fn endless(batches: &[HostBatch]) -> EpochBatches<'static, HostBatch> {
    let batches = batches.to_vec();
    let cycle = (0..usize::MAX).map(move |i| {
        let batch = batches[i % batches.len()].clone();
        let tokens = batch.lengths.iter().map(|n| u64::from(*n)).sum();
        Ok((batch, tokens))
    });
    Box::new(prefetch(cycle, 4))
}

/// SHA-256 of all parameters in module order.
fn digest(model: &Model) -> String {
    let mut hash = Sha256::new();
    for (path, _, values) in host_values(model) {
        hash.update(path.as_bytes());
        hash.update(
            values
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect::<Vec<u8>>(),
        );
    }
    hex(&hash.finalize())
}

/// The clock's readings per step, largest first, and what is left.
fn budget(steps: u64, total_ms: f64) -> Vec<OpTime> {
    let row = |op: String, ms: f64| OpTime {
        op,
        ms_per_step: ms / steps as f64,
        share: ms / total_ms,
    };
    let mut rows: Vec<OpTime> = clock::stop()
        .into_iter()
        .map(|(op, time)| row(op.to_string(), time.as_secs_f64() * 1e3))
        .collect();
    rows.sort_by(|a, b| b.ms_per_step.total_cmp(&a.ms_per_step));
    let known: f64 = rows.iter().map(|r| r.ms_per_step).sum::<f64>() * steps as f64;
    rows.push(row("everything else".to_string(), total_ms - known));
    rows
}

/// Wall time of `f` at its best of several runs, in seconds.
fn best_of(runs: usize, mut f: impl FnMut()) -> f64 {
    (0..runs).fold(f64::INFINITY, |best, _| {
        let started = Instant::now();
        f();
        best.min(started.elapsed().as_secs_f64())
    })
}

/// A target per row: two classes in turn.
fn targets(rows: usize) -> Vec<Target> {
    (0..rows)
        .map(|row| Target::Class((row % 2) as u32))
        .collect()
}

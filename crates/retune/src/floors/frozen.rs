//! Frozen backbone with a linear head on its pooled features.
//!
//! Features are computed once and standardised with the training rows' mean and deviation; the linear
//! head is trained by the same loop and the same loss as the tuned model, and its weight decay and
//! step are selected on the validation rows.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use retune_data::{Example, Processor, Target};
use retune_eval::{Event, Matrix};

use crate::error::Result;
use crate::features::SequenceVectors;
use crate::head::Units;
use crate::losses::Objective;
use crate::model::{Model, Pass, Pooling};
use crate::nn::Linear;
use crate::ops::{Activation, Precision};
use crate::scoring;
use crate::tasks::Task;
use crate::train::{EpochBatches, Flow, Parts, TrainOptions, Validation, fit, schedule::Schedule};

const EPOCHS: u64 = 40;
const ROWS: usize = 128;
const LR: f64 = 5e-3;
const DECAYS: [f64; 3] = [0.01, 0.1, 1.0];

/// What the floor is made of.
pub struct Frozen<'a> {
    /// The task.
    pub task: &'a dyn Task,
    /// The processor of the run.
    pub processor: &'a Processor,
    /// What training minimises.
    pub objective: &'a Objective,
}

/// A linear head on features, `[rows, width]` to `[rows, outputs]`.
#[derive(Module, Debug)]
struct Probe {
    out: Linear,
    #[module(skip)]
    units: Units,
}

impl Probe {
    /// Starts at zero: the loss is convex.
    fn new(width: usize, outputs: usize, units: Units) -> Self {
        let device = scoring::cpu(true);
        let zeros = |n: usize| vec![0f32; n];
        let weight = TensorData::new(zeros(width * outputs), [outputs, width]);
        let bias = TensorData::new(zeros(outputs), [outputs]);
        Self {
            out: Linear::new(
                Param::from_data(weight, &device),
                Param::from_data(bias, &device),
                Precision::F32,
            ),
            units,
        }
    }

    fn output(&self, features: Tensor<2>) -> Tensor<2> {
        self.out.forward(features, Activation::None) * self.units.scale + self.units.shift
    }
}

/// Features of rows, `[rows, width]`, with their targets.
#[derive(Clone)]
pub struct Rows {
    features: Matrix,
    targets: Vec<Target>,
}

impl Rows {
    /// Some of them.
    #[must_use]
    pub fn subset(&self, rows: &[usize]) -> Self {
        let width = self.features.cols;
        let row = |r: &usize| &self.features.data[r * width..(r + 1) * width];
        Self {
            features: Matrix {
                rows: rows.len(),
                cols: width,
                data: rows.iter().flat_map(row).copied().collect(),
            },
            targets: self.targets(rows),
        }
    }

    fn upload(&self, rows: &[usize], train: bool) -> Tensor<2> {
        let width = self.features.cols;
        let values: Vec<f32> = rows
            .iter()
            .flat_map(|r| &self.features.data[r * width..(r + 1) * width])
            .copied()
            .collect();
        let data = TensorData::new(values, [rows.len(), width]);
        Tensor::from_data(data, &scoring::cpu(train)) // [rows, width]
    }

    fn targets(&self, rows: &[usize]) -> Vec<Target> {
        rows.iter().map(|r| self.targets[*r].clone()).collect()
    }
}

impl Frozen<'_> {
    /// Features of rows by the backbone of an untuned model. `on` is told how many are done.
    ///
    /// # Errors
    /// A picture that cannot be read any more.
    pub fn read(
        &self,
        (model, pooling): (&Model, Pooling),
        examples: &[Example],
        on: &mut dyn FnMut(usize),
    ) -> Result<Rows> {
        Ok(Rows {
            features: scoring::features(model, pooling, self.processor, examples, on)?,
            targets: examples.iter().map(|e| e.target.clone()).collect(),
        })
    }

    /// The same of vectors that are known.
    ///
    /// # Errors
    /// None: pictures are not read.
    pub fn known(&self, vectors: &SequenceVectors, examples: &[Example]) -> Result<Rows> {
        Ok(Rows {
            features: vectors.of_rows(self.processor, examples)?,
            targets: examples.iter().map(|e| e.target.clone()).collect(),
        })
    }

    /// Scores of the test rows by a head fitted on the training rows. `score` turns a prediction of the validation
    /// rows into a number, larger is better.
    ///
    /// # Errors
    /// As [`fit`].
    pub fn scores(
        &self,
        (mut train, mut valid, mut test): (Rows, Rows, Rows),
        score: &dyn Fn(&Matrix) -> f64,
    ) -> Result<Matrix> {
        let units = standardise(&train.features);
        for rows in [&mut train, &mut valid, &mut test] {
            apply(&units, &mut rows.features);
        }
        let mut best: Option<(f64, Probe)> = None;
        for decay in DECAYS {
            let probe = fit_probe(self, &train, &valid, decay, score)?;
            let found = score(&predict(self, &probe, &valid));
            if best.as_ref().is_none_or(|(top, _)| found > *top) {
                best = Some((found, probe));
            }
        }
        Ok(match best {
            Some((_, probe)) => predict(self, &probe, &test),
            None => Matrix::default(),
        })
    }
}

fn fit_probe(
    given: &Frozen,
    train: &Rows,
    valid: &Rows,
    weight_decay: f64,
    score: &dyn Fn(&Matrix) -> f64,
) -> Result<Probe> {
    let labels = given.processor.labels();
    let units = given.task.units(labels);
    let probe = Probe::new(train.features.cols, labels.outputs(), units);
    let n = train.targets.len();
    let per_epoch = n.div_ceil(ROWS) as u64;
    let options = TrainOptions {
        steps: EPOCHS * per_epoch,
        steps_per_epoch: per_epoch,
        lr: LR,
        schedule: Schedule::Cosine,
        weight_decay,
        ..TrainOptions::default()
    };
    let parts = Parts {
        batches: &mut |epoch| -> EpochBatches<'_, Vec<usize>> {
            let order = shuffled(n, epoch);
            let batches: Vec<_> = order
                .chunks(ROWS)
                .map(|rows| Ok((rows.to_vec(), 0)))
                .collect();
            Box::new(batches.into_iter())
        },
        loss: &|probe: &Probe, rows: &Vec<usize>, _: &Pass| {
            let output = probe.output(train.upload(rows, true));
            let weights = vec![1.0; rows.len()];
            let targets = train.targets(rows);
            given
                .task
                .loss(output, labels, &targets, &weights, given.objective)
        },
        validate: &mut |probe| {
            Ok(Validation {
                loss: 0.0,
                metrics: std::collections::BTreeMap::new(),
                score: score(&predict(given, &probe.valid(), valid)),
            })
        },
        on: &mut |_: &Event| Flow::Continue,
        first: None,
        save: None,
    };
    Ok(fit(probe, parts, &options, None)?.model.valid())
}

fn predict(given: &Frozen, probe: &Probe, rows: &Rows) -> Matrix {
    let all: Vec<usize> = (0..rows.targets.len()).collect();
    let output = probe.output(rows.upload(&all, false));
    let scores = given.task.scores(output, given.processor.labels());
    let [n, cols] = scores.dims();
    Matrix {
        rows: n,
        cols,
        data: scoring::to_host(scores),
    }
}

/// Mean and deviation of each column.
fn standardise(x: &Matrix) -> Vec<(f32, f32)> {
    let n = x.rows.max(1) as f64;
    (0..x.cols)
        .map(|col| {
            let column = || (0..x.rows).map(move |row| f64::from(x.data[row * x.cols + col]));
            let mean = column().sum::<f64>() / n;
            let variance = column().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            (mean as f32, variance.sqrt().max(1e-6) as f32)
        })
        .collect()
}

fn apply(units: &[(f32, f32)], x: &mut Matrix) {
    for row in x.data.chunks_mut(units.len().max(1)) {
        for (value, (mean, std)) in row.iter_mut().zip(units) {
            *value = (*value - mean) / std;
        }
    }
}

/// Row indices in an order that depends on the epoch only.
fn shuffled(n: usize, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|i| retune_kernels::dropout::mix(epoch << 32 ^ *i as u64));
    order
}

//! `tabular`: an ensemble of small networks that share their layers ("TabM-mini", Gorishniy et al., arXiv:2410.24210),
//! over numbers in piecewise-linear steps (Gorishniy et al., arXiv:2203.05556).
//!
//! Each of `members` networks scales the inputs by numbers of its own, all go through the same hidden layers, and each
//! has an output layer of its own. Their probabilities are averaged.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, activation};
use retune_data::Target;
use retune_data::batch::{BatchOptions, Order, plan_batches};
use retune_data::fields::Cells;
use retune_eval::{Event, Matrix};
use retune_kernels::dropout::{Stream, mix};
use serde::{Deserialize, Serialize};

use super::Known;
use super::inputs::Inputs;
use crate::error::Result;
use crate::losses::{self, Loss, Objective};
use crate::model::Pass;
use crate::nn::Linear;
use crate::ops::{self, Activation, Dropout};
use crate::scoring::{cpu, to_host};
use crate::train::schedule::Schedule;
use crate::train::state::Snapshot;
use crate::train::{self, Fitted, Flow, Parts, SaveWhen, TrainOptions, Validation};
use crate::weights::{Init, Source, WeightsError};

/// Rows per batch outside training.
const ROWS: usize = 1024;
/// Standard deviation of fresh weights is `GAIN / sqrt(inputs)`.
const GAIN: f64 = 1.0;

/// What a network is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetForm {
    /// Numbers that it reads.
    pub inputs: usize,
    /// Numbers that it answers with.
    pub outputs: usize,
    /// Networks.
    pub members: usize,
    /// Width of the hidden layers.
    pub width: usize,
    /// Hidden layers.
    pub layers: usize,
    /// Share of hidden values that training drops.
    pub dropout: f64,
}

/// Standard deviation and mean of a number that is learned, and whether classes are learned instead.
pub type Says = ((f64, f64), bool);

/// The networks.
#[derive(Module, Debug)]
pub struct Net {
    /// Each member's factors of the inputs, `[members, inputs]`.
    pub scales: Param<Tensor<2>>,
    /// Shared by all members.
    pub layers: Vec<Linear>,
    /// Each member's output layer, `[members, width, outputs]`.
    pub out: Param<Tensor<3>>,
    /// `[members, 1, outputs]`.
    pub bias: Param<Tensor<3>>,
    #[module(skip)]
    dropout: f64,
}

impl Net {
    /// Reads `scales`, `layers.N`, `out` and `bias`, or makes them of random numbers.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn load(source: &mut Source, form: &NetForm) -> std::result::Result<Self, WeightsError> {
        let mut width = form.inputs;
        let mut layers = Vec::with_capacity(form.layers);
        for i in 0..form.layers {
            layers.push(Linear::load(
                source,
                &format!("layers.{i}"),
                width,
                form.width,
            )?);
            width = form.width;
        }
        Ok(Self {
            scales: source.param(
                "scales",
                [form.members, form.inputs],
                Init::Spread { std: 1.0 },
            )?,
            layers,
            out: source.param("out", [form.members, width, form.outputs], Init::Normal)?,
            bias: source.param("bias", [form.members, 1, form.outputs], Init::Zeros)?,
            dropout: form.dropout,
        })
    }

    /// Standard deviation of fresh weights.
    pub fn spread(form: &NetForm) -> f64 {
        GAIN / (form.width as f64).sqrt()
    }

    /// From `[rows, inputs]` to what each member says of each row, `[rows * members, outputs]`.
    pub fn forward(&self, mut x: Tensor<2>, keys: &[u64], pass: &Pass) -> Tensor<2> {
        let scales = self.scales.val();
        let members = scales.dims()[0] as u64;
        let own = |key: &u64| {
            let key = *key;
            (0..members).map(move |member| mix(key ^ mix(member)))
        };
        let keys: Arc<Vec<u64>> = Arc::new(keys.iter().flat_map(own).collect());
        for (site, layer) in (0..).zip(&self.layers) {
            x = match site {
                0 => layer.forward_members(x, scales.clone(), Activation::Relu, pass.train),
                _ => layer.forward(x, Activation::Relu),
            }; // [rows * members, width]
            x = ops::dropout_rows(
                x,
                &Dropout {
                    p: if pass.train { self.dropout } else { 0.0 },
                    stream: Stream {
                        seed: pass.seed,
                        step: pass.step,
                        site,
                    },
                    keys: Arc::clone(&keys),
                },
            );
        }
        ops::member_outputs(x, self.out.val(), self.bias.val()) // [rows * members, outputs]
    }

    /// Probabilities or values of inputs `[rows, inputs]` outside training, averaged over members: `[rows, outputs]`.
    pub fn says(&self, x: Tensor<2>, ((std, mean), classes): Says) -> Tensor<2> {
        let [rows, _] = x.dims();
        let keys = vec![0; rows];
        let said = self.forward(x, &keys, &Pass::default()); // [rows * members, outputs]
        let [all, outputs] = said.dims();
        let said = if classes {
            activation::softmax(said, 1)
        } else {
            said * std + mean
        };
        said.reshape([rows, all / rows.max(1), outputs])
            .mean_dim(1)
            .reshape([rows, outputs])
    }
}

/// How a network trains.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// Passes over the rows at most.
    pub epochs: f64,
    /// Validations without improvement before stopping.
    pub patience: usize,
    /// Peak learning rate of AdamW.
    pub lr: f64,
    /// Rows per step.
    pub batch: usize,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Largest global gradient norm; 0 for none.
    pub clip_norm: f64,
    /// Decay of the average of the weights that is kept.
    pub average: Option<f64>,
    /// Steps at most.
    pub max_steps: Option<u64>,
    /// When the state is saved.
    pub save: SaveWhen,
    /// Seed of order and dropout.
    pub seed: u64,
}

/// One training of a network.
pub struct Job<'a> {
    /// How fields become inputs.
    pub inputs: &'a Inputs,
    /// How it trains.
    pub pace: Pace,
    /// What it minimises; `None` for the squared error of a number.
    pub objective: Option<&'a Objective>,
    /// Standard deviation and mean of a number that is learned.
    pub units: (f64, f64),
    /// Rows to learn from.
    pub train: Known<'a>,
    /// Rows that the best weights are selected on.
    pub valid: Known<'a>,
}

/// What rates answers to the validation rows: metrics by name and the one that selects.
pub type Rate<'a> = &'a dyn Fn(&Matrix) -> Validation;
/// Keeps the states of a training.
pub type Save<'a> = &'a mut dyn FnMut(&Snapshot) -> Result<()>;

/// Inputs of some rows, and which rows these are.
struct Lesson {
    rows: Vec<usize>,
    /// `[rows, inputs]`.
    x: Tensor<2>,
}

impl Job<'_> {
    /// Optimiser steps of the whole training and of one pass.
    pub fn steps(&self) -> (u64, u64) {
        let pass = self
            .train
            .targets
            .len()
            .div_ceil(self.pace.batch.max(1))
            .max(1) as u64;
        let whole = (self.pace.epochs * pass as f64).round() as u64;
        (
            whole.clamp(1, self.pace.max_steps.unwrap_or(u64::MAX)),
            pass,
        )
    }

    /// Trains `net` and returns the best weights.
    ///
    /// # Errors
    /// A loss or gradient that is not finite; a state that cannot be saved.
    pub fn fit(
        &self,
        net: Net,
        rate: Rate,
        (mut save, from): (Option<Save<'_>>, Option<Snapshot>),
        on: &mut dyn FnMut(&Event) -> Flow,
    ) -> Result<Fitted<Net>> {
        let options = self.options();
        let saves = save.is_some();
        let mut keep = |snapshot: &Snapshot| save.as_mut().map_or(Ok(()), |save| save(snapshot));
        let parts = Parts {
            batches: &mut |epoch| self.lessons(epoch),
            loss: &|net: &Net, lesson: &Lesson, pass: &Pass| self.loss(net, lesson, pass),
            validate: &mut |net| {
                let scores = answers(
                    net,
                    self.inputs,
                    self.valid.cells,
                    self.units,
                    self.objective.is_some(),
                );
                Ok(rate(&scores))
            },
            on,
            first: None,
            save: if saves { Some(&mut keep) } else { None },
        };
        train::fit(net, parts, &options, from)
    }

    /// How the loop trains.
    pub(super) fn options(&self) -> TrainOptions {
        let (steps, steps_per_epoch) = self.steps();
        let pace = &self.pace;
        TrainOptions {
            steps,
            steps_per_epoch,
            lr: pace.lr,
            schedule: Schedule::Constant,
            patience: Some(pace.patience),
            weight_decay: pace.weight_decay,
            clip_norm: pace.clip_norm,
            seed: pace.seed,
            average: pace.average,
            save: pace.save,
            ..TrainOptions::default()
        }
    }

    fn lessons(&self, epoch: u64) -> train::EpochBatches<'_, Lesson> {
        Box::new(self.batches(epoch).map(|rows| {
            let x = tensor(self.inputs, self.train.cells, &rows, true);
            let n = rows.len() as u64;
            Ok((Lesson { rows, x }, n))
        }))
    }

    /// The training rows of each step of a pass.
    pub(super) fn batches(&self, epoch: u64) -> impl Iterator<Item = Vec<usize>> + use<> {
        let options = BatchOptions {
            rows: self.pace.batch,
            max_tokens: usize::MAX,
            order: Order::Shuffled,
            seed: self.pace.seed,
        };
        let lengths = vec![1; self.train.targets.len()];
        plan_batches(&lengths, &options, epoch).into_iter()
    }

    /// Sum over members and rows.
    fn loss(&self, net: &Net, lesson: &Lesson, pass: &Pass) -> Loss {
        let keys: Vec<u64> = lesson.rows.iter().map(|row| *row as u64).collect();
        self.penalty(net.forward(lesson.x.clone(), &keys, pass), &lesson.rows)
    }

    /// The same of what members said of rows, `[rows * members, outputs]`.
    pub(super) fn penalty(&self, said: Tensor<2>, rows: &[usize]) -> Loss {
        let members = said.dims()[0] / rows.len().max(1);
        let own = |row: &usize| std::iter::repeat_n(self.train.targets[*row].clone(), members);
        let targets: Vec<Target> = rows.iter().flat_map(own).collect();
        let weights = vec![1f32; targets.len()];
        if let Some(objective) = self.objective {
            return objective.cross_entropy(said, &targets, &weights);
        }
        let (std, mean) = self.units;
        losses::squared_error(said * std + mean, &targets, &weights, std)
    }
}

/// Probabilities or values of rows, averaged over members: `[rows, outputs]`.
pub fn answers(
    net: &Net,
    inputs: &Inputs,
    cells: &Cells,
    units: (f64, f64),
    classes: bool,
) -> Matrix {
    let mut out = Matrix {
        rows: cells.rows(),
        ..Matrix::default()
    };
    for first in (0..cells.rows()).step_by(ROWS) {
        let some: Vec<usize> = (first..cells.rows().min(first + ROWS)).collect();
        let x = tensor(inputs, cells, &some, false);
        let said = net.says(x, (units, classes));
        out.cols = said.dims()[1];
        out.data.extend(to_host(said));
    }
    out
}

/// The inputs of some rows, `[rows, inputs]`, on the device with gradients when `train`.
pub(super) fn tensor(inputs: &Inputs, cells: &Cells, rows: &[usize], train: bool) -> Tensor<2> {
    let width = inputs.width();
    let mut values = Vec::with_capacity(rows.len() * width);
    for row in rows {
        inputs.push(cells.row(*row), &mut values);
    }
    Tensor::from_data(TensorData::new(values, [rows.len(), width]), &cpu(train))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::ops::Precision;
    use crate::train::optimizer::Gradients;
    use crate::weights::Place;

    const FORM: NetForm = NetForm {
        inputs: 11,
        outputs: 2,
        members: 3,
        width: 16,
        layers: 2,
        dropout: 0.3,
    };
    const ROWS: usize = 20;

    fn net() -> Net {
        let keys = |path: &str| vec![path.to_string()];
        let place = Place::cpu(true, Precision::F32);
        let mut source = Source::new(None, &keys, &place, 3, Net::spread(&FORM));
        Net::load(&mut source, &FORM).unwrap()
    }

    fn matrix(rows: usize, columns: usize, first: usize) -> Tensor<2> {
        let value = |i: usize| (mix((first * columns + i) as u64) >> 40) as f32 / 8_388_608.0 - 1.0;
        let values: Vec<f32> = (0..rows * columns).map(value).collect();
        Tensor::from_data(TensorData::new(values, [rows, columns]), &cpu(true))
    }

    /// What a net says of rows from `first` on, and the gradients of a weighted sum of it.
    fn learned(net: &Net, first: usize, rows: usize, gradients: &mut Gradients) -> Vec<f32> {
        let keys: Vec<u64> = (first..first + rows).map(|row| row as u64).collect();
        let pass = Pass {
            train: true,
            seed: 5,
            step: 9,
            ..Pass::default()
        };
        let said = net.forward(matrix(rows, FORM.inputs, first), &keys, &pass);
        let weights = matrix(rows * FORM.members, FORM.outputs, first * FORM.members);
        let tape = (said.clone() * weights).sum().backward();
        gradients.add(net, tape, &pass.rows);
        to_host(said)
    }

    fn near(a: &[f32], b: &[f32]) {
        let largest = a.iter().fold(0f32, |most, a| most.max(a.abs()));
        assert!(a.len() == b.len() && largest > 0.01, "{largest}");
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 1e-5 * largest.max(1.0), "{a} and {b}");
        }
    }

    #[test]
    fn a_row_is_dropped_said_and_learned_alike_in_any_company() {
        // Eight rows and more scale the weight of the first layer, fewer are scaled themselves.
        let net = net();
        let mut whole = Gradients::default();
        let said = learned(&net, 0, ROWS, &mut whole);
        let mut parts = Gradients::default();
        let each = (0..ROWS).step_by(4);
        let again: Vec<f32> = each
            .flat_map(|first| learned(&net, first, 4, &mut parts))
            .collect();
        near(&said, &again);
        assert_eq!(whole.found.len(), 7);
        for ((a, whole), (b, parts)) in whole.found.into_iter().zip(parts.found) {
            assert_eq!(a, b);
            let host = |gradient: ops::Gradient| crate::weights::host(gradient.dense(&cpu(false)));
            near(&host(whole), &host(parts));
        }
        let plain = net.says(matrix(ROWS, FORM.inputs, 0), ((1.0, 0.0), true));
        assert_eq!(plain.dims(), [ROWS, FORM.outputs]);
        let alone = net.says(matrix(1, FORM.inputs, 0), ((1.0, 0.0), true));
        let first = plain.clone().narrow(0, 0, 1);
        assert_eq!(to_host(alone), to_host(first), "to the bit");
        let sums = to_host(plain.sum_dim(1));
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{sums:?}");
    }
}

//! Every family against the reference implementation: token vectors, logits, losses, every gradient, five
//! training steps and the parameters after them (`golden/make_golden.py`, transformers in f32).
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests read tensors")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use retune::checkpoint::Checkpoint;
use retune::data::Target;
use retune::data::batch::HostBatch;
use retune::families::{ModelConfig, build_model, family_of};
use retune::losses;
use retune::model::{Inputs, Model, Pass};
use retune::scoring;
use retune::train::optimizer::Gradients;
use retune::train::schedule::Schedule;
use retune::train::{Flow, Parts, TrainOptions, Validation, fit};
use retune::weights::params;
use safetensors::SafeTensors;

const FOLDERS: [&str; 4] = [
    "bert-tiny",
    "distilbert-tiny",
    "roberta-tiny",
    "xlm-roberta-tiny",
];
const TOLERANCE: f32 = 1e-4;

struct Golden {
    name: &'static str,
    folder: PathBuf,
    config: ModelConfig,
    bytes: Vec<u8>,
}

impl Golden {
    fn open(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../golden")
            .join(name);
        let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
        Self {
            name,
            bytes: std::fs::read(folder.join("expected.safetensors")).unwrap(),
            config: ModelConfig(serde_json::from_str(&config).unwrap()),
            folder,
        }
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = file.tensor(name).unwrap().data().to_vec();
        data.chunks(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    fn ints(&self, name: &str) -> Vec<i64> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = file.tensor(name).unwrap().data().to_vec();
        data.chunks(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    /// Without dropout, in the gradient graph when `train`.
    fn model(&self, train: bool) -> Model {
        let checkpoint = Checkpoint::open(&self.folder).unwrap();
        let device = scoring::cpu(train);
        let config = self.config.with_dropout(0.0);
        let (model, report) = build_model(&config, Some(&checkpoint), 3, &device, 0).unwrap();
        assert_eq!(report.new, Vec::<String>::new(), "{}", self.name);
        assert_eq!(report.unused, Vec::<String>::new(), "{}", self.name);
        model
    }

    /// The reference's padded batch, packed.
    fn batch(&self) -> HostBatch {
        let lengths = self.ints("lengths");
        let width = self.ints("input_ids").len() / lengths.len();
        let packed = |name: &str| -> Vec<i64> {
            let all = self.ints(name);
            let row = |(i, n): (usize, &i64)| all[i * width..i * width + *n as usize].to_vec();
            lengths.iter().enumerate().flat_map(row).collect()
        };
        HostBatch {
            ids: packed("input_ids").iter().map(|v| *v as u32).collect(),
            types: packed("token_type_ids").iter().map(|v| *v as u8).collect(),
            lengths: lengths.iter().map(|v| *v as u32).collect(),
            chunks: vec![1; lengths.len()],
            keys: (0..lengths.len() as u64).collect(),
            targets: self
                .ints("labels")
                .iter()
                .map(|c| Target::Class(*c as u32))
                .collect(),
            weights: vec![1.0; lengths.len()],
            rows: (0..lengths.len() as u64).collect(),
        }
    }
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_to_vec().unwrap()
}

fn close(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}: sizes");
    let scale = want.iter().fold(1f32, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(
            (g - w).abs() <= TOLERANCE * scale,
            "{what}[{i}]: {g} but the reference has {w}"
        );
    }
}

#[test]
fn token_vectors_and_logits() {
    for golden in FOLDERS.map(Golden::open) {
        let model = golden.model(false);
        let batch = golden.batch();
        let inputs = Inputs::new(&batch, &scoring::cpu(false));
        let hidden = model.hidden(&inputs, &Pass::default());
        let padded = golden.floats("last_hidden_state");
        let width = padded.len() / golden.ints("input_ids").len();
        let longest = golden.ints("input_ids").len() / batch.lengths.len();
        let want: Vec<f32> = batch
            .lengths
            .iter()
            .enumerate()
            .flat_map(|(i, n)| {
                let start = i * longest * width;
                padded[start..start + *n as usize * width].to_vec()
            })
            .collect();
        close(golden.name, &host(hidden.tokens), &want);
        let logits = model.output(&inputs, &Pass::default());
        close(golden.name, &host(logits), &golden.floats("logits"));
    }
}

#[test]
fn loss_and_every_gradient() {
    for golden in FOLDERS.map(Golden::open) {
        let model = golden.model(true);
        let batch = golden.batch();
        let inputs = Inputs::new(&batch, &scoring::cpu(true));
        let logits = model.output(&inputs, &Pass::default());
        let loss = losses::cross_entropy(logits, &batch.targets, &batch.weights);
        let mean = loss.sum / loss.weight;
        close("loss", &host(mean.clone().detach()), &golden.floats("loss"));
        let mut gradients = Gradients::default();
        gradients.add(&model, mean.backward());
        let found: HashMap<_, _> = gradients.found.into_iter().collect();
        let family = family_of(&golden.config).unwrap();
        let all = params(&model);
        for named in &all {
            let key = (family.keys)(&golden.config, &named.path)[0].clone();
            let got = found
                .get(&named.id)
                .unwrap_or_else(|| panic!("no gradient of {key}"));
            close(
                &key,
                &host(got.clone()),
                &golden.floats(&format!("grad.{key}")),
            );
        }
        let file = SafeTensors::deserialize(&golden.bytes).unwrap();
        let reference = file
            .names()
            .iter()
            .filter(|n| n.starts_with("grad."))
            .count();
        assert_eq!(all.len(), reference, "{}: parameters", golden.name);
    }
}

/// As `golden/make_golden.py` trains.
const FIVE_STEPS: TrainOptions = TrainOptions {
    steps: 5,
    steps_per_epoch: 1,
    accumulate: 1,
    lr: 1e-3,
    warmup_share: 0.0,
    schedule: Schedule::Constant,
    weight_decay: 0.01,
    clip_norm: 1.0,
    eval_every: 0,
    patience: None,
    seed: 0,
};

#[test]
fn five_steps_of_training() {
    for golden in FOLDERS.map(Golden::open) {
        let losses_seen = RefCell::new(Vec::new());
        let norms_seen = RefCell::new(Vec::new());
        let parts = Parts {
            batches: &mut |_| Box::new(std::iter::once((golden.batch(), 0))),
            loss: &|model: &Model, batch: &HostBatch, pass: &Pass| {
                let inputs = Inputs::new(batch, &scoring::cpu(true));
                let logits = model.output(&inputs, pass);
                losses::cross_entropy(logits, &batch.targets, &batch.weights)
            },
            validate: &mut |_| {
                Ok(Validation {
                    loss: 0.0,
                    metrics: std::collections::BTreeMap::new(),
                    // Rising, so that the last weights are kept.
                    score: losses_seen.borrow().len() as f64,
                })
            },
            on: &mut |event| {
                if let retune::eval::Event::Step {
                    loss, grad_norm, ..
                } = event
                {
                    losses_seen.borrow_mut().push(*loss as f32);
                    norms_seen.borrow_mut().push(*grad_norm as f32);
                }
                Flow::Continue
            },
        };
        let fitted = fit(golden.model(true), parts, &FIVE_STEPS).unwrap();
        close("losses", &losses_seen.borrow(), &golden.floats("losses"));
        close("norms", &norms_seen.borrow(), &golden.floats("grad_norms"));
        let family = family_of(&golden.config).unwrap();
        for named in params(&fitted.model) {
            let key = (family.keys)(&golden.config, &named.path)[0].clone();
            // Attention does not depend on the key bias: its true gradient is 0, and AdamW scales
            // rounding noise up to whole steps.
            if key.ends_with("key.bias") || key.ends_with("k_lin.bias") {
                continue;
            }
            close(
                &key,
                &host(named.value),
                &golden.floats(&format!("final.{key}")),
            );
        }
    }
}

#[test]
fn losses_of_several_labels_and_of_numbers() {
    for golden in FOLDERS.map(Golden::open) {
        let logits = golden.floats("logits");
        let rows = logits.len() / 3;
        let device = scoring::cpu(true);
        let on = |values: Vec<f32>, cols: usize| -> Tensor<2> {
            let data = burn::tensor::TensorData::new(values, [rows, cols]);
            Tensor::from_data(data, &device).require_grad()
        };
        let flags = golden.floats("bce_targets");
        let labels: Vec<Target> = flags
            .chunks(3)
            .map(|row| Target::Labels(row.iter().map(|f| Some(*f > 0.5)).collect()))
            .collect();
        let x = on(logits.clone(), 3);
        let loss = losses::binary_cross_entropy(x.clone(), &labels, &vec![1.0; rows]);
        let mean = loss.sum / loss.weight;
        close(
            "bce",
            &host(mean.clone().detach()),
            &golden.floats("bce_loss"),
        );
        let grad = x.grad(&mean.backward()).unwrap();
        close(
            "bce gradient",
            &host(grad),
            &golden.floats("bce_grad_logits"),
        );

        let values: Vec<Target> = golden
            .floats("mse_targets")
            .iter()
            .map(|v| Target::Value(*v))
            .collect();
        let x = on(logits.iter().step_by(3).copied().collect(), 1);
        let loss = losses::squared_error(x.clone(), &values, &vec![1.0; rows], 1.0);
        let mean = loss.sum / loss.weight;
        close(
            "mse",
            &host(mean.clone().detach()),
            &golden.floats("mse_loss"),
        );
        let grad = x.grad(&mean.backward()).unwrap();
        close(
            "mse gradient",
            &host(grad),
            &golden.floats("mse_grad_logits"),
        );
    }
}

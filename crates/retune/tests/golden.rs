//! Every family against the reference implementation: token vectors, logits, losses, every gradient, five
//! training steps and the parameters after them (`golden/make_golden.py`, transformers in f64); in bf16 no further
//! from that than torch's autocast is.
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
use retune::ops::Precision;
use retune::scoring;
use retune::train::optimizer::Gradients;
use retune::train::{Flow, Parts, TrainOptions, Validation, fit};
use retune::weights::Place;
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
    fn model(&self, train: bool, precision: Precision) -> Model {
        let checkpoint = Checkpoint::open(&self.folder).unwrap();
        let place = Place::cpu(train, precision);
        let config = self.config.with_dropout(0.0);
        let (model, report) = build_model(&config, Some(&checkpoint), 3, &place, 0).unwrap();
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
            ..HostBatch::default()
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

/// What the golden file holds of the forward and backward pass, by its names there.
fn passes(golden: &Golden, precision: Precision) -> Vec<(String, Vec<f32>)> {
    let model = golden.model(true, precision);
    let batch = golden.batch();
    let inputs = Inputs::new(&batch);
    let pass = Pass::default();
    let hidden = model.hidden(&inputs, &pass).tokens;
    let logits = model.output(&inputs, &pass);
    let loss = losses::cross_entropy(logits.clone(), &batch.targets, &batch.weights);
    let mean = loss.sum / loss.weight;
    let mut found = vec![
        ("last_hidden_state".to_string(), host(hidden.detach())),
        ("logits".to_string(), host(logits.detach())),
        ("loss".to_string(), host(mean.clone().detach())),
    ];
    let mut gradients = Gradients::default();
    gradients.add(&model, mean.backward(), &pass.rows);
    let gradients: HashMap<_, _> = gradients.found.into_iter().collect();
    let family = family_of(&golden.config).unwrap();
    for named in params(&model) {
        let key = (family.keys)(&golden.config, &named.path)[0].clone();
        let gradient = gradients.get(&named.id);
        let gradient = gradient.unwrap_or_else(|| panic!("no gradient of {key}"));
        let gradient = gradient.clone().dense(&scoring::cpu(false));
        found.push((format!("grad.{key}"), host(gradient)));
    }
    found
}

/// The reference's value of `name`; token vectors without padding.
fn expected(golden: &Golden, name: &str) -> Vec<f32> {
    let values = golden.floats(name);
    if name != "last_hidden_state" {
        return values;
    }
    let slots = golden.ints("input_ids").len();
    let (width, lengths) = (values.len() / slots, golden.ints("lengths"));
    let longest = slots / lengths.len();
    let rows = lengths.iter().enumerate().flat_map(|(i, n)| {
        let start = i * longest * width;
        values[start..start + *n as usize * width].to_vec()
    });
    rows.collect()
}

#[test]
fn token_vectors_logits_loss_and_every_gradient() {
    for golden in FOLDERS.map(Golden::open) {
        let found = passes(&golden, Precision::F32);
        for (name, got) in &found {
            let what = format!("{}: {name}", golden.name);
            close(&what, got, &expected(&golden, name));
        }
        let file = SafeTensors::deserialize(&golden.bytes).unwrap();
        let names = file.names();
        let reference = names.iter().filter(|n| n.starts_with("grad.")).count();
        let ours = found.iter().filter(|(n, _)| n.starts_with("grad.")).count();
        assert_eq!(ours, reference, "{}: parameters", golden.name);
    }
}

/// The gradient of a key bias is 0 in exact arithmetic: what is found is rounding noise.
fn is_noise(name: &str) -> bool {
    name.ends_with("key.bias") || name.ends_with("k_lin.bias")
}

/// L2 distance of two lists.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>().sqrt()
}

/// Relative error that rounding one result to bf16 may have.
const ROUNDING: f64 = 1.0 / 256.0;

/// Norms and errors of torch's autocast to bfloat16, with two forms of attention.
struct Autocast(serde_json::Value);

impl Autocast {
    fn open(golden: &Golden) -> Self {
        let json = std::fs::read_to_string(golden.folder.join("autocast.json")).unwrap();
        Self(serde_json::from_str(&json).unwrap())
    }

    fn figure(&self, name: &str, which: &str) -> f64 {
        self.0[name][which].as_f64().unwrap()
    }

    /// The larger of the two errors.
    fn error(&self, name: &str) -> f64 {
        self.figure(name, "sdpa").max(self.figure(name, "eager"))
    }
}

/// Each number is a draw of rounding errors, on their side too: single tensors get half as much again, the mean
/// of all nothing, against transformers' default attention.
#[test]
fn bf16_is_as_near_as_autocast_to_bfloat16() {
    for golden in FOLDERS.map(Golden::open) {
        let theirs = Autocast::open(&golden);
        let (mut our_sum, mut their_sum) = (0.0, 0.0);
        for (name, got) in passes(&golden, Precision::Bf16) {
            let what = format!("{}: {name}", golden.name);
            let ours = distance(&got, &expected(&golden, &name));
            let scale = if is_noise(&name) {
                theirs.figure(&name.replace("bias", "weight"), "norm")
            } else {
                theirs.figure(&name, "norm")
            };
            let allowed = (1.5 * theirs.error(&name)).max(ROUNDING * scale);
            assert!(
                ours <= allowed,
                "{what} is off by {ours:e} of {scale:e}, above {allowed:e}"
            );
            assert!(ours > 0.0, "{what} is exact: it was not computed in bf16");
            if !is_noise(&name) {
                our_sum += ours / scale;
                their_sum += theirs.figure(&name, "sdpa") / scale;
            }
        }
        assert!(
            our_sum <= their_sum,
            "{}: errors of {our_sum} and {their_sum}",
            golden.name
        );
    }
}

/// As `golden/make_golden.py` trains.
fn five_steps() -> TrainOptions {
    TrainOptions {
        steps: 5,
        lr: 1e-3,
        weight_decay: 0.01,
        clip_norm: 1.0,
        ..TrainOptions::default()
    }
}

/// The model after the steps, and loss and gradient norm of each.
fn trained(model: Model, batch: &HostBatch) -> (Model, Vec<f32>, Vec<f32>) {
    let (losses, norms) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let parts = Parts {
        batches: &mut |_| Box::new(std::iter::once(Ok((batch.clone(), 0)))),
        loss: &|model: &Model, batch: &HostBatch, pass: &Pass| {
            let inputs = Inputs::new(batch);
            let logits = model.output(&inputs, pass);
            losses::cross_entropy(logits, &batch.targets, &batch.weights)
        },
        validate: &mut |_| {
            Ok(Validation {
                loss: 0.0,
                metrics: std::collections::BTreeMap::new(),
                // Rising, so that the last weights are kept.
                score: losses.borrow().len() as f64,
            })
        },
        on: &mut |event| {
            if let retune::eval::Event::Step {
                loss, grad_norm, ..
            } = event
            {
                losses.borrow_mut().push(*loss as f32);
                norms.borrow_mut().push(*grad_norm as f32);
            }
            Flow::Continue
        },
        first: None,
        save: None,
    };
    let fitted = fit(model, parts, &five_steps(), None).unwrap();
    (fitted.model, losses.into_inner(), norms.into_inner())
}

#[test]
fn five_steps_of_training() {
    for golden in FOLDERS.map(Golden::open) {
        let model = golden.model(true, Precision::F32);
        let (model, losses, norms) = trained(model, &golden.batch());
        close("losses", &losses, &golden.floats("losses"));
        close("norms", &norms, &golden.floats("grad_norms"));
        let family = family_of(&golden.config).unwrap();
        for named in params(&model) {
            let key = (family.keys)(&golden.config, &named.path)[0].clone();
            // AdamW scales the noise up to whole steps.
            if is_noise(&key) {
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

/// Sequences of every length that the positions allow, more rows than any block has.
fn large_batch() -> HostBatch {
    let lengths: Vec<u32> = (0..48).map(|i| 1 + i * 29 % 60).collect();
    let total = lengths.iter().sum::<u32>();
    HostBatch {
        ids: (0..total).map(|i| 5 + i * i % 100).collect(),
        types: (0..total).map(|i| (i / 7 % 2) as u8).collect(),
        chunks: vec![1; 48],
        keys: (0..48).collect(),
        targets: (0..48).map(|i| Target::Class(i * i % 3)).collect(),
        weights: vec![1.0; 48],
        rows: (0..48).collect(),
        lengths,
        ..HostBatch::default()
    }
}

/// Every bit of the weights and losses after the steps, with dropout, by as many threads.
fn bits(precision: Precision, threads: usize) -> Vec<u32> {
    let golden = Golden::open("bert-tiny");
    let run = || {
        let checkpoint = Checkpoint::open(&golden.folder).unwrap();
        let place = Place::cpu(true, precision);
        let (model, _) = build_model(&golden.config, Some(&checkpoint), 3, &place, 0).unwrap();
        let (model, losses, norms) = trained(model, &large_batch());
        assert!(losses[4] < losses[0], "{losses:?}");
        let weights = params(&model)
            .into_iter()
            .flat_map(|named| host(named.value));
        let all = weights.chain(losses).chain(norms);
        all.map(f32::to_bits).collect()
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build().unwrap().install(run)
}

#[test]
fn five_steps_have_the_same_bits_by_any_number_of_threads() {
    let [single, half] = [Precision::F32, Precision::Bf16].map(|precision| {
        let one = bits(precision, 1);
        for threads in [2, 3, 4, 4] {
            let other = bits(precision, threads);
            assert!(one == other, "{precision:?} differs by {threads} threads");
        }
        one
    });
    assert_ne!(single, half);
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

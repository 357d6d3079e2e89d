//! Families that read pictures against the reference implementation: features, logits, losses, every gradient and
//! five training steps (`golden/make_efficientnet.py`, timm in f64).
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests read tensors")]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Tensor;
use retune::HubOptions;
use retune::checkpoint::Checkpoint;
use retune::data::Target;
use retune::data::batch::{HostBatch, Pictures};
use retune::data::picture::{Picture, PictureLimits};
use retune::families::{ModelConfig, build_model, family_of};
use retune::losses;
use retune::methods::{MethodRecipe, prepare};
use retune::model::{Inputs, Model, Pass, Pooling};
use retune::ops::{self, Precision};
use retune::pretrained::BaseModel;
use retune::scoring;
use retune::train::optimizer::Gradients;
use retune::train::{Flow, Parts, TrainOptions, Validation, fit};
use retune::weights::{Place, params};
use serde_json::Value;

const FOLDERS: [&str; 1] = ["efficientnet-tiny"];

struct Golden {
    name: &'static str,
    folder: PathBuf,
    config: ModelConfig,
    expected: Value,
}

/// A list of numbers, however deep.
fn floats(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(items) => items.iter().flat_map(floats).collect(),
        other => vec![other.as_f64().unwrap() as f32],
    }
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().convert::<f32>().try_to_vec().unwrap()
}

fn norm(values: &[f32]) -> f32 {
    values.iter().map(|v| v * v).sum::<f32>().sqrt()
}

/// `got` is within `tolerance` of `want`, as a share of the largest value wanted or of `scale`.
fn close(what: &str, got: &[f32], want: &[f32], (tolerance, scale): (f32, f32)) {
    assert_eq!(got.len(), want.len(), "{what}: sizes");
    let scale = want.iter().fold(scale, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!(
            (g - w).abs() <= tolerance * scale,
            "{what}[{i}]: {g} but the reference has {w}"
        );
    }
}

impl Golden {
    fn open(name: &'static str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden");
        let folder = root.join(name);
        let read = |name: &str| {
            let text = std::fs::read_to_string(folder.join(name)).unwrap();
            serde_json::from_str::<Value>(&text).unwrap()
        };
        Self {
            name,
            config: ModelConfig(read("config.json")),
            expected: read("expected.json"),
            folder,
        }
    }

    fn all() -> [Self; 1] {
        FOLDERS.map(Self::open)
    }

    /// Without dropout, in the gradient graph, every weight training.
    fn model(&self, precision: Precision) -> Model {
        let checkpoint = Checkpoint::open(&self.folder).unwrap();
        let mut config = self.config.clone();
        config.0["drop_rate"] = 0.0.into();
        let place = Place::cpu(true, precision);
        let (model, report) = build_model(&config, Some(&checkpoint), 3, &place, 0).unwrap();
        assert_eq!(report.new, Vec::<String>::new(), "{}", self.name);
        assert_eq!(report.unused, Vec::<String>::new(), "{}", self.name);
        let full = MethodRecipe::all()
            .into_iter()
            .find(|m| m.method().name() == "full");
        prepare(full.unwrap().method(), model, 1)
    }

    fn batch(&self) -> HostBatch {
        let side = self.expected["side"].as_u64().unwrap() as usize;
        let labels: Vec<f32> = floats(&self.expected["labels"]);
        let rows = labels.len();
        HostBatch {
            pictures: Arc::new(Pictures {
                height: side,
                width: side,
                values: floats(&self.expected["pictures"]),
            }),
            lengths: vec![1; rows],
            chunks: vec![1; rows],
            keys: (0..rows as u64).collect(),
            targets: labels.iter().map(|c| Target::Class(*c as u32)).collect(),
            weights: vec![1.0; rows],
            rows: (0..rows as u64).collect(),
            ..HostBatch::default()
        }
    }

    fn key(&self, path: &str) -> String {
        let family = family_of(&self.config).unwrap();
        (family.keys)(&self.config, path)[0].clone()
    }

    /// Forward and backward pass: features, logits and loss, and gradients by the reference's names.
    fn passes(&self, precision: Precision) -> (Vec<Vec<f32>>, HashMap<String, Vec<f32>>) {
        let model = self.model(precision);
        let batch = self.batch();
        let inputs = Inputs::new(&batch);
        let pass = Pass::default();
        let features = model.pooled(&inputs, Pooling::Mean);
        let logits = model.output(&inputs, &pass);
        let loss = losses::cross_entropy(logits.clone(), &batch.targets, &batch.weights);
        let mean = loss.sum / loss.weight;
        let found = vec![
            host(features.detach()),
            host(logits.detach()),
            host(mean.clone().detach()),
        ];
        let mut gradients = Gradients::default();
        gradients.add(&model, mean.backward(), &pass.rows);
        let gradients: HashMap<_, _> = gradients.found.into_iter().collect();
        let named = params(&model).into_iter().filter_map(|named| {
            let gradient = gradients.get(&named.id)?.clone();
            Some((
                self.key(&named.path),
                host(gradient.dense(&scoring::cpu(false))),
            ))
        });
        (found, named.collect())
    }

    /// Compares both, within shares of the largest value of each and of a gradient's norm.
    fn compare(&self, precision: Precision, (forward, backward): (f32, f32)) {
        let (found, gradients) = self.passes(precision);
        for (name, got) in ["features", "logits", "loss"].iter().zip(&found) {
            let want = floats(&self.expected[*name]);
            close(
                &format!("{}: {name}", self.name),
                got,
                &want,
                (forward, 1.0),
            );
        }
        let wanted = self.expected["gradients"].as_object().unwrap();
        assert_eq!(gradients.len(), wanted.len(), "{}: parameters", self.name);
        for (key, want) in wanted {
            let (got, what) = (&gradients[key], format!("{}: {key}", self.name));
            let size = want["norm"].as_f64().unwrap() as f32;
            close(&what, &[norm(got)], &[size], (backward, 0.0));
            let at = floats(&want["at"]);
            let values: Vec<f32> = at.iter().map(|i| got[*i as usize]).collect();
            close(&what, &values, &floats(&want["values"]), (backward, size));
        }
    }
}

#[test]
fn features_logits_loss_and_every_gradient() {
    for golden in Golden::all() {
        golden.compare(Precision::F32, (1e-4, 1e-4));
        ops::with_twins(|| golden.compare(Precision::F32, (1e-4, 1e-4)));
    }
}

/// L2 norm of a difference.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

/// Errors are draws of rounding, on their side too: half as much again is allowed.
#[test]
fn bf16_is_as_near_as_autocast_to_bfloat16() {
    for golden in Golden::all() {
        let (found, gradients) = golden.passes(Precision::Bf16);
        let want = floats(&golden.expected["features"]);
        let features = distance(&found[0], &want) / norm(&want);
        let wanted = golden.expected["gradients"].as_object().unwrap();
        let errors = wanted.iter().map(|(key, want)| {
            let at = floats(&want["at"]);
            let values: Vec<f32> = at.iter().map(|i| gradients[key][*i as usize]).collect();
            distance(&values, &floats(&want["values"])) / floats(&want["norm"])[0]
        });
        let mean = errors.sum::<f32>() / wanted.len() as f32;
        for (what, ours) in [("features", features), ("gradients", mean)] {
            let theirs = floats(&golden.expected["autocast"][what])[0];
            assert!(
                ours > 0.0,
                "{what} are exact: they were not computed in bf16"
            );
            assert!(ours <= 1.5 * theirs, "{what}: {ours} and theirs {theirs}");
        }
    }
}

#[test]
fn five_steps_of_training() {
    for golden in Golden::all() {
        let batch = golden.batch();
        let found = RefCell::new(Vec::new());
        let parts = Parts {
            batches: &mut |_| Box::new(std::iter::once(Ok((batch.clone(), 0)))),
            loss: &|model: &Model, batch: &HostBatch, pass: &Pass| {
                let logits = model.output(&Inputs::new(batch), pass);
                losses::cross_entropy(logits, &batch.targets, &batch.weights)
            },
            validate: &mut |_| {
                Ok(Validation {
                    loss: 0.0,
                    metrics: BTreeMap::new(),
                    // Rising, so that the last weights are kept.
                    score: found.borrow().len() as f64,
                })
            },
            on: &mut |event| {
                if let retune::eval::Event::Step { loss, .. } = event {
                    found.borrow_mut().push(*loss as f32);
                }
                Flow::Continue
            },
            first: None,
            save: None,
        };
        let options = TrainOptions {
            steps: 5,
            lr: 1e-3,
            weight_decay: 0.01,
            clip_norm: 1.0,
            ..TrainOptions::default()
        };
        let before = params(&golden.model(Precision::F32));
        let fitted = fit(golden.model(Precision::F32), parts, &options, None).unwrap();
        let want = floats(&golden.expected["losses"]);
        close("losses", &found.borrow(), &want, (1e-4, 1.0));
        for (named, before) in params(&fitted.model).into_iter().zip(before) {
            let (key, values) = (golden.key(&named.path), host(named.value));
            if named.path.contains("running_") {
                assert_eq!(values, host(before.value), "{key} has moved");
                continue;
            }
            let at = floats(&golden.expected["gradients"][&key]["at"]);
            let values: Vec<f32> = at.iter().map(|i| values[*i as usize]).collect();
            close(
                &key,
                &values,
                &floats(&golden.expected["final"][&key]),
                (1e-3, 1.0),
            );
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "whether a test may be skipped depends on where it runs"
)]
fn ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// The real EfficientNet-Lite0, from a file of PyTorch whose tensors are partly views, on two photographs.
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn the_default_model_of_pictures_knows_a_palace_and_a_daisy() {
    let hub = HubOptions::from_env();
    let base = match BaseModel::resolve("efficientnet-lite0", &hub, false, &mut |_| ()) {
        Ok(base) => base.unwrap(),
        Err(error) => {
            assert!(!ci(), "the model cannot be fetched: {error}");
            return eprintln!("skipped: the model cannot be fetched: {error}");
        }
    };
    let preprocess = base.preprocess(None).unwrap();
    let photos = ["china.jpg", "flower.jpg"].map(|name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/photos");
        let pixels = Picture::File(path.join(name)).pixels(&PictureLimits::default());
        preprocess.apply(&pixels.unwrap())
    });
    let batch = HostBatch {
        pictures: Arc::new(Pictures {
            height: preprocess.crop.height,
            width: preprocess.crop.width,
            values: photos.concat(),
        }),
        lengths: vec![1; 2],
        chunks: vec![1; 2],
        keys: vec![0, 1],
        ..HostBatch::default()
    };
    for precision in [Precision::F32, Precision::Bf16] {
        let place = Place::cpu(false, precision);
        let checkpoint = Some(&base.checkpoint);
        let (model, report) = build_model(&base.config, checkpoint, 1000, &place, 0).unwrap();
        assert_eq!(
            (report.new.len(), report.unused.len()),
            (0, 0),
            "{report:?}"
        );
        let logits = host(model.output(&Inputs::new(&batch), &Pass::default()));
        let best = |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
        let found: Vec<_> = logits.chunks(1000).map(best).collect();
        assert_eq!(found, [Some(698), Some(985)], "{precision:?}");
    }
}

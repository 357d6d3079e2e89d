//! Tiny checkpoints with what the reference implementation computes with them.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Tensor;
use retune::checkpoint::Checkpoint;
use retune::data::Target;
use retune::data::batch::{HostBatch, Pictures};
use retune::families::{ModelConfig, build_model, family_of};
use retune::losses;
use retune::methods::{MethodRecipe, prepare};
use retune::model::{Inputs, Model, Pass};
use retune::ops::Precision;
use retune::scoring;
use retune::train::optimizer::Gradients;
use retune::train::state::Snapshot;
use retune::train::{Flow, Parts, SaveWhen, TrainOptions, Validation, fit};
use retune::weights::{Place, params};
use serde_json::Value;

pub const FOLDERS: [&str; 11] = [
    "efficientnet-tiny",
    "resnet-tiny",
    "resnet-tiny/basic",
    "resnet-tiny/early",
    "convnext-tiny",
    "vit-tiny",
    "deit-tiny",
    "dinov2-tiny",
    "dinov2-registers-tiny",
    "timm-vit-tiny",
    "timm-dinov2-tiny",
];
/// Norm of a gradient that is 0 but for rounding, as that of key biases: attention does not change with them.
pub const NOTHING: f32 = 1e-9;

pub struct Golden {
    pub name: &'static str,
    pub folder: PathBuf,
    pub config: ModelConfig,
    pub expected: Value,
}

/// A list of numbers, however deep.
pub fn floats(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(items) => items.iter().flat_map(floats).collect(),
        other => vec![other.as_f64().unwrap() as f32],
    }
}

pub fn host<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().convert::<f32>().try_to_vec().unwrap()
}

pub fn norm(values: &[f32]) -> f32 {
    values.iter().map(|v| v * v).sum::<f32>().sqrt()
}

/// `got` is within `tolerance` of `want`, as a share of the largest value wanted or of `scale`.
pub fn close(what: &str, got: &[f32], want: &[f32], (tolerance, scale): (f32, f32)) {
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
    pub fn open(name: &'static str) -> Self {
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

    pub fn all() -> [Self; FOLDERS.len()] {
        FOLDERS.map(Self::open)
    }

    /// Without dropout, outside the gradient graph or in it.
    pub fn built(&self, config: &ModelConfig, place: &Place) -> Model {
        let checkpoint = Checkpoint::open(&self.folder).unwrap();
        let config = config.with_dropout(0.0);
        let (model, report) = build_model(&config, Some(&checkpoint), 3, place, 0).unwrap();
        assert_eq!(report.new, Vec::<String>::new(), "{}", self.name);
        assert_eq!(report.unused, Vec::<String>::new(), "{}", self.name);
        model
    }

    /// In the gradient graph, every weight training.
    pub fn model(&self, precision: Precision) -> Model {
        self.model_at(&Place::cpu(true, precision))
    }

    pub fn model_at(&self, place: &Place) -> Model {
        let model = self.built(&self.config, place);
        let full = MethodRecipe::all()
            .into_iter()
            .find(|m| m.method().name() == "full");
        prepare(full.unwrap().method(), model, 1)
    }

    pub fn batch(&self) -> HostBatch {
        Self::batch_of(&self.expected, &floats(&self.expected["labels"]))
    }

    pub fn batch_of(expected: &Value, labels: &[f32]) -> HostBatch {
        let side = expected["side"].as_u64().unwrap() as usize;
        let rows = labels.len();
        HostBatch {
            pictures: Arc::new(Pictures {
                height: side,
                width: side,
                values: floats(&expected["pictures"]),
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

    /// So many steps on the batch of the reference, from the model as it comes or from a state; states are left in
    /// `states`. The losses and the model of the last step.
    pub fn trained(
        &self,
        model: Model,
        steps: u64,
        from: Option<Snapshot>,
        states: &mut Vec<Snapshot>,
    ) -> (Vec<f32>, Model) {
        let batch = self.batch();
        let found = RefCell::new(Vec::new());
        let mut keep = |state: &Snapshot| -> retune::Result<()> {
            states.push(state.clone());
            Ok(())
        };
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
            save: Some(&mut keep),
        };
        let options = TrainOptions {
            steps,
            lr: 1e-3,
            weight_decay: 0.01,
            clip_norm: 1.0,
            save: SaveWhen::Steps(1),
            ..TrainOptions::default()
        };
        let fitted = fit(model, parts, &options, from).unwrap();
        (found.into_inner(), fitted.model)
    }

    pub fn key(&self, path: &str) -> String {
        let family = family_of(&self.config).unwrap();
        (family.keys)(&self.config, path)[0].clone()
    }

    /// Forward and backward pass: features, logits and loss, and gradients by the reference's names.
    pub fn passes(&self, precision: Precision) -> (Vec<Vec<f32>>, HashMap<String, Vec<f32>>) {
        let model = self.model(precision);
        let batch = self.batch();
        let inputs = Inputs::new(&batch);
        let pass = Pass::default();
        let features = model.pooled(&inputs, model.head.pooling, &Pass::default());
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
    pub fn compare(&self, precision: Precision, (forward, backward): (f32, f32)) {
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
            if size < NOTHING {
                assert!(norm(got) < 1e-6, "{what}: {got:?}");
                continue;
            }
            close(&what, &[norm(got)], &[size], (backward, 0.0));
            let at = floats(&want["at"]);
            let values: Vec<f32> = at.iter().map(|i| got[*i as usize]).collect();
            close(&what, &values, &floats(&want["values"]), (backward, size));
        }
    }
}

/// L2 norm of a difference.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

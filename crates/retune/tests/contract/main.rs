//! What every registered family, task and method must keep, with kernels and with the plain-Burn twins alone. A
//! new file with its one line is tested here without a change to this file.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests read tensors")]

mod doctor;
mod heads;
mod methods;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use retune::checkpoint::Checkpoint;
use retune::data::Target;
use retune::data::batch::{HostBatch, Pictures};
use retune::data::processor::Labels;
use retune::data::roles::TaskKind;
use retune::families::{FAMILIES, ModelConfig, build_model, family_of};
use retune::head::Form;
use retune::losses::Objective;
use retune::methods::{Method, MethodRecipe, prepare};
use retune::model::{Inputs, Model, Pass};
use retune::ops::{self, Gradient, Precision};
use retune::scoring;
use retune::tasks::{TASKS, Task};
use retune::train::groups::Groups;
use retune::train::optimizer::{Gradients, Optimizer, scalar};
use retune::weights::{Place, host_values};

/// Folders of `golden/` with a checkpoint of this `model_type`.
fn golden(model_type: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.join("model.safetensors").is_file() && config(path).model_type() == model_type
        })
        .collect();
    folders.sort();
    folders
}

fn config(folder: &Path) -> ModelConfig {
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
    ModelConfig(serde_json::from_str(&text).unwrap())
}

/// Every checkpoint under `golden/`, of every registered family.
fn checkpoints() -> Vec<PathBuf> {
    let types = FAMILIES.iter().flat_map(|family| family.model_types);
    types.flat_map(|model_type| golden(model_type)).collect()
}

fn open(folder: &Path, outputs: usize, train: bool) -> Model {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let place = Place::cpu(train, Precision::F32);
    build_model(&config(folder), Some(&checkpoint), outputs, &place, 7)
        .unwrap()
        .0
}

fn layers(folder: &Path) -> usize {
    let config = config(folder);
    (family_of(&config).unwrap().facts)(&config).unwrap().layers
}

/// A model that trains as the method has it, from its first step on.
fn prepared(method: &dyn Method, folder: &Path, outputs: usize) -> Model {
    let config = config(folder);
    let checkpoint = Checkpoint::open(folder).unwrap();
    let place = Place {
        adapters: method.adapters(family_of(&config).unwrap().adapted),
        ..Place::cpu(true, Precision::F32)
    };
    let built = build_model(&config, Some(&checkpoint), outputs, &place, 7);
    prepare(method, built.unwrap().0, layers(folder))
}

/// Pixels along each side of the pictures.
const SIDE: usize = 20;
/// Values of a picture.
const PIXELS: usize = SIDE * SIDE * 3;

/// Sequences of these lengths with ids that every tiny vocabulary has, and a picture for each: a family reads the
/// ones or the others.
fn batch(lengths: &[u32], targets: Vec<Target>) -> HostBatch {
    let total: u32 = lengths.iter().sum();
    // Noise around red, green and blue in turn, each a little brighter than the last of its kind.
    let values = (0..lengths.len() * PIXELS).map(|i| {
        let (picture, channel) = (i / PIXELS, i % 3);
        let lit = if picture % 3 == channel { 2.0 } else { -1.0 };
        lit + (picture / 3) as f32 * 0.3 + (i * 7919 % 257) as f32 / 512.0
    });
    HostBatch {
        pictures: Arc::new(Pictures {
            height: SIDE,
            width: SIDE,
            values: values.collect(),
        }),
        ids: (0..total).map(|i| 5 + (i * 7) % 60).collect(),
        types: vec![0; total as usize],
        lengths: lengths.to_vec(),
        chunks: vec![1; lengths.len()],
        keys: (0..lengths.len() as u64).map(|k| 100 + k).collect(),
        weights: vec![1.0; lengths.len()],
        rows: (0..lengths.len() as u64).collect(),
        targets,
        ..HostBatch::default()
    }
}

/// One picture of a batch by itself.
fn picture(batch: &HostBatch, i: usize) -> Arc<Pictures> {
    Arc::new(Pictures {
        values: batch.pictures.values[i * PIXELS..(i + 1) * PIXELS].to_vec(),
        ..*batch.pictures
    })
}

fn labels(task: &dyn Task) -> Labels {
    let names = ["a", "b", "c"].map(String::from).to_vec();
    match task.kind() {
        TaskKind::Classification => Labels::Classes { names },
        TaskKind::MultiLabel => Labels::MultiLabel { names },
        TaskKind::Regression => Labels::Number {
            mean: 10.0,
            std: 4.0,
        },
    }
}

fn targets(task: &dyn Task, rows: usize) -> Vec<Target> {
    (0..rows)
        .map(|row| match task.kind() {
            TaskKind::Classification => Target::Class((row % 3) as u32),
            TaskKind::MultiLabel => {
                Target::Labels(vec![Some(row % 2 == 0), Some(row % 3 == 0), None])
            }
            TaskKind::Regression => Target::Value(10.0 + 3.0 * (row % 4) as f32),
        })
        .collect()
}

fn logits(model: &Model, batch: &HostBatch, pass: &Pass) -> Vec<f32> {
    let inputs = Inputs::new(batch);
    model
        .output(&inputs, pass)
        .into_data()
        .try_to_vec()
        .unwrap()
}

fn near(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= tolerance, "{a:?} differs from {b:?}");
    }
}

/// Checks something with the kernels of the CPU, and with the twins that any device has.
fn with_every_engine(check: impl Fn()) {
    check();
    ops::with_twins(check);
}

/// Model types that differ in sizes only share one: its names are theirs.
#[test]
fn every_model_type_has_a_golden_checkpoint() {
    for family in FAMILIES {
        let folders = || family.model_types.iter().flat_map(|name| golden(name));
        for model_type in family.model_types {
            let shared = folders().any(|folder| {
                let own = config(&folder);
                let mut other = own.clone();
                let key = if own.0.get("model_type").is_some() {
                    "model_type"
                } else {
                    "architecture"
                };
                other.0[key] = (*model_type).into();
                let paths = host_values(&open(&folder, 3, false)).into_iter();
                let mut paths = paths.map(|(path, ..)| path);
                paths.all(|path| (family.keys)(&own, &path) == (family.keys)(&other, &path))
            });
            // `resnet50` and `convnext_tiny` are sizes of their families.
            let mut known = family.model_types.iter();
            let size = known.any(|known| {
                let rest = model_type
                    .strip_prefix(known)
                    .filter(|_| !golden(known).is_empty());
                rest.is_some_and(|rest| !rest.trim_start_matches('_').contains('_'))
            });
            assert!(
                shared || size || !golden(model_type).is_empty(),
                "no golden checkpoint of `{model_type}`"
            );
        }
    }
}

#[test]
fn a_sequence_does_not_depend_on_its_batch() {
    with_every_engine(|| {
        for folder in checkpoints() {
            let model = open(&folder, 3, false);
            let all = batch(&[3, 17, 1, 9], Vec::new());
            let together = logits(&model, &all, &Pass::default());
            let mut start = 0;
            for (i, length) in all.lengths.iter().enumerate() {
                let end = start + *length as usize;
                let mut alone = batch(&[*length], Vec::new());
                alone.ids = all.ids[start..end].to_vec();
                alone.pictures = picture(&all, i);
                let got = logits(&model, &alone, &Pass::default());
                near(&got, &together[3 * i..3 * i + 3], 1e-5);
                start = end;
            }
        }
    });
}

#[test]
fn dropout_depends_on_seed_step_and_sample_only() {
    with_every_engine(|| {
        let pass = |seed, step| Pass {
            train: true,
            seed,
            step,
            ..Pass::default()
        };
        for folder in checkpoints() {
            let model = open(&folder, 3, false);
            let all = batch(&[6, 12], Vec::new());
            let first = logits(&model, &all, &pass(1, 1));
            near(&first, &logits(&model, &all, &pass(1, 1)), 0.0);
            assert_ne!(first, logits(&model, &all, &pass(1, 2)));
            assert_ne!(first, logits(&model, &all, &pass(2, 1)));
            assert_ne!(first, logits(&model, &all, &Pass::default()));
            // The second sequence alone meets the same masks as in company.
            let mut alone = batch(&[12], Vec::new());
            alone.ids = all.ids[6..].to_vec();
            alone.pictures = picture(&all, 1);
            alone.keys = vec![all.keys[1]];
            near(&logits(&model, &alone, &pass(1, 1)), &first[3..], 1e-5);
        }
    });
}

/// Gradients by path of one batch, as the loop accumulates them from `parts`.
fn gradients(model: &Model, task: &dyn Task, parts: &[HostBatch]) -> Vec<Vec<f32>> {
    let labels = labels(task);
    let mut gradients = Gradients::default();
    let mut weight = 0.0;
    for part in parts {
        let inputs = Inputs::new(part);
        let pass = Pass::default();
        let output = model.output(&inputs, &pass);
        let objective = Objective::plain();
        let loss = task.loss(output, &labels, &part.targets, &part.weights, &objective);
        weight += loss.weight;
        gradients.add(model, loss.sum.backward(), &pass.rows);
    }
    let device = scoring::cpu(false);
    let mean = |(_, gradient): (_, Gradient)| {
        let mean = gradient.dense(&device) / weight;
        mean.into_data().try_to_vec().unwrap()
    };
    gradients.found.into_iter().map(mean).collect()
}

#[test]
fn eight_batches_of_one_equal_one_batch_of_eight() {
    with_every_engine(|| {
        let lengths = [3, 5, 8, 2, 9, 4, 6, 7];
        for task in TASKS {
            let labels = labels(*task);
            for folder in checkpoints() {
                let mut model = open(&folder, labels.outputs(), true);
                model.head = model.head.in_units(task.units(&labels), true);
                model.head = model.head.in_form(task.form());
                let all = batch(&lengths, targets(*task, 8));
                let mut start = 0;
                let parts: Vec<HostBatch> = (0..8)
                    .map(|i| {
                        let mut one = batch(&lengths[i..=i], vec![all.targets[i].clone()]);
                        let end = start + lengths[i] as usize;
                        one.ids = all.ids[start..end].to_vec();
                        one.pictures = picture(&all, i);
                        start = end;
                        one
                    })
                    .collect();
                let whole = gradients(&model, *task, &[all]);
                for (a, b) in whole.iter().zip(&gradients(&model, *task, &parts)) {
                    near(a, b, 2e-5 * a.iter().fold(1f32, |m, v| m.max(v.abs())));
                }
            }
        }
    });
}

#[test]
fn every_task_learns_a_handful_of_examples_with_every_method() {
    with_every_engine(|| {
        for method in MethodRecipe::all() {
            for task in TASKS {
                let labels = labels(*task);
                let folder = &checkpoints()[0];
                let mut model = prepared(method.method(), folder, labels.outputs());
                model.head = model.head.in_units(task.units(&labels), true);
                model.head = model.head.in_form(task.form());
                let batch = batch(&[3, 5, 8, 2, 9, 4], targets(*task, 6));
                let mut optimizer = Optimizer::new(0.0);
                let mut seen = Vec::new();
                for _ in 0..60 {
                    let inputs = Inputs::new(&batch);
                    let pass = Pass::default();
                    let output = model.output(&inputs, &pass);
                    let objective = Objective::plain();
                    let loss =
                        task.loss(output, &labels, &batch.targets, &batch.weights, &objective);
                    seen.push(scalar(loss.sum.clone()) / loss.weight);
                    let mut gradients = Gradients::default();
                    gradients.add(&model, loss.sum.backward(), &pass.rows);
                    let pace = (3e-3, 1.0 / loss.weight);
                    model = optimizer.step(model, gradients, &Groups::default(), pace);
                }
                let (first, last) = (seen[0], seen[seen.len() - 1]);
                assert!(last < 0.5 * first, "{}: {first} to {last}", task.name());
            }
        }
    });
}

#[test]
fn a_trained_head_answers_the_same_in_any_units() {
    with_every_engine(|| {
        for task in TASKS {
            let labels = labels(*task);
            let folder = &checkpoints()[0];
            let before = open(folder, labels.outputs(), false);
            let mut after = before.clone();
            after.head = after.head.in_units(task.units(&labels), false);
            let batch = batch(&[4, 9], Vec::new());
            let want = logits(&before, &batch, &Pass::default());
            near(&logits(&after, &batch, &Pass::default()), &want, 1e-4);
            after.head = after.head.folded();
            near(&logits(&after, &batch, &Pass::default()), &want, 1e-4);
        }
    });
}

#[test]
fn scores_and_answers_make_sense() {
    with_every_engine(|| {
        for task in TASKS {
            let labels = labels(*task);
            let evaluation = task.evaluation(&labels);
            assert!(evaluation.metrics.contains(&evaluation.primary));
            for metric in &evaluation.metrics {
                assert!(
                    retune::eval::metric(metric).is_some(),
                    "{metric} is not registered"
                );
            }
            // By cosines, vectors of five numbers stand behind the outputs.
            let vectors = if task.form() == Form::Affine { 0 } else { 5 };
            let outputs = labels.outputs() + vectors;
            let raw = (0..2 * outputs).map(|i| i as f32 - 2.0).collect();
            let data = burn::tensor::TensorData::new::<f32, _>(raw, [2, outputs]);
            let output = Tensor::from_data(data, &scoring::cpu(false));
            let scores: Vec<f32> = task
                .scores(output, &labels)
                .into_data()
                .try_to_vec()
                .unwrap();
            assert!(scores.iter().all(|s| s.is_finite()));
            let answer = task.answer(&scores[..scores.len() / 2], &labels, None);
            let json = serde_json::to_value(&answer).unwrap();
            let keys = ["label", "labels", "value", "vector"];
            assert_eq!(
                keys.iter().filter(|k| json.get(**k).is_some()).count(),
                1,
                "{json}"
            );
            assert!(!answer.phrase().is_empty());
            assert_eq!(
                retune::tasks::task(task.name()).unwrap().name(),
                task.name()
            );
            assert!(!task.about().is_empty());
            assert!(!task.problem_type().is_empty());
        }
    });
}

#[test]
fn saved_weights_come_back_bit_for_bit() {
    with_every_engine(|| {
        for folder in checkpoints() {
            let model = open(&folder, 3, false);
            let config = config(&folder);
            let family = family_of(&config).unwrap();
            let tensors: Vec<_> = host_values(&model)
                .into_iter()
                .map(|(path, shape, values)| {
                    ((family.keys)(&config, &path)[0].clone(), shape, values)
                })
                .collect();
            let dir = tempfile::tempdir().unwrap();
            retune::checkpoint::write(&dir.path().join("model.safetensors"), &tensors, &[])
                .unwrap();
            let checkpoint = Checkpoint::open(dir.path()).unwrap();
            let place = Place::cpu(false, Precision::F32);
            let (back, report) = build_model(&config, Some(&checkpoint), 3, &place, 0).unwrap();
            assert_eq!((report.new.len(), report.unused.len()), (0, 0));
            let all = batch(&[4, 11], Vec::new());
            near(
                &logits(&model, &all, &Pass::default()),
                &logits(&back, &all, &Pass::default()),
                0.0,
            );
        }
    });
}

#[test]
fn a_model_without_a_checkpoint_starts_the_same_for_the_same_seed() {
    with_every_engine(|| {
        let folder = &checkpoints()[0];
        let fresh = |seed| {
            let place = Place::cpu(false, Precision::F32);
            build_model(&config(folder), None, 3, &place, seed)
                .unwrap()
                .0
        };
        assert_eq!(host_values(&fresh(1)), host_values(&fresh(1)));
        assert_ne!(host_values(&fresh(1)), host_values(&fresh(2)));
        assert!(fresh(1).num_params() > 0);
    });
}

#[test]
fn chunks_of_a_text_are_averaged() {
    with_every_engine(|| {
        let folder = &checkpoints()[0];
        let model = open(folder, 3, false);
        let mut one = batch(&[5, 7], Vec::new());
        let apart = logits(&model, &one, &Pass::default());
        one.chunks = vec![2];
        let together = logits(&model, &one, &Pass::default());
        let mean: Vec<f32> = (0..3)
            .map(|i| f32::midpoint(apart[i], apart[3 + i]))
            .collect();
        near(&together, &mean, 1e-6);
    });
}

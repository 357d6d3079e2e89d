//! Every method with every checkpoint: what moves, what a break in the run changes (nothing), what is saved.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retune::data::batch::HostBatch;
use retune::eval::Event;
use retune::families::family_of;
use retune::methods::{Method, MethodRecipe, Place, groups};
use retune::model::{Inputs, Model, Pass};
use retune::train::state::{Snapshot, Values};
use retune::train::{Flow, Parts, SaveWhen, TrainOptions, Validation, fit};
use retune::weights::{HostTensor, host_values, merged, with_values};
use retune::{Result, losses};

use super::{
    batch, checkpoints, config, layers, logits, near, open, prepared, targets, with_every_engine,
};

const STEPS: u64 = 6;

/// Knobs whose state a run has to keep besides its weights.
#[derive(Clone, Copy)]
struct Knobs {
    accumulate: usize,
    average: Option<f64>,
    anchor: f64,
}

const PLAIN: Knobs = Knobs {
    accumulate: 1,
    average: None,
    anchor: 0.0,
};

/// Three batches an epoch.
fn epoch(epoch: u64) -> Vec<HostBatch> {
    let task = retune::tasks::TASKS[0];
    let one = |salt: u32| {
        let mut batch = batch(&[3 + salt, 6, 2 + 2 * salt], targets(task, 3));
        for id in &mut batch.ids {
            *id = 5 + (*id + 11 * salt + epoch as u32) % 60;
        }
        batch
    };
    (0..4).map(one).collect()
}

/// Six steps with dropout from the model as it came or from a state; states are left in `states`.
fn train(
    method: &dyn Method,
    folder: &Path,
    knobs: Knobs,
    from: Option<Snapshot>,
    states: &mut Vec<Snapshot>,
) -> Model {
    let model = prepared(method, folder, 3);
    let pace = (STEPS, 0.9, knobs.anchor > 0.0);
    let options = TrainOptions {
        steps: STEPS,
        steps_per_epoch: 4 / knobs.accumulate as u64,
        accumulate: knobs.accumulate,
        lr: 1e-2,
        weight_decay: 0.01,
        clip_norm: 1.0,
        seed: 3,
        groups: groups(method, &model, layers(folder), pace),
        anchor: knobs.anchor,
        average: knobs.average,
        save: SaveWhen::Steps(1),
        ..TrainOptions::default()
    };
    let mut keep = |state: &Snapshot| -> Result<()> {
        states.push(state.clone());
        Ok(())
    };
    let parts = Parts {
        batches: &mut |number| {
            Box::new(epoch(number).into_iter().map(|batch| {
                let tokens = batch.ids.len() as u64;
                Ok((batch, tokens))
            }))
        },
        loss: &|model: &Model, batch: &HostBatch, pass: &Pass| {
            let output = model.output(&Inputs::new(batch), pass);
            losses::cross_entropy(output, &batch.targets, &batch.weights)
        },
        // The later, the better: the last weights are kept.
        validate: &mut |model| {
            let head = host_values(&model.head);
            Ok(Validation {
                loss: f64::from(head[0].2[0]),
                metrics: BTreeMap::new(),
                score: 0.0,
            })
        },
        on: &mut |_: &Event| Flow::Continue,
        first: None,
        save: Some(&mut keep),
    };
    fit(model, parts, &options, from).unwrap().model
}

fn bits(tensors: &[HostTensor]) -> Vec<(String, Vec<u32>)> {
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect();
    tensors
        .iter()
        .map(|(path, _, values)| (path.clone(), bits(values)))
        .collect()
}

fn of_state(state: &Snapshot) -> Vec<(String, Vec<u32>)> {
    let read = |(name, shape, values): &(String, Vec<usize>, Values)| {
        (name.clone(), shape.clone(), values.read(name).unwrap())
    };
    let tensors: Vec<HostTensor> = state.tensors.iter().map(read).collect();
    bits(&tensors)
}

#[test]
fn only_what_a_method_trains_moves() {
    for recipe in MethodRecipe::all() {
        let method = recipe.method();
        for folder in checkpoints() {
            let before = bits(&host_values(&prepared(method, &folder, 3)));
            let mut states = Vec::new();
            train(method, &folder, PLAIN, None, &mut states);
            let layers = layers(&folder);
            for (path, before) in before {
                let place = Place::new(&path, layers);
                let after = states[states.len() - 1].tensors.iter();
                let moved = after
                    .clone()
                    .find(|(name, ..)| *name == format!("model.{path}"));
                let moved = moved.is_some_and(|(name, _, values)| {
                    let now = values.read(name).unwrap();
                    now.iter().map(|v| v.to_bits()).ne(before.iter().copied())
                });
                let what = format!("{}: {path} of {}", method.name(), folder.display());
                let trains = !place.is_statistic() && method.start(&place).is_some();
                assert_eq!(moved, trains, "{what}");
            }
        }
    }
}

#[test]
fn a_run_that_goes_on_equals_one_that_never_stopped() {
    for recipe in MethodRecipe::all() {
        for (i, folder) in checkpoints().into_iter().enumerate() {
            let knobs = if i % 2 == 0 {
                PLAIN
            } else {
                Knobs {
                    accumulate: 2,
                    average: Some(0.9),
                    anchor: 0.5,
                }
            };
            let mut states = Vec::new();
            let whole = train(recipe.method(), &folder, knobs, None, &mut states);
            let want = bits(&host_values(&whole));
            assert_eq!(states.len(), STEPS as usize);
            for state in states.clone() {
                let step = state.state.step;
                let mut rest = Vec::new();
                let model = train(recipe.method(), &folder, knobs, Some(state), &mut rest);
                let what = format!("{} after step {step}", recipe.method().name());
                assert_eq!(bits(&host_values(&model)), want, "{what}");
                if let (Some(last), Some(other)) = (rest.last(), states.last()) {
                    assert_eq!(last.state, other.state, "{what}");
                    assert_eq!(of_state(last), of_state(other), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_fresh_update_changes_nothing_and_a_merged_one_answers_the_same() {
    with_every_engine(|| {
        let recipe = MethodRecipe::named("lora", &toml::Table::new()).unwrap();
        let method = recipe.method();
        for folder in checkpoints() {
            let all = batch(&[4, 9, 1], Vec::new());
            let pass = Pass::default();
            let plain = open(&folder, 3, false);
            let fresh = prepared(method, &folder, 3);
            near(
                &logits(&fresh, &all, &pass),
                &logits(&plain, &all, &pass),
                1e-6,
            );
            let tuned = train(method, &folder, PLAIN, None, &mut Vec::new());
            let want = logits(&tuned, &all, &pass);
            assert_ne!(want, logits(&plain, &all, &pass));
            let scale = method.adapters(&[]).unwrap().scale;
            let values = merged(host_values(&tuned), scale);
            assert!(values.iter().all(|(path, ..)| !path.contains("adapter")));
            let one = with_values(plain, &|path| {
                let found = values.iter().find(|(name, ..)| name == path);
                found.map(|(_, _, values)| values.clone())
            });
            near(&logits(&one, &all, &pass), &want, 2e-5);
        }
    });
}

#[test]
fn dropout_of_updates_is_off_in_use_and_on_in_training() {
    let options = toml::Table::from_iter([("dropout".to_string(), toml::Value::from(0.5))]);
    let recipe = MethodRecipe::named("lora", &options).unwrap();
    let plain = MethodRecipe::named("lora", &toml::Table::new()).unwrap();
    let adapted = |folder: &PathBuf| !family_of(&config(folder)).unwrap().adapted.is_empty();
    for folder in checkpoints().iter().filter(|folder| adapted(folder)) {
        let all = batch(&[4, 9, 1], Vec::new());
        let tuned = train(plain.method(), folder, PLAIN, None, &mut Vec::new());
        let values = host_values(&tuned);
        let dropped = with_values(prepared(recipe.method(), folder, 3), &|path| {
            let found = values.iter().find(|(name, ..)| name == path);
            found.map(|(_, _, values)| values.clone())
        });
        let pass = |train| Pass {
            train,
            seed: 1,
            step: 1,
            ..Pass::default()
        };
        let (on, off) = (pass(true), pass(false));
        near(
            &logits(&dropped, &all, &off),
            &logits(&tuned, &all, &off),
            0.0,
        );
        assert_ne!(logits(&dropped, &all, &on), logits(&tuned, &all, &on));
    }
}

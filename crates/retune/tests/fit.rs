//! The training loop: which weights it keeps, and when it stops.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;

use retune::checkpoint::Checkpoint;
use retune::data::Target;
use retune::data::batch::HostBatch;
use retune::eval::Event;
use retune::families::build_model;
use retune::losses::Loss;
use retune::model::{Inputs, Model, Pass};
use retune::ops::Precision;
use retune::train::{Fitted, Flow, Parts, TrainOptions, Validation, fit};
use retune::weights::Place;
use retune::{losses, pretrained};

fn model() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/bert-tiny");
    let config = pretrained::read_config(&folder).unwrap();
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let place = Place::cpu(true, Precision::F32);
    build_model(&config, Some(&checkpoint), 3, &place, 1)
        .unwrap()
        .0
}

fn batch() -> HostBatch {
    HostBatch {
        ids: vec![5, 6, 7],
        types: vec![0; 3],
        lengths: vec![3],
        chunks: vec![1],
        keys: vec![1],
        targets: vec![Target::Class(1)],
        weights: vec![1.0],
        rows: vec![0],
        ..HostBatch::default()
    }
}

fn loss(model: &Model, batch: &HostBatch, pass: &Pass) -> Loss {
    let output = model.output(&Inputs::new(batch), pass);
    losses::cross_entropy(output, &batch.targets, &batch.weights)
}

/// Six steps, each an epoch of one batch, with these validation scores and losses in turn.
fn train(
    found: &[(f64, f64)],
    patience: Option<usize>,
    on: &mut dyn FnMut(&Event) -> Flow,
) -> Fitted<Model> {
    let options = TrainOptions {
        steps: 6,
        steps_per_epoch: 1,
        lr: 1e-3,
        clip_norm: 1.0,
        patience,
        ..TrainOptions::default()
    };
    let mut found = found.iter();
    let parts = Parts {
        batches: &mut |_| Box::new(std::iter::once(Ok((batch(), 3)))),
        loss: &loss,
        validate: &mut |_| {
            let (score, loss) = *found.next().unwrap();
            Ok(Validation {
                loss,
                metrics: BTreeMap::new(),
                score,
            })
        },
        on,
        first: None,
        save: None,
    };
    fit(model(), parts, &options, None).unwrap()
}

#[test]
fn the_best_validation_is_kept_and_ties_go_to_the_lower_loss() {
    let go = &mut |_: &Event| Flow::Continue;
    let rising = [
        (0.1, 1.0),
        (0.5, 1.0),
        (0.3, 0.1),
        (0.2, 0.1),
        (0.1, 0.1),
        (0.0, 0.1),
    ];
    assert_eq!(train(&rising, None, go).best_step, 2);
    let tied = [
        (0.5, 0.9),
        (0.5, 0.7),
        (0.5, 0.8),
        (0.5, 0.7),
        (0.4, 0.1),
        (0.4, 0.1),
    ];
    assert_eq!(train(&tied, None, go).best_step, 2);
}

#[test]
fn patience_counts_validations_without_improvement() {
    let found = [
        (0.5, 1.0),
        (0.4, 1.0),
        (0.6, 1.0),
        (0.5, 1.0),
        (0.5, 1.0),
        (0.9, 1.0),
    ];
    let mut reasons = Vec::new();
    let fitted = train(&found, Some(2), &mut |event| {
        if let Event::Stopped { reason, .. } = event {
            reasons.push(reason.clone());
        }
        Flow::Continue
    });
    assert_eq!((fitted.steps, fitted.best_step), (5, 3));
    assert_eq!(reasons, ["early_stopping"]);
}

#[test]
fn a_stopped_run_validates_what_it_has() {
    let found = [(0.5, 1.0), (0.6, 1.0)];
    let mut steps = 0;
    let fitted = train(&found, None, &mut |event| {
        steps += u32::from(matches!(event, Event::Step { .. }));
        if steps == 2 {
            Flow::Stop
        } else {
            Flow::Continue
        }
    });
    assert!(fitted.interrupted);
    assert_eq!((fitted.steps, fitted.best_step), (2, 2));
}

#[test]
fn what_the_first_gradients_show_is_said_once() {
    let options = TrainOptions {
        steps: 3,
        steps_per_epoch: 3,
        accumulate: 2,
        ..TrainOptions::default()
    };
    let mut notes = Vec::new();
    let parts = Parts {
        batches: &mut |_| Box::new((0..6).map(|_| Ok((batch(), 3)))),
        loss: &loss,
        validate: &mut |_| {
            Ok(Validation {
                loss: 0.0,
                metrics: BTreeMap::new(),
                score: 0.0,
            })
        },
        on: &mut |event: &Event| {
            if let Event::Note { text } = event {
                notes.push(text.clone());
            }
            Flow::Continue
        },
        first: Some(&|_, gradients| vec![format!("{} gradients", gradients.found.len())]),
        save: None,
    };
    fit(model(), parts, &options, None).unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_ne!(notes[0], "0 gradients");
}

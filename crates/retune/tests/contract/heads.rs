//! What a checkpoint's own head keeps when a run's classes are the same, in another order, more or fewer.

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use retune::HubOptions;
use retune::data::batch::HostBatch;
use retune::data::processor::Labels;
use retune::head::Form;
use retune::model::{Inputs, Model, Pass};
use retune::ops::Precision;
use retune::pretrained::BaseModel;
use retune::scoring;
use retune::weights::{Adapters, HeadClasses, LoadReport, Place, host_values};

use super::with_every_engine;

const OUT: [&str; 2] = ["head.out.weight", "head.out.bias"];

/// The tiny model that was tuned for these three classes, built for others.
fn built(labels: &Labels) -> (Model, LoadReport) {
    built_with(labels, None)
}

fn built_with(labels: &Labels, adapters: Option<Adapters>) -> (Model, LoadReport) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/bert-tiny");
    let hub = HubOptions::from_env();
    let base = BaseModel::resolve(&folder.display().to_string(), &hub, true, &mut |_| ());
    let place = Place {
        adapters,
        ..Place::cpu(false, Precision::F32)
    };
    base.unwrap()
        .unwrap()
        .build(labels, &place, 1, None)
        .unwrap()
}

fn classes(names: &[&str]) -> Labels {
    let names = names.iter().map(ToString::to_string).collect();
    Labels::Classes { names }
}

/// Weight row and bias of each output.
fn rows(model: &Model) -> Vec<(Vec<f32>, f32)> {
    let values = host_values(&model.head);
    let of = |path: &str| values.iter().find(|(name, ..)| name == path).unwrap();
    let (_, shape, weight) = of("out.weight");
    let (_, _, bias) = of("out.bias");
    let rows = weight.chunks(shape[1]).map(<[f32]>::to_vec);
    rows.zip(bias.iter().copied()).collect()
}

fn said(kept: &[&str], new: &[&str], dropped: &[&str]) -> HeadClasses {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    HeadClasses {
        kept: names(kept),
        new: names(new),
        dropped: names(dropped),
    }
}

#[test]
fn rows_of_a_head_follow_the_names_of_their_classes() {
    with_every_engine(|| {
        let (same, report) = built(&classes(&["negative", "neutral", "positive"]));
        let (before, loaded) = (rows(&same), report.loaded);
        assert_eq!((report.new.len(), report.classes), (0, None));

        let (other, report) = built(&classes(&["positive", "neutral", "negative"]));
        let reversed: Vec<_> = before.iter().rev().cloned().collect();
        assert_eq!(rows(&other), reversed);
        assert_eq!(report.loaded, loaded);
        assert_eq!(
            report.classes,
            Some(said(&["positive", "neutral", "negative"], &[], &[]))
        );

        let (more, report) = built(&classes(&["mixed", "negative", "neutral", "positive"]));
        let now = rows(&more);
        assert_eq!(now[1..], before);
        assert!(now[0].1 == 0.0 && now[0].0.iter().any(|w| *w != 0.0));
        assert!(!report.head_is_new());
        assert_eq!(
            report.classes,
            Some(said(&["negative", "neutral", "positive"], &["mixed"], &[]))
        );

        let (fewer, report) = built(&classes(&["negative", "positive"]));
        assert_eq!(rows(&fewer), [before[0].clone(), before[2].clone()]);
        assert_eq!(
            report.classes,
            Some(said(&["negative", "positive"], &[], &["neutral"]))
        );
        let note = report.classes.unwrap().note();
        assert!(
            note.contains("dropped") && note.contains("neutral"),
            "{note}"
        );
    });
}

#[test]
fn a_head_for_nothing_of_this_starts_anew() {
    with_every_engine(|| {
        let (known, report) = built(&classes(&["negative", "neutral", "positive"]));
        let loaded = report.loaded;
        // As many classes as before, and all of them others; fewer; a number instead.
        for labels in [
            classes(&["a", "b", "c"]),
            classes(&["a", "b"]),
            Labels::Number {
                mean: 1.0,
                std: 2.0,
            },
        ] {
            let (fresh, report) = built(&labels);
            assert_eq!(report.new, OUT);
            assert_eq!((report.loaded, report.classes), (loaded - 2, None));
            let before = rows(&known);
            assert!(rows(&fresh).iter().all(|row| !before.contains(row)));
        }
    });
}

#[test]
fn a_head_never_gets_a_low_rank_update() {
    let everywhere = Adapters {
        rank: 2,
        scale: 1.0,
        dropout: 0.0,
        targets: vec![".*".to_string()],
    };
    for names in [
        ["negative", "neutral", "positive"],
        ["positive", "neutral", "negative"],
        ["a", "b", "c"],
    ] {
        let (model, report) = built_with(&classes(&names), Some(everywhere.clone()));
        let updates = report.new.iter().filter(|path| path.contains(".adapter."));
        assert_eq!(updates.count(), 24); // two factors for each of six layers, twice
        let head = host_values(&model.head);
        assert_eq!(head.len(), 4, "{names:?}");
    }
}

#[test]
fn a_head_of_cosines_sees_directions_and_hands_on_the_vector() {
    with_every_engine(|| {
        let (model, _) = built(&classes(&["negative", "neutral", "positive"]));
        let head = model.head.in_form(Form::Cosine { scale: 20.0 });
        let weights = rows(&Model {
            backbone: model.backbone.clone(),
            head: head.clone(),
        });
        let width = weights[0].0.len();
        let value = |i: usize| ((i * 37 % 19) as f32 - 9.0) / 5.0;
        let pooled: Vec<f32> = (0..2 * width).map(value).collect();
        let answer = |factor: f32| {
            let values: Vec<f32> = pooled.iter().map(|v| v * factor).collect();
            let data = TensorData::new(values, [2, width]);
            let mut head = head.clone();
            head.dense = None;
            let x = Inputs::new(&HostBatch::default());
            let pooled = Tensor::from_data(data, &scoring::cpu(false));
            scoring::to_host(head.answer(pooled, &x, &Pass::default()))
        };
        let found = answer(1.0);
        super::near(&found, &answer(3.0), 1e-5);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        for (row, x) in found.chunks(3 + width).zip(pooled.chunks(width)) {
            let length = dot(x, x).sqrt();
            let vector: Vec<f32> = x.iter().map(|v| v / length).collect();
            super::near(&row[3..], &vector, 1e-6);
            for (output, (weight, bias)) in row.iter().zip(&weights) {
                let cosine = dot(x, weight) / (length * dot(weight, weight).sqrt());
                assert!((output - 20.0 * cosine - bias).abs() < 1e-4);
            }
        }
    });
}

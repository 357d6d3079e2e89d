//! Every metric against scikit-learn's and scipy's values in `golden/metrics.json`.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use retune_eval::metrics::{Kind, METRICS, Sample, metric};
use retune_eval::{Evaluation, Matrix, Predictions, Targets, evaluate, point};
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/metrics.json");

fn cases() -> Vec<Value> {
    let text = std::fs::read_to_string(GOLDEN).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["cases"]
        .as_array()
        .unwrap()
        .clone()
}

fn numbers(v: &Value) -> Vec<f32> {
    v.as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap() as f32)
        .collect()
}

fn predictions(case: &Value) -> Predictions {
    let data = numbers(&case["scores"]);
    let cols = case["cols"].as_u64().unwrap() as usize;
    let truth = &case["truth"];
    let targets = match case["kind"].as_str().unwrap() {
        "classes" => Targets::Class(numbers(truth).iter().map(|&v| v as u32).collect()),
        "labels" => Targets::Labels(
            truth
                .as_array()
                .unwrap()
                .iter()
                .map(Value::as_bool)
                .collect(),
        ),
        _ => Targets::Value(numbers(truth)),
    };
    let scores = Matrix {
        rows: data.len() / cols,
        cols,
        data,
    };
    Predictions {
        scores,
        targets,
        slices: Vec::new(),
        ids: Vec::new(),
        decision: None,
    }
}

#[test]
fn every_metric_equals_scikit_learn() {
    let mut seen = BTreeSet::new();
    for case in cases() {
        let sample = Sample::new(&predictions(&case));
        for (name, expected) in case["expected"].as_object().unwrap() {
            let value = (metric(name).unwrap().compute)(&sample);
            let expected = expected.as_f64().unwrap();
            let close = (value - expected).abs() <= 1e-9 * expected.abs().max(1.0);
            assert!(
                close,
                "{name} of {}: {value}, scikit-learn {expected}",
                case["name"]
            );
            seen.insert(name.clone());
        }
    }
    // Those of vectors are in `retrieval.rs`.
    let all = METRICS.iter().filter(|m| m.kinds != [Kind::Vectors]);
    let all: BTreeSet<String> = all.map(|m| m.name.to_owned()).collect();
    assert_eq!(seen, all, "every metric has a golden value");
}

#[test]
fn per_class_figures_and_confusion_equal_scikit_learn() {
    for case in cases().iter().filter(|c| c["kind"] == "classes") {
        let names = (0..case["cols"].as_u64().unwrap())
            .map(|c| format!("c{c}"))
            .collect();
        let e = Evaluation {
            metrics: vec![],
            primary: "accuracy".to_owned(),
            classes: names,
        };
        let out = evaluate(&predictions(case), &e, "test", 0);
        assert_eq!(
            serde_json::to_value(&out.confusion).unwrap(),
            case["confusion"],
            "{}",
            case["name"]
        );
        assert_eq!(out.per_class.len(), out.confusion.len());
        for (ours, theirs) in out
            .per_class
            .iter()
            .zip(case["per_class"].as_array().unwrap())
        {
            let ours = [
                ours.precision.value,
                ours.recall.value,
                ours.f1.value,
                ours.support as f64,
            ];
            for (ours, theirs) in ours.iter().zip(theirs.as_array().unwrap()) {
                assert!(
                    (ours - theirs.as_f64().unwrap()).abs() < 1e-12,
                    "{}",
                    case["name"]
                );
            }
        }
    }
}

#[test]
fn point_gives_the_values_of_evaluate() {
    for case in cases() {
        let p = predictions(&case);
        let e = Evaluation {
            metrics: case["expected"]
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect(),
            primary: case["expected"]
                .as_object()
                .unwrap()
                .keys()
                .next()
                .unwrap()
                .clone(),
            classes: vec![],
        };
        let values = point(&p, &e);
        assert_eq!(values.len(), e.metrics.len());
        let rated = evaluate(&p, &e, "test", 1).metrics;
        assert!(
            rated
                .iter()
                .all(|(name, i)| values[name] == i.value && i.low <= i.value && i.value <= i.high)
        );
        assert_eq!(values.len(), rated.len());
    }
}

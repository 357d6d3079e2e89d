//! Figures of vectors against scikit-learn's neighbours in `golden/retrieval.json`.

#![expect(clippy::unwrap_used, reason = "tests")]

use retune_eval::metrics::{Kind, METRICS, majority_predictions};
use retune_eval::retrieval::{Grouped, Retrieved};
use retune_eval::{Evaluation, Matrix, Predictions, Targets, evaluate, gain, judge, point};
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/retrieval.json");

fn cases() -> Vec<Value> {
    let text = std::fs::read_to_string(GOLDEN).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    all["cases"].as_array().unwrap().clone()
}

fn matrix(values: &Value, cols: usize) -> Matrix {
    let values = values.as_array().unwrap().iter();
    let data: Vec<f32> = values.map(|v| v.as_f64().unwrap() as f32).collect();
    Matrix {
        rows: data.len() / cols,
        cols,
        data,
    }
}

fn groups(values: &Value) -> Vec<u32> {
    let values = values.as_array().unwrap().iter();
    values.map(|v| v.as_u64().unwrap() as u32).collect()
}

fn predictions(case: &Value) -> Predictions {
    let width = case["width"].as_u64().unwrap() as usize;
    let (vectors, gallery) = (
        matrix(&case["vectors"], width),
        matrix(&case["gallery"], width),
    );
    let found = Retrieved::new(
        Grouped {
            vectors: &vectors,
            groups: &groups(&case["groups"]),
        },
        Some(Grouped {
            vectors: &gallery,
            groups: &groups(&case["gallery_groups"]),
        }),
        Vec::new(),
    );
    Predictions {
        scores: vectors,
        targets: Targets::Vectors(found),
        slices: Vec::new(),
        ids: Vec::new(),
        decision: None,
    }
}

fn every() -> Evaluation {
    let of_vectors = METRICS.iter().filter(|m| m.kinds.contains(&Kind::Vectors));
    Evaluation {
        metrics: of_vectors.map(|m| m.name.to_owned()).collect(),
        primary: "map@r".to_owned(),
        classes: Vec::new(),
    }
}

#[test]
fn every_metric_of_vectors_equals_scikit_learn() {
    let mut seen = 0;
    for case in cases() {
        let found = point(&predictions(&case), &every());
        let expected = case["expected"].as_object().unwrap();
        assert_eq!(found.len(), expected.len(), "{}", case["name"]);
        for (name, wanted) in expected {
            let wanted = wanted.as_f64().unwrap();
            let gap = (found[name] - wanted).abs();
            assert!(gap < 1e-9, "{name} of {}: {found:?}", case["name"]);
        }
        seen = seen.max(expected.len());
    }
    assert_eq!(seen, every().metrics.len(), "a case has every metric");
}

#[test]
fn vectors_are_judged_by_paired_queries() {
    let case = &cases()[0];
    let tuned = predictions(case);
    let train = Targets::Class(groups(&case["gallery_groups"]));
    let chance = majority_predictions(&train, &tuned);
    let found = evaluate(&tuned, &every(), "test", 1);
    assert_eq!(found.metrics.len(), 6);
    for interval in found.metrics.values() {
        assert!(interval.low <= interval.value && interval.value <= interval.high);
    }
    assert!(found.metrics["map@r"].low < found.metrics["map@r"].high);
    let floor = point(&chance, &every());
    assert!(
        floor["map@r"] < 0.2 && floor["recall@10"] > 0.9,
        "{floor:?}"
    );
    let by = gain(&tuned, &chance, "map@r", 1).unwrap();
    let gap = found.metrics["map@r"].value - floor["map@r"];
    assert!((by.value - gap).abs() < 1e-12 && by.low > 0.0);
    let verdict = judge(&[&tuned], &[("majority", vec![&chance])], &every(), 1);
    assert!((verdict.floors["majority"].difference - gap).abs() < 1e-12);
}

#[test]
fn figures_that_no_query_has_are_left_out_with_a_reason() {
    let open = cases()
        .into_iter()
        .find(|case| case["name"] == "open")
        .unwrap();
    let found = evaluate(&predictions(&open), &every(), "test", 1);
    assert!(!found.metrics.contains_key("knn@1") && found.metrics.contains_key("recall@1"));
    let said = found.notes.iter().any(|note| note.contains("knn@1"));
    assert!(said, "{:?}", found.notes);
}

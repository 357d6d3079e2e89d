//! The statistics of verdict, calibration and label curve against scipy and statsmodels (`golden/statistics.json`).

#![expect(clippy::unwrap_used, reason = "tests")]

use retune_eval::curve::PowerLaw;
use retune_eval::significance::{holm, mcnemar, student_t};
use retune_eval::{Calibration, Evaluation, Matrix, Predictions, Targets, judge, temperature};
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/statistics.json");

fn cases(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(GOLDEN).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let cases = all[name].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn numbers(v: &Value) -> Vec<f64> {
    let all = v.as_array().unwrap().iter();
    all.map(|v| v.as_f64().unwrap()).collect()
}

fn narrow(v: &Value) -> Vec<f32> {
    numbers(v).into_iter().map(|v| v as f32).collect()
}

fn close(what: &str, ours: f64, theirs: f64, tolerance: f64) {
    let gap = (ours - theirs).abs();
    assert!(gap <= tolerance, "{what}: {ours}, reference {theirs}");
}

#[test]
fn mcnemar_equals_statsmodels() {
    for case in cases("mcnemar") {
        let of = |side: &str| case[side].as_u64().unwrap();
        let ours = mcnemar(of("left"), of("right"));
        close("McNemar", ours, case["p"].as_f64().unwrap(), 1e-9);
    }
}

#[test]
fn holm_equals_statsmodels() {
    for case in cases("holm") {
        let ours = holm(&numbers(&case["p"]));
        for (ours, theirs) in ours.into_iter().zip(numbers(&case["adjusted"])) {
            close("Holm", ours, theirs, 1e-12);
        }
    }
}

#[test]
fn student_equals_scipy() {
    for case in cases("student") {
        let freedom = case["freedom"].as_u64().unwrap() as usize;
        let theirs = case["point"].as_f64().unwrap();
        close("t", student_t(freedom), theirs, 1e-6 * theirs);
    }
}

fn predictions(case: &Value, side: &str) -> Predictions {
    let (cols, data, targets) = if case["metric"] == "accuracy" {
        let right = numbers(&case[side]);
        let data = right.iter().flat_map(|&r| [r as f32, 1.0 - r as f32]);
        (2, data.collect(), Targets::Class(vec![0; right.len()]))
    } else {
        let truth = Targets::Value(narrow(&case["truth"]));
        (1, narrow(&case[side]), truth)
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
fn the_paired_interval_equals_scipy_up_to_chance() {
    for case in cases("bootstrap") {
        let (tuned, floor) = (predictions(&case, "tuned"), predictions(&case, "floor"));
        let metric = case["metric"].as_str().unwrap();
        let e = Evaluation {
            metrics: Vec::new(),
            primary: metric.to_owned(),
            classes: Vec::new(),
        };
        let v = judge(&[&tuned], &[("frozen", vec![&floor])], &e, 5);
        let f = &v.floors["frozen"];
        let theirs = |key: &str| case[key].as_f64().unwrap();
        // The 2.5 % point of 5,000 resamples wanders by 0.04 standard errors.
        let tolerance = 0.15 * theirs("standard_error");
        close(metric, f.low, theirs("low"), tolerance);
        close(metric, f.high, theirs("high"), tolerance);
        let error = v.detectable.unwrap() / 2.8;
        close(metric, error, theirs("standard_error"), 0.3 * tolerance);
    }
}

#[test]
fn temperatures_equal_scipy() {
    for case in cases("temperature") {
        let cols = case["cols"].as_u64().unwrap() as usize;
        let data = narrow(&case["logits"]);
        let logits = Matrix {
            rows: data.len() / cols,
            cols,
            data,
        };
        let truth = &case["truth"];
        let targets = if case["kind"] == "classes" {
            Targets::Class(numbers(truth).into_iter().map(|t| t as u32).collect())
        } else {
            let flags = truth.as_array().unwrap().iter();
            Targets::Labels(flags.map(Value::as_bool).collect())
        };
        let ours = temperature(&logits, &targets);
        // A minimum found by its values is known to half of their digits only.
        close("T", ours, case["temperature"].as_f64().unwrap(), 1e-6);
        if let Some(theirs) = case["log_loss"].as_f64() {
            let measured = Calibration::measure(&logits, &targets, ours).unwrap();
            close("log loss", measured.log_loss_after, theirs, 1e-6);
            assert!(measured.log_loss_before > theirs, "{measured:?}");
        }
    }
}

#[test]
fn power_laws_equal_scipy() {
    for case in cases("power_law") {
        let points: Vec<(f64, f64)> = (case["points"].as_array().unwrap().iter())
            .map(|p| (p[0].as_f64().unwrap(), p[1].as_f64().unwrap()))
            .collect();
        let ours = PowerLaw::fit(&points).unwrap();
        let theirs = numbers(&case["law"]);
        for (ours, theirs) in [ours.a, ours.b, ours.c].into_iter().zip(theirs) {
            close("law", ours, theirs, 1e-3 * theirs.abs());
        }
        close(
            "forecast",
            ours.at(2000.0),
            case["at_2000"].as_f64().unwrap(),
            1e-5,
        );
    }
}

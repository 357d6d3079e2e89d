//! Figures of fraud, areas with DeLong's interval, and calibration, against `golden/fraud.json`.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use retune_eval::calibration::{Isotonic, Platt};
use retune_eval::delong::{auroc, paired, wilson};
use retune_eval::fraud::{
    AlertGoal, Named, ReviewCost, Scored, Settings, choose, cost_curve, gains, rate,
};
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/fraud.json");

const COST: ReviewCost = ReviewCost {
    review: 7.5,
    recovery: 0.25,
};

fn golden(name: &str) -> Value {
    let text = std::fs::read_to_string(GOLDEN).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    all[name].clone()
}

fn cases(name: &str) -> Vec<Value> {
    let cases = golden(name).as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap()
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(number).collect()
}

fn narrow(v: &Value) -> Vec<f32> {
    numbers(v).into_iter().map(|v| v as f32).collect()
}

fn flags(v: &Value) -> Vec<bool> {
    numbers(v).into_iter().map(|v| v == 1.0).collect()
}

fn close(what: &str, ours: f64, theirs: f64, tolerance: f64) {
    let gap = (ours - theirs).abs();
    assert!(gap <= tolerance, "{what}: {ours}, reference {theirs}");
}

fn named(names: [&str; 3], of: &Value) -> Named {
    let index = |v: f64| (v >= 0.0).then_some(v as u32);
    Named {
        names: names.map(str::to_owned).to_vec(),
        of: numbers(of).into_iter().map(index).collect(),
    }
}

fn scored(case: &Value) -> Scored {
    let whole = |name: &str| numbers(&case[name]).into_iter().map(|v| v as i64);
    Scored {
        score: narrow(&case["score"]),
        fraud: flags(&case["fraud"]),
        time: Some(whole("time").collect()),
        card: Some(whole("card").map(|c| c as u64).collect()),
        amount: Some(numbers(&case["amount"])),
        pattern: Some(named(["large", "terminal", "testing"], &case["pattern"])),
        segment: Some(named(["online", "shop", "none"], &case["segment"])),
        weight: (case["weighted"] == true).then(|| numbers(&case["weight"])),
    }
}

fn settings(case: &Value) -> Settings {
    Settings {
        precisions: vec![0.25, 0.5],
        alerts: vec![20, 100],
        cards: vec![3],
        alert_share: 0.1,
        cost: Some(COST),
        threshold: Some(number(&case["threshold"])),
        ..Settings::default()
    }
}

#[test]
fn every_figure_equals_its_reference() {
    for case in cases("cases") {
        let rated = rate(&scored(&case), &settings(&case), 1).unwrap();
        let expected = case["expected"].as_object().unwrap();
        for (name, value) in expected {
            let ours = rated.metrics.get(name);
            let ours = ours.unwrap_or_else(|| panic!("{name} is missing: {:?}", rated.notes));
            let what = format!("{name} of {}", case["name"]);
            close(&what, ours.value, number(value), 1e-7);
            assert!(ours.low <= ours.value && ours.value <= ours.high, "{what}");
            let moves = ours.low < ours.high || [0.0, 1.0].contains(&ours.value);
            assert!(moves, "{what} has no spread: {ours:?}");
        }
        let all: BTreeSet<&String> = rated.metrics.keys().collect();
        assert_eq!(
            all,
            expected.keys().collect(),
            "every figure has a reference"
        );
        for (parts, theirs) in [(&rated.patterns, "patterns"), (&rated.segments, "segments")] {
            let theirs = numbers(&case[theirs]);
            // The third segment has no events and no figure.
            assert_eq!(parts.len(), theirs.len());
            for (part, theirs) in parts.iter().zip(theirs) {
                close(&part.name, part.figure.value, theirs, 1e-9);
            }
        }
        let frauds: usize = rated.patterns.iter().map(|p| p.n).sum();
        assert_eq!(frauds, rated.fraud);
    }
}

#[test]
fn intervals_over_cards_equal_a_plain_bootstrap_up_to_chance() {
    let case = golden("resampled");
    let of = |name: &str| Scored {
        score: narrow(&case[name]),
        fraud: flags(&case["fraud"]),
        card: Some(
            numbers(&case["card"])
                .into_iter()
                .map(|c| c as u64)
                .collect(),
        ),
        ..Scored::default()
    };
    let (model, floor) = (of("score"), of("other"));
    let own = rate(&model, &Settings::default(), 3).unwrap();
    let gain = gains(&model, &floor, 3).unwrap();
    for (ours, theirs) in [
        (
            &own.metrics["average_precision"],
            &case["average_precision"],
        ),
        (&gain["average_precision"], &case["difference"]),
    ] {
        // The 2.5 % point of 1,000 resamples wanders by 0.08 standard errors.
        let tolerance = 0.25 * number(&theirs["standard_error"]);
        close("low", ours.low, number(&theirs["low"]), tolerance);
        close("high", ours.high, number(&theirs["high"]), tolerance);
    }
    // Rows in place of cards give another interval: the bounds above are those of cards.
    let rows = Scored {
        card: None,
        ..model
    };
    let rows = rate(&rows, &Settings::default(), 3).unwrap();
    let wide = |i: &retune_eval::Interval| i.high - i.low;
    let [cards, rows] = [&own, &rows].map(|r| wide(&r.metrics["average_precision"]));
    assert!(cards > 1.1 * rows, "{cards} {rows}");
}

#[test]
fn the_cheapest_threshold_and_those_of_other_goals_are_found() {
    for case in cases("cases") {
        let events = scored(&case);
        let curve = cost_curve(&events, COST, 50).unwrap();
        let cheapest = curve.cheapest.unwrap();
        let theirs = &case["cheapest"];
        close("cost", cheapest.cost, number(&theirs["cost"]), 1e-6);
        let threshold = number(&theirs["threshold"]);
        close("threshold", cheapest.threshold, threshold, 1e-9);
        assert!(curve.points.iter().all(|p| p.cost >= cheapest.cost));
        assert!(cheapest.cost < curve.none && cheapest.cost < curve.all);
        for (goal, theirs) in case["chosen"].as_object().unwrap() {
            let goal: AlertGoal = goal.parse().unwrap();
            let found = choose(&events, goal, 2).unwrap();
            let what = format!("{goal} of {}", case["name"]);
            close(&what, found.threshold.value, number(theirs), 1e-9);
            assert!(found.met && found.met_share > 0.5, "{found:?}");
            assert!(found.threshold.low < found.threshold.high, "{found:?}");
            assert_eq!(found.cost.is_some(), matches!(goal, AlertGoal::Cost(_)));
        }
    }
}

#[test]
fn areas_and_their_difference_equal_delong() {
    for case in cases("delong") {
        let truth = flags(&case["truth"]);
        let scores = [narrow(&case["first"]), narrow(&case["second"])];
        let of = |name: &str, i: usize| number(&case[name][i]);
        for (i, scores) in scores.iter().enumerate() {
            let ours = auroc(scores, &truth).unwrap();
            close("area", ours.area.value, of("area", i), 1e-12);
            let theirs = of("standard_error", i);
            close("standard error", ours.standard_error, theirs, 1e-12);
            close("low", ours.area.low, of("low", i), 1e-9);
            close("high", ours.area.high, of("high", i), 1e-9);
        }
        let test = paired(&scores[0], &scores[1], &truth).unwrap();
        close("z", test.z, number(&case["z"]), 1e-9);
        let p = number(&case["p"]);
        close("p", test.p, p, 1e-10 * p.max(1e-3));
    }
}

#[test]
fn shares_have_the_intervals_of_statsmodels() {
    for case in cases("wilson") {
        let of = |name: &str| case[name].as_u64().unwrap();
        let ours = wilson(of("hits"), of("n")).unwrap();
        close("low", ours.low, number(&case["low"]), 1e-12);
        close("high", ours.high, number(&case["high"]), 1e-12);
    }
}

#[test]
fn sigmoids_equal_the_exact_minimum_and_scikit_learn_roughly() {
    for case in cases("platt") {
        let (logits, truth) = (narrow(&case["logit"]), flags(&case["fraud"]));
        let ours = Platt::fit(&logits, &truth, None).unwrap();
        close("slope", ours.slope, number(&case["slope"]), 1e-5);
        close("shift", ours.shift, number(&case["shift"]), 1e-5);
        for (logit, theirs) in logits.iter().zip(numbers(&case["scikit_learn"])) {
            close("probability", ours.probability(*logit), theirs, 1e-3);
        }
    }
}

#[test]
fn steps_equal_scikit_learn() {
    for case in cases("isotonic") {
        let weights = numbers(&case["weight"]);
        let truth = flags(&case["fraud"]);
        let ours = Isotonic::fit(&narrow(&case["score"]), &truth, Some(&weights)).unwrap();
        for (asked, theirs) in narrow(&case["asked"]).iter().zip(numbers(&case["answer"])) {
            close("probability", ours.probability(*asked), theirs, 1e-7);
        }
    }
}

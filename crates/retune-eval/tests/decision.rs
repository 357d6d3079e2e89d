//! Thresholds and costs against scikit-learn and numpy (`golden/thresholds.json`), and what decided answers change in
//! the figures and what not.

#![expect(clippy::unwrap_used, reason = "tests")]

use retune_eval::{
    Decision, Evaluation, Goal, Matrix, Predictions, Targets, Threshold, evaluate, gain, judge,
    mistakes, nearest, reliability, threshold,
};
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/thresholds.json");

fn golden() -> Value {
    serde_json::from_str(&std::fs::read_to_string(GOLDEN).unwrap()).unwrap()
}

fn narrow(v: &Value) -> Vec<f32> {
    let all = v.as_array().unwrap().iter();
    all.map(|v| v.as_f64().unwrap() as f32).collect()
}

fn predictions(cols: usize, data: Vec<f32>, targets: Targets) -> Predictions {
    Predictions {
        scores: Matrix {
            rows: data.len() / cols,
            cols,
            data,
        },
        targets,
        slices: Vec::new(),
        ids: Vec::new(),
        decision: None,
    }
}

fn evaluation(classes: &[&str]) -> Evaluation {
    Evaluation {
        metrics: ["accuracy", "f1_macro", "auroc", "log_loss"]
            .map(str::to_owned)
            .to_vec(),
        primary: "accuracy".to_owned(),
        classes: classes.iter().map(|c| (*c).to_owned()).collect(),
    }
}

#[test]
fn thresholds_equal_scikit_learn() {
    let mut seen = 0;
    for case in golden()["thresholds"].as_array().unwrap() {
        let scores = narrow(&case["scores"]);
        let truth = case["truth"].as_array().unwrap().iter();
        let truth: Vec<bool> = truth.map(|t| t.as_bool().unwrap()).collect();
        for wanted in case["goals"].as_array().unwrap() {
            let goal: Goal = wanted["goal"].as_str().unwrap().parse().unwrap();
            let ours = threshold(&scores, &truth, goal).unwrap();
            let theirs = wanted["value"].as_f64().unwrap() as f32;
            assert_eq!(ours.value as f32, theirs, "{goal}");
            for (name, ours) in [
                ("precision", ours.precision),
                ("recall", ours.recall),
                ("f1", ours.f1),
            ] {
                let theirs = wanted[name].as_f64().unwrap();
                assert!(
                    (ours - theirs).abs() < 1e-12,
                    "{goal}: {name} {ours}, scikit-learn {theirs}"
                );
            }
            seen += 1;
        }
    }
    assert!(seen >= 24, "{seen}");
}

#[test]
fn answers_of_least_cost_equal_numpy() {
    let case = &golden()["costs"];
    let costs = serde_json::from_value(case["costs"].clone()).unwrap();
    let decision = Decision::Costs { costs };
    let scores = narrow(&case["scores"]);
    let ours: Vec<usize> = scores.chunks(4).map(|p| decision.class(p)).collect();
    let theirs: Vec<usize> = serde_json::from_value(case["answers"].clone()).unwrap();
    assert_eq!(ours, theirs);
}

/// Ten rows of two classes; `yes` is rare and never has the larger score.
fn shy() -> Predictions {
    let yes = [0.45, 0.4, 0.35, 0.3, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1];
    let truth = [1, 1, 0, 1, 0, 0, 0, 0, 0, 0];
    let data = yes.iter().flat_map(|y| [1.0 - y, *y]).collect();
    predictions(2, data, Targets::Class(truth.to_vec()))
}

#[test]
fn a_threshold_changes_answers_and_figures_and_no_comparison() {
    let usual = shy();
    let (decision, missed) = Decision::fit(&usual, Goal::F1, 1);
    assert!(missed.is_empty());
    let decided = Predictions {
        decision: Some(decision.clone()),
        ..usual.clone()
    };
    let e = evaluation(&["no", "yes"]);
    let (before, after) = (
        evaluate(&usual, &e, "test", 0),
        evaluate(&decided, &e, "test", 0),
    );
    // From 0.3 on: three hits and one false alarm of ten rows.
    assert_eq!(after.metrics["accuracy"].value, 0.9);
    assert_eq!(after.confusion, [[6, 1], [0, 3]]);
    assert_eq!(before.confusion, [[7, 0], [3, 0]]);
    for name in ["auroc", "log_loss"] {
        assert_eq!(after.metrics[name], before.metrics[name], "{name}");
    }
    let part = after.decision.as_ref().unwrap();
    assert_eq!((&part.usual, part.cost), (&before.metrics, None));
    assert_eq!(after.usual(), before.usual());
    let [chosen] = &part.thresholds[..] else {
        panic!("one class has a threshold");
    };
    assert_eq!(chosen.threshold.value as f32, 0.3);
    assert_eq!(chosen.before, before.per_class[1]);
    assert_eq!(chosen.after, after.per_class[1]);
    assert_eq!(chosen.after.recall.value, 1.0);

    // Rows worth reading and the reliability of the confidence are about the answers that are given.
    assert_eq!(mistakes(&decided, 9), [2]);
    assert_eq!(mistakes(&usual, 9), [3, 1, 0]);
    let right = |p: &Predictions| -> f64 {
        let bins = reliability(p, 10).into_iter();
        bins.map(|(_, right, n)| right * n as f64).sum()
    };
    assert!((right(&decided) - 9.0).abs() < 1e-9 && (right(&usual) - 7.0).abs() < 1e-9);

    // A side that has chosen a threshold has no advantage over one that has not.
    let floor = usual.with_constant_scores(&[0.7, 0.3]);
    let verdict = |p| judge(&[p], &[("majority", vec![&floor])], &e, 0);
    assert_eq!(verdict(&decided), verdict(&usual));
    let gains = [&decided, &usual].map(|p| gain(p, &floor, "accuracy", 0));
    assert_eq!(gains[0].unwrap().value, 0.0);
    assert_eq!(gains[0], gains[1]);
    let floor = Predictions {
        decision: Some(decision),
        ..floor
    };
    assert_eq!(gain(&usual, &floor, "accuracy", 0), gains[1]);
}

#[test]
fn the_positive_class_may_be_the_first() {
    let p = shy();
    // Of rows called `no`, all are to be: from 0.8 on, six of the seven.
    let (decision, _) = Decision::fit(&p, Goal::Precision(1.0), 0);
    assert_eq!(decision.thresholds()[0].1.value as f32, 0.8, "{decision:?}");
    let answers: Vec<usize> = (0..10).map(|r| decision.class(p.scores.row(r))).collect();
    assert_eq!(answers, [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn costs_are_rated_before_and_after() {
    let p = shy();
    let goal: Goal = "cost=1:10".parse().unwrap();
    let (decision, _) = Decision::fit(&p, goal, 1);
    let decided = Predictions {
        decision: Some(decision),
        ..p.clone()
    };
    let out = evaluate(&decided, &evaluation(&["no", "yes"]), "test", 0);
    let cost = out.decision.unwrap().cost.unwrap();
    // Three misses before; one false alarm after.
    assert_eq!((cost.before.value, cost.after.value), (3.0, 0.1));
    assert!(cost.before.low < 2.0 && cost.before.high > 4.0, "{cost:?}");

    let costs = vec![vec![0.0, 1.0], vec![10.0, 0.0]];
    let decided = Predictions {
        decision: Some(Decision::Costs { costs }),
        ..p
    };
    let out = evaluate(&decided, &evaluation(&["no", "yes"]), "test", 0);
    let decision = out.decision.unwrap();
    // Every row from 1/11 on is called positive: seven false alarms.
    assert!((decision.cost.unwrap().after.value - 0.7).abs() < 1e-12);
    assert!(decision.thresholds.is_empty());
}

#[test]
fn every_label_has_a_threshold_of_its_own() {
    let data = vec![0.9, 0.4, 0.8, 0.3, 0.7, 0.2, 0.6, 0.1];
    let flags = [(1, 1), (0, 1), (1, 0), (0, 0)];
    let flags = flags.map(|(a, b)| [Some(a == 1), Some(b == 1)]).concat();
    let mut p = predictions(2, data, Targets::Labels(flags));
    let (decision, missed) = Decision::fit(&p, Goal::Recall(1.0), 0);
    assert!(missed.is_empty());
    let at = |d: &Decision| -> Vec<f32> {
        let all = d.thresholds().into_iter();
        all.map(|(_, t)| t.value as f32).collect()
    };
    assert_eq!(at(&decision), [0.7, 0.3]);
    let decided = Predictions {
        decision: Some(decision),
        ..p.clone()
    };
    let out = evaluate(&decided, &evaluation(&["a", "b"]), "test", 0);
    assert_eq!(out.metrics["accuracy"].value, 0.75);
    assert_eq!(out.usual()["accuracy"].value, 0.25);
    let changed = out.decision.unwrap().thresholds;
    assert_eq!(changed[1].before.recall.value, 0.0);
    assert_eq!(changed[1].after.recall.value, 1.0);
    assert_eq!(mistakes(&decided, 9), [1]);

    // A label that no row has keeps one half, and is named.
    let none = [(1, 0), (0, 0), (1, 0), (0, 0)];
    let none = none.map(|(a, _)| [Some(a == 1), None]).concat();
    p.targets = Targets::Labels(none);
    let (decision, missed) = Decision::fit(&p, Goal::Recall(1.0), 0);
    assert_eq!(at(&decision), [0.7, 0.5]);
    assert_eq!(missed.len(), 1);
    assert_eq!((missed[0].0, missed[0].1.best), (1, None));
}

#[test]
fn a_score_that_is_the_threshold_reaches_it_when_it_was_written_down_in_between() {
    // Read back as a double, 0.97 is another number in the last place.
    let mut scores: Vec<f32> = vec![0.97];
    scores.extend((1..2000_u16).map(|i| f32::from(i) / 2000.0));
    for score in scores {
        let (found, _) = nearest(&[score], &[true], Goal::F1);
        let text = serde_json::to_string(&found).unwrap();
        let read: Threshold = serde_json::from_str(&text).unwrap();
        assert!(
            read.reached(score) && !read.reached(score.next_down()),
            "{text}"
        );
    }
}

#[test]
fn a_decision_is_read_as_it_is_written() {
    let (positive, _) = Decision::fit(&shy(), Goal::Precision(0.9), 1);
    let costs = Decision::Costs {
        costs: vec![vec![0.0, 1.5], vec![2.0, 0.0]],
    };
    for decision in [positive, costs] {
        let text = serde_json::to_string(&decision).unwrap();
        assert_eq!(
            serde_json::from_str::<Decision>(&text).unwrap(),
            decision,
            "{text}"
        );
    }
}

//! What `evaluate` and its neighbours promise: intervals, floors, slices, notes, and no number that JSON cannot hold.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use retune_eval::metrics::{
    METRICS, Sample, gain, majority_predictions, metric, rank_correlation, right,
};
use retune_eval::{
    Evaluated, Evaluation, Matrix, Predictions, Slice, Targets, evaluate, majority, mistakes,
    point, reliability,
};

fn rated(metrics: &[&str], classes: &[&str]) -> Evaluation {
    let owned = |v: &[&str]| v.iter().map(|s| (*s).to_owned()).collect::<Vec<String>>();
    Evaluation {
        metrics: owned(metrics),
        primary: metrics[0].to_owned(),
        classes: owned(classes),
    }
}

/// Every metric, for two classes.
fn all() -> Evaluation {
    rated(
        &METRICS.iter().take(12).map(|m| m.name).collect::<Vec<_>>(),
        &["no", "yes"],
    )
}

fn predictions(cols: usize, data: &[f32], targets: Targets) -> Predictions {
    let scores = Matrix {
        rows: data.len() / cols,
        cols,
        data: data.to_vec(),
    };
    Predictions {
        scores,
        targets,
        slices: Vec::new(),
        ids: Vec::new(),
        decision: None,
    }
}

/// `n` rows of two classes of which `right` (the first ones) are answered right.
fn two_classes(n: usize, right: usize) -> Predictions {
    let truth: Vec<u32> = (0..n).map(|r| (r % 2) as u32).collect();
    let yes = |r: usize| {
        if (truth[r] == 1) == (r < right) {
            0.8
        } else {
            0.2
        }
    };
    let data: Vec<f32> = (0..n).flat_map(|r| [1.0 - yes(r), yes(r)]).collect();
    predictions(2, &data, Targets::Class(truth))
}

#[test]
fn the_interval_of_a_share_is_that_of_the_binomial() {
    let out = evaluate(&two_classes(400, 320), &all(), "test", 3);
    let accuracy = out.metrics["accuracy"];
    assert_eq!(accuracy.value, 0.8);
    // The standard error of a share of 0.8 over 400 rows is 0.02.
    assert!(
        (accuracy.low - (0.8 - 1.96 * 0.02)).abs() < 0.006,
        "{accuracy:?}"
    );
    assert!(
        (accuracy.high - (0.8 + 1.96 * 0.02)).abs() < 0.006,
        "{accuracy:?}"
    );
}

#[test]
fn equal_seeds_give_equal_figures_and_others_do_not() {
    let p = two_classes(200, 150);
    assert_eq!(
        evaluate(&p, &all(), "test", 3),
        evaluate(&p, &all(), "test", 3)
    );
    let (a, b) = (
        evaluate(&p, &all(), "test", 3),
        evaluate(&p, &all(), "test", 4),
    );
    assert_eq!(a.metrics["log_loss"].value, b.metrics["log_loss"].value);
    assert_ne!(a.metrics["log_loss"], b.metrics["log_loss"]);
}

#[test]
fn undefined_metrics_are_left_out_and_said_so() {
    let one_class = predictions(
        2,
        &[0.9, 0.1, 0.4, 0.6, 0.7, 0.3],
        Targets::Class(vec![0, 0, 0]),
    );
    let out = evaluate(&one_class, &all(), "test", 0);
    assert!(!out.metrics.contains_key("auroc") && !out.metrics.contains_key("average_precision"));
    assert!(out.metrics.contains_key("accuracy"));
    assert!(
        out.notes.iter().any(|n| n.starts_with("auroc is left out")),
        "{:?}",
        out.notes
    );
    assert!(
        out.notes
            .iter()
            .any(|n| n.contains("1 of 2 classes have no rows here (`yes`)")),
        "{:?}",
        out.notes
    );
    assert!(!point(&one_class, &all()).contains_key("auroc"));
}

#[test]
fn resamples_without_a_class_do_not_spoil_the_interval() {
    // One row of class 1 in 20: a third of the resamples lack it.
    let mut truth = vec![0; 20];
    truth[7] = 1;
    let data: Vec<f32> = (0..20)
        .flat_map(|r| [1.0 - 0.04 * r as f32, 0.04 * r as f32])
        .collect();
    let auroc = evaluate(
        &predictions(2, &data, Targets::Class(truth)),
        &all(),
        "test",
        0,
    )
    .metrics["auroc"];
    assert!((auroc.value - 7.0 / 19.0).abs() < 1e-12);
    assert!(
        auroc.low > 0.05 && auroc.low < auroc.value && auroc.high < 0.7,
        "{auroc:?}"
    );
}

#[test]
fn scores_that_are_no_numbers_give_a_note_and_no_figures() {
    let mut p = two_classes(50, 40);
    p.scores.data[3] = f32::NAN;
    let out = evaluate(&p, &all(), "test", 0);
    assert!(out.metrics.is_empty() && out.per_class.is_empty() && out.confusion.is_empty());
    assert!(
        out.notes[0].contains("1 scores or targets are not finite"),
        "{:?}",
        out.notes
    );
    assert!(point(&p, &all()).is_empty());
    assert_eq!(gain(&p, &two_classes(50, 40), "accuracy", 0), None);
    let infinite = predictions(1, &[1.0, f32::INFINITY], Targets::Value(vec![1.0, 2.0]));
    assert!(
        evaluate(&infinite, &rated(&["rmse"], &[]), "test", 0)
            .metrics
            .is_empty()
    );
}

#[test]
fn no_rows_one_row_and_wrong_metrics_are_survived() {
    let none = evaluate(
        &predictions(2, &[], Targets::Class(vec![])),
        &all(),
        "test",
        0,
    );
    assert_eq!((none.n, none.metrics.len()), (0, 0));
    assert!(
        none.notes
            .contains(&"no figures: there are no rows".to_owned()),
        "{:?}",
        none.notes
    );
    let one = evaluate(
        &predictions(2, &[0.3, 0.7], Targets::Class(vec![1])),
        &all(),
        "test",
        0,
    );
    assert_eq!(one.metrics["accuracy"].value, 1.0);
    let odd = evaluate(
        &two_classes(10, 8),
        &rated(&["accuracy", "rmse", "acuracy"], &[]),
        "test",
        0,
    );
    assert_eq!(odd.metrics.keys().collect::<Vec<_>>(), ["accuracy"]);
    assert!(
        odd.notes
            .contains(&"rmse is left out: it is not defined for classes".to_owned()),
        "{:?}",
        odd.notes
    );
    assert!(
        odd.notes.iter().any(
            |n| n.starts_with("`acuracy` is left out: it is not a metric; use one of accuracy")
        )
    );
}

#[test]
fn a_faultless_answer_is_not_called_certain() {
    let out = evaluate(&two_classes(300, 300), &all(), "test", 0);
    assert_eq!(
        (out.metrics["accuracy"].low, out.metrics["accuracy"].high),
        (1.0, 1.0)
    );
    assert!(
        out.notes
            .iter()
            .any(|n| n.contains("a true accuracy of 0.990")),
        "{:?}",
        out.notes
    );
}

#[test]
fn the_majority_floor_answers_with_the_shares_of_the_training_rows() {
    let p = two_classes(100, 90);
    let train = Targets::Class(vec![0, 1, 1, 1]);
    assert_eq!(
        majority_predictions(&train, &p).scores.row(42),
        [0.25, 0.75]
    );
    let floor = majority(&train, &p, &all(), 0);
    assert_eq!(
        (
            floor["accuracy"].value,
            floor["auroc"].value,
            floor["mcc"].value
        ),
        (0.5, 0.5, 0.0)
    );

    let labels = predictions(2, &[0.9, 0.1], Targets::Labels(vec![Some(true), None]));
    let train = Targets::Labels(vec![Some(true), None, Some(false), None, None, Some(true)]);
    assert_eq!(
        majority_predictions(&train, &labels).scores.data,
        [0.5, 1.0]
    );

    let value = predictions(1, &[1.0, 5.0], Targets::Value(vec![1.0, 3.0]));
    let train = Targets::Value(vec![1.0, 3.0]);
    let floor = majority(&train, &value, &rated(&["rmse", "r2", "pearson"], &[]), 0);
    assert_eq!((floor["rmse"].value, floor["r2"].value), (1.0, 0.0));
    assert!(
        !floor.contains_key("pearson"),
        "a constant has no correlation"
    );
}

#[test]
fn a_gain_is_positive_when_the_model_is_better_whichever_way_the_metric_points() {
    let (good, bad) = (two_classes(300, 270), two_classes(300, 200));
    for name in ["accuracy", "log_loss", "brier"] {
        let by = gain(&good, &bad, name, 0).unwrap();
        assert!(by.low > 0.0 && by.value > by.low, "{name} {by:?}");
        let back = gain(&bad, &good, name, 0).unwrap();
        assert_eq!((back.value, back.low), (-by.value, -by.high), "{name}");
    }
    let same = gain(&good, &good, "accuracy", 0).unwrap();
    assert_eq!(
        (same.value, same.low, same.high),
        (0.0, 0.0, 0.0),
        "both are rated on the same resamples"
    );
    let mut out = evaluate(&good, &all(), "test", 0);
    out.compare("frozen", (&good, &bad), &all(), 0);
    assert_eq!(
        out.gains["frozen"],
        gain(&good, &bad, "accuracy", 0).unwrap()
    );
    assert_eq!(
        out.baselines["frozen"],
        evaluate(&bad, &all(), "test", 0).metrics
    );
}

#[test]
fn slices_rate_their_own_rows() {
    let mut p = two_classes(200, 150);
    let half = |r: usize| if r < 100 { "first" } else { "last" }.to_owned();
    p.slices.push(Slice {
        column: "half".to_owned(),
        values: (0..200).map(half).collect(),
    });
    p.slices.push(Slice {
        column: "each".to_owned(),
        values: (0..200).map(|r| format!("row {r}")).collect(),
    });
    let out = evaluate(&p, &all(), "test", 0);
    let slices = &out.slices["half"];
    assert_eq!(
        (slices["first"].n, slices["first"].metrics["accuracy"].value),
        (100, 1.0)
    );
    assert_eq!(
        (slices["last"].n, slices["last"].metrics["accuracy"].value),
        (100, 0.5)
    );
    assert_eq!(out.slices["each"].len(), 50);
    assert!(
        out.notes
            .iter()
            .any(|n| n.contains("column `each` has 200 values: only the 50")),
        "{:?}",
        out.notes
    );
}

#[test]
fn right_answers_are_spread_from_sure_to_unsure() {
    let data = [0.9, 0.1, 0.6, 0.4, 0.7, 0.3, 0.2, 0.8, 0.8, 0.2, 0.95, 0.05];
    let p = predictions(2, &data, Targets::Class(vec![0, 0, 0, 0, 0, 1]));
    assert_eq!(right(&p, 9), [vec![0, 4, 2, 1], vec![]]);
    assert_eq!(right(&p, 2), [vec![0, 1], vec![]]);
    assert_eq!(right(&p, 3), [vec![0, 4, 1], vec![]]);
    assert_eq!(right(&p, 1), [vec![0], vec![]]);
    let value = predictions(1, &[1.0], Targets::Value(vec![1.0]));
    assert!(right(&value, 9).is_empty());
}

#[test]
fn ranks_alone_are_correlated() {
    assert!((rank_correlation(&[1.0, 2.0, 3.0], &[0.1, 5.0, 900.0]) - 1.0).abs() < 1e-12);
    // scipy.stats.spearmanr([0, 1, 1, 3], [2, 1, 4, 0]).
    let found = rank_correlation(&[0.0, 1.0, 1.0, 3.0], &[2.0, 1.0, 4.0, 0.0]);
    assert!((found + 0.632_455_532_033_676).abs() < 1e-12, "{found}");
    assert!(rank_correlation(&[1.0, 1.0], &[1.0, 2.0]).is_nan());
}

#[test]
fn mistakes_come_worst_first() {
    let truth = Targets::Class(vec![0, 0, 1, 1]);
    let p = predictions(2, &[0.4, 0.6, 0.1, 0.9, 0.3, 0.7, 0.8, 0.2], truth);
    assert_eq!(mistakes(&p, 10), [1, 3, 0]);
    assert_eq!(mistakes(&p, 1), [1]);
    let value = predictions(1, &[1.0, 5.0, 0.0], Targets::Value(vec![1.0, 2.0, 4.0]));
    assert_eq!(mistakes(&value, 10), [2, 1]);
    let flags = vec![Some(true), None, Some(false), Some(true)];
    let labels = predictions(2, &[0.9, 0.9, 0.7, 0.1], Targets::Labels(flags));
    assert_eq!(mistakes(&labels, 10), [1]);
}

#[test]
fn reliability_bins_hold_every_answer_once_and_give_the_calibration_error() {
    let p = predictions(
        2,
        &[0.0, 1.0, 0.1, 0.9, 0.08, 0.92, 0.5, 0.5],
        Targets::Class(vec![1, 1, 0, 0]),
    );
    let bins = reliability(&p, 10);
    assert_eq!(bins.iter().map(|b| b.2).collect::<Vec<_>>(), [1, 1, 2]);
    assert_eq!(
        bins.iter().map(|b| b.1).collect::<Vec<_>>(),
        [1.0, 1.0, 0.5]
    );
    assert!(bins.is_sorted_by(|a, b| a.0 < b.0));
    let fifteen = reliability(&p, 15);
    let gap: f64 = fifteen
        .iter()
        .map(|b| (b.0 - b.1).abs() * b.2 as f64 / 4.0)
        .sum();
    assert!((gap - (metric("ece").unwrap().compute)(&Sample::new(&p))).abs() < 1e-12);
    assert!(reliability(&predictions(1, &[1.0], Targets::Value(vec![1.0])), 10).is_empty());
}

#[test]
fn everything_serialises_without_null() {
    let mut truth = vec![Some(true), Some(false), None, None];
    truth.extend([Some(false), None]);
    let labels = predictions(2, &[0.9, 0.5, 0.1, 0.2, 1.0, 0.0], Targets::Labels(truth));
    let constant = predictions(1, &[2.0, 2.0], Targets::Value(vec![1.0, 1.0]));
    let numbers: Vec<&str> = METRICS.iter().skip(12).map(|m| m.name).collect();
    let outs = [
        evaluate(&two_classes(3, 1), &all(), "test", 0),
        evaluate(&labels, &all(), "test", 0),
        evaluate(&constant, &rated(&numbers, &[]), "test", 0),
    ];
    for out in outs {
        let text = serde_json::to_string(&out).unwrap();
        assert!(!text.contains("null"), "{text}");
        let read: Evaluated = serde_json::from_str(&text).unwrap();
        // The JSON reader may miss the last bit of a number.
        assert!(
            read.metrics
                .iter()
                .all(|(k, v)| (v.value - out.metrics[k].value).abs() < 1e-12)
        );
        assert_eq!(
            (read.metrics.len(), read.notes),
            (out.metrics.len(), out.notes)
        );
    }
}

#[test]
fn metric_names_are_distinct_and_documented() {
    let names: BTreeMap<&str, &str> = METRICS.iter().map(|m| (m.name, m.doc)).collect();
    assert_eq!(names.len(), METRICS.len());
    assert!(names.values().all(|doc| doc.ends_with('.')));
}

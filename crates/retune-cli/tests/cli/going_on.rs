//! What is written after a run from its records, and what going on with a tuned model does to what it knew.

use std::fs;

use crate::{Folder, TINY_FLAGS, reviews, table};

/// `out` knows positive and negative reviews, with ten test rows in `old.csv`.
fn parent() -> Folder {
    let folder = Folder::with_reviews();
    let line = |row: usize| {
        let label = ["positive", "negative"][row % 2];
        format!("an old film {},{label}", row + 1000)
    };
    folder.write("old.csv", table("text,label", 10, line));
    let flags = ["data.csv", "--test", "old.csv", "--out", "out"];
    folder.train(&flags).succeeds();
    folder
}

fn go_on(folder: &Folder, file: &str, out: &str, more: &[&str]) -> crate::Outcome {
    let arguments = ["train", file, "--model", "out", "--max-steps", "2"];
    let rest = ["--verdict", "off", "--out", out, "--json"];
    folder.retune(&[&arguments[..], &rest, more].concat())
}

#[test]
fn the_parents_test_rows_are_answered_again() {
    let folder = parent();
    // Two of the parent's test rows are in the new data, written in another way; `negative` is no class any more.
    folder.write(
        "new.csv",
        table("text,label", 60, |row| match row {
            0 => "An OLD film 1000!,positive".to_owned(),
            1 => "an old  film 1001,mixed".to_owned(),
            row => format!("{row} a film,{}", ["positive", "mixed"][row % 2]),
        }),
    );
    folder.write(
        "last.csv",
        table("text,label", 10, |row| {
            format!("one more {row},{}", ["positive", "mixed"][row % 2])
        }),
    );
    let json = go_on(&folder, "new.csv", "next", &["--test", "last.csv"])
        .succeeds()
        .json();
    let found = &json["parent_test"];
    assert_eq!(found["parent"], "out");
    assert_eq!([&found["n"], &found["seen"], &found["unknown"]], [4, 2, 4]);
    assert_eq!(found["change"]["metric"], "accuracy");
    let [before, after] = ["before", "after"].map(|when| found[when]["value"].as_f64().unwrap());
    let change = found["change"]["difference"].as_f64().unwrap();
    assert!((after - before - change).abs() < 1e-12, "{found}");
    for text in [folder.read("next/report.html"), folder.read("next/card.md")] {
        assert!(text.contains("What it knew before"));
    }

    // The figure before is that of the parent on these rows, the one after that of the new model.
    let kept = (0..10).filter(|row| row % 2 == 0 && *row > 1);
    let lines: Vec<String> = kept
        .map(|row| format!("an old film {},positive", row + 1000))
        .collect();
    folder.write("kept.csv", format!("text,label\n{}\n", lines.join("\n")));
    for (bundle, wanted) in [("out", before), ("next", after)] {
        let flags = ["eval", bundle, "--data", "kept.csv", "--json"];
        let json = folder.retune(&flags).succeeds().json();
        assert_eq!(json["metrics"]["accuracy"]["value"], wanted, "{bundle}");
    }
}

#[test]
fn what_cannot_be_measured_of_the_parent_is_said() {
    let folder = parent();
    fs::remove_file(folder.path("out/predictions.parquet")).unwrap();
    folder.write("new.csv", reviews(40));
    let json = go_on(&folder, "new.csv", "next", &[]).succeeds().json();
    assert!(json.get("parent_test").is_none());
    let notes = json["notes"].to_string();
    assert!(
        notes.contains("what out knew before is not measured")
            && notes.contains("predictions.parquet"),
        "{notes}"
    );
    folder.write(
        "numbers.csv",
        table("text,score", 60, |row| {
            format!("film {row},{}", row as f64 * 0.37 + 0.01)
        }),
    );
    let json = go_on(&folder, "numbers.csv", "other", &[])
        .succeeds()
        .json();
    let notes = json["notes"].to_string();
    assert!(notes.contains("it does text-classification"), "{notes}");
}

#[test]
fn the_card_is_written_anew() {
    let folder = Folder::with_bundle();
    let first = folder.read("out/card.md");
    fs::remove_file(folder.path("out/card.md")).unwrap();
    let outcome = folder.retune(&["report", "out", "--card"]).succeeds();
    assert_eq!(outcome.stdout.trim(), "out/card.md");
    assert_eq!(folder.read("out/card.md"), first);
    let flags = ["report", "out", "--card", "--out", "README.md"];
    assert_eq!(folder.retune(&flags).succeeds().stdout.trim(), "README.md");
    assert_eq!(folder.read("README.md"), first);
    folder
        .retune(&["report", "nowhere", "--card"])
        .refuses(&["nowhere"]);
}

#[test]
fn the_first_line_tells_the_labels_that_would_have_done_once_a_curve_is_known() {
    let folder = Folder::new();
    folder.write("data.csv", reviews(300));
    let run = ["train", "data.csv", "--lr", "0.01", "--out", "runs/one"];
    folder
        .retune(&[&run[..], &["--verdict", "off"], TINY_FLAGS].concat())
        .succeeds();
    let curve = |lr: &str, out: &str| {
        let flags = ["curve", "data.csv", "--shares", "20,100", "--seeds", "2"];
        folder
            .retune(&[&flags[..], &["--lr", lr, "--out", out], TINY_FLAGS].concat())
            .succeeds();
    };
    let page = || {
        folder.retune(&["report", "runs/one"]).succeeds();
        folder.read("runs/one/report.html")
    };
    assert!(page().contains("<p class=\"lead\">accuracy "));
    // A curve of another recipe says nothing of this run.
    curve("0.02", "runs/other");
    assert!(!page().contains("labels-chart"));
    curve("0.01", "runs/curve");
    assert!(page().contains("labels-chart"));
    // Nor does a curve of other rows.
    let kept = folder.read("runs/curve/curve.json");
    let mut json: serde_json::Value = serde_json::from_str(&kept).unwrap();
    json["data"]["data.csv"] = "0".repeat(64).into();
    folder.write("runs/curve/curve.json", json.to_string());
    assert!(!page().contains("labels-chart"));
    // Scores by hand, so that a fifth of the labels would have done.
    json["data"] = serde_json::from_str::<serde_json::Value>(&kept).unwrap()["data"].clone();
    for (i, point) in json["curve"]["points"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .enumerate()
    {
        point["score"] = (0.9 + 0.001 * (i % 3) as f64).into();
    }
    folder.write("runs/curve/curve.json", json.to_string());
    let page = page();
    let lead = page.split("</p>").next().unwrap();
    assert!(lead.contains("labels would have sufficed."), "{lead}");
}

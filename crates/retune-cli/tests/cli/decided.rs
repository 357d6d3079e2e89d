//! Answers decided for a goal: what `--decide` changes, what it leaves alone, and what it refuses.

use serde_json::Value;

use crate::{Folder, Outcome, table};

/// `text,label` rows, `rare` in one of five.
fn complaints(rows: std::ops::Range<usize>) -> String {
    let from = rows.start;
    table("text,label", rows.len(), |row| {
        let row = row + from;
        if row.is_multiple_of(5) {
            format!("an awful plot and a bad film {row},complaint")
        } else {
            format!("a good film with great acting {row},praise")
        }
    })
}

/// A folder with training, validation and test rows.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("data.csv", complaints(0..100));
    folder.write("valid.csv", complaints(100..150));
    folder.write("test.csv", complaints(150..210));
    folder
}

fn train(folder: &Folder, out: &str, flags: &[&str]) -> Outcome {
    let files = ["data.csv", "--valid", "valid.csv", "--test", "test.csv"];
    let common = ["--verdict", "off", "--out", out, "--json"];
    folder.train(&[&files[..], &common, flags].concat())
}

#[test]
fn a_goal_changes_answers_and_leaves_comparisons_as_they_are() {
    let folder = folder();
    let usual = train(&folder, "usual", &[]).succeeds().json();
    let json = train(&folder, "out", &["--decide", "recall=1"])
        .succeeds()
        .says(&["recall of at least 1 of `complaint` (the rarer class, 20 of 100 training rows"])
        .json();

    // The model, its floors and its usual answers are the same as without a goal.
    assert!(usual.get("decision").is_none());
    assert_eq!(json["decision"]["usual"], usual["metrics"]);
    assert_eq!(json["baselines"], usual["baselines"]);
    assert_eq!(json["gains"], usual["gains"]);
    assert_eq!(json["calibration"], usual["calibration"]);
    for name in ["auroc", "log_loss", "brier"] {
        assert_eq!(json["metrics"][name], usual["metrics"][name], "{name}");
    }
    let chosen = &json["decision"]["thresholds"][0];
    assert_eq!(chosen["after"]["class"], "complaint");
    assert_eq!(chosen["threshold"]["recall"], 1.0);
    assert_eq!(chosen["threshold"]["met"], true);
    assert_eq!(chosen["before"], usual["per_class"][0]);
    assert_eq!(chosen["after"], json["per_class"][0]);
}

#[test]
fn a_decided_model_answers_as_it_was_measured() {
    let folder = folder();
    let json = train(&folder, "out", &["--decide", "recall=1"])
        .succeeds()
        .json();
    // `eval` gives the figures of the run, and `predict` the answers behind them.
    let eval = ["eval", "out", "--data", "test.csv", "--json"];
    let again = folder.retune(&eval).succeeds().json();
    for part in ["metrics", "decision", "confusion", "per_class"] {
        assert_eq!(again[part], json[part], "{part}");
    }
    let predict = ["predict", "out", "--data", "test.csv", "--json"];
    let answers = folder.retune(&predict).succeeds().stdout;
    let threshold = &json["decision"]["thresholds"][0]["threshold"]["value"];
    let mut called = 0;
    for line in answers.lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        let score = answer["scores"]["complaint"].as_f64().unwrap();
        let said = answer["label"] == "complaint";
        assert_eq!(said, score as f32 >= threshold.as_f64().unwrap() as f32);
        assert_eq!(&answer["thresholds"]["complaint"], threshold);
        called += u64::from(said);
    }
    let confusion = &json["confusion"];
    let column = [0, 1].map(|row| confusion[row][0].as_u64().unwrap());
    assert_eq!(called, column.iter().sum::<u64>());

    // The rows that the run has written down were answered in the same way.
    let again = ["predict", "out", "--data", "out/predictions.parquet"];
    folder
        .retune(&[&again[..], &["--out", "again.jsonl"]].concat())
        .succeeds();
    let rows = folder.read("again.jsonl");
    for line in rows.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        assert!(
            row["predicted"].is_string() && row["predicted"] == row["predicted_"],
            "{row}"
        );
    }
    assert_eq!(rows.lines().count(), 60);

    let page = folder.read("out/report.html");
    assert!(page.contains("Answers are decided for this goal: recall of at least 1."));
    assert!(
        folder
            .read("out/card.md")
            .contains("- complaint from a score of ")
    );
    let text = folder.retune(&eval[..4]).succeeds().stdout;
    assert!(text.contains("tuned, usual answers"), "{text}");
    folder
        .retune(&["export", "out", "--hf", "hf"])
        .succeeds()
        .says(&["recall of at least 1", "largest score"]);
}

#[test]
fn the_positive_class_and_costs_can_be_named() {
    let folder = folder();
    let flags = ["--decide", "cost=1:10", "--positive", "praise"];
    let json = train(&folder, "named", &flags)
        .succeeds()
        .says(&["`praise` (as asked for)"])
        .json();
    let decision = &json["decision"];
    assert_eq!(decision["thresholds"][0]["after"]["class"], "praise");
    assert!(decision["thresholds"][0]["threshold"]["cost"].is_number());
    for when in ["before", "after"] {
        assert!(decision["cost"][when]["value"].is_number(), "{decision}");
    }

    // So dear a miss that every row is called a complaint.
    let costs = "[decide.costs.complaint]\npraise = 100000\n";
    folder.write("r.toml", costs);
    let recipe = ["r.toml", "--data", "data.csv", "--valid", "valid.csv"];
    let rest = ["--test", "test.csv", "--verdict", "off", "--out", "costs"];
    let outcome = folder.train(&[&recipe[..], &rest, &["--json"]].concat());
    let json = outcome.succeeds().json();
    assert_eq!(json["confusion"], serde_json::json!([[12, 0], [48, 0]]));
    assert_eq!(json["decision"]["cost"]["after"]["value"], 0.8);
    assert!(json["decision"].get("thresholds").is_none());
    let saved = folder.read("costs/recipe.toml");
    assert!(saved.contains("[decide.costs.complaint]"), "{saved}");
    let answer = folder
        .retune(&["predict", "costs", "a good film", "--json"])
        .succeeds()
        .json();
    assert_eq!(answer["label"], "complaint");
}

#[test]
fn every_label_has_a_threshold() {
    let folder = Folder::new();
    let tags = ["[\"plot\"]", "[\"acting\",\"plot\"]", "[\"acting\"]"];
    let line = |row: usize| {
        format!(
            "{{\"text\": \"film {row}\", \"labels\": {}}}",
            tags[row % 3]
        )
    };
    folder.write("labels.jsonl", table(&line(90), 90, line));
    let flags = [
        "labels.jsonl",
        "--decide",
        "recall=1",
        "--out",
        "out",
        "--json",
    ];
    let json = folder
        .train(&flags)
        .succeeds()
        .says(&["recall of at least 1, label by label"])
        .json();
    let thresholds = json["decision"]["thresholds"].as_array().unwrap();
    assert_eq!(thresholds.len(), 2);
    assert!(thresholds.iter().all(|t| t["threshold"]["recall"] == 1.0));
    // The verdict is there, about the usual answers.
    assert!(json["verdict"]["floors"]["frozen"]["difference"].is_number());
    let answer = folder
        .retune(&["predict", "out", "film 3", "--json"])
        .succeeds()
        .json();
    assert_eq!(answer["thresholds"].as_object().unwrap().len(), 2);
    folder
        .train(&["labels.jsonl", "--decide", "f1", "--positive", "plot"])
        .refuses(&["decide.positive", "threshold of its own"]);
}

#[test]
fn goals_that_cannot_be_are_refused_before_anything_is_computed() {
    let folder = folder();
    let refused = |flags: &[&str], phrases: &[&str]| {
        folder
            .plan(&[&["data.csv"], flags].concat())
            .refuses(phrases);
    };
    refused(&["--decide", "f2"], &["not a goal", "precision=0.9"]);
    refused(&["--decide", "recall=80"], &["out of range 0 to 1"]);
    refused(
        &["--decide", "f1", "--positive", "complain"],
        &["decide.positive", "`complain`", "complaint, praise"],
    );
    refused(&["--positive", "praise"], &["--decide GOAL"]);
    folder.write(
        "three.csv",
        table("text,label", 60, |row| {
            format!("film {row},{}", ["a", "b", "c"][row % 3])
        }),
    );
    folder.plan(&["three.csv", "--decide", "f1"]).refuses(&[
        "decide.goal",
        "has 3 (a, b, c)",
        "[decide.costs",
    ]);
    folder.write(
        "numbers.csv",
        table("text,score", 60, |row| {
            format!("film {row},{}", row as f64 * 0.37 + 0.01)
        }),
    );
    folder
        .plan(&["numbers.csv", "--decide", "f1"])
        .refuses(&["decide.goal", "leave out --decide"]);
}

#[test]
fn runs_with_and_without_a_goal_are_compared_by_their_usual_answers() {
    let folder = folder();
    train(&folder, "usual", &[]).succeeds();
    train(&folder, "decided", &["--decide", "recall=1"]).succeeds();
    let json = folder
        .retune(&["compare", "usual", "decided", "--json"])
        .succeeds()
        .json();
    let verdict = &json["comparisons"][0]["verdict"];
    assert_eq!(verdict["difference"], 0.0, "{json}");
    let notes = json["notes"].as_array().unwrap();
    let said = |n: &Value| {
        n.as_str()
            .unwrap()
            .starts_with("answers of decided are decided")
    };
    assert!(notes.iter().any(said), "{notes:?}");
}

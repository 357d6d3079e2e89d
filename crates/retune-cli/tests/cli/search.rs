//! What to train with: `lr-find` and `tune`, what they find, what they refuse, and how they go on after a break.

use std::fs;
use std::process::Stdio;

use crate::{Folder, TINY_FLAGS, reviews, table};

/// A command on the tiny model.
fn on_tiny<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[command], TINY_FLAGS, more].concat()
}

#[test]
fn a_range_test_suggests_a_rate_and_is_the_same_for_any_number_of_threads() {
    let folder = Folder::with_reviews();
    let test = |more: &[&str]| {
        let arguments = on_tiny(
            "lr-find",
            &[&["data.csv", "--steps", "100", "--json"], more].concat(),
        );
        folder.retune(&arguments).succeeds().json()
    };
    let found = test(&["--out", "lr"]);
    let suggestion = found["suggestion"].as_f64().unwrap();
    assert!((1e-6..0.5).contains(&suggestion), "{suggestion}");
    assert!(found["points"].as_array().unwrap().len() <= 100);
    assert_eq!(found["points"][0]["lr"], 1e-7);
    assert!(folder.read("lr/lr-find.html").contains("<svg"));
    assert_eq!(test(&["--out", "again", "--threads", "1"]), found);
    assert_ne!(test(&["--out", "other", "--seed", "1"]), found);
    folder
        .retune(&on_tiny("lr-find", &["data.csv", "--out", "lr"]))
        .refuses(&["lr exists", "--out"]);
}

#[test]
fn the_command_that_a_range_test_prints_can_be_typed() {
    let folder = Folder::with_reviews();
    let arguments = on_tiny("lr-find", &["data.csv", "--method", "lora", "--steps=120"]);
    let text = folder.retune(&arguments).succeeds().stdout;
    assert!(text.contains("runs/data-lr/lr-find.html"), "{text}");
    assert!(folder.path("runs/data-lr/lr-find.json").is_file());
    let command = text
        .lines()
        .find(|line| line.starts_with("train "))
        .unwrap();
    let words: Vec<&str> = command.split_whitespace().skip(2).collect();
    assert_eq!(words[0], "train");
    assert!(
        words.contains(&"lora") && !command.contains("--steps"),
        "{command}"
    );
    let folded = [&words[..], &["--max-steps", "2"]].concat();
    folder.retune(&folded).succeeds();
}

#[test]
fn every_method_has_a_range_test() {
    let folder = Folder::with_reviews();
    for method in ["full", "head", "last_layers", "bitfit", "gradual", "lora"] {
        let more = ["data.csv", "--method", method, "--steps", "20", "--json"];
        let json = folder.retune(&on_tiny("lr-find", &more)).succeeds().json();
        assert!(
            json["points"].as_array().unwrap().len() > 5,
            "{method}: {json}"
        );
    }
}

#[test]
fn rates_that_teach_nothing_give_no_suggestion_and_impossible_ones_are_refused() {
    let folder = Folder::with_reviews();
    let test = |more: &[&str]| {
        let arguments = on_tiny("lr-find", &[&["data.csv"], more].concat());
        folder.retune(&arguments)
    };
    let small = ["--from", "1e-10", "--to", "1e-9", "--out"];
    let text = test(&[&small[..], &["a"]].concat()).succeeds().stdout;
    for phrase in ["no rate is suggested", "--batch-size", "--steps"] {
        assert!(text.contains(phrase), "no `{phrase}` in:\n{text}");
    }
    assert!(!text.contains("train data.csv"), "{text}");
    let json = test(&[&small[..], &["b", "--json"]].concat())
        .succeeds()
        .json();
    assert!(
        json["suggestion"].is_null() && json["fall"].is_object(),
        "{json}"
    );
    test(&["--from", "0"]).refuses(&["--from", "0 to 100", "1e-7"]);
    test(&["--from", "0.1", "--to", "0.1"]).refuses(&["--to", "1e-1 (--from)"]);
    test(&["--steps", "3"]).refuses(&["--steps", "20", "100"]);
    assert!(!folder.path("runs").exists());
}

/// A search of six candidates in two rungs of 24 and 72 steps.
const SEARCH: &[&str] = &[
    "data.csv",
    "--epochs",
    "12",
    "--valid-share",
    "0.2",
    "--test-share",
    "0.1",
    "--over",
    "lr=1e-6,1e-4,1e-2",
    "--over",
    "method=full,lora",
];

fn search(folder: &Folder, more: &[&str]) -> crate::Outcome {
    folder.retune(&on_tiny("tune", &[SEARCH, more].concat()))
}

/// Accuracy and loss of the best validation of a finished run.
fn best_validation(folder: &Folder, out: &str) -> [Option<f64>; 2] {
    let events = folder.read(&format!("{out}/events.jsonl"));
    let events = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let best = |event: &serde_json::Value| event["event"] == "validated" && event["best"] == true;
    let last = events.rev().find(best).unwrap();
    [&last["metrics"]["accuracy"], &last["loss"]].map(serde_json::Value::as_f64)
}

#[test]
fn the_best_candidate_is_a_recipe_that_trains_to_the_score_it_was_chosen_by() {
    let folder = Folder::with_reviews();
    let json = search(&folder, &["--out", "t", "--json"]).succeeds().json();
    let rungs = json["search"]["rungs"].as_array().unwrap();
    let shape: Vec<_> = rungs.iter().map(|r| r["candidates"].as_u64()).collect();
    assert_eq!(shape, [Some(6), Some(2)]);
    let candidates = json["search"]["candidates"].as_array().unwrap();
    let reached = |rung: usize| {
        let trials = |c: &&serde_json::Value| c["trials"].as_array().unwrap().len() >= rung;
        candidates.iter().filter(trials).count()
    };
    assert_eq!((reached(1), reached(2)), (6, 2));
    assert_eq!(
        folder
            .read("t/points.jsonl")
            .matches("\"settings\"")
            .count(),
        8
    );
    let page = folder.read("t/tune.html");
    assert!(page.contains("<svg") && page.contains("train t/best.toml"));
    assert_eq!(json["best"]["recipe"], "t/best.toml");
    let name = json["best"]["name"].as_str().unwrap();
    assert!(name.ends_with("lr=0.01"), "{name}");
    folder
        .retune(&["train", "t/best.toml", "--out", "run"])
        .succeeds();
    let trial = &json["best"]["trial"];
    let found = ["score", "loss"].map(|figure| trial[figure].as_f64());
    assert!(found[1].is_some_and(|loss| loss > 0.0));
    assert_eq!(best_validation(&folder, "run"), found);
    let text = search(&folder, &["--out", "t"]).succeeds().stdout;
    for phrase in [
        "6 candidates",
        "33.3 %",
        "100 %",
        "* method=",
        "too good",
        "train t/best.toml",
    ] {
        assert!(text.contains(phrase), "no `{phrase}` in:\n{text}");
    }
}

#[test]
fn test_labels_decide_nothing() {
    let searched = |answers: [&str; 2]| {
        let folder = Folder::with_reviews();
        let line = |row: usize| format!("a film to test {row},{}", answers[row % 2]);
        folder.write("test.csv", table("text,label", 30, line));
        let flags = ["--test", "test.csv", "--out", "t"];
        let text = search(&folder, &flags).succeeds().stdout;
        (
            text,
            folder.read("t/points.jsonl"),
            folder.read("t/best.toml"),
        )
    };
    let (text, points, best) = searched(["positive", "negative"]);
    assert_eq!(searched(["negative", "positive"]), (text, points, best));
}

#[test]
fn a_search_that_was_killed_goes_on_and_chooses_the_same() {
    let folder = Folder::with_reviews();
    search(&folder, &["--out", "whole"]).succeeds();
    // A line that was cut off is no point.
    let points = |out: &str| {
        let text = fs::read_to_string(folder.path(out).join("points.jsonl")).unwrap_or_default();
        let whole = |line: &&str| serde_json::from_str::<serde_json::Value>(line).is_ok();
        text.lines()
            .filter(whole)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for killed_after in [1, 4, 6] {
        let mut command = folder.command(&on_tiny("tune", &[SEARCH, &["--out", "t"]].concat()));
        let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = silent.spawn().unwrap();
        while points("t").len() < killed_after && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        assert_eq!(
            child.wait().unwrap().code(),
            None,
            "ended before it was killed"
        );
    }
    // What a kill may leave.
    let torn = folder.read("t/points.jsonl");
    folder.write("t/points.jsonl", &torn[..torn.len() - 20]);
    search(&folder, &["--out", "t"]).succeeds();
    let whole = points("whole");
    assert_eq!(whole.len(), 8);
    assert_eq!(points("t"), whole);
    assert_eq!(folder.read("t/best.toml"), folder.read("whole/best.toml"));

    // A larger space goes on with the points that are there; another recipe or other data do not.
    search(&folder, &["--out", "t", "--over", "lr=1e-6,1e-4,1e-2,2e-2"]).succeeds();
    let new = points("t").len() - 8;
    assert!((2..=4).contains(&new), "{new} points are new");
    search(&folder, &["--out", "t", "--weight-decay", "0.5"]).refuses(&["another recipe", "--out"]);
    folder.write("data.csv", reviews(62));
    search(&folder, &["--out", "t"]).refuses(&["other data", "--out"]);
}

#[test]
fn a_candidate_that_diverges_is_worst_and_does_not_end_the_search() {
    let folder = Folder::with_reviews();
    // So strong a pull overshoots by more with every step.
    let tune = |over: &str, out: &str| {
        let more = [
            "data.csv", "--lr", "1", "--epochs", "4", "--over", over, "--out", out,
        ];
        folder.retune(&on_tiny("tune", &more))
    };
    let outcome = tune("l2sp=900000,0", "t").succeeds();
    let last = outcome
        .stdout
        .lines()
        .find(|line| line.contains("failed"))
        .unwrap();
    assert!(
        last.contains("l2sp=900000") && last.contains("diverged"),
        "{last}"
    );
    assert!(outcome.stdout.contains("* l2sp=0"), "{}", outcome.stdout);
    tune("l2sp=800000,900000", "none").refuses(&["no candidate could be trained", "lr-find"]);
}

#[test]
fn a_space_is_declared_in_the_recipe_or_left_to_the_program() {
    let folder = Folder::with_reviews();
    let tiny = TINY_FLAGS[1];
    let recipe = format!(
        "model = \"{tiny}\"\n[data]\ntrain = \"data.csv\"\n[train]\nmax_steps = 4\nbatch_size = 8\n\
         [tune]\ntrials = 3\n[tune.over]\nlr = [1e-4, 1e-3]\nlora.rank = [2, 4]\nmethod = [\"full\", \"lora\"]\n"
    );
    folder.write("r.toml", recipe);
    let json = folder
        .retune(&["tune", "r.toml", "--json"])
        .succeeds()
        .json();
    assert_eq!(json["search"]["candidates"].as_array().unwrap().len(), 3);
    assert!(!folder.read("runs/data-tune/best.toml").contains("[tune"));
    let more = ["data.csv", "--max-steps", "2", "--out", "usual", "--json"];
    let json = folder.retune(&on_tiny("tune", &more)).succeeds().json();
    assert_eq!(json["search"]["candidates"].as_array().unwrap().len(), 6);
}

#[test]
fn what_cannot_be_searched_is_said_before_anything_is_trained() {
    let folder = Folder::with_reviews();
    let tune = |over: &[&str]| folder.retune(&on_tiny("tune", &[&["data.csv"], over].concat()));
    tune(&["--over", "lrr=1,2"]).refuses(&["`lrr` is not known", "did you mean `lr`", "lora.rank"]);
    tune(&["--over", "lr="]).refuses(&["--over", "no values"]);
    tune(&["--over", "lr=1e-5,fast"]).refuses(&["train.lr", "cannot be fast"]);
    tune(&["--over", "lr"]).refuses(&["KEY=VALUE"]);
    tune(&["--over", "lr=1e-5"]).refuses(&["nothing to choose", "one candidate"]);
    tune(&["--over", "model=gbdt,tabular"]).refuses(&["models of tables"]);
    tune(&["--trials", "1"]).refuses(&["nothing to choose"]);
    tune(&["--eta", "1"]).refuses(&["--eta", "1 is not above 1"]);
    tune(&[
        "--over",
        "method=lora",
        "--over",
        "lora.targets=query,nothing",
    ])
    .refuses(&["nothing", "matches no layer"]);
    tune(&["--over", "focal=0,20"]).refuses(&["loss.focal", "20"]);
    assert!(!folder.path("runs").exists());
}

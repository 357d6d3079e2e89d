//! The page holds together whatever is in the record: markup is balanced, nothing of it comes from the data, nothing
//! loads, and every part that has content is there.

#![expect(clippy::unwrap_used, reason = "tests")]

use retune_eval::report::render;
use retune_eval::{
    Evaluation, Event, Matrix, Predictions, RunRecord, Slice, Targets, evaluate, reliability,
};
use serde_json::{Value, json};

const HOSTILE: &str = "</script><svg onload=alert(1)>'\" & <!-- \u{202e}\0";

fn shown(word: &str) -> Value {
    json!({"id": word, "text": word, "truth": word, "predicted": word, "confidence": 0.97})
}

/// A record with `word` in every string, of a model with `classes` classes (none: a number).
fn record(word: &str, classes: usize) -> RunRecord {
    let rows = 60;
    let truth: Vec<u32> = (0..rows).map(|r| (r % classes.max(1)) as u32).collect();
    let cols = classes.max(1);
    let score = |i: usize| {
        if (i * 7) % 11 < 4 {
            0.9
        } else {
            0.3 / (i % 5 + 1) as f32
        }
    };
    let p = Predictions {
        scores: Matrix {
            rows,
            cols,
            data: (0..rows * cols).map(score).collect(),
        },
        targets: match classes {
            0 => Targets::Value((0..rows).map(|r| r as f32 / 20.0).collect()),
            _ => Targets::Class(truth),
        },
        slices: vec![Slice {
            column: word.to_owned(),
            values: vec![word.to_owned(); rows],
        }],
        ids: Vec::new(),
    };
    let names: Vec<String> = (0..classes).map(|k| format!("{word}{k}")).collect();
    let primary = if classes == 0 { "rmse" } else { "accuracy" };
    let mut metrics = vec![primary.to_owned()];
    metrics.extend(["f1_macro", "mae", "log_loss"].map(str::to_owned));
    let e = Evaluation {
        metrics,
        primary: primary.to_owned(),
        classes: names.clone(),
    };
    let mut evaluated = evaluate(&p, &e, word, 0);
    evaluated.compare(word, (&p, &p.with_constant_scores(p.scores.row(0))), &e, 0);
    evaluated.notes.push(word.to_owned());
    let step = json!({"event": "step", "step": 1, "steps": 2, "epoch": 0.5, "loss": 0.7, "lr": 1e-5, "grad_norm": 1.0,
        "tokens": 9, "ms": 1.0});
    let validated = json!({"event": "validated", "step": 2, "loss": 0.6, "metrics": {primary: 0.5}, "best": true});
    let stopped = json!({"event": "stopped", "step": 2, "reason": word, "best_step": 2});
    serde_json::from_value(json!({
        "title": word, "task": word, "model": word, "method": word, "created": word, "reproduce": word,
        "recipe_toml": word, "data": [[word, word]], "machine": [[word, word]], "classes": names,
        "events": [step, validated, stopped, {"event": "note", "text": word}],
        "evaluated": evaluated, "reliability": reliability(&p, 10),
        "scatter": if classes == 0 { vec![(1.0, 2.0), (3.0, 4.0)] } else { vec![] },
        "mistakes": [shown(word)], "before_after": [[shown(word), word]],
    }))
    .unwrap()
}

/// Names of the tags of a page in order, `/` before closing ones; fails on a stray bracket.
fn tags(page: &str) -> Vec<String> {
    let mut tags = Vec::new();
    // The style sheet is not markup.
    let (head, rest) = page.split_once("<style>").unwrap();
    let body = rest.split_once("</style>").unwrap().1;
    for part in [head, body] {
        for piece in part.split('<').skip(1) {
            let (tag, text) = piece
                .split_once('>')
                .unwrap_or_else(|| panic!("unclosed tag: {piece}"));
            assert!(!text.contains('>'), "stray bracket: {text}");
            let name = tag.split([' ', '\n']).next().unwrap();
            if !tag.ends_with('/') && !["!doctype", "meta"].contains(&name) {
                tags.push(name.to_owned());
            }
        }
    }
    tags
}

fn check(page: &str) {
    let mut open: Vec<String> = Vec::new();
    for tag in tags(page) {
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name), "closed out of order"),
            None => open.push(tag),
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    for bad in [
        "NaN",
        "inf\"",
        "<script",
        "<link",
        "<img",
        "http:",
        "https:",
        "@import",
        "url(",
        "onload=alert(1)>",
    ] {
        assert!(!page.contains(bad), "the page holds {bad}");
    }
    let ids: Vec<&str> = page
        .split(" id=\"")
        .skip(1)
        .map(|p| p.split('"').next().unwrap())
        .collect();
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), ids.len(), "ids repeat: {ids:?}");
    for target in page
        .split("href=\"#")
        .skip(1)
        .map(|p| p.split('"').next().unwrap())
    {
        assert!(ids.contains(&target), "no part {target}");
    }
}

#[test]
fn hostile_words_stay_words() {
    for classes in [0, 1, 2, 5, 50, 130] {
        let page = render(&record(HOSTILE, classes));
        check(&page);
        assert!(
            page.contains("&lt;/script&gt;&lt;svg onload=alert(1)&gt;&#39;&quot; &amp; &lt;!-- ")
        );
        assert!(!page.contains('\0') && !page.contains('\u{202e}'));
    }
}

#[test]
fn every_part_with_content_is_there() {
    let page = render(&record("word", 3));
    for id in [
        "result",
        "notes",
        "metrics",
        "examples",
        "training",
        "confusion",
        "calibration",
        "classes",
        "slices",
    ] {
        assert!(
            page.contains(&format!("<section id=\"{id}\"")),
            "{id} is missing"
        );
    }
    for id in ["mistakes", "data", "machine", "reproduce"] {
        assert!(
            page.contains(&format!("<section id=\"{id}\"")),
            "{id} is missing"
        );
    }
    for id in ["loss", "metric", "rate", "reliability"] {
        assert!(
            page.contains(&format!("<title id=\"{id}-t\"")),
            "the {id} chart is missing"
        );
    }
    let page = render(&record("word", 0));
    assert!(
        page.contains("<section id=\"scatter\"") && !page.contains("<section id=\"confusion\"")
    );
}

#[test]
fn an_empty_record_has_a_page() {
    let none = json!({"split": "", "n": 0, "primary": "accuracy", "metrics": {}, "baselines": {}});
    let mut r = record("word", 0);
    r.evaluated = serde_json::from_value(none).unwrap();
    (r.data, r.machine, r.events) = (vec![], vec![], vec![]);
    (r.reliability, r.scatter, r.mistakes, r.before_after) = (vec![], vec![], vec![], vec![]);
    (r.title, r.reproduce, r.recipe_toml) = (String::new(), String::new(), String::new());
    let page = render(&r);
    check(&page);
    assert!(
        page.contains("<title>Report</title>") && page.contains("accuracy could not be computed")
    );
    assert!(page.contains("No training steps were recorded"));
}

#[test]
fn a_diverged_run_draws_no_numbers_that_are_none() {
    let mut r = record("word", 2);
    for event in &mut r.events {
        match event {
            Event::Step { loss, .. } => *loss = f64::NAN,
            Event::Validated { loss, .. } => *loss = f64::INFINITY,
            _ => {}
        }
    }
    let page = render(&r);
    check(&page);
    assert!(page.contains("The loss of 2 steps was not a finite number"));
}

#[test]
fn large_matrices_give_way_to_a_list_of_pairs() {
    let (readable, drawable, listed) = (
        render(&record("w", 12)),
        render(&record("w", 50)),
        render(&record("w", 130)),
    );
    assert!(readable.contains("<table class=\"heat\">"));
    assert!(drawable.contains("<table class=\"heat small\">"));
    assert!(!listed.contains("<table class=\"heat") && listed.contains("Most often confused"));
}

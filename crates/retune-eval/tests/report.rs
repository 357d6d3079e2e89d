//! The page holds together whatever is in the record: markup is balanced, nothing of it comes from the data, nothing
//! loads, and every part that has content is there.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "report/fraud.rs"]
mod fraud;

use retune_eval::halving::rungs;
use retune_eval::report::{
    card, render, render_compare, render_curve, render_rates, render_search,
};
use retune_eval::{
    Calibration, Comparison, CurvePoint, Decision, Evaluated, Evaluation, Event, Goal, LabelCurve,
    Matrix, ParentTest, Predictions, RangeTest, RunRecord, Search, Slice, Targets, TestEnd, Trial,
    Word, evaluate, judge, reliability,
};
use serde_json::{Value, json};

const HOSTILE: &str = "</script><svg onload=alert(1)>'\" & <!-- \u{202e}\0";

/// A picture whose bytes are `word`, which no honest record has.
fn picture(word: &str) -> Value {
    json!({"format": "png", "width": 90, "height": 60, "base64": word})
}

fn shown(word: &str) -> Value {
    json!({"id": word, "text": word, "truth": word, "predicted": word, "confidence": 0.97})
}

/// Scores of three seeds for the tuned model, the one from random initialisation, and one of any name.
fn curve(word: &str) -> LabelCurve {
    let mut points = Vec::new();
    for (model, lack) in [("tuned", 1.0), ("scratch", 3.0), (word, 2.0)] {
        for rows in [20, 50, 100, 200, 500, 1000] {
            for seed in 0..3 {
                let noise = 0.004 * ((seed * 7 + rows as u64) % 5) as f64;
                points.push(CurvePoint {
                    rows,
                    share: rows as f64 / 1000.0,
                    model: model.to_owned(),
                    seed,
                    score: 0.9 - lack * (rows as f64).powf(-0.5) + noise,
                });
            }
        }
    }
    let mut curve = LabelCurve::new("accuracy", points);
    curve.forecast = curve.forecast(1.0, 2000, 0);
    assert!(curve.forecast.is_some());
    word.clone_into(&mut curve.metric);
    curve
}

/// Nine candidates of any name, one of which diverges.
fn search(word: &str) -> Search {
    let names = (0..9).map(|i| format!("{word}={i}")).collect();
    let mut search = Search::new("accuracy", 40, rungs(9, 3, 90, 1), names);
    for rung in 0..search.rungs.len() {
        for i in search.entrants(rung) {
            let diverged = i == 7;
            search.candidates[i].trials.push(Trial {
                steps: search.rungs[rung].steps(90),
                score: (!diverged).then_some(0.5 + 0.05 * i as f64 + 0.02 * rung as f64),
                loss: (!diverged).then_some(0.4),
                note: diverged.then(|| word.to_owned()),
            });
        }
    }
    search
}

/// Adds a verdict, a temperature and what became of a parent's answers.
fn prove(evaluated: &mut Evaluated, p: &Predictions, e: &Evaluation, word: &str) {
    let floor = p.with_constant_scores(p.scores.row(0));
    let floors = [(word, vec![&floor]), ("frozen", vec![&floor])];
    let mut verdict = judge(&[p], &floors, e, 0);
    verdict.notes.push(word.to_owned());
    evaluated.parent_test = Some(ParentTest {
        parent: word.to_owned(),
        n: 60,
        seen: 3,
        unknown: 0,
        before: evaluated.metrics[&e.primary],
        after: evaluated.metrics[&e.primary],
        change: verdict.floors["frozen"].clone(),
    });
    evaluated.verdict = Some(verdict);
    evaluated.calibration = Calibration::measure(&p.scores, &p.targets, 1.5);
}

/// A threshold out of reach for two classes, costs for more.
fn decision(p: &Predictions, classes: usize) -> Option<Decision> {
    match classes {
        0 | 1 => None,
        2 => Some(Decision::fit(p, Goal::Precision(1.0), 1).0),
        _ => Some(Decision::Costs {
            costs: vec![vec![1.0; classes]; classes],
        }),
    }
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
    let mut p = Predictions {
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
        decision: None,
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
    p.decision = decision(&p, classes);
    let mut evaluated = evaluate(&p, &e, word, 0);
    evaluated.compare(word, (&p, &p.with_constant_scores(p.scores.row(0))), &e, 0);
    evaluated.notes.push(word.to_owned());
    prove(&mut evaluated, &p, &e, word);
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
        "costs": {"tuned": {"seconds": 124.0, "peak_rss_bytes": 2_500_000_000_u64}, word: {"seconds": 3.0}},
        "curve": curve(word), "fingerprints": {word: "00ff"}, "license": word,
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
        "http:",
        "https:",
        "@import",
        "url(",
        "onload=alert(1)>",
    ] {
        assert!(!page.contains(bad), "the page holds {bad}");
    }
    // A picture is part of the page.
    for image in page.split("<img").skip(1) {
        let from = image.split(" src=\"").nth(1).unwrap();
        assert!(from.starts_with("data:image/png;base64,"), "{image}");
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
        "verdict",
        "threshold",
        "parent",
        "labels",
        "cost",
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
    for id in ["loss", "metric", "rate", "reliability", "labels-chart"] {
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
fn rows_of_pictures_are_seen_on_the_page() {
    for word in [HOSTILE, "word"] {
        let mut row = shown(word);
        row["picture"] = picture(word);
        let mut written = serde_json::to_value(record(word, 3)).unwrap();
        written["task"] = "image-classification".into();
        written["mistakes"] = json!([row, row]);
        written["before_after"] = json!([[row, word]]);
        written["pictures"] = json!({
            "right": [{"class": word, "rows": [row]}, {"class": "none", "rows": []}],
            "maps": {"rows": [[row, picture(word)]], "grid": [3, 4], "correlation": 0.2},
            "training": {"sheet": picture(word), "draws": 6, "changes": [word], "rows": [word]},
        });
        let mut r: RunRecord = serde_json::from_value(written).unwrap();
        let page = render(&r);
        check(&page);
        assert_eq!(page.matches("<img").count(), 2 + 1 + 1 + 2 + 1);
        for id in ["mistakes", "maps", "right", "training-pictures"] {
            assert!(page.contains(&format!("<a href=\"#{id}\">")), "{id}");
        }
        assert!(page.contains("<th scope=\"col\">picture</th>") && !page.contains(">text</th>"));
        assert!(page.contains("img-src data:;"));
        r.limit_pictures(0);
        let page = render(&r);
        check(&page);
        assert!(!page.contains("<img") && page.contains("<section id=\"mistakes\""));
    }
    assert!(!render(&record("word", 3)).contains("<img"));
}

#[test]
fn the_page_begins_with_one_sentence() {
    let mut r = record("word", 3);
    // Where answers were decided for a goal, the sentence is about the usual ones, as the floors are.
    let decision = r.evaluated.decision.as_mut().unwrap();
    decision.usual.get_mut("accuracy").unwrap().value = 0.842;
    let frozen = r.evaluated.baselines["word"].clone();
    r.evaluated.baselines.insert("frozen".to_owned(), frozen);
    let frozen = r.evaluated.baselines.get_mut("frozen").unwrap();
    frozen.get_mut("accuracy").unwrap().value = 0.79;
    let f = r
        .evaluated
        .verdict
        .as_mut()
        .unwrap()
        .floors
        .get_mut("frozen")
        .unwrap();
    (f.difference, f.low, f.high, f.word) = (0.052, 0.02, 0.09, Word::Improved);
    let page = render(&r);
    let first = page.split("<header>").nth(1).unwrap();
    let sentence = "<p class=\"lead\">accuracy 0.790 with frozen features with a linear head → 0.842 after tuning \
                    (better by 0.052, 95 % interval 0.020 to 0.090), in 2 min 4 s; 500 of the 1000 labels would have \
                    sufficed.</p>";
    assert!(first.starts_with(sentence), "{}", &first[..400]);
    assert!(page.contains("Decided for least expected cost of an answer, accuracy 0.333"));
    r.evaluated.decision = None;
    r.evaluated.metrics.get_mut("accuracy").unwrap().value = 0.843;
    assert!(render(&r).contains("head → 0.843 after tuning"));
    r.curve = None;
    r.costs.clear();
    r.machine = vec![("wall time".to_owned(), "24 s".to_owned())];
    let page = render(&r);
    assert!(page.contains("95 % interval 0.020 to 0.090), in 24 s.</p>"));
}

#[test]
fn the_verdict_replaces_the_list_of_floors() {
    let mut r = record("word", 3);
    assert!(!render(&r).contains("95 % interval of the difference"));
    r.evaluated.verdict = None;
    let page = render(&r);
    assert!(page.contains("95 % interval of the difference") && !page.contains("Did it help?"));
}

#[test]
fn other_pages_hold_together_too() {
    for word in [HOSTILE, "word"] {
        check(&render_curve(&curve(word)));
        let mut runs: Vec<RunRecord> = (0..8).map(|_| record(word, 3)).collect();
        runs[3].events.clear();
        let verdict = runs[0].evaluated.verdict.clone().unwrap().floors["frozen"].clone();
        let comparison = Comparison {
            left: word.to_owned(),
            right: word.to_owned(),
            verdict,
        };
        let page = render_compare(&runs, &[comparison]);
        check(&page);
        assert!(
            page.contains("Comparison of 8 runs") && page.contains("<svg class=\"chart whiskers\"")
        );
        check(&render_compare(&runs, &[]));
    }
    check(&render_compare(&[], &[]));
    let fall = |i: usize| {
        let log = -7.0 + 7.0 * i as f64 / 99.0;
        let loss = 0.7 - 0.3 / (1.0 + (-4.0 * (log + 4.0)).exp()) + 9.0 * (log + 2.0).max(0.0);
        (10_f64.powf(log), loss)
    };
    let losses: Vec<(f64, f64)> = (0..100).map(fall).collect();
    let page = render_rates(&RangeTest::new(&losses, 100, TestEnd::Rose));
    check(&page);
    assert!(page.contains("suggested learning rate") && page.contains("class=\"line kept\""));
    let page = render_rates(&RangeTest::new(&[(1e-5, 0.7); 30], 30, TestEnd::Finished));
    check(&page);
    assert!(page.contains("No rate is suggested") && !page.contains("class=\"line kept\""));
    check(&render_rates(&RangeTest::new(&[], 30, TestEnd::Diverged)));
    for word in [HOSTILE, "word"] {
        let page = render_search(&search(word), word);
        check(&page);
        assert!(page.contains("the others") && page.contains("too good on average"));
        let none = Search::new(word, 9, rungs(3, 3, 90, 1), vec![word.to_owned(); 3]);
        check(&render_search(&none, word));
    }
    check(&render_curve(&LabelCurve::new("accuracy", Vec::new())));
}

#[test]
fn a_card_says_what_is_known_and_nothing_else() {
    let mut r = record("some|words\n\"<b>", 2);
    "owner/model-1".clone_into(&mut r.model);
    "text_classification".clone_into(&mut r.task);
    let text = card(&r);
    let (front, body) = text
        .strip_prefix("---\n")
        .unwrap()
        .split_once("---\n\n")
        .unwrap();
    for expected in [
        "license: \"some|words \\\"<b>\"\n",
        "base_model: \"owner/model-1\"\n",
        "pipeline_tag: text-classification\n",
        "    - type: \"accuracy\"\n      value: 0.",
    ] {
        assert!(
            front.contains(expected),
            "{expected} is missing in\n{front}"
        );
    }
    for expected in [
        "SHA-256 of some\\|words &quot;&lt;b&gt;: 00ff",
        "## Did tuning help?",
        "- Did tuning help? ",
        "- tuned: 2 min 4 s, 2.50 GB\n",
        "## How to reproduce\n\n```\nsome|words\n",
    ] {
        assert!(body.contains(expected), "{expected} is missing in\n{body}");
    }
    for line in body.lines().filter(|l| l.starts_with("| ")) {
        let cells = line.replace("\\|", "").matches('|').count();
        assert!([4, 5].contains(&cells), "{line}");
    }
    (r.license, r.evaluated.verdict) = (None, None);
    "./model".clone_into(&mut r.model);
    let text = card(&r);
    assert!(!text.contains("license:") && !text.contains("base_model:"));
    assert!(!text.contains("Did tuning help?"));
}

#[test]
fn decided_answers_stand_beside_the_usual_ones() {
    let mut r = record("word", 2);
    let page = render(&r);
    for expected in [
        "<p>Answers are decided for this goal: precision of at least 1. <b>No threshold reached it on the validation \
         rows for <bdi>word1</bdi></b>: the nearest one was taken.</p>",
        "these rows, from 0.5",
        "tuned, usual answers",
        "Floors, gains and the verdict are about the usual answers of both sides",
    ] {
        assert!(page.contains(expected), "{expected} is missing");
    }
    assert!(!page.contains("Mean cost of a row"));
    let text = card(&r);
    assert!(text.contains(
        "- answers are decided for this goal: precision of at least 1\n- word1 from a score of "
    ));
    assert!(text.contains("this one is nearest"));
    let console = retune_eval::table::table(&r.evaluated);
    assert!(
        console.contains("tuned, usual answers") && console.contains("word1 (goal not reached)"),
        "{console}"
    );

    let costs = record("word", 3);
    assert!(render(&costs).contains("Mean cost of a row"));
    assert!(card(&costs).contains("- mean cost of a test row: "));
    assert!(retune_eval::table::table(&costs.evaluated).contains("  mean cost of a row "));

    r.evaluated.decision = None;
    let page = render(&r);
    assert!(!page.contains("usual answers") && !page.contains("<section id=\"threshold\""));
    assert!(!card(&r).contains("usual answers"));
}

#[test]
fn an_empty_record_has_a_page() {
    let none = json!({"split": "", "n": 0, "primary": "accuracy", "metrics": {}, "baselines": {}});
    let mut r = record("word", 0);
    r.evaluated = serde_json::from_value(none).unwrap();
    (r.data, r.machine, r.events) = (vec![], vec![], vec![]);
    (r.reliability, r.scatter, r.mistakes, r.before_after) = (vec![], vec![], vec![], vec![]);
    (r.costs, r.curve, r.fingerprints) = Default::default();
    (r.title, r.reproduce, r.recipe_toml) = (String::new(), String::new(), String::new());
    let page = render(&r);
    check(&page);
    assert!(
        page.contains("<title>Report</title>") && page.contains("accuracy could not be computed")
    );
    assert!(page.contains("No training steps were recorded"));
}

#[test]
fn records_of_older_versions_stay_readable() {
    let mut written = serde_json::to_value(record("word", 2)).unwrap();
    let keys = written.as_object_mut().unwrap();
    for key in ["costs", "curve", "fingerprints", "license"] {
        assert!(keys.remove(key).is_some(), "{key} was not written");
    }
    let read: RunRecord = serde_json::from_value(written).unwrap();
    assert!(read.costs.is_empty() && read.curve.is_none());
    check(&render(&read));
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

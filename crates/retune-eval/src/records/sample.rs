//! A record with something in every part, for tests.

use std::collections::BTreeMap;

use super::{
    ContactSheet, Evaluated, Event, FloorVerdict, Gallery, HeatMaps, InlinePicture, Interval,
    Metrics, PerClass, PictureFormat, Pictures, RunRecord, Shown, SliceMetrics, Verdict, Word,
};

fn interval(low: f64, value: f64, high: f64) -> Interval {
    Interval { value, low, high }
}

fn metrics(rows: &[(&str, [f64; 3])]) -> Metrics {
    rows.iter()
        .map(|(name, [low, value, high])| ((*name).to_owned(), interval(*low, *value, *high)))
        .collect()
}

/// Figures of two classes with three floors, one slice column and one note.
pub(crate) fn evaluated() -> Evaluated {
    let own = [
        ("f1_macro", [0.801, 0.842, 0.878]),
        ("log_loss", [0.31, 0.35, 0.4]),
        ("mcc", [0.6, 0.68, 0.75]),
    ];
    let class = |class: &str, support| PerClass {
        class: class.to_owned(),
        support,
        precision: interval(0.8, 0.85, 0.9),
        recall: interval(0.7, 0.8, 0.85),
        f1: interval(0.75, 0.82, 0.88),
    };
    let slice = SliceMetrics {
        n: 40,
        metrics: metrics(&[("f1_macro", [0.5, 0.6, 0.7])]),
    };
    Evaluated {
        split: "test".to_owned(),
        n: 400,
        primary: "f1_macro".to_owned(),
        metrics: metrics(&own),
        baselines: BTreeMap::from([
            (
                "majority".to_owned(),
                metrics(&[("f1_macro", [0.315, 0.333, 0.35])]),
            ),
            (
                "base_model".to_owned(),
                metrics(&[("f1_macro", [0.37, 0.414, 0.455])]),
            ),
            (
                "frozen".to_owned(),
                metrics(&[("f1_macro", [0.748, 0.79, 0.831])]),
            ),
        ]),
        gains: BTreeMap::from([("frozen".to_owned(), interval(0.02, 0.052, 0.09))]),
        slices: BTreeMap::from([(
            "length".to_owned(),
            BTreeMap::from([("short".to_owned(), slice)]),
        )]),
        per_class: vec![class("negative", 210), class("positive", 190)],
        confusion: vec![vec![180, 30], vec![35, 155]],
        verdict: None,
        calibration: None,
        decision: None,
        parent_test: None,
        notes: vec!["base_model has an untrained head".to_owned()],
    }
}

/// A verdict that is sure of two floors and not of a third.
pub(crate) fn verdict() -> Verdict {
    let floor = |[low, difference, high]: [f64; 3]| FloorVerdict {
        metric: "f1_macro".to_owned(),
        difference,
        low,
        high,
        word: Word::of(&interval(low, difference, high)),
        p: Some(0.01),
        mcnemar: None,
    };
    Verdict {
        word: Word::NoEvidence,
        helped: Word::NoEvidence,
        worth_shipping: Word::Improved,
        scope: "this one model on these 400 rows; another seed may differ".to_owned(),
        detectable: Some(0.047),
        rows: 400,
        seeds: 1,
        floors: BTreeMap::from([
            ("majority".to_owned(), floor([0.45, 0.509, 0.57])),
            ("base_model".to_owned(), floor([0.37, 0.428, 0.48])),
            ("frozen".to_owned(), floor([-0.02, 0.012, 0.046])),
        ]),
        notes: Vec::new(),
    }
}

/// A wrong answer that the model is sure of.
fn shown() -> Shown {
    Shown {
        id: "reviews.csv:17".to_owned(),
        text: "not bad at all".to_owned(),
        truth: "positive".to_owned(),
        predicted: "negative".to_owned(),
        confidence: 0.97,
        picture: None,
    }
}

/// A run of 40 steps with two validations.
pub(crate) fn record() -> RunRecord {
    let words = |s: &str| s.to_owned();
    let step = |step: u64| Event::Step {
        step,
        steps: 40,
        epoch: step as f64 / 20.0,
        loss: 1.0 / (step as f64).sqrt(),
        lr: 5e-5 * (1.0 - step as f64 / 40.0),
        grad_norm: 1.0,
        tokens: 800,
        ms: 20.0,
        wait_ms: 0.4,
    };
    let validated = |step, value, best| Event::Validated {
        step,
        loss: 0.4,
        metrics: BTreeMap::from([(words("f1_macro"), value)]),
        best,
    };
    let mut events: Vec<Event> = (1..=40).map(step).collect();
    events.insert(20, validated(20, 0.84, true));
    events.push(validated(40, 0.82, false));
    events.push(Event::Stopped {
        step: 40,
        reason: words("early_stopping"),
        best_step: 20,
    });
    events.push(Event::Note {
        text: words("12 duplicates were kept on one side"),
    });
    RunRecord {
        title: words("reviews"),
        task: words("text_classification"),
        model: words("all-minilm-l6-v2"),
        method: words("full"),
        created: words("2030-01-02T03:04:05Z"),
        reproduce: words("retune train reviews.csv"),
        recipe_toml: words("seed = 17\n"),
        data: vec![(words("rows"), words("2000"))],
        machine: vec![(words("threads"), words("2"))],
        classes: vec![words("negative"), words("positive")],
        events,
        evaluated: evaluated(),
        reliability: vec![(0.6, 0.55, 40), (0.9, 0.85, 360)],
        scatter: Vec::new(),
        mistakes: vec![shown()],
        before_after: vec![(shown(), words("positive"))],
        costs: BTreeMap::new(),
        curve: None,
        fingerprints: BTreeMap::new(),
        license: None,
        pictures: None,
    }
}

/// The same of a run on pictures: one in every place, two of a class. Each has 8 signs of base64.
pub(crate) fn picture_record() -> RunRecord {
    let mut r = record();
    let picture = InlinePicture::new(PictureFormat::Png, (8, 6), &[1; 6]);
    "image-classification".clone_into(&mut r.task);
    let rows = r.mistakes.iter_mut();
    for row in rows.chain(r.before_after.iter_mut().map(|(row, _)| row)) {
        "a/17.png".clone_into(&mut row.text);
        row.picture = Some(picture.clone());
    }
    let row = r.mistakes[0].clone();
    r.pictures = Some(Pictures {
        right: vec![Gallery {
            class: "negative".to_owned(),
            rows: vec![row.clone(), row.clone()],
        }],
        maps: Some(HeatMaps {
            rows: vec![(row, picture.clone())],
            grid: [7, 5],
            correlation: Some(0.1),
        }),
        training: Some(ContactSheet {
            sheet: picture,
            draws: 6,
            changes: vec!["flipped".to_owned()],
            rows: vec!["a/3.png".to_owned()],
        }),
    });
    r
}

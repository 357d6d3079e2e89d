//! The page of a model of fraud.

use retune_eval::fraud::{
    AlertGoal, FraudCurves, FraudEvaluated, Named, ReviewCost, Scored, Settings, choose, judge,
};
use retune_eval::report::render_fraud;

use super::{HOSTILE, check};

/// 400 events of 80 cards over eight days, whose fraud scores higher by `apart`.
fn scored(word: &str, apart: f32) -> Scored {
    let name = |i: usize| Some((i % 2) as u32);
    let named = || Named {
        names: vec![word.to_owned(), format!("{word} again")],
        of: (0..400).map(name).collect(),
    };
    let fraud = |i: usize| i.is_multiple_of(9);
    let score = |i: usize| (i * 37 % 61) as f32 / 100.0 + if fraud(i) { apart } else { 0.0 };
    Scored {
        score: (0..400).map(score).collect(),
        fraud: (0..400).map(fraud).collect(),
        time: Some((0..400).map(|i| i * 1700).collect()),
        card: Some((0..400).map(|i| i * 7 % 80).collect()),
        amount: Some((0..400).map(|i| f64::from(i % 50)).collect()),
        pattern: Some(named()),
        segment: Some(named()),
        weight: None,
    }
}

#[test]
fn the_page_of_fraud_holds_together() {
    let settings = Settings {
        cost: Some(ReviewCost {
            review: 2.0,
            recovery: 0.0,
        }),
        threshold: Some(0.5),
        alert_share: 0.2,
        ..Settings::default()
    };
    for word in [HOSTILE, "word"] {
        let (model, floor) = (scored(word, 0.3), scored(word, 0.1));
        let mut e = FraudEvaluated::new(word, &model, &settings, 1).unwrap();
        e.compare(word, (&model, &floor), &settings, 1).unwrap();
        let bare = render_fraud(word, &e);
        check(&bare);
        assert!(!bare.contains("<svg class=\"chart\""));
        e.verdict = Some(judge(&[&model], &[("frozen", vec![&floor])], 1).unwrap());
        e.curves = Some(FraudCurves::new(&model, &[(word, &floor)], &settings).unwrap());
        e.chosen = Some(choose(&model, AlertGoal::Precision(0.3), 1).unwrap());
        let page = render_fraud(word, &e);
        check(&page);
        assert_eq!(
            page.matches("<svg class=\"chart\"").count(),
            4,
            "four charts"
        );
        for part in [
            "verdict",
            "metrics",
            "differences",
            "threshold",
            "queue",
            "days",
            "patterns",
            "segments",
        ] {
            assert!(page.contains(&format!("<section id=\"{part}\"")), "{part}");
        }
        assert!(page.contains("80 cards show a difference") && page.contains("fraud found"));
        let read: FraudEvaluated =
            serde_json::from_str(&serde_json::to_string(&e).unwrap()).unwrap();
        assert_eq!(read.model.metrics.len(), e.model.metrics.len());
    }
    let none = FraudEvaluated::new("", &Scored::default(), &settings, 1).unwrap();
    check(&render_fraud("", &none));
}

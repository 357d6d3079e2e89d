//! The feature engine against a twin written from the definitions, offline against online, and at its limits.
#![expect(clippy::unwrap_used, reason = "tests")]

mod limits;
mod offline;
mod state;
mod stream;
mod twin;

use retune_data::windows::{Engine, EngineSpec, Measure, OfEvent, What};
use stream::{Message, messages};
use twin::Twin;

/// Every measure over windows of seconds to minutes on three columns.
fn spec() -> EngineSpec {
    let entities = ["card", "shop", "device"];
    let mut spec = EngineSpec::usual("time", &entities, Some("amount"), Some("fraud"));
    spec.id = Some("id".to_string());
    spec.delay = 100;
    spec.tolerance = 20;
    spec.event = vec![OfEvent::Amount, OfEvent::Weekend, OfEvent::Night];
    spec.measures.clear();
    for entity in entities {
        for window in [7, 60, 250] {
            let mut whats = vec![
                What::Count,
                What::Sum,
                What::Mean,
                What::Max,
                What::SinceLast,
                What::RatioToMean,
                What::RiskCount,
                What::Risk,
            ];
            for of in entities.iter().filter(|of| **of != entity) {
                whats.push(What::Distinct {
                    of: (*of).to_string(),
                });
            }
            spec.measures.extend(whats.into_iter().map(|what| Measure {
                entity: entity.to_string(),
                what,
                window,
            }));
        }
    }
    spec
}

fn same(got: &[f32], want: &[f32], names: &[String], at: usize) {
    assert_eq!(got.len(), want.len());
    for ((got, want), name) in got.iter().zip(want).zip(names) {
        let equal = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
        assert!(equal, "{name} at message {at}: {got}, by definition {want}");
    }
}

#[test]
fn features_are_what_their_definitions_say() {
    let spec = spec();
    let names = spec.names();
    let mut numbers = 0;
    for seed in 0..8 {
        let mut engine = Engine::new(spec.clone()).unwrap();
        let mut twin = Twin::new(&spec);
        let mut out = Vec::new();
        for (at, message) in messages(seed, 2500).iter().enumerate() {
            match message {
                Message::Event(event) => {
                    let taken = event.with(|row| engine.step(row, &mut out).unwrap());
                    let (want, wanted) = twin.step(event);
                    assert_eq!(taken, wanted, "message {at}");
                    same(&out, &want, &names, at);
                    numbers += out.iter().filter(|x| !x.is_nan()).count();
                }
                Message::Label(id, fraud, at) => {
                    assert_eq!(engine.label(id, *fraud, *at), twin.label(id, *fraud, *at));
                }
            }
        }
        let counts = engine.counts();
        assert!(
            counts.late > 50 && counts.too_late > 10 && counts.again > 10,
            "{counts:?}"
        );
        assert_eq!(counts.labels_lost + counts.events_dropped, 0, "{counts:?}");
        // What no window can hold any more is gone.
        assert!(engine.kept() < 400, "{}", engine.kept());
    }
    assert!(numbers > 1_000_000, "{numbers}");
}

#[test]
fn the_usual_measures_hold_those_of_the_handbook() {
    let spec = EngineSpec::usual(
        "event_time",
        &["customer_id", "terminal_id"],
        Some("amount"),
        Some("is_fraud"),
    );
    spec.check().unwrap();
    let names = spec.names();
    assert_eq!(names.len(), spec.width());
    let mut wanted = vec![
        "amount".to_string(),
        "weekend".to_string(),
        "night".to_string(),
    ];
    for days in [1, 7, 30] {
        wanted.push(format!("customer_id: count in {days} d"));
        wanted.push(format!("customer_id: mean amount in {days} d"));
        wanted.push(format!("terminal_id: known labels in {days} d, 7 d ago"));
        wanted.push(format!("terminal_id: fraud share in {days} d, 7 d ago"));
    }
    wanted.push("customer_id: different terminal_id in 1 d".to_string());
    wanted.push("customer_id: count in 10 min".to_string());
    for name in wanted {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let bare = EngineSpec::usual("t", &["user"], None, None);
    bare.check().unwrap();
    assert!(
        bare.names()
            .iter()
            .all(|n| !n.contains("amount") && !n.contains("fraud"))
    );
}

#[test]
fn a_spec_is_plain_data_and_is_checked() {
    let spec = spec();
    let text = serde_json::to_string(&spec).unwrap();
    let back: EngineSpec = serde_json::from_str(&text).unwrap();
    assert_eq!(back, spec);
    let short = r#"{"time": "t", "entities": ["card"], "measures":
        [{"entity": "card", "what": "count", "window": 60}]}"#;
    let short: EngineSpec = serde_json::from_str(short).unwrap();
    assert_eq!((short.delay, short.tolerance), (604_800, 3600));
    let unknown = text.replacen("\"delay\"", "\"dealy\"", 1);
    assert!(serde_json::from_str::<EngineSpec>(&unknown).is_err());
    let refused = |change: &dyn Fn(&mut EngineSpec)| {
        let mut spec = spec.clone();
        change(&mut spec);
        Engine::new(spec).unwrap_err().to_string()
    };
    assert!(refused(&|s| s.entities.clear()).contains("name 1 to 8"));
    assert!(refused(&|s| s.measures[0].window = 0).contains("has 0 seconds"));
    assert!(
        refused(&|s| s.measures[0].entity = "bank".into()).contains("`bank`, which is no entity")
    );
    assert!(refused(&|s| s.amount = None).contains("needs amounts"));
    assert!(refused(&|s| s.delay = -1).contains("delay is -1"));
    assert!(refused(&|s| s.max_events = 0).contains("max_events is 0"));
    assert!(refused(&|s| s.entities.push("card".into())).contains("`card` is there twice"));
    assert!(refused(&|s| s.measures.push(s.measures[3].clone())).contains("ask for it once"));
}

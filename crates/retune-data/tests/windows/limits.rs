//! Late and repeated events, labels before their time, and what is forgotten when there is too much.

use retune_data::windows::{Engine, EngineSpec, EventRow, Measure, Taken, What};

fn spec(whats: &[What], window: i64) -> EngineSpec {
    let mut spec = EngineSpec::usual("t", &["card"], Some("amount"), Some("fraud"));
    spec.event.clear();
    spec.measures = whats
        .iter()
        .map(|what| Measure {
            entity: "card".to_string(),
            what: what.clone(),
            window,
        })
        .collect();
    spec
}

fn row<'a>(id: &'a str, time: i64, entities: &'a [Option<&'a str>]) -> EventRow<'a> {
    EventRow {
        id: Some(id),
        time,
        amount: Some(1.0),
        entities,
        ..EventRow::default()
    }
}

#[test]
fn late_and_repeated_events_are_taken_as_promised() {
    let mut engine = Engine::new(spec(&[What::Count, What::SinceLast], 10_000)).unwrap();
    let mut out = Vec::new();
    let card = [Some("a")];
    let mut step = |id: &str, time: i64| {
        let taken = engine.step(&row(id, time, &card), &mut out).unwrap();
        (taken, out[0], out[1])
    };
    assert_eq!(step("1", 5000).0, Taken::InOrder);
    assert_eq!(step("2", 8000), (Taken::InOrder, 2.0, 3000.0));
    // Half an hour late: counts as now.
    assert_eq!(step("3", 6200), (Taken::Late, 3.0, 0.0));
    // More than an hour late: counts itself, and leaves no trace.
    assert_eq!(step("4", 4399), (Taken::TooLate, 4.0, 0.0));
    assert_eq!(step("5", 8001), (Taken::InOrder, 4.0, 1.0));
    // The same again: the state as it is.
    assert_eq!(step("2", 8000), (Taken::Again, 4.0, 0.0));
    assert_eq!(step("6", 8002), (Taken::InOrder, 5.0, 1.0));
    let counts = engine.counts();
    assert_eq!(
        (counts.events, counts.late, counts.too_late, counts.again),
        (7, 1, 1, 1)
    );
}

#[test]
fn a_label_is_never_seen_before_its_time() {
    let mut spec = spec(&[What::RiskCount, What::Risk], 1000);
    spec.delay = 100;
    let mut engine = Engine::new(spec).unwrap();
    let card = [Some("a")];
    let mut out = Vec::new();
    let mut first = row("1", 0, &card);
    first.label = Some(true);
    engine.step(&first, &mut out).unwrap();
    let mut second = row("2", 10, &card);
    // Known later than the delay.
    (second.label, second.label_time) = (Some(false), Some(300));
    engine.step(&second, &mut out).unwrap();
    engine.step(&row("3", 20, &card), &mut out).unwrap();
    // Known at once, used after the delay.
    assert!(engine.label("3", true, 20));
    assert!(!engine.label("9", true, 20));
    let mut seen = |time: i64| {
        engine
            .step(&row(&format!("at {time}"), time, &card), &mut out)
            .unwrap();
        (out[0], out[1])
    };
    assert!(seen(99).1.is_nan());
    assert_eq!(seen(100), (1.0, 1.0));
    assert_eq!(seen(119), (1.0, 1.0));
    assert_eq!(seen(120), (2.0, 1.0));
    assert_eq!(seen(299), (2.0, 1.0));
    assert_eq!(seen(300), (3.0, 2.0 / 3.0));
    // The windows end: (t - delay - 1000, t - delay].
    assert_eq!(seen(1100), (2.0, 0.5));
    assert_eq!(seen(1119), (1.0, 1.0));
    assert_eq!(seen(1120).0, 0.0);
}

#[test]
fn without_a_delay_the_own_label_stays_unseen() {
    let mut spec = spec(&[What::RiskCount], 1000);
    spec.delay = 0;
    let mut engine = Engine::new(spec).unwrap();
    let card = [Some("a")];
    let mut out = Vec::new();
    for n in 0..5_u8 {
        let mut one = row("", 7, &card);
        one.label = Some(true);
        engine.step(&one, &mut out).unwrap();
        assert_eq!(out[0], f32::from(n));
    }
}

#[test]
fn the_entity_idle_longest_goes_when_there_are_too_many() {
    let mut spec = spec(&[What::Count], 1000);
    spec.max_entities = 2;
    let mut engine = Engine::new(spec).unwrap();
    let mut out = Vec::new();
    let mut counts = Vec::new();
    for (time, name) in ["a", "b", "a", "c", "a", "b", "c"].iter().enumerate() {
        let card = [Some(*name)];
        engine
            .step(&row(&time.to_string(), time as i64, &card), &mut out)
            .unwrap();
        counts.push(out[0] as i32);
    }
    // `c` drives out `b`, `b` drives out `c`, and `c` then `a`.
    assert_eq!(counts, [1, 1, 2, 1, 3, 1, 1]);
    assert_eq!(engine.entities(), [2]);
    assert_eq!(engine.counts().entities_dropped, 3);
    // Idle beyond the horizon: forgotten without a limit (the tolerance is an hour).
    engine
        .step(&row("late", 10_000, &[Some("d")]), &mut out)
        .unwrap();
    assert_eq!((engine.entities(), engine.kept()), (vec![1], 1));
}

#[test]
fn the_oldest_events_go_when_there_are_too_many() {
    let whats = [
        What::Count,
        What::Sum,
        What::Max,
        What::Mean,
        What::RiskCount,
    ];
    let mut spec = spec(&whats, 1_000_000);
    (spec.max_events, spec.max_kept, spec.delay) = (4, 6, 0);
    let mut engine = Engine::new(spec).unwrap();
    let mut out = Vec::new();
    let mut step = |time: i64, name: &str| {
        let card = [Some(name)];
        let mut one = row("", time, &card);
        one.amount = Some(100.0 - time as f64);
        one.label = Some(true);
        engine.step(&one, &mut out).unwrap();
        out.clone()
    };
    for time in 0..6 {
        step(time, "a");
    }
    // The four last ones, 2 to 5, and itself.
    assert_eq!(step(6, "a"), [5.0, 485.0 - 5.0 + 0.0, 98.0, 96.0, 4.0]);
    for time in 7..11 {
        step(time, "b");
    }
    // Six in all: of `a` only 5 and 6 are left.
    assert_eq!(
        step(11, "a"),
        [3.0, 95.0 + 94.0 + 89.0, 95.0, 278.0 / 3.0, 2.0]
    );
    assert!(engine.counts().events_dropped >= 8, "{:?}", engine.counts());
    assert!(engine.kept() <= 6);
}

#[test]
fn sums_do_not_drift() {
    let mut engine = Engine::new(spec(&[What::Sum, What::Mean], 10)).unwrap();
    let mut out = Vec::new();
    let card = [Some("a")];
    for time in 0..50_000_i64 {
        let mut one = row("", time, &card);
        let huge = time % 20 == 0 && time < 49_900;
        one.amount = Some(if huge { 1e14 + 0.1 } else { 0.1 });
        engine.step(&one, &mut out).unwrap();
    }
    // Ten times a tenth, after many times a hundred trillions have come and gone.
    assert_eq!((out[0], out[1]), (1.0, 0.1));
    let mut odd = row("", 50_000, &card);
    for amount in [f64::NAN, f64::INFINITY, 1e16] {
        odd.amount = Some(amount);
        engine.step(&odd, &mut out).unwrap();
        assert!((out[0] - 0.9).abs() < 1e-6 && out[1] == 0.1, "{out:?}");
    }
}

#[test]
fn events_that_do_not_fit_are_refused() {
    let mut engine = Engine::new(spec(&[What::Count], 10)).unwrap();
    let mut out = Vec::new();
    let mut refused = |time: i64, entities: &[Option<&str>]| {
        engine
            .step(&row("1", time, entities), &mut out)
            .unwrap_err()
            .to_string()
    };
    let milliseconds = refused(1_522_540_800_000, &[Some("a")]);
    assert!(
        milliseconds.contains("give times in seconds"),
        "{milliseconds}"
    );
    assert!(refused(0, &[None, None]).contains("2 entities, and the engine has 1"));
    assert_eq!(engine.counts().events, 0);
}

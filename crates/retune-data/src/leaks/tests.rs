//! A clean table gives no finding; each planted leak gives its own and no other.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::sync::OnceLock;

use super::*;
use crate::simulate::{DAY, Transaction, World, simulate};
use crate::split::SplitRecord;
use crate::split::moment::iso_text;
use crate::table::{Column, RowOrigin, Values};
use crate::windows::{Engine, EngineSpec, features_of};

use LeakKind::*;

/// Payments in order of time, and their table with the usual features of the engine.
struct Clean {
    rows: Vec<Transaction>,
    table: Table,
}

fn clean() -> &'static Clean {
    static CLEAN: OnceLock<Clean> = OnceLock::new();
    CLEAN.get_or_init(|| {
        let world = World {
            customers: 500,
            terminals: 1000,
            days: 40,
            radius: 15.0,
            ..World::default()
        };
        let mut rows = Vec::new();
        simulate(&world, &mut |t| {
            rows.push(t);
            Ok(())
        })
        .unwrap();
        let mut table = Table {
            origin: (0..rows.len() as u64)
                .map(|line| RowOrigin { file: 0, line })
                .collect(),
            ..Table::default()
        };
        let mut text = |name: &str, of: &dyn Fn(&Transaction) -> String| {
            let values = Values::Text(rows.iter().map(|t| Some(of(t))).collect());
            table.columns.push(column(name, values));
        };
        text("number", &|t| t.id.to_string());
        text("when", &|t| iso_text(t.time));
        text("customer", &|t| t.customer.to_string());
        text("terminal", &|t| t.terminal.to_string());
        text("amount", &|t| format!("{:.2}", t.cents as f64 / 100.0));
        text("fraud", &|t| u8::from(t.fraud).to_string());
        let entities = ["customer", "terminal"];
        let spec = EngineSpec::usual("when", &entities, Some("amount"), Some("fraud"));
        let names = spec.names();
        let features = features_of(&table, &mut Engine::new(spec).unwrap()).unwrap();
        // The amount is there already.
        for (at, name) in names.iter().enumerate().skip(1) {
            let of = features.iter().skip(at).step_by(names.len());
            let of = of.map(|&x| (!x.is_nan()).then_some(f64::from(x)));
            table
                .columns
                .push(column(name, Values::Number(of.collect())));
        }
        Clean { rows, table }
    })
}

fn column(name: &str, values: Values) -> Column {
    Column {
        name: name.to_string(),
        values,
    }
}

/// Rows before the 25th day train, those after a gap of a week test.
fn in_time(rows: &[Transaction]) -> Split {
    let day = |at: usize| (rows[at].time - rows[0].time) / DAY;
    split_by(rows.len(), &|at| match day(at) {
        0..24 => 0,
        31.. => 2,
        _ => 3,
    })
}

/// Sides by number: training, validation, test, none.
fn split_by(n: usize, side: &dyn Fn(usize) -> u8) -> Split {
    let rows = |of: u8| (0..n).filter(|&row| side(row) == of).collect();
    Split {
        train: rows(0),
        valid: rows(1),
        test: rows(2),
        record: SplitRecord::default(),
    }
}

fn request() -> LeakRequest {
    LeakRequest {
        label: "fraud".to_string(),
        time: Some("when".to_string()),
        entities: vec!["customer".to_string(), "terminal".to_string()],
        id: Some("number".to_string()),
        delay: 7 * DAY,
        ..LeakRequest::default()
    }
}

fn found(table: &Table, request: &LeakRequest, split: &Split) -> Vec<(LeakKind, String)> {
    let all = leaks(table, request, split).unwrap();
    for finding in &all {
        assert!((0.0..=1.0).contains(&finding.figure), "{finding:?}");
        assert!(
            finding.why.ends_with('.') && !finding.why.contains("  "),
            "{finding:?}"
        );
        assert!(!finding.what_to_do.is_empty());
    }
    all.into_iter().map(|f| (f.kind, f.column)).collect()
}

/// The findings of the clean table without its features and with one more column, divided in time.
fn planted(name: &str, cell: impl Fn(usize, &Transaction) -> Option<String>) -> Vec<LeakKind> {
    let clean = clean();
    let mut table = clean.table.clone();
    table.columns.truncate(6);
    let cells = clean.rows.iter().enumerate().map(|(at, t)| cell(at, t));
    table
        .columns
        .push(column(name, Values::Text(cells.collect())));
    let found = found(&table, &request(), &in_time(&clean.rows));
    assert!(found.iter().all(|f| f.1 == name), "{found:?}");
    found.into_iter().map(|f| f.0).collect()
}

#[test]
fn a_clean_table_gives_no_finding() {
    let clean = clean();
    let frauds = clean.rows.iter().filter(|t| t.fraud).count();
    assert!(frauds > 200 && clean.table.columns.len() > 40, "{frauds}");
    assert_eq!(found(&clean.table, &request(), &in_time(&clean.rows)), []);
}

#[test]
fn times_after_the_event_are_found() {
    assert_eq!(
        planted("label_time", |_, t| Some(iso_text(t.label_time))),
        [LaterTime]
    );
    // Written for a few rows only, and in seconds.
    let seen = planted("reviewed", |at, t| {
        (at % 50 == 0).then(|| (t.time + 3600).to_string())
    });
    assert_eq!(seen, [LaterTime]);
    assert_eq!(
        planted("member_since", |_, t| Some(iso_text(t.time - 90 * DAY))),
        []
    );
    assert_eq!(
        planted("points", |at, _| Some((at * 7919 % 100_000).to_string())),
        []
    );
    // Just before, and in the same second.
    assert_eq!(planted("asked", |_, t| Some(iso_text(t.time - 60))), []);
    assert_eq!(planted("stamp", |_, t| Some(t.time.to_string())), []);
    let phone = |at: usize, _: &Transaction| Some(format!("49151{:08}", at * 7919));
    assert_eq!(planted("phone", phone), []);
    let card = |at: usize, _: &Transaction| Some(format!("41111111{:08}", at * 7919));
    assert_eq!(planted("card", card), []);
}

#[test]
fn columns_that_tell_the_label_are_found() {
    assert_eq!(
        planted("pattern", |_, t| Some(t.pattern.to_string())),
        [DeterminesLabel]
    );
    let status = |at: usize, t: &Transaction| {
        let honest = ["paid", "settled", "archived"][at % 3];
        Some(if t.fraud { "blocked" } else { honest }.to_string())
    };
    assert_eq!(planted("status", status), [DeterminesLabel]);
    // A number between two others is found by its value.
    let code = |at: usize, t: &Transaction| {
        Some(if t.fraud { "5" } else { ["3", "8"][at % 2] }.to_string())
    };
    assert_eq!(planted("code", code), [DeterminesLabel]);
    // Good, but not too good: a fifth of the frauds is unlike the others.
    let score = |at: usize, t: &Transaction| {
        let high = t.fraud && !at.is_multiple_of(5);
        Some((at * 31 % 100 + if high { 99 } else { 0 }).to_string())
    };
    assert_eq!(planted("score", score), []);
}

#[test]
fn columns_that_are_filled_with_frauds_only_are_found() {
    let every = |at: usize, t: &Transaction| t.fraud.then(|| format!("case {}", at % 7));
    assert_eq!(planted("case", every), [MissingTellsLabel]);
    let half =
        |at: usize, t: &Transaction| (t.fraud && at.is_multiple_of(2)).then(|| "seen".to_string());
    assert_eq!(planted("note", half), [MissingTellsLabel]);
    let empty = |_: usize, t: &Transaction| (!t.fraud).then(|| "ok".to_string());
    assert_eq!(planted("approval", empty), [MissingTellsLabel]);
    let mixed =
        |at: usize, t: &Transaction| (t.fraud || at.is_multiple_of(3)).then(|| "x".to_string());
    assert_eq!(planted("device", mixed), []);
}

/// Running statistic of an entity's frauds: `of` gets frauds and rows so far and whether the row is one.
fn running(
    entity: fn(&Transaction) -> u32,
    of: impl Fn(f64, f64, bool) -> f64,
) -> Vec<Option<String>> {
    let mut seen: HashMap<u32, (f64, f64)> = HashMap::new();
    let rows = clean().rows.iter();
    rows.map(|t| {
        let (frauds, all) = seen.entry(entity(t)).or_default();
        let out = of(*frauds, *all, t.fraud);
        *frauds += f64::from(u8::from(t.fraud));
        *all += 1.0;
        Some(format!("{out:.5}"))
    })
    .collect()
}

#[test]
fn statistics_of_labels_without_a_delay_are_found() {
    let own = |fraud: bool| f64::from(u8::from(fraud));
    let itself = running(
        |t| t.terminal,
        |frauds, all, fraud| (frauds + own(fraud)) / (all + 1.0),
    );
    assert_eq!(
        planted("risk", |at, _| itself[at].clone()),
        [LabelsWithoutDelay]
    );
    let before = running(|t| t.terminal, |frauds, all, _| frauds / all.max(1.0));
    assert_eq!(
        planted("risk", |at, _| before[at].clone()),
        [LabelsWithoutDelay]
    );
    let number = running(|t| t.customer, |frauds, _, fraud| frauds + own(fraud));
    assert_eq!(
        planted("frauds", |at, _| number[at].clone()),
        [LabelsWithoutDelay]
    );
    // No window and no share, but known at the first payment at a terminal.
    let score = running(
        |t| t.terminal,
        |frauds, all, fraud| {
            ((frauds + own(fraud)) * 3.3 + 0.1) / (all * 0.01 + 1.0)
                - if all < 1.0 { 0.1 } else { 0.0 }
        },
    );
    assert_eq!(
        planted("score", |at, _| score[at].clone()),
        [LabelsWithoutDelay]
    );
    // Within a window, up to the row: the engine without a delay.
    let mut spec = EngineSpec::usual("when", &["terminal"], None, Some("fraud"));
    spec.delay = 0;
    let names = spec.names();
    let at = names
        .iter()
        .position(|n| n.starts_with("terminal: fraud share in 7 d"))
        .unwrap();
    let features = features_of(&clean().table, &mut Engine::new(spec).unwrap()).unwrap();
    let cell = |row: usize| features[row * names.len() + at];
    let week = |row: usize, _: &Transaction| (!cell(row).is_nan()).then(|| cell(row).to_string());
    assert_eq!(planted("week", week), [LabelsWithoutDelay]);
}

#[test]
fn encodings_over_all_rows_are_found() {
    let rows = &clean().rows;
    let split = in_time(rows);
    let sums = |of: &mut dyn Iterator<Item = usize>| {
        let mut sums: HashMap<u32, (f64, f64)> = HashMap::new();
        for row in of {
            let sum = sums.entry(rows[row].terminal).or_default();
            sum.0 += f64::from(u8::from(rows[row].fraud));
            sum.1 += 1.0;
        }
        sums
    };
    let all = sums(&mut (0..rows.len()));
    let mean = |_: usize, t: &Transaction| {
        let (frauds, n) = all[&t.terminal];
        Some(format!("{:.4}", frauds / n))
    };
    assert_eq!(planted("terminal_risk", mean), [EncodedOverAll]);
    let others = |_: usize, t: &Transaction| {
        let (frauds, n) = all[&t.terminal];
        let own = f64::from(u8::from(t.fraud));
        Some(format!("{:.6}", (frauds - own) / (n - 1.0).max(1.0)))
    };
    assert_eq!(planted("terminal_risk", others), [EncodedOverAll]);
    // Over the training rows only: as it should be.
    let train = sums(&mut split.train.iter().copied());
    let allowed = |_: usize, t: &Transaction| {
        let (frauds, n) = train.get(&t.terminal).copied().unwrap_or((0.0, 1.0));
        Some(format!("{:.4}", frauds / n))
    };
    assert_eq!(planted("terminal_risk", allowed), []);
}

#[test]
fn divisions_against_time_and_through_entities_are_found() {
    let clean = clean();
    let mut table = clean.table.clone();
    table.columns.truncate(6);
    let n = clean.rows.len();
    let random = split_by(n, &|at| if at * 2_654_435_761 % 10 < 7 { 0 } else { 2 });
    let both = |name: &str| (EntityOnBothSides, name.to_string());
    let want = [
        (DividedAgainstTime, "when".to_string()),
        both("customer"),
        both("terminal"),
    ];
    assert_eq!(found(&table, &request(), &random), want);
    // Without times, and by customer: only terminals are on both sides.
    let by_customer = split_by(n, &|at| {
        if clean.rows[at].customer % 10 < 7 {
            0
        } else {
            2
        }
    });
    let no_time = LeakRequest {
        time: None,
        ignore: vec!["when".to_string()],
        ..request()
    };
    assert_eq!(found(&table, &no_time, &by_customer), [both("terminal")]);
}

#[test]
fn rows_on_both_sides_are_found() {
    let clean = clean();
    let mut table = clean.table.clone();
    table.columns.truncate(6);
    let copied: Vec<usize> = (0..clean.rows.len()).step_by(100).collect();
    let n = clean.rows.len();
    let all: Vec<usize> = (0..n).chain(copied).collect();
    let mut table = table.select(&all);
    let ids = Values::Text((0..all.len()).map(|id| Some(id.to_string())).collect());
    table.columns[0].values = ids;
    let no_time = LeakRequest {
        time: None,
        entities: Vec::new(),
        ignore: vec!["when".into(), "customer".into(), "terminal".into()],
        ..request()
    };
    let split = split_by(all.len(), &|at| if at < n { 0 } else { 2 });
    assert_eq!(
        found(&table, &no_time, &split),
        [(SameRows, "all columns".to_string())]
    );
    // Few values in few columns repeat by nature.
    table.columns.drain(..5);
    table.columns.push(column(
        "a",
        Values::Text(
            (0..all.len())
                .map(|at| Some((at % 5).to_string()))
                .collect(),
        ),
    ));
    table.columns.push(column(
        "b",
        Values::Text(
            (0..all.len())
                .map(|at| Some((at % 7).to_string()))
                .collect(),
        ),
    ));
    let bare = LeakRequest {
        label: "fraud".to_string(),
        ..LeakRequest::default()
    };
    assert_eq!(found(&table, &bare, &split), []);
}

#[test]
fn orders_and_numbers_that_tell_the_label_are_found() {
    let clean = clean();
    let mut table = clean.table.clone();
    table.columns.truncate(6);
    let n = clean.rows.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|&at| clean.rows[at].fraud);
    let sorted = table.select(&order);
    let split = in_time(&clean.rows);
    let side = |at: usize| {
        let at = order[at];
        let side = [&split.train, &split.valid, &split.test];
        side.iter()
            .position(|s| s.binary_search(&at).is_ok())
            .unwrap_or(3) as u8
    };
    let want = (OrderTellsLabel, "row order".to_string());
    assert_eq!(found(&sorted, &request(), &split_by(n, &side)), [want]);
    let ids = |of: &dyn Fn(usize, &Transaction) -> String| {
        let mut table = table.clone();
        let ids = clean.rows.iter().enumerate().map(|(at, t)| Some(of(at, t)));
        table.columns[0].values = Values::Text(ids.collect());
        found(&table, &request(), &split)
    };
    let want = [(OrderTellsLabel, "number".to_string())];
    let later =
        |at: usize, t: &Transaction| (at + if t.fraud { 10_000_000 } else { 0 }).to_string();
    assert_eq!(ids(&later), want);
    let letters = |at: usize, t: &Transaction| {
        let desk = if t.fraud { "CB" } else { "TX" };
        format!("{desk}-{:06}", at * 7919 % 1_000_000)
    };
    assert_eq!(ids(&letters), want);
    let random = |at: usize, _: &Transaction| format!("TX-{:06}", at * 7919 % 1_000_000);
    assert_eq!(ids(&random), []);
}

#[test]
fn few_frauds_say_nothing() {
    let clean = clean();
    let frauds: Vec<usize> = (0..clean.rows.len())
        .filter(|&at| clean.rows[at].fraud)
        .collect();
    let honest = (0..clean.rows.len()).filter(|&at| !clean.rows[at].fraud);
    let few: Vec<usize> = honest
        .take(300)
        .chain(frauds.into_iter().take(19))
        .collect();
    let mut table = clean.table.select(&few);
    table.columns.truncate(6);
    // The order tells the label, and so does this.
    let copy = few
        .iter()
        .map(|&at| clean.rows[at].fraud.then_some(1.0))
        .collect();
    table.columns.push(column("copy", Values::Number(copy)));
    let split = split_by(few.len(), &|at| if at < 250 { 0 } else { 3 });
    assert_eq!(found(&table, &request(), &split), []);
    let text = |request: LeakRequest| leaks(&table, &request, &split).unwrap_err().to_string();
    let wrong = LeakRequest {
        label: "amount".to_string(),
        ..request()
    };
    assert!(text(wrong).contains("says neither fraud nor honest"));
    let missing = LeakRequest {
        entities: vec!["custmer".to_string()],
        ..request()
    };
    assert!(text(missing).contains("did you mean `customer`?"));
}

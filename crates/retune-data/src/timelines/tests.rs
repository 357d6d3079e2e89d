//! Timelines: a stream is told as a table is, and damaged states are refused.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;

use sha2::Digest as _;

use super::*;
use crate::fields::Cells;
use crate::read::{ReadOptions, read};
use crate::windows::{Engine, EngineSpec, EventRow};

const START: i64 = 1_522_540_800;

/// Events of a few cards, some of them of nobody, with many of the same second: number, time, card, terminal, amount.
fn events(n: u64) -> Vec<(String, i64, Option<String>, String, f64)> {
    let draw = |i: u64, what: u64, below: u64| crate::random::mix(i, what) % below;
    let one = |i: u64| {
        let card = draw(i, 1, 6);
        (
            // Now and then an event comes twice.
            (i - draw(i, 5, 30) / 29).to_string(),
            START + (i * 900 / 7) as i64,
            (card > 0).then(|| format!("card {card}")),
            format!("t{}", draw(i, 2, 9)),
            draw(i, 3, 30_000) as f64 / 100.0,
        )
    };
    (1..=n).map(one).collect()
}

fn engine() -> Engine {
    let mut spec = EngineSpec::usual("time", &["card", "terminal"], Some("amount"), None);
    spec.id = Some("id".to_string());
    Engine::new(spec).unwrap()
}

fn spec(amounts: impl Iterator<Item = f64>) -> TimelineSpec {
    TimelineSpec::fit(amounts, &[], &Cells::default())
}

/// Rows of a part are seen with the same events as each by itself.
fn parts_are_seen_as_their_rows_are(told: &Told) {
    let wanted: Vec<usize> = (0..told.places.len()).step_by(3).collect();
    let mut asked = 0;
    for part in told.parts(&wanted) {
        for (number, at) in part.asked {
            assert_eq!(part.rows[..=at as usize], told.seen(wanted[number]));
            asked += 1;
        }
    }
    assert_eq!(asked, wanted.len());
}

#[test]
fn a_stream_is_told_as_a_table_is_after_a_restart_too() {
    let all = events(900);
    let mut csv = "id,time,card,terminal,amount\n".to_string();
    for (id, time, card, terminal, amount) in &all {
        let card = card.as_deref().unwrap_or_default();
        writeln!(csv, "{id},{time},{card},{terminal},{amount}").unwrap();
    }
    let file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
    std::fs::write(file.path(), csv).unwrap();
    let table = read(file.path(), &ReadOptions::default()).unwrap();
    let mut timelines = Timelines::new(spec(all.iter().map(|event| event.4))).unwrap();
    let empty = timelines.clone();
    let (_, told) = moments_of(&table, &mut engine(), (&mut timelines, &Cells::default())).unwrap();
    parts_are_seen_as_their_rows_are(&told);
    let longest = told.timelines.iter().map(Vec::len).max().unwrap();
    assert!(longest > 2 * 64, "{longest}");

    let (mut engine, mut stream, mut seen) = (engine(), empty, Moments::default());
    let mut features = Vec::new();
    let mut again = 0;
    for (row, (id, time, card, terminal, amount)) in all.iter().enumerate() {
        if row == 500 {
            stream = Timelines::of_bytes(&stream.to_bytes().unwrap()).unwrap();
        }
        let entities = [card.as_deref(), Some(terminal.as_str())];
        let event = EventRow {
            id: Some(id),
            time: *time,
            amount: Some(*amount),
            entities: &entities,
            ..EventRow::default()
        };
        let taken = engine.step(&event, &mut features).unwrap();
        let keep = matches!(
            taken,
            crate::windows::Taken::InOrder | crate::windows::Taken::Late
        );
        again += u32::from(!keep);
        stream.step(&event, &[], keep, &mut seen);
        let wanted = told.seen(row);
        assert_eq!(seen.len(), wanted.len(), "row {row}");
        for (at, row) in wanted.into_iter().enumerate() {
            let (own, theirs) = (at * ROLES, row as usize * ROLES);
            assert_eq!(
                seen.codes[own..own + ROLES],
                told.moments.codes[theirs..theirs + ROLES]
            );
            let (own, theirs) = (at * NUMBERS, row as usize * NUMBERS);
            assert_eq!(
                seen.numbers[own..own + NUMBERS],
                told.moments.numbers[theirs..theirs + NUMBERS]
            );
        }
    }
    assert!(again > 5, "{again} events came twice");
    let same = stream.to_bytes().unwrap() == timelines.to_bytes().unwrap();
    assert!(same, "the state of a stream is that of the table");
}

#[test]
fn an_event_is_seen_with_one_to_two_parts_of_its_timeline() {
    assert_eq!(
        [0, 31, 32, 63, 64, 95, 96].map(first_seen),
        [0, 0, 0, 0, 32, 32, 64]
    );
}

#[test]
fn amounts_in_another_currency_and_columns_of_other_names_are_the_same_events() {
    let tell = |factor: f64| {
        let all = events(200);
        let mut timelines = Timelines::new(spec(
            all.iter()
                .map(|event| event.4 * factor + 0.01 * (factor - 1.0)),
        ))
        .unwrap();
        let mut seen = Moments::default();
        let mut codes = Vec::new();
        for (_, time, card, terminal, amount) in &all {
            let entities = [card.as_deref(), Some(terminal.as_str())];
            let event = EventRow {
                time: *time,
                // Logarithms are of a cent more, which is of the currency.
                amount: Some(amount * factor + 0.01 * (factor - 1.0)),
                entities: &entities,
                ..EventRow::default()
            };
            timelines.step(&event, &[], true, &mut seen);
            codes.extend(seen.codes.split_off(seen.codes.len() - ROLES));
        }
        codes
    };
    let (here, there) = (tell(1.0), tell(1000.0));
    let other = here.iter().zip(&there).filter(|(a, b)| a != b).count();
    // Edges are amounts of this table: those may fall on either side.
    assert!(other < 32, "{other} of {} codes", here.len());
}

#[test]
fn damaged_timelines_are_refused() {
    let mut timelines = Timelines::new(spec([1.0, 2.0, 50.0].into_iter())).unwrap();
    let mut seen = Moments::default();
    for i in 0..70 {
        let event = EventRow {
            time: START + i,
            amount: Some(i as f64),
            entities: &[Some("a"), None],
            ..EventRow::default()
        };
        timelines.step(&event, &[], true, &mut seen);
    }
    let whole = timelines.to_bytes().unwrap();
    assert!(Timelines::of_bytes(&whole).is_ok());
    for cut in [0, 10, 40, whole.len() / 2, whole.len() - 1] {
        assert!(Timelines::of_bytes(&whole[..cut]).is_err(), "cut at {cut}");
    }
    for at in (0..whole.len()).step_by(97) {
        let mut broken = whole.clone();
        broken[at] ^= 0x10;
        assert!(Timelines::of_bytes(&broken).is_err(), "changed at {at}");
        // With a checksum that fits again it may be another sound state, but never a panic.
        let end = broken.len() - 32;
        let digest = sha2::Sha256::digest(&broken[..end]);
        broken[end..].copy_from_slice(&digest);
        let _ = Timelines::of_bytes(&broken);
    }
    let error = Timelines::of_bytes(&whole[1..]).unwrap_err().to_string();
    assert!(error.contains("build them anew"), "{error}");
}

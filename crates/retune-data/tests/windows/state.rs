//! Saved and loaded engines go on bit for bit, and damaged states are errors.

use proptest::prelude::*;
use retune_data::windows::{Engine, EngineSpec, EventRow, Taken};

use super::spec;
use super::stream::{Message, messages};

fn saved(engine: &Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    engine.save(&mut bytes).unwrap();
    bytes
}

fn load(bytes: &[u8]) -> retune_data::Result<Engine> {
    Engine::load(&mut &bytes[..])
}

/// Features of all events, and how each was taken, as bits.
fn run(engine: &mut Engine, messages: &[Message]) -> Vec<(Taken, Vec<u32>)> {
    let mut all = Vec::new();
    let mut out = Vec::new();
    for message in messages {
        match message {
            Message::Event(event) => {
                let taken = event.with(|row| engine.step(row, &mut out).unwrap());
                all.push((taken, out.iter().map(|x| x.to_bits()).collect()));
            }
            Message::Label(id, fraud, at) => {
                engine.label(id, *fraud, *at);
            }
        }
    }
    all
}

/// With limits that are reached, whose traces must survive too.
fn narrow() -> EngineSpec {
    EngineSpec {
        max_entities: 6,
        max_events: 12,
        max_kept: 90,
        ..spec()
    }
}

#[test]
fn a_restart_in_the_middle_changes_nothing() {
    for (seed, spec) in [(11, spec()), (12, narrow())] {
        let messages = messages(seed, 1500);
        let mut whole = Engine::new(spec.clone()).unwrap();
        let want = run(&mut whole, &messages);
        for cut in [0, 1, 700, 1111] {
            let mut before = Engine::new(spec.clone()).unwrap();
            let mut got = run(&mut before, &messages[..cut]);
            let bytes = saved(&before);
            drop(before);
            let mut after = load(&bytes).unwrap();
            assert_eq!(saved(&after), bytes, "what is loaded is what was saved");
            got.extend(run(&mut after, &messages[cut..]));
            assert!(got == want, "seed {seed}, cut at {cut}");
            assert_eq!(after.counts(), whole.counts());
            assert_eq!(saved(&after), saved(&whole));
        }
        let dropped = whole.counts().events_dropped + whole.counts().entities_dropped;
        assert_eq!(dropped > 100, seed == 12, "{:?}", whole.counts());
    }
}

#[test]
fn an_engine_can_be_cleared() {
    let messages = messages(4, 300);
    let mut engine = Engine::new(spec()).unwrap();
    let fresh = saved(&engine);
    let first = run(&mut engine, &messages);
    engine.clear();
    assert_eq!(saved(&engine), fresh);
    assert!(run(&mut engine, &messages) == first);
}

/// The checksum as a forger would write it.
fn signed(mut bytes: Vec<u8>) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let end = bytes.len() - 32;
    let sum = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
    bytes
}

fn some() -> Vec<u8> {
    let mut engine = Engine::new(narrow()).unwrap();
    run(&mut engine, &messages(5, 200));
    saved(&engine)
}

#[test]
fn damaged_states_are_errors() {
    let bytes = some();
    load(&bytes).unwrap();
    for end in [0, 10, 30, bytes.len() / 2, bytes.len() - 1] {
        let error = load(&bytes[..end]).unwrap_err().to_string();
        assert!(error.contains("cut off"), "{error}");
    }
    let mut other = bytes.clone();
    other[200] ^= 1;
    assert!(load(&other).unwrap_err().to_string().contains("checksum"));
    let mut newer = bytes.clone();
    newer[14] = 9;
    assert!(load(&newer).unwrap_err().to_string().contains("version 9"));
    assert!(load(b"PAR1 something else entirely, long enough").is_err());
    // A length that promises exabytes.
    let mut long = bytes.clone();
    long[18..26].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    assert!(load(&long).unwrap_err().to_string().contains("impossible"));
    let mut long = bytes;
    long[18..26].copy_from_slice(&(1_u64 << 30).to_le_bytes());
    assert!(load(&long).unwrap_err().to_string().contains("cut off"));
}

/// The state of two events of one moment, with the last place of `from` overwritten by `to` and signed anew.
fn forged(from: &[i64], to: &[i64]) -> String {
    let mut engine = Engine::new(spec()).unwrap();
    let mut out = Vec::new();
    for (id, card) in [("1", "a"), ("2", "b")] {
        let row = EventRow {
            id: Some(id),
            time: 5_000_001,
            entities: &[Some(card), None, None],
            ..EventRow::default()
        };
        engine.step(&row, &mut out).unwrap();
    }
    let mut bytes = saved(&engine);
    let raw =
        |numbers: &[i64]| -> Vec<u8> { numbers.iter().flat_map(|n| n.to_le_bytes()).collect() };
    let (from, to) = (raw(from), raw(to));
    let at = bytes.windows(from.len()).rposition(|w| w == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(&to);
    load(&signed(bytes)).unwrap_err().to_string()
}

#[test]
fn states_that_contradict_themselves_are_errors() {
    let time = 5_000_001;
    // Number and time of the second event, as its card has them.
    assert!(forged(&[1, time], &[1, time - 1]).contains("not what was kept"));
    assert!(forged(&[1, time], &[2, time]).contains("not what was kept"));
    assert!(forged(&[1, time], &[0, time]).contains("two entities"));
    assert!(forged(&[time], &[time + 1]).contains("not what was kept"));
    // The newest time, and how many events are kept.
    assert!(forged(&[time, 0, 0, 2], &[time - 1, 0, 0, 2]).contains("out of order"));
    assert!(forged(&[time, 0, 0, 2], &[time, 0, 0, 1 << 40]).contains("promises more"));
    assert!(forged(&[time, 0, 0, 2], &[time, 0, i64::MAX, 2]).contains("counted too far"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Forged bytes under a right checksum: an error, or an engine that works.
    #[test]
    fn forged_states_do_no_harm(at in 0.0..1.0_f64, to in any::<u8>(), wide in any::<bool>()) {
        let mut bytes = some();
        let last = bytes.len() - 32;
        let at = 26 + (at * (last - 26) as f64) as usize;
        let until = if wide { (at + 8).min(last) } else { at + 1 };
        bytes[at..until].fill(to);
        if let Ok(mut engine) = load(&signed(bytes)) {
            run(&mut engine, &messages(6, 60));
        }
    }
}

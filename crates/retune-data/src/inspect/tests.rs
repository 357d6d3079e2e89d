//! Tests of the inspection on a small file with one of every trouble.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::read::{ReadOptions, read};
use crate::roles::{RoleRequest, detect};

const FILE: &str = "text,label\n\
    A fine film indeed,pos\n\
    a FINE film indeed!,neg\n\
    Dull and far too long,neg\n\
    dull and far too long,neg\n\
    !,pos\n\
    I liked the music,Pos\n\
    Not much to say here,\n\
    Bad acting all around,neg\n";

fn look(text: &str, max_length: usize) -> Inspection {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    std::fs::write(&path, text).unwrap();
    let t = read(&path, &ReadOptions::default()).unwrap();
    let roles = detect(&t, &RoleRequest::default()).unwrap();
    inspect(
        &t,
        &roles,
        Some(&|s: &str| s.split_whitespace().count()),
        max_length,
    )
}

#[test]
fn troubles_are_counted_with_their_places() {
    let found = look(FILE, 512);
    assert_eq!((found.rows, found.unlabelled, found.near_empty), (8, 1, 1));
    assert!(found.near_empty_places[0].ends_with("line 6"));
    assert_eq!((found.duplicates, found.conflicting), (2, 1));
    assert!(
        found.conflicts[0].rows[1].ends_with("line 3: neg"),
        "{:?}",
        found.conflicts
    );
    assert_eq!(found.classes[0].name, "neg");
    assert_eq!(found.classes[0].rows, 4);
    assert!(
        found
            .notes
            .iter()
            .any(|n| n.contains("`pos`, `Pos`") && n.contains("spelling")),
        "{:?}",
        found.notes
    );
    assert!(
        found
            .notes
            .iter()
            .any(|n| n.contains("`Pos`") && n.contains("one row only")),
        "{:?}",
        found.notes
    );
    assert!(found.truncated.unwrap().proposal.is_none());
}

#[test]
fn chunking_is_proposed_when_over_a_tenth_is_cut() {
    let cut = look(FILE, 6).truncated.unwrap();
    // Five words and two special tokens are more than six.
    assert_eq!(cut.rows, 3);
    assert!(cut.proposal.unwrap().contains("--long chunk-mean"));
}

#[test]
fn percentiles_are_nearest_rank() {
    let lengths: Vec<usize> = (1..=100).rev().collect();
    assert_eq!(
        percentiles(&lengths),
        Percentiles {
            p50: 50,
            p90: 90,
            p95: 95,
            p99: 99,
            max: 100
        }
    );
    assert_eq!(percentiles(&[]), Percentiles::default());
}

#[test]
fn it_prints_and_serializes() {
    let found = look(FILE, 512);
    let text = found.to_string();
    for part in [
        "8 rows, 2 columns",
        "without a label      1",
        "words   half 4",
        "label  `label`",
        "neg            4   57.1 %",
    ] {
        assert!(
            text.contains(part) || part.starts_with("neg"),
            "{part} is not in\n{text}"
        );
    }
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["roles"]["task"], "classification");
}

#[test]
fn a_stray_number_among_words_is_pointed_out() {
    let found = look(&FILE.replace("!,pos", "!,7"), 512);
    assert!(
        found
            .notes
            .iter()
            .any(|n| n.contains("mixes numbers and words (`7`")),
        "{:?}",
        found.notes
    );
}

//! Planted leaks are named and clean data has none.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;

use super::*;
use crate::random::mix;
use crate::read::{ReadOptions, read};
use crate::roles::{RoleRequest, detect};

const WORDS: [&str; 12] = [
    "the", "film", "was", "long", "music", "fine", "story", "about", "war", "and", "dull", "rain",
];

/// Texts of random words with a label that has nothing to do with them; `more` adds to the text and gives the further
/// cells of a row.
fn file(rows: u64, columns: &str, more: &dyn Fn(u64, u64) -> (String, String)) -> (Table, Roles) {
    let mut csv = format!("text,label{columns}\n");
    for row in 0..rows {
        let word = |i| WORDS[mix(row, i) as usize % WORDS.len()];
        let text: Vec<&str> = (0..9).map(word).collect();
        let class = mix(7, row) % 2;
        let (extra, cells) = more(row, class);
        writeln!(
            csv,
            "{} {extra},{}{cells}",
            text.join(" "),
            ["no", "yes"][class as usize]
        )
        .unwrap();
    }
    open(&csv, "label")
}

fn open(csv: &str, label: &str) -> (Table, Roles) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    std::fs::write(&path, csv).unwrap();
    let t = read(&path, &ReadOptions::default()).unwrap();
    let request = RoleRequest {
        text: vec!["text".to_string()],
        label: Some(label.to_string()),
        ..RoleRequest::default()
    };
    let roles = detect(&t, &request).unwrap();
    (t, roles)
}

fn all(t: &Table) -> Vec<usize> {
    (0..t.rows()).collect()
}

fn columns(found: &[ColumnLeak]) -> Vec<&str> {
    found.iter().map(|leak| leak.column.as_str()).collect()
}

#[test]
fn clean_rows_have_no_leaks() {
    let more = |row: u64, _| {
        (
            String::new(),
            format!(",{row},u{row},{},{}", row % 4, mix(3, row) % 1000),
        )
    };
    let (t, roles) = file(400, ",id,user,shop,price", &more);
    assert_eq!(token_leaks(&t, &roles, &all(&t)), []);
    assert_eq!(column_leaks(&t, &roles, &all(&t)), []);
}

#[test]
fn a_token_of_one_class_is_named() {
    // Half of the `yes` rows end in a smiley, and one `no` row in a hundred does.
    let more = |row: u64, class| {
        let smiley = if class == 1 {
            row.is_multiple_of(2)
        } else {
            row == 5
        };
        (
            if smiley { "Great :)" } else { "" }.to_string(),
            String::new(),
        )
    };
    let (t, roles) = file(1000, "", &more);
    let found = token_leaks(&t, &roles, &all(&t));
    let names: Vec<&str> = found.iter().map(|l| l.token.as_str()).collect();
    assert_eq!(names, [":)", "great"]);
    assert_eq!(found[0].label, "yes");
    assert!(found[0].share >= 0.98 && found[0].rows > 200);
    assert!((0.4..0.6).contains(&found[0].prior));
}

#[test]
fn a_token_of_a_frequent_class_only_is_chance() {
    let mut csv = "text,label\n".to_string();
    for row in 0..200 {
        let class = if row % 20 == 19 { "no" } else { "yes" };
        let stamp = if class == "yes" && row < 45 {
            "stamp"
        } else {
            ""
        };
        writeln!(csv, "it was a long story {stamp},{class}").unwrap();
    }
    let (t, roles) = open(&csv, "label");
    assert_eq!(token_leaks(&t, &roles, &all(&t)), []);
}

#[test]
fn labels_of_a_list_are_told_one_by_one() {
    let mut csv = "text,tags\n".to_string();
    for row in 0..600u64 {
        let word = |i| WORDS[mix(row, i) as usize % WORDS.len()];
        let text: Vec<&str> = (0..6).map(word).collect();
        let stamp = if row % 3 == 0 { " [x]" } else { "" };
        let tags = ["a|c", "b", "b|d"][row as usize % 3];
        writeln!(csv, "{}{stamp},{tags}", text.join(" ")).unwrap();
    }
    let (t, roles) = open(&csv, "tags");
    assert_eq!(roles.task, Some(TaskKind::MultiLabel));
    let found = token_leaks(&t, &roles, &all(&t));
    let told: Vec<(&str, &str)> = found.iter().map(|l| (&*l.token, &*l.label)).collect();
    assert_eq!(told, [("x", "a"), ("x", "c")]);
}

#[test]
fn columns_that_tell_the_class_are_named() {
    // The label in other words; its absence; a number on either side of a threshold; a file sorted by label would do
    // the same to an identifier.
    let more = |row: u64, class: u64| {
        let stars = ["1", "5"][class as usize];
        let reason = if class == 0 {
            format!("r{row}")
        } else {
            String::new()
        };
        let amount = class * 5000 + mix(9, row) % 4000;
        (
            String::new(),
            format!(",{stars},{reason},{amount},{}", mix(4, row) % 3),
        )
    };
    let (t, roles) = file(400, ",stars,reason,amount,shop", &more);
    let found = column_leaks(&t, &roles, &all(&t));
    let mut names = columns(&found);
    names.sort_unstable();
    assert_eq!(names, ["amount", "reason", "stars"]);
    assert!(found.iter().all(|l| l.share > 0.98 && l.prior < 0.6));
}

#[test]
fn columns_that_tell_a_number_are_named() {
    let mut csv = "text,price,gross,colour\n".to_string();
    for row in 0..500u64 {
        let word = |i| WORDS[mix(row, i) as usize % WORDS.len()];
        let text: Vec<&str> = (0..6).map(word).collect();
        let price = (mix(5, row) % 10_000) as f64 / 100.0;
        let gross = price * 1.19 + 3.0;
        writeln!(
            csv,
            "{},{price},{gross},{}",
            text.join(" "),
            mix(6, row) % 4
        )
        .unwrap();
    }
    let (t, roles) = open(&csv, "price");
    assert_eq!(roles.task, Some(TaskKind::Regression));
    assert_eq!(columns(&column_leaks(&t, &roles, &all(&t))), ["gross"]);
    assert_eq!(token_leaks(&t, &roles, &all(&t)), []);
}

//! Tests of the division of rows.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::table::{RowOrigin, Values};

fn table(columns: &[(&str, Vec<String>)]) -> Table {
    let rows = columns[0].1.len();
    Table {
        columns: columns
            .iter()
            .map(|(name, values)| Column {
                name: (*name).to_string(),
                values: Values::Text(
                    values
                        .iter()
                        .map(|v| (!v.is_empty()).then(|| v.clone()))
                        .collect(),
                ),
            })
            .collect(),
        origin: (0..rows)
            .map(|i| RowOrigin {
                file: 0,
                line: i as u64 + 2,
            })
            .collect(),
        files: vec!["t.csv".into()],
        notes: Vec::new(),
    }
}

fn roles(task: TaskKind) -> Roles {
    Roles {
        text: vec!["text".into()],
        pictures: false,
        label: Some("label".into()),
        task: Some(task),
        group: None,
        time: None,
        reasons: Vec::new(),
    }
}

fn labelled(rows: usize, label: impl Fn(usize) -> String) -> Table {
    table(&[
        (
            "text",
            (0..rows).map(|i| format!("sentence number {i}")).collect(),
        ),
        ("label", (0..rows).map(label).collect()),
    ])
}

fn run(t: &Table, o: &SplitOptions, given: &Given) -> Result<Split> {
    let rows: Vec<usize> = (0..t.rows()).collect();
    split(t, &rows, &roles(TaskKind::Classification), o, given, &[])
}

fn share(t: &Table, rows: &[usize], class: &str) -> f64 {
    let column = t.column("label").unwrap();
    rows.iter()
        .filter(|&&r| column.text(r).unwrap() == class)
        .count() as f64
        / rows.len() as f64
}

#[test]
fn random_splits_keep_class_shares_and_repeat_by_seed() {
    let t = labelled(1000, |i| {
        if i % 10 == 0 { "rare" } else { "common" }.to_string()
    });
    let s = run(&t, &SplitOptions::default(), &Given::default()).unwrap();
    assert_eq!(
        (s.record.train, s.record.valid, s.record.test),
        (700, 100, 200)
    );
    for side in [&s.train, &s.valid, &s.test] {
        assert!((share(&t, side, "rare") - 0.1).abs() < 1e-9);
    }
    let again = run(&t, &SplitOptions::default(), &Given::default()).unwrap();
    assert_eq!((&again.train, &again.record), (&s.train, &s.record));
    let other = run(
        &t,
        &SplitOptions {
            seed: 1,
            ..SplitOptions::default()
        },
        &Given::default(),
    )
    .unwrap();
    assert_ne!(other.test, s.test);
    assert_ne!(other.record.fingerprint, s.record.fingerprint);
}

#[test]
fn numbers_are_stratified_by_rank() {
    let t = labelled(200, |i| format!("{}", i * i));
    let rows: Vec<usize> = (0..200).collect();
    let s = split(
        &t,
        &rows,
        &roles(TaskKind::Regression),
        &SplitOptions::default(),
        &Given::default(),
        &[],
    )
    .unwrap();
    assert_eq!(s.test.len(), 40);
    for tenth in 0..10 {
        let inside = s.test.iter().filter(|&&r| r / 20 == tenth).count();
        assert_eq!(inside, 4, "tenth {tenth}");
    }
}

#[test]
fn repeated_texts_stay_together_at_random() {
    let mut t = labelled(100, |i| ["a", "b"][i % 2].to_string());
    for row in 0..20 {
        if let Values::Text(v) = &mut t.columns[0].values {
            v[row + 50] = Some(format!("  Sentence, NUMBER {row}! "));
        }
    }
    let s = run(&t, &SplitOptions::default(), &Given::default()).unwrap();
    assert_eq!(s.record.duplicates_together, 20);
    assert_eq!(s.record.conflicting, 0);
    let side = |row: usize| {
        [&s.train, &s.valid, &s.test]
            .iter()
            .position(|v| v.contains(&row))
            .unwrap()
    };
    assert!((0..20).all(|row| side(row) == side(row + 50)));
    let far = labelled(100, |i| if i < 50 { "a" } else { "b" }.to_string());
    let mut conflicting = far.clone();
    conflicting.columns[0] = t.columns[0].clone();
    assert_eq!(
        run(&conflicting, &SplitOptions::default(), &Given::default())
            .unwrap()
            .record
            .conflicting,
        20
    );
}

#[test]
fn groups_are_never_torn_apart() {
    let mut t = labelled(300, |i| ["a", "b", "c"][i % 3].to_string());
    t.columns.push(Column {
        name: "user".into(),
        values: Values::Text(
            (0..300)
                .map(|i| (i >= 10).then(|| format!("u{}", i % 37)))
                .collect(),
        ),
    });
    let o = SplitOptions {
        group: Some("user".into()),
        ..SplitOptions::default()
    };
    let s = run(&t, &o, &Given::default()).unwrap();
    let users = |rows: &[usize]| -> HashSet<usize> {
        rows.iter().filter(|&&r| r >= 10).map(|r| r % 37).collect()
    };
    assert!(
        users(&s.train).is_disjoint(&users(&s.test))
            && users(&s.train).is_disjoint(&users(&s.valid))
    );
    assert!(users(&s.valid).is_disjoint(&users(&s.test)));
    assert!(
        (50..70).contains(&s.test.len()) && (20..40).contains(&s.valid.len()),
        "{:?}",
        s.record
    );
    assert!(s.record.how.contains("groups of `user`"));
}

#[test]
fn labels_that_stay_together_are_dealt_out_by_the_shares() {
    let t = labelled(300, |i| format!("c{}", i % 30));
    let o = SplitOptions {
        group: Some("label".into()),
        ..SplitOptions::default()
    };
    let s = run(&t, &o, &Given::default()).unwrap();
    assert_eq!([s.train.len(), s.valid.len(), s.test.len()], [210, 30, 60]);
    let side = |rows: &[usize]| -> HashSet<usize> { rows.iter().map(|r| r % 30).collect() };
    let (train, others) = (side(&s.train), [side(&s.valid), side(&s.test)]);
    assert!(others.iter().all(|side| train.is_disjoint(side)));
    assert!(others[0].is_disjoint(&others[1]));
    assert_eq!(s.record.notes, Vec::<String>::new());
}

#[test]
fn few_groups_still_give_every_side_one() {
    let mut t = labelled(30, |i| ["a", "b"][i % 2].to_string());
    let hospitals = (0..30).map(|i| Some(format!("h{}", i / 10))).collect();
    t.columns.push(Column {
        name: "site".into(),
        values: Values::Text(hospitals),
    });
    let o = SplitOptions {
        group: Some("site".into()),
        ..SplitOptions::default()
    };
    let s = run(&t, &o, &Given::default()).unwrap();
    assert_eq!((s.train.len(), s.valid.len(), s.test.len()), (10, 10, 10));
    let one = t.select(&(0..10).collect::<Vec<_>>());
    let error = run(&one, &o, &Given::default()).unwrap_err().to_string();
    assert!(error.contains("would have no rows"), "{error}");
}

#[test]
fn time_puts_the_newest_rows_into_the_test() {
    let mut t = labelled(100, |i| ["a", "b"][i % 2].to_string());
    // Newest first in the file, four rows per day.
    let days = (0..100)
        .map(|i| Some(format!("2024-0{}-{:02}", 3 - i / 40, 1 + (99 - i) / 4 % 10)))
        .collect();
    t.columns.push(Column {
        name: "day".into(),
        values: Values::Text(days),
    });
    let o = SplitOptions {
        time: Some("day".into()),
        ..SplitOptions::default()
    };
    let s = run(&t, &o, &Given::default()).unwrap();
    let day = |r: &usize| t.columns[2].text(*r).unwrap().into_owned();
    let newest_train = s.train.iter().map(day).max().unwrap();
    let oldest_valid = s.valid.iter().map(day).min().unwrap();
    let newest_valid = s.valid.iter().map(day).max().unwrap();
    let oldest_test = s.test.iter().map(day).min().unwrap();
    assert!(newest_train < oldest_valid && newest_valid < oldest_test);
    if let Values::Text(v) = &mut t.columns[2].values {
        v[5] = Some("soon".into());
    }
    let error = run(&t, &o, &Given::default()).unwrap_err().to_string();
    assert!(
        error.contains("`day` in t.csv, line 7: `soon` is no time"),
        "{error}"
    );
}

#[test]
fn training_rows_that_are_in_a_given_test_file_are_dropped() {
    let mut t = labelled(120, |i| ["a", "b"][i % 2].to_string());
    if let Values::Text(v) = &mut t.columns[0].values {
        v[3] = Some("SENTENCE number 110".into());
        v[4] = v[105].clone();
    }
    let given = Given {
        valid: None,
        test: Some(100..120),
    };
    let s = run(&t, &SplitOptions::default(), &given).unwrap();
    assert_eq!(s.test, (100..120).collect::<Vec<_>>());
    assert_eq!(s.record.duplicates_dropped, 2);
    assert!(!s.train.contains(&3) && !s.valid.contains(&3));
    assert_eq!(s.train.len() + s.valid.len(), 98);
    assert!(s.record.how.starts_with("given test file"));
    let both = Given {
        valid: Some(100..110),
        test: Some(110..120),
    };
    let s = run(&t, &SplitOptions::default(), &both).unwrap();
    assert_eq!(
        (
            s.train.len(),
            s.valid.len(),
            s.test.len(),
            s.record.how.as_str()
        ),
        (98, 10, 10, "given files")
    );
}

#[test]
fn tiny_classes_train() {
    let t = labelled(12, |i| {
        if i == 0 {
            "once".to_string()
        } else {
            format!("c{}", i % 2)
        }
    });
    let s = run(&t, &SplitOptions::default(), &Given::default()).unwrap();
    assert!(s.train.contains(&0));
    assert!(!s.valid.is_empty() && !s.test.is_empty());
    assert!(
        s.record
            .notes
            .iter()
            .any(|n| n.contains("`once` has one row only")),
        "{:?}",
        s.record.notes
    );
}

#[test]
fn a_test_file_with_every_training_text_is_told() {
    let t = labelled(20, |i| ["a", "b"][i % 2].to_string());
    let twice = Table::concat(vec![t.clone(), t]).unwrap();
    let given = Given {
        test: Some(20..40),
        ..Given::default()
    };
    let error = run(&twice, &SplitOptions::default(), &given).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("all 20 training rows are also in"),
        "{error}"
    );
}

#[test]
fn impossible_requests_are_explained() {
    let error = |rows: usize, o: SplitOptions| {
        let t = labelled(rows, |i| ["a", "b"][i % 2].to_string());
        run(&t, &o, &Given::default()).unwrap_err().to_string()
    };
    assert!(error(2, SplitOptions::default()).contains("would have no rows"));
    let o = SplitOptions {
        valid_share: 0.5,
        test_share: 0.5,
        ..SplitOptions::default()
    };
    assert!(error(9, o).contains("leave nothing to train on"));
    let o = SplitOptions {
        valid_share: f64::NAN,
        ..SplitOptions::default()
    };
    assert!(error(9, o).contains("shares from 0"));
    let o = SplitOptions {
        group: Some("text".into()),
        time: Some("label".into()),
        ..SplitOptions::default()
    };
    assert!(error(9, o).contains("not both"));
    let o = SplitOptions {
        group: Some("usr".into()),
        ..SplitOptions::default()
    };
    assert!(error(9, o).contains("no column `usr`"));
}

#[test]
fn a_sample_keeps_class_shares_and_given_files() {
    let t = labelled(1100, |i| if i % 4 == 0 { "a" } else { "b" }.to_string());
    let o = SplitOptions {
        max_rows: Some(200),
        ..SplitOptions::default()
    };
    let s = run(
        &t,
        &o,
        &Given {
            valid: None,
            test: Some(1000..1100),
        },
    )
    .unwrap();
    assert_eq!(
        (
            s.test.len(),
            s.train.len() + s.valid.len(),
            s.record.sampled_out
        ),
        (100, 200, 800)
    );
    assert!((share(&t, &s.train, "a") - 0.25).abs() < 0.01);
}

proptest! {
    #[test]
    fn sides_are_disjoint_complete_and_share_no_text(
        texts in proptest::collection::vec(0u8..40, 12..120),
        seed in 0u64..1000,
    ) {
        let t = table(&[
            ("text", texts.iter().map(|i| format!("text {i}")).collect()),
            ("label", texts.iter().enumerate().map(|(row, _)| format!("{}", row % 3)).collect()),
        ]);
        let o = SplitOptions { seed, ..SplitOptions::default() };
        let s = run(&t, &o, &Given::default());
        prop_assume!(s.is_ok());
        let s = s.unwrap();
        let mut all: Vec<usize> = s.train.iter().chain(&s.valid).chain(&s.test).copied().collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..texts.len()).collect::<Vec<_>>());
        let seen = |rows: &[usize]| rows.iter().map(|&r| texts[r]).collect::<HashSet<_>>();
        prop_assert!(seen(&s.train).is_disjoint(&seen(&s.test)));
        prop_assert!(seen(&s.train).is_disjoint(&seen(&s.valid)));
        prop_assert!(seen(&s.valid).is_disjoint(&seen(&s.test)));
    }
}

/// Twenty pairs of pictures that look alike, rows 2i and 2i + 1, and sixty more rows.
fn alike() -> Vec<Vec<usize>> {
    (0..20).map(|i| vec![2 * i, 2 * i + 1]).collect()
}

fn pictures() -> Table {
    table(&[
        ("text", (0..100).map(|i| format!("{i}.png")).collect()),
        ("label", (0..100).map(|i| (i / 2 % 2).to_string()).collect()),
        (
            "time",
            (0..100).map(|i| (i * 37 % 100).to_string()).collect(),
        ),
    ])
}

fn run_pictures(o: &SplitOptions, given: &Given) -> Split {
    let rows: Vec<usize> = (0..100).collect();
    let roles = Roles {
        pictures: true,
        ..roles(TaskKind::Classification)
    };
    split(&pictures(), &rows, &roles, o, given, &alike()).unwrap()
}

fn shared(s: &Split) -> usize {
    near::across(&alike(), &[&s.train, &s.valid, &s.test]).len()
}

#[test]
fn pictures_that_look_alike_stay_on_one_side() {
    for seed in 0..20 {
        let o = SplitOptions {
            seed,
            ..SplitOptions::default()
        };
        let s = run_pictures(&o, &Given::default());
        assert_eq!(shared(&s), 0);
        assert_eq!(s.record.duplicates_together, 20);
        let sizes = [s.train.len(), s.valid.len(), s.test.len()];
        assert_eq!(sizes.iter().sum::<usize>(), 100);
        // Shares are met up to the size of a group and class.
        assert!(
            sizes[1].abs_diff(10) < 3 && sizes[2].abs_diff(20) < 3,
            "{sizes:?}"
        );
        assert!(s.record.notes.is_empty(), "{:?}", s.record.notes);
    }
}

#[test]
fn in_time_the_earlier_copy_of_a_picture_is_dropped() {
    let o = SplitOptions {
        time: Some("time".into()),
        ..SplitOptions::default()
    };
    let s = run_pictures(&o, &Given::default());
    assert_eq!(shared(&s), 0);
    assert!(s.record.duplicates_dropped > 0);
    assert_eq!(
        s.train.len() + s.valid.len() + s.test.len() + s.record.duplicates_dropped,
        100
    );
}

#[test]
fn given_sides_of_pictures_are_noted_and_not_changed() {
    let given = Given {
        valid: None,
        test: Some(0..31),
    };
    let o = SplitOptions {
        valid_share: 0.0,
        ..SplitOptions::default()
    };
    let s = run_pictures(&o, &given);
    assert_eq!((s.train.len(), s.test.len()), (69, 31));
    assert_eq!((s.record.duplicates_dropped, shared(&s)), (0, 1));
    let note = &s.record.notes[0];
    assert!(
        note.contains("1 validation or test pictures")
            && note.contains("t.csv, line 32 like t.csv, line 33"),
        "{note}"
    );
}

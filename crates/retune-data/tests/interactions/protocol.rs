//! Division of events into training sequences, validation and test targets, and the synthetic shop under both protocols.

use std::fmt::Write as _;

use proptest::prelude::*;
use retune_data::interactions::catalogue::{Catalogue, CatalogueRequest};
use retune_data::interactions::protocol::{CutOff, Histories, Protocol, divide};
use retune_data::interactions::synthetic::{Shop, shop};
use retune_data::interactions::{Filters, Interactions, SECOND};

use crate::parse;

fn all() -> Filters {
    Filters {
        min_user_events: 1,
        ..Filters::default()
    }
}

const LOG: &str = "user_id,item_id,timestamp
a,p,1
a,q,2
b,p,3
a,r,4
b,q,5
c,p,5
a,s,6
b,s,7
d,t,8
b,t,9
";

/// A row as `user: training | validation | test`.
fn shown(i: &Interactions, h: &Histories) -> Vec<String> {
    let name = |item: u32| i.items[item as usize].clone();
    let target = |t: Option<(u32, i64)>| {
        t.map_or("-".to_string(), |(item, time)| {
            format!("{}{}", name(item), time / SECOND)
        })
    };
    (0..h.len())
        .map(|row| {
            let train: Vec<String> = h.train(row).iter().map(|&x| name(x)).collect();
            let user = &i.users[h.users[row] as usize];
            format!(
                "{user}: {} | {} | {}",
                train.join(" "),
                target(h.valid(row)),
                target(h.test(row))
            )
        })
        .collect()
}

/// Kinds are numbered by how frequent they are, go where their events go, and are none where there is one.
#[test]
fn what_was_done_stands_beside_what_was_taken() {
    let log = "user,item,timestamp,event\na,p,4,view\na,q,1,buy\na,r,2,view\na,s,3,view\nb,p,1,buy\nb,q,9,view\n";
    let (i, mut h) = divide(parse("t.csv", log), &all(), Protocol::LeaveOneOut).unwrap();
    assert_eq!(i.kinds().0, ["view", "buy"]);
    assert_eq!(shown(&i, &h), ["a: q r | s3 | p4", "b: p | - | q9"]);
    let of = |h: &Histories| {
        [0, 1].map(|row| (h.train_kinds(row).to_vec(), h.known_kinds(row).to_vec()))
    };
    assert_eq!(of(&h), [(vec![1, 0], vec![1, 0, 0]), (vec![1], vec![1])]);
    h.number_kinds(|kind| kind + 5);
    assert_eq!(h.known_kinds(0), [6, 5, 5]);
    h.forget_kinds();
    assert_eq!(of(&h), [(vec![], vec![]), (vec![], vec![])]);
    let one = log.replace("buy", "view");
    let (i, h) = divide(parse("t.csv", &one), &all(), Protocol::LeaveOneOut).unwrap();
    assert!(i.kinds().0.is_empty() && h.known_kinds(0).is_empty());
}

#[test]
fn the_last_event_is_the_test_and_the_one_before_validation() {
    let (i, h) = divide(parse("t.csv", LOG), &all(), Protocol::LeaveOneOut).unwrap();
    assert_eq!(shown(&i, &h), ["a: p q | r4 | s6", "b: p q | s7 | t9"]);
    let known: Vec<&str> = h
        .known(0)
        .iter()
        .map(|&x| i.items[x as usize].as_str())
        .collect();
    assert_eq!(known, ["p", "q", "r"]);
    assert_eq!(h.known_times(1), [3, 5, 7].map(|t| t * SECOND));
    assert_eq!(h.train_times(1), [3, 5].map(|t| t * SECOND));
    assert!(
        h.notes
            .iter()
            .any(|n| n.contains("2 users have one event only")),
        "{:?}",
        h.notes
    );
    let counts = h.counts();
    assert_eq!(
        (counts.users, counts.training, counts.valid, counts.test),
        (2, 4, 2, 2)
    );
    // Only b has s before its test; nobody has t.
    assert_eq!((counts.cold, counts.seen), (1, 0));
}

#[test]
fn two_events_make_a_test_without_validation() {
    let (i, h) = divide(
        parse("t.csv", "user_id,item_id,timestamp\na,x,1\na,x,2\n"),
        &all(),
        Protocol::LeaveOneOut,
    )
    .unwrap();
    assert_eq!(shown(&i, &h), ["a: x | - | x2"]);
    assert_eq!(h.counts().seen, 1);
    let error = divide(
        parse("t.csv", "user_id,item_id,timestamp\na,x,1\nb,x,2\n"),
        &all(),
        Protocol::LeaveOneOut,
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("no user has an event to test on"), "{error}");
}

#[test]
fn equal_times_are_divided_in_the_order_of_the_file() {
    let (i, h) = divide(
        parse(
            "t.csv",
            "user_id,item_id,timestamp\na,z,1\na,x,5\na,z,5\na,y,5\n",
        ),
        &all(),
        Protocol::LeaveOneOut,
    )
    .unwrap();
    assert_eq!(shown(&i, &h), ["a: z x | z5 | y5"]);
    assert!(
        h.notes
            .iter()
            .any(|n| n.contains("75.0 % of the events share user and time")),
        "{:?}",
        h.notes
    );
}

#[test]
fn nothing_from_the_cut_off_on_is_learned_from() {
    let (i, h) = divide(
        parse("t.csv", LOG),
        &all(),
        Protocol::Temporal(CutOff::Time(5 * SECOND)),
    )
    .unwrap();
    // The event of b at the cut-off itself is its test; c and d have no event before it.
    assert_eq!(shown(&i, &h), ["a: p q | r4 | s6", "b: p | - | q5"]);
    assert_eq!(h.cut_off, Some(5 * SECOND));
    assert!(
        h.notes
            .iter()
            .any(|n| n.contains("2 users have no event before")),
        "{:?}",
        h.notes
    );
    assert!(
        h.notes.iter().any(|n| n.contains("2 events follow")),
        "{:?}",
        h.notes
    );
    // A user without events after the cut-off is learned from and not tested.
    let (i, h) = divide(
        parse("t.csv", LOG),
        &all(),
        Protocol::Temporal(CutOff::Share(0.2)),
    )
    .unwrap();
    assert_eq!(h.cut_off, Some(8 * SECOND));
    assert_eq!(shown(&i, &h), ["a: p q r | s6 | -", "b: p q | s7 | t9"]);
}

#[test]
fn a_cut_off_must_leave_events_on_both_sides() {
    for (time, shown) in [(1, "1970-01-01 00:00"), (10, "1970-01-01 00:00")] {
        let error = divide(
            parse("t.csv", LOG),
            &all(),
            Protocol::Temporal(CutOff::Time(time * SECOND)),
        );
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("one side of the cut-off") && error.contains(shown),
            "{error}"
        );
    }
    let same = "user_id,item_id,timestamp\na,x,5\na,y,5\n";
    assert!(
        divide(
            parse("t.csv", same),
            &all(),
            Protocol::Temporal(CutOff::Share(0.5))
        )
        .is_err()
    );
}

#[test]
fn cut_offs_are_read_as_shares_and_dates() {
    assert_eq!(CutOff::parse("10%").unwrap(), CutOff::Share(0.1));
    assert_eq!(CutOff::parse(" 0.25 ").unwrap(), CutOff::Share(0.25));
    assert_eq!(
        CutOff::parse("2000-12-31 22:12:40").unwrap(),
        CutOff::Time(978_300_760 * SECOND)
    );
    assert_eq!(
        CutOff::parse("978300760000").unwrap(),
        CutOff::Time(978_300_760 * SECOND)
    );
    for text in ["0", "100%", "-0.5", "x%", "later", "", "nan"] {
        let error = CutOff::parse(text).unwrap_err().to_string();
        assert!(
            error.contains("is no cut-off") && error.contains("10%"),
            "{text}: {error}"
        );
    }
}

proptest! {
    /// Whatever the events, every row's parts are those of its user in order, and the sides do not mix.
    #[test]
    fn parts_are_in_order_and_complete(
        events in proptest::collection::vec((0..6_u8, 0..9_u8, 1..40_i64), 2..120),
        cut in proptest::option::of(2..39_i64),
    ) {
        let mut text = String::from("user_id,item_id,timestamp\n");
        for (user, item, time) in &events {
            writeln!(text, "u{user},i{item},{time}").unwrap();
        }
        let protocol = cut.map_or(Protocol::LeaveOneOut, |t| Protocol::Temporal(CutOff::Time(t * SECOND)));
        let Ok((i, h)) = divide(parse("t.csv", &text), &all(), protocol) else { return Ok(()) };
        for row in 0..h.len() {
            let user = &i.users[h.users[row] as usize];
            let mut own: Vec<(i64, String)> = events
                .iter()
                .filter(|e| format!("u{}", e.0) == *user)
                .map(|e| (e.2, format!("i{}", e.1)))
                .collect();
            own.sort_by_key(|e| e.0);
            let mut parts: Vec<(i64, u32)> = h.train_times(row).iter().copied().zip(h.train(row).iter().copied()).collect();
            parts.extend(h.valid(row).map(|(item, time)| (time, item)));
            prop_assert_eq!(parts.len(), h.known(row).len());
            parts.extend(h.test(row).map(|(item, time)| (time, item)));
            for (part, own) in parts.iter().zip(&own) {
                prop_assert_eq!(part.0, own.0 * SECOND);
                prop_assert_eq!(&i.items[part.1 as usize], &own.1);
            }
            match cut {
                None => prop_assert_eq!(parts.len(), own.len()),
                Some(cut) => {
                    let before = own.iter().filter(|e| e.0 < cut).count();
                    prop_assert_eq!(h.known(row).len(), before);
                    prop_assert_eq!(h.test(row).is_some(), before < own.len());
                }
            }
        }
    }
}

/// Hit rate at 10 of a score of items, over the test targets; items already taken are left out.
fn hit_rate(h: &Histories, items: usize, score: impl Fn(&[u32]) -> Vec<f64>) -> f64 {
    let (mut hits, mut rows) = (0.0, 0.0);
    for row in 0..h.len() {
        let Some((target, _)) = h.test(row) else {
            continue;
        };
        let mut scores = score(h.known(row));
        assert_eq!(scores.len(), items);
        for &seen in h.known(row) {
            scores[seen as usize] = -1.0;
        }
        let own = scores[target as usize];
        let above = scores.iter().filter(|&&s| s > own).count();
        let tied = scores.iter().filter(|&&s| s == own).count() - 1;
        rows += 1.0;
        hits += f64::from((above as f64 + tied as f64 / 2.0) < 10.0);
    }
    hits / rows
}

/// The catalogue of the shop in the order of some items.
fn catalogue_of(made: &Shop, items: &[String]) -> Catalogue {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("items.csv");
    std::fs::write(&path, &made.items).unwrap();
    let catalogue = Catalogue::read(&path, &CatalogueRequest::default(), items).unwrap();
    assert_eq!(
        catalogue.text_columns,
        ["title", "genre", "author", "description"]
    );
    let catalogue = catalogue.align(items);
    assert!(catalogue.len() == 240 && catalogue.texts.iter().all(|t| t.contains("A book about")));
    catalogue
}

#[test]
fn the_synthetic_shop_is_small_fixed_by_its_seed_and_has_something_to_learn() {
    let made = shop(1);
    assert_eq!(made, shop(1));
    assert_ne!(made, shop(2));
    let bytes = made.items.len() + made.interactions.len();
    assert!(bytes <= 300_000, "{bytes} bytes");
    let i = parse("t.csv", &made.interactions);
    assert!((7_000..12_000).contains(&i.len()), "{} events", i.len());
    assert_eq!(i.facts().repeats, 0.0);
    let (i, h) = divide(i, &Filters::default(), Protocol::LeaveOneOut).unwrap();
    let n = i.items.len();
    let mut popular = vec![0.0; n];
    let mut next = vec![vec![0.0; n]; n];
    for row in 0..h.len() {
        for &item in h.known(row) {
            popular[item as usize] += 1.0;
        }
        for pair in h.known(row).windows(2) {
            next[pair[0] as usize][pair[1] as usize] += 1.0;
        }
    }
    let by_popularity = hit_rate(&h, n, |_| popular.clone());
    let by_order = hit_rate(&h, n, |history| {
        let last = *history.last().unwrap() as usize;
        next[last]
            .iter()
            .zip(&popular)
            .map(|(n, p)| n + 1e-6 * p)
            .collect()
    });
    let catalogue = catalogue_of(&made, &i.items);
    // Words shared with the last three books, times popularity.
    let words = |item: usize| -> Vec<&str> {
        catalogue.texts[item]
            .split(' ')
            .filter(|w| w.len() > 4)
            .collect()
    };
    let by_words = hit_rate(&h, n, |history| {
        let recent: Vec<&str> = history
            .iter()
            .rev()
            .take(3)
            .flat_map(|&x| words(x as usize))
            .collect();
        let shared = |item: usize| words(item).iter().filter(|w| recent.contains(w)).count();
        (0..n)
            .map(|item| (shared(item) as f64).powi(2) * (popular[item] + 1.0))
            .collect()
    });
    assert!(
        by_order > by_popularity + 0.1,
        "{by_order} and {by_popularity}"
    );
    assert!(
        by_words > by_popularity + 0.1,
        "{by_words} and {by_popularity}"
    );
}

#[test]
fn the_synthetic_shop_has_cold_items_under_a_cut_off() {
    let i = parse("t.csv", &shop(1).interactions);
    let (_, h) = divide(
        i,
        &Filters::default(),
        Protocol::Temporal(CutOff::Share(0.1)),
    )
    .unwrap();
    let counts = h.counts();
    assert!(
        counts.test > 100 && counts.cold > 0 && counts.seen == 0,
        "{counts:?}"
    );
}

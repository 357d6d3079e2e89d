//! Places, figures and floors against what can be counted by hand or the plain way.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::floors::{self, Absent, Ease, ItemKnn, MOST_ITEMS, Markov, Popular, Recent};
use super::*;
use crate::bootstrap::Random;
use crate::records::Word;

fn question<'a>(history: &'a [u32], targets: &'a [u32]) -> Question<'a> {
    Question {
        history,
        time: 0,
        targets,
    }
}

/// Above and tied of a target.
fn place(scores: &[f32], history: &[u32], target: u32, seen: Seen) -> (u32, u32) {
    let answer = Answer::of(scores, &question(history, &[target]), seen);
    (answer.places[0].above, answer.places[0].tied)
}

/// Histories of random users whose times rise by 0 to 3.
fn random_users(users: usize, items: usize, seed: u64) -> Vec<(Vec<u32>, Vec<i64>)> {
    let mut random = Random::new(seed, 0);
    let mut user = || {
        let events = 1 + random.below(30);
        let mut time = random.below(40) as i64;
        let mut next = |_| {
            time += random.below(4) as i64;
            (random.below(items) as u32, time)
        };
        (0..events).map(&mut next).unzip()
    };
    (0..users).map(|_| user()).collect()
}

fn histories(users: &[(Vec<u32>, Vec<i64>)]) -> Vec<History<'_>> {
    users
        .iter()
        .map(|(items, times)| History { items, times })
        .collect()
}

fn scored(scorer: &dyn Scorer, history: &[u32], time: i64, items: usize) -> Vec<f32> {
    // What was in the memory must not matter.
    let mut scores = vec![f32::NAN; items];
    scorer.score(history, time, &mut scores);
    scores
}

fn close(got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (item, (got, want)) in got.iter().zip(want).enumerate() {
        let gap = (f64::from(*got) - want).abs();
        assert!(
            gap < 1e-5 * (1.0 + want.abs()),
            "item {item}: {got}, by hand {want}"
        );
    }
}

#[test]
fn places_count_what_is_above_and_what_is_tied() {
    let scores = [0.5, 0.9, 0.5, 0.1, 0.5, 0.9];
    assert_eq!(place(&scores, &[], 0, Seen::Filtered), (2, 2));
    assert_eq!(place(&scores, &[], 4, Seen::Filtered), (2, 2));
    assert_eq!(place(&scores, &[], 1, Seen::Filtered), (0, 1));
    // One item above and one tied were seen, one of them twice.
    assert_eq!(place(&scores, &[1, 2, 1], 0, Seen::Filtered), (1, 1));
    assert_eq!(place(&scores, &[1, 2, 1], 0, Seen::Kept), (2, 2));
    // A target that was seen is below all that was not, and equal to what was.
    assert_eq!(place(&scores, &[1, 2, 3], 1, Seen::Filtered), (3, 2));
    assert_eq!(place(&scores, &[1, 2, 3], 1, Seen::Kept), (0, 1));
    let rank = |above, tied| Place { above, tied }.rank();
    assert_eq!((rank(0, 0), rank(3, 1), rank(0, 4)), (0.0, 3.5, 2.0));
}

#[test]
fn constant_and_broken_scores_find_nothing() {
    let popularity = Popularity {
        takers: vec![1; 100],
        users: 1,
        head_from: 1,
    };
    let mut some = vec![f32::NAN; 100];
    some[7] = 1.0;
    for scores in [vec![0.5; 100], vec![f32::NAN; 100], some] {
        for target in [[0], [7], [99]] {
            let questions = [question(&[], &target)];
            let answers = [Answer::of(&scores, &questions[0], Seen::Filtered)];
            let rated = Rated {
                questions: &questions,
                answers: &answers,
                popularity: &popularity,
            };
            let figures = rate(&rated, 0).metrics;
            assert_eq!(figures["hr@20"].value, 0.0, "{target:?} of {:?}", scores[0]);
            assert_eq!(figures["ndcg@10"].value, 0.0);
        }
    }
    // A number goes before what is none.
    let list = Answer::of(&[f32::NAN, 0.0, 1.0], &question(&[], &[]), Seen::Kept).list;
    assert_eq!(list, [2, 1, 0]);
}

#[test]
fn lists_hold_the_best_unseen_items_once() {
    let scores: Vec<f32> = (0..200).map(|i| (i / 2) as f32).collect();
    let list = Answer::of(&scores, &question(&[199, 5, 199], &[]), Seen::Filtered).list;
    assert_eq!(list.len(), LONGEST);
    assert_eq!(list[..5], [198, 196, 197, 194, 195]);
    let few = Answer::of(&scores[..3], &question(&[1], &[]), Seen::Filtered).list;
    assert_eq!(few, [2, 0]);
}

/// Two users of a catalogue of five items: the first has one target, on rank 1.5 with a tie, the second two, on ranks
/// 1 and 4.
struct Two {
    popularity: Popularity,
    scores: [[f32; 5]; 2],
}

impl Two {
    fn new() -> Self {
        Self {
            popularity: Popularity {
                takers: vec![4, 2, 1, 1, 0],
                users: 4,
                head_from: 4,
            },
            scores: [[0.9, 0.8, 0.8, 0.2, 0.1], [0.1, 0.9, 0.7, 0.8, 0.2]],
        }
    }

    const HISTORIES: [&'static [u32]; 2] = [&[0], &[0, 0]];
    const TARGETS: [&'static [u32]; 2] = [&[2], &[1, 4]];

    fn rated<T>(&self, then: impl FnOnce(&Rated) -> T) -> T {
        let questions = [0, 1].map(|user| question(Self::HISTORIES[user], Self::TARGETS[user]));
        let answers =
            [0, 1].map(|user| Answer::of(&self.scores[user], &questions[user], Seen::Kept));
        then(&Rated {
            questions: &questions,
            answers: &answers,
            popularity: &self.popularity,
        })
    }
}

#[test]
fn figures_are_those_counted_by_hand() {
    let figures = Two::new().rated(|rated| rate(rated, 1));
    // Ranks from 0: the first user's target has 1.5, the second's 0 and 3.
    let gain = |rank: f64| 1.0 / (rank + 2.0).log2();
    let both = [gain(1.5), (gain(0.0) + gain(3.0)) / (gain(0.0) + gain(1.0))];
    let bits = [0.0, 1.0, 2.0, 2.0, 2.0];
    // Lists of one item: 0 and 1; both users took item 0 only, which everyone did.
    for (key, want) in [
        ("hr@1", 0.5),
        ("recall@1", 0.25),
        ("ndcg@1", 0.5),
        ("mrr@1", 0.5),
        ("hr@5", 1.0),
        ("recall@5", 1.0),
        ("ndcg@5", f64::midpoint(both[0], both[1])),
        ("mrr@5", f64::midpoint(1.0 / 2.5, 1.0)),
        ("novelty@1", f64::midpoint(bits[0], bits[1])),
        ("novelty@5", bits.iter().sum::<f64>() / 5.0),
        ("popularity_bias@1", f64::midpoint(0.0, 0.5 - 1.0)),
        ("popularity_bias@50", 0.4 - 1.0),
    ] {
        let got = figures.metrics[key];
        assert!((got.value - want).abs() < 1e-12, "{key}: {got:?}, {want}");
        assert!(got.low <= got.value && got.value <= got.high, "{key}");
    }
    assert_eq!(figures.metrics.len(), RANKING_METRICS.len() * CUTOFFS.len());
    assert_eq!(figures.coverage["coverage@1"], 0.4);
    assert_eq!(figures.coverage["coverage@5"], 1.0);
    assert_eq!(figures.n, 2);
}

#[test]
fn slices_rate_the_targets_of_a_band_and_users_by_their_past() {
    let figures = Two::new().rated(|rated| rate(rated, 1));
    let slices: Vec<(&str, &str, usize)> = (figures.slices.iter())
        .map(|s| (&*s.by, &*s.value, s.n))
        .collect();
    // No target is of the head; the second user has one of the tail and a cold one.
    let expected = [
        ("target", "tail", 2),
        ("target", "cold", 1),
        ("history", "1-9", 2),
    ];
    assert_eq!(slices, expected);
    let cold = &figures.slices[1].metrics;
    assert_eq!(cold["mrr@10"].value, 0.25);
    assert_eq!(cold["hr@10"].value, 1.0);
    assert!(!cold.contains_key("novelty@10") && !cold.contains_key("hr@1"));
}

#[test]
fn bands_follow_the_takers() {
    // One user takes item 0 often; items 1 to 5 have two takers each, items 6 to 9 one.
    let once = [0_i64; 20];
    let items: [&[u32]; 2] = [&[0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9], &[1, 2, 3, 4, 5]];
    let users = items.map(|items| History {
        items,
        times: &once[..items.len()],
    });
    let popularity = Popularity::of(&Past::new(&users, 12).unwrap());
    assert_eq!(popularity.takers, [1, 2, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0]);
    // A fifth of ten seen items are two; all that are as popular as the second belong to the head.
    assert_eq!(popularity.head_from, 2);
    let bands: Vec<Band> = [0, 1, 5, 9, 10].map(|i| popularity.band(i)).to_vec();
    let expected = [Band::Tail, Band::Head, Band::Head, Band::Tail, Band::Cold];
    assert_eq!(bands, expected);
    let nobody = Popularity::of(&Past::new(&[], 3).unwrap());
    assert_eq!(nobody.band(2), Band::Cold);
}

#[test]
fn gains_are_paired() {
    let mut random = Random::new(2, 2);
    let popularity = Popularity {
        takers: vec![1; 40],
        users: 40,
        head_from: 1,
    };
    // The two share most of the noise: only the paired difference shows that the first is a little better.
    let targets: Vec<[u32; 1]> = (0..400).map(|_| [random.below(40) as u32]).collect();
    let questions: Vec<Question> = targets.iter().map(|t| question(&[], t)).collect();
    let mut answers = [Vec::new(), Vec::new()];
    for question in &questions {
        let mut scores: Vec<f32> = (0..40).map(|_| random.below(1000) as f32).collect();
        answers[1].push(Answer::of(&scores, question, Seen::Kept));
        scores[question.targets[0] as usize] += 20.0;
        answers[0].push(Answer::of(&scores, question, Seen::Kept));
    }
    let [better, worse] = [0, 1].map(|model| Rated {
        questions: &questions,
        answers: &answers[model],
        popularity: &popularity,
    });
    let found = gain(&better, &worse, "ndcg@10", 3).unwrap();
    assert_eq!(Word::of(&found), Word::Improved, "{found:?}");
    let back = gain(&worse, &better, "ndcg@10", 3).unwrap();
    assert!((back.value + found.value).abs() < 1e-12 && Word::of(&back) == Word::Worse);
    let [left, right] = [&better, &worse].map(|model| rate(model, 3).metrics["ndcg@10"]);
    assert!((left.value - right.value - found.value).abs() < 1e-12);
    assert!(left.low < right.high, "{left:?} {right:?}");
    let itself = gain(&better, &better, "ndcg@10", 3).unwrap();
    assert_eq!((itself.low, itself.value, itself.high), (0.0, 0.0, 0.0));
    assert_eq!(gain(&better, &worse, "ndcg@7", 3), None);
    assert_eq!(gain(&better, &worse, "auc@10", 3), None);

    let floors = [("popularity", vec![worse]), ("scratch", vec![better])];
    let verdict = judge(&[better], &floors, "ndcg@10", 3);
    let words = (verdict.helped, verdict.worth_shipping, verdict.word);
    assert_eq!(words, (Word::NoEvidence, Word::Improved, Word::NoEvidence));
    let floor = &verdict.floors["popularity"];
    assert!((floor.difference - found.value).abs() < 1e-12 && floor.metric == "ndcg@10");
    assert!(
        floor.p.unwrap() < 0.01 && floor.low > 0.0 && (verdict.rows, verdict.seeds) == (400, 1)
    );
    for (figure, note) in [
        ("novelty@10", "`novelty@10` is not a metric"),
        ("hr@10", "popularity: no user to rate"),
    ] {
        let verdict = judge(&[better], &[("popularity", vec![])], figure, 3);
        assert_eq!(
            (verdict.word, &*verdict.notes),
            (Word::NoEvidence, &[note.to_owned()][..])
        );
    }
}

#[test]
fn records_are_written_and_read() {
    let two = Two::new();
    let setting = Setting {
        split: "test".to_owned(),
        protocol: "loo".to_owned(),
        seen: Seen::Kept,
        tied_events: Some(0.25),
    };
    let mut record = two.rated(|model| {
        let mut record = RankingEvaluated::new(setting, model, "ndcg@10", 5);
        record.compare("popularity", (model, model), 5);
        record
    });
    let reason = Absent::Items(9_000).to_string();
    assert!(reason.contains("9000") && reason.contains("8000") && reason.contains("1.0 GB"));
    record.absent.insert("ease".to_owned(), reason);
    assert_eq!(record.gains["popularity"].value, 0.0);
    let written = serde_json::to_value(&record).unwrap();
    assert_eq!(written["seen"], "kept");
    assert_eq!(written["protocol"], "loo");
    assert_eq!(written["items"], 5);
    let read: RankingEvaluated = serde_json::from_value(written).unwrap();
    assert_eq!(read, record);
}

#[test]
fn bad_histories_are_named() {
    let bad = |items: &[u32], times: &[i64]| {
        let good = History {
            items: &[1],
            times: &[1],
        };
        let users = [good, History { items, times }];
        Past::new(&users, 3).unwrap_err().to_string()
    };
    for (message, words) in [
        (bad(&[1, 2], &[1]), ["user 1", "2 items and 1 times"]),
        (
            bad(&[2, 3], &[1, 1]),
            ["event 1 of user 1", "the item code 3"],
        ),
        (bad(&[1, 2], &[5, 4]), ["event 1 of user 1", "stable sort"]),
    ] {
        assert!(words.iter().all(|w| message.contains(w)), "{message}");
    }
}

#[test]
fn counting_floors_equal_the_plain_way() {
    let (items, window) = (13, 10);
    let users = random_users(40, items, 8);
    let histories = histories(&users);
    let past = Past::new(&histories, items).unwrap();
    let takers: Vec<f64> = (0..items as u32)
        .map(|i| users.iter().filter(|u| u.0.contains(&i)).count() as f64)
        .collect();
    let popular = Popular::fit(&past);
    close(&scored(&popular, &[3], 0, items), &takers);

    let after = |distance: usize, a: usize, b: usize| -> f64 {
        let at = |user: &(Vec<u32>, Vec<i64>)| {
            let pairs = user.0.iter().zip(user.0.iter().skip(distance));
            pairs
                .filter(|&(&l, &r)| (l as usize, r as usize) == (a, b))
                .count()
        };
        users.iter().map(at).sum::<usize>() as f64
    };
    let history = [2, 5, 5, 1, 12];
    let markov: Vec<f64> = (0..items)
        .map(|b| after(1, 12, b) + 1e-6 * takers[b])
        .collect();
    close(&scored(&Markov::fit(&past), &history, 0, items), &markov);
    let knn = |b: usize| -> f64 {
        let one = |(k, &a): (usize, &u32)| {
            let near: f64 = (1..=window)
                .map(|d| after(d, a as usize, b) / d as f64)
                .sum();
            0.8_f64.powi(k as i32) * near
                / (takers[a as usize].max(1.0) * takers[b].max(1.0)).sqrt()
        };
        history.iter().rev().enumerate().map(one).sum()
    };
    let knn: Vec<f64> = (0..items).map(knn).collect();
    close(&scored(&ItemKnn::fit(&past), &history, 0, items), &knn);

    let recent = Recent::fit(&past, 7);
    for time in [-5, 0, 3, 20, 41, 500] {
        let count = |item: usize| -> f64 {
            let of = |u: &(Vec<u32>, Vec<i64>)| {
                let events = u.0.iter().zip(&u.1);
                events
                    .filter(|&(&i, t)| i as usize == item && (time - 7..time).contains(t))
                    .count()
            };
            users.iter().map(of).sum::<usize>() as f64 + 1e-6 * takers[item]
        };
        let counts: Vec<f64> = (0..items).map(count).collect();
        close(&scored(&recent, &[], time, items), &counts);
    }
}

#[test]
fn only_the_latest_twenty_events_have_neighbours() {
    let users = random_users(40, 13, 9);
    let histories = histories(&users);
    let knn = ItemKnn::fit(&Past::new(&histories, 13).unwrap());
    let long: Vec<u32> = (0..50).map(|i| i % 13).collect();
    let latest = scored(&knn, &long[30..], 0, 13);
    assert_eq!(scored(&knn, &long, 0, 13), latest);
    assert_ne!(scored(&knn, &long[31..], 0, 13), latest);
}

#[test]
fn ease_is_where_the_gradient_vanishes() {
    let items = 90;
    let users = random_users(60, items, 4);
    let histories = histories(&users);
    let past = Past::new(&histories, items).unwrap();
    let ease = Ease::fit(&past).unwrap();
    let weights: Vec<Vec<f32>> = (0..items as u32)
        .map(|item| scored(&ease, &[item, item], 0, items))
        .collect();
    let both = |i: usize, j: usize| -> f64 {
        let has = |u: &&(Vec<u32>, Vec<i64>)| [i, j].iter().all(|&x| u.0.contains(&(x as u32)));
        users.iter().filter(has).count() as f64
    };
    let together: Vec<Vec<f64>> = (0..items)
        .map(|i| (0..items).map(|j| both(i, j)).collect())
        .collect();
    // Of |X - XB|² + 500 |B|² off the diagonal, which is 0.
    for i in 0..items {
        assert_eq!(weights[i][i], 0.0);
        for j in (0..items).filter(|&j| j != i) {
            let product: f64 = (0..items)
                .map(|k| together[i][k] * f64::from(weights[k][j]))
                .sum();
            let gradient = product + 500.0 * f64::from(weights[i][j]) - together[i][j];
            assert!(gradient.abs() < 1e-4, "[{i}, {j}]: {gradient}");
        }
    }
    let sum: Vec<f64> = (0..items)
        .map(|j| f64::from(weights[3][j]) + f64::from(weights[70][j]))
        .collect();
    close(&scored(&ease, &[70, 3], 0, items), &sum);
}

#[test]
fn large_catalogues_have_no_ease_and_say_so() {
    let past = Past::new(&[], MOST_ITEMS + 1).unwrap();
    let floors = floors::fit(&past, floors::WEEK);
    let names: Vec<&str> = floors.iter().map(|f| f.0).collect();
    let expected = [
        "popularity",
        "popularity_7_days",
        "markov",
        "item_knn",
        "ease",
    ];
    assert_eq!(names, expected);
    for (name, floor) in floors {
        match floor {
            Ok(scorer) => assert_eq!(scored(&*scorer, &[], 0, MOST_ITEMS + 1)[3], 0.0, "{name}"),
            Err(reason) => assert!(
                name == "ease" && reason.contains("8001"),
                "{name}: {reason}"
            ),
        }
    }
}

/// HR@1 of the Markov chain when every user takes the items of a shop in the order of the file, all at one time, and
/// events are put in order by `(time, tie)`.
fn hits_by(tie: impl Fn(usize, u32) -> u64) -> f64 {
    // The shop shows its items in an order that has nothing to do with their codes.
    let shelf: [u32; 7] = [4, 0, 6, 2, 5, 1, 3];
    let users: Vec<(Vec<u32>, Vec<i64>)> = (0..14)
        .map(|user| {
            let taken = (0..5).map(|i| shelf[(user + i) % 7]);
            let mut events: Vec<(i64, u64, u32)> = taken
                .enumerate()
                .map(|(line, item)| (i64::from(line > 2), tie(line, item), item))
                .collect();
            events.sort_unstable();
            events
                .into_iter()
                .map(|(time, _, item)| (item, time))
                .unzip()
        })
        .collect();
    let training: Vec<History> = users
        .iter()
        .map(|(items, times)| History {
            items: &items[..4],
            times: &times[..4],
        })
        .collect();
    let past = Past::new(&training, 7).unwrap();
    let questions: Vec<Question> = users
        .iter()
        .map(|(items, times)| Question {
            history: &items[..4],
            time: times[4],
            targets: &items[4..],
        })
        .collect();
    let answers = answer_all(&Markov::fit(&past), &questions, 7, Seen::Filtered);
    let rated = Rated {
        questions: &questions,
        answers: &answers,
        popularity: &Popularity::of(&past),
    };
    rate(&rated, 0).metrics["hr@1"].value
}

#[test]
fn ordering_ties_by_item_changes_the_result() {
    let file = hits_by(|line, _| line as u64);
    let by_item = hits_by(|_, item| u64::from(item));
    assert_eq!(file, 1.0, "the file's order tells what comes next");
    assert!(by_item < 0.7, "ordered by item code: {by_item}");
}

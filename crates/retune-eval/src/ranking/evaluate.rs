//! Answers to figures with intervals, by bands of items and of users; differences on the same users.

use std::collections::BTreeMap;

use super::metrics::{CUTOFFS, RANKING_METRICS, Ranked, find};
use super::record::{RankingFigures, RankingSlice};
use super::{Answer, Band, Place, Popularity, Question};
use crate::bootstrap::{Draws, interval, means, weighted_mean};
use crate::records::{Interval, Metrics};

/// The cutoff that slices are rated at.
const SLICED_AT: usize = 10;

/// Lengths of history from which each slice begins, and what it is called.
const HISTORIES: [(usize, &str); 5] = [
    (0, "0"),
    (1, "1-9"),
    (10, "10-49"),
    (50, "50-199"),
    (200, "200+"),
];

/// What one model answered to questions over a catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Rated<'a> {
    /// The questions.
    pub questions: &'a [Question<'a>],
    /// One answer per question.
    pub answers: &'a [Answer],
    /// What training users took.
    pub popularity: &'a Popularity,
}

impl<'a> Rated<'a> {
    pub(super) fn users(&self) -> Vec<Ranked<'a>> {
        assert_eq!(
            self.questions.len(),
            self.answers.len(),
            "one answer per question"
        );
        let all = self.questions.iter().zip(self.answers);
        all.map(|(question, answer)| Ranked {
            places: &answer.places,
            list: &answer.list,
            history: question.history,
            popularity: self.popularity,
        })
        .collect()
    }
}

/// The figures of a model with 95 % intervals over users, by the percentile bootstrap with the resamples of `seed`.
///
/// # Panics
/// When there are not as many answers as questions, or a code is outside the catalogue.
pub fn rate(rated: &Rated, seed: u64) -> RankingFigures {
    let users = rated.users();
    let keys: Vec<String> = RANKING_METRICS
        .iter()
        .flat_map(|metric| CUTOFFS.map(|k| metric.key(k)))
        .collect();
    RankingFigures {
        n: users.len(),
        metrics: figures(&users, &keys, seed),
        coverage: CUTOFFS
            .into_iter()
            .map(|k| (format!("coverage@{k}"), coverage(rated, k)))
            .collect(),
        slices: slices(rated, &users, seed),
    }
}

/// Mean over questions of a figure that says whether targets were found, such as `ndcg@10`; `None` for another one.
pub fn point(answers: &[Answer], key: &str) -> Option<f64> {
    let (metric, cutoff) = find(key).filter(|(metric, _)| metric.finds)?;
    let nothing = Popularity::unknown();
    let users = answers.iter().map(|answer| Ranked {
        places: &answer.places,
        list: &answer.list,
        history: &[],
        popularity: &nothing,
    });
    Some(mean(&metric.column(&users.collect::<Vec<_>>(), cutoff)))
}

/// How much higher the first model is than the second in a figure such as `ndcg@10`, on the same users and resamples.
/// `None` where the figure is unknown or undefined.
///
/// # Panics
/// When the two do not answer the same number of questions.
pub fn gain(left: &Rated, right: &Rated, key: &str, seed: u64) -> Option<Interval> {
    let (metric, cutoff) = find(key)?;
    let [left, right] = [left, right].map(|rated| metric.column(&rated.users(), cutoff));
    assert_eq!(
        left.len(),
        right.len(),
        "both models answer the same questions"
    );
    let differences: Vec<f64> = left.iter().zip(&right).map(|(l, r)| l - r).collect();
    let value = mean(&differences);
    interval(value, &means(&[differences], Draws::usual(seed))[0])
}

/// Mean of the finite values.
pub(super) fn mean(column: &[f64]) -> f64 {
    weighted_mean(column.iter().map(|&value| (value, 1.0)))
}

fn figures(users: &[Ranked], keys: &[String], seed: u64) -> Metrics {
    let known: Vec<(&String, Vec<f64>)> = keys
        .iter()
        .filter_map(|key| find(key).map(|(metric, k)| (key, metric.column(users, k))))
        .collect();
    let (keys, columns): (Vec<&String>, Vec<Vec<f64>>) = known.into_iter().unzip();
    let resampled = means(&columns, Draws::usual(seed));
    let mut figures = BTreeMap::new();
    for ((key, column), resampled) in keys.into_iter().zip(&columns).zip(&resampled) {
        if let Some(interval) = interval(mean(column), resampled) {
            figures.insert(key.clone(), interval);
        }
    }
    figures
}

/// Share of the catalogue that is among the first `k` of at least one user. Not a mean over users: it has no interval.
fn coverage(rated: &Rated, k: usize) -> f64 {
    let mut shown = vec![false; rated.popularity.takers.len()];
    for answer in rated.answers {
        for &item in answer.list.iter().take(k) {
            shown[item as usize] = true;
        }
    }
    shown.iter().filter(|&&s| s).count() as f64 / shown.len().max(1) as f64
}

/// By the popularity of the targets, and by the length of the history. Slices without a user are left out.
fn slices(rated: &Rated, users: &[Ranked], seed: u64) -> Vec<RankingSlice> {
    let keys: Vec<String> = RANKING_METRICS
        .iter()
        .filter(|metric| metric.finds)
        .map(|metric| metric.key(SLICED_AT))
        .collect();
    let slice = |by: &str, value: String, users: &[Ranked]| {
        (!users.is_empty()).then(|| RankingSlice {
            by: by.to_owned(),
            value,
            n: users.len(),
            metrics: figures(users, &keys, seed),
        })
    };
    let mut slices = Vec::new();
    for band in [Band::Head, Band::Tail, Band::Cold] {
        let places: Vec<Vec<Place>> = (rated.questions.iter().zip(rated.answers))
            .map(|(question, answer)| of_band(question, answer, rated.popularity, band))
            .collect();
        let some: Vec<Ranked> = (users.iter().zip(&places))
            .filter(|(_, places)| !places.is_empty())
            .map(|(user, places)| Ranked { places, ..*user })
            .collect();
        slices.extend(slice("target", band.to_string(), &some));
    }
    for (at, &(from, name)) in HISTORIES.iter().enumerate() {
        let below = HISTORIES.get(at + 1).map_or(usize::MAX, |next| next.0);
        let some: Vec<Ranked> = (users.iter().copied())
            .filter(|user| (from..below).contains(&user.history.len()))
            .collect();
        slices.extend(slice("history", name.to_owned(), &some));
    }
    slices
}

/// Places of the targets that belong to a band.
fn of_band(
    question: &Question,
    answer: &Answer,
    popularity: &Popularity,
    band: Band,
) -> Vec<Place> {
    let targets = question.targets.iter().zip(&answer.places);
    targets
        .filter(|(target, _)| popularity.band(**target) == band)
        .map(|(_, place)| *place)
        .collect()
}

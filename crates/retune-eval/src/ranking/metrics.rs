//! The figures of one user. Each is a mean over users, so that an interval over users is one over the rows of a column.

use super::{Place, Popularity};

/// Lengths of the lists that are rated.
pub const CUTOFFS: [usize; 5] = [1, 5, 10, 20, 50];

/// What a figure of one user is computed from.
#[derive(Debug, Clone, Copy)]
pub struct Ranked<'a> {
    /// Place of each target.
    pub places: &'a [Place],
    /// The recommended items, the best first.
    pub list: &'a [u32],
    /// What the user took before.
    pub history: &'a [u32],
    /// What training users took.
    pub popularity: &'a Popularity,
}

/// One figure of merit of a list of a given length.
#[derive(Debug, Clone, Copy)]
pub struct RankingMetric {
    /// Its key before `@` and the cutoff.
    pub name: &'static str,
    /// Whether it says that a target was found: then a larger value is a better one. The others describe what is
    /// recommended, and neither direction is better as such.
    pub finds: bool,
    /// The figure of one user at a cutoff; not a number where it is undefined, as on an empty list.
    compute: fn(&Ranked, usize) -> f64,
    /// One sentence for people, with the range.
    pub doc: &'static str,
}

/// Every metric, in the order in which lists show them.
pub const RANKING_METRICS: &[RankingMetric] = &[
    RankingMetric {
        name: "hr",
        finds: true,
        compute: hit,
        doc: "Hit rate: share of users with a target among the first k items. 0 to 1.",
    },
    RankingMetric {
        name: "recall",
        finds: true,
        compute: recall,
        doc: "Share of a user's targets among the first k items; equals hr where each user has one target. 0 to 1.",
    },
    RankingMetric {
        name: "ndcg",
        finds: true,
        compute: ndcg,
        doc: "Discounted gain of the targets among the first k items over that of the best order: a target at rank r \
              (from 1) gains 1 / log2(r + 1). 0 to 1.",
    },
    RankingMetric {
        name: "mrr",
        finds: true,
        compute: reciprocal_rank,
        doc: "Mean of 1 over the rank of the first target, 0 where it is not among the first k items. 0 to 1.",
    },
    RankingMetric {
        name: "novelty",
        finds: false,
        compute: novelty,
        doc: "Mean self-information of the recommended items in bits: -log2 of the share of training users who took \
              the item. 0 and up; larger is less obvious.",
    },
    RankingMetric {
        name: "popularity_bias",
        finds: false,
        compute: bias,
        doc: "How much more popular the recommended items are than what the user took before, popularity being the \
              share of training users who took an item. -1 to 1; 0 is as popular.",
    },
];

impl RankingMetric {
    /// The figure of each user, `[users]`.
    pub(super) fn column(&self, users: &[Ranked], cutoff: usize) -> Vec<f64> {
        users
            .iter()
            .map(|user| (self.compute)(user, cutoff))
            .collect()
    }

    /// The key in records: `ndcg@10`.
    pub(super) fn key(&self, cutoff: usize) -> String {
        format!("{}@{cutoff}", self.name)
    }
}

/// The metric and the cutoff that a key such as `ndcg@10` means.
pub(super) fn find(key: &str) -> Option<(&'static RankingMetric, usize)> {
    let (name, cutoff) = key.split_once('@')?;
    let metric = RANKING_METRICS.iter().find(|m| m.name == name)?;
    let cutoff = CUTOFFS.into_iter().find(|k| k.to_string() == cutoff)?;
    Some((metric, cutoff))
}

/// Ranks of the targets among the first `k`, from 0 up. With ties a rank can be half: it is in the list while it is
/// below `k`.
fn found(user: &Ranked, k: usize) -> impl Iterator<Item = f64> {
    let ranks = user.places.iter().map(|place| place.rank());
    ranks.filter(move |&rank| rank < k as f64)
}

fn hit(user: &Ranked, k: usize) -> f64 {
    f64::from(u8::from(found(user, k).next().is_some()))
}

fn recall(user: &Ranked, k: usize) -> f64 {
    found(user, k).count() as f64 / user.places.len() as f64
}

fn ndcg(user: &Ranked, k: usize) -> f64 {
    let gain = |rank: f64| 1.0 / (rank + 2.0).log2();
    let best = (0..user.places.len().min(k)).map(|rank| gain(rank as f64));
    found(user, k).map(gain).sum::<f64>() / best.sum::<f64>()
}

fn reciprocal_rank(user: &Ranked, k: usize) -> f64 {
    let first = found(user, k).reduce(f64::min);
    first.map_or(0.0, |rank| 1.0 / (rank + 1.0))
}

fn novelty(user: &Ranked, k: usize) -> f64 {
    mean(user.list.iter().take(k), |&item| {
        user.popularity.information(item)
    })
}

/// Abdollahpouri et al., "The Unfairness of Popularity Bias in Recommendation" (2019), as a difference per user in
/// place of a ratio per group.
fn bias(user: &Ranked, k: usize) -> f64 {
    let share = |&item: &u32| user.popularity.share(item);
    mean(user.list.iter().take(k), share) - mean(user.history.iter(), share)
}

/// Not a number without items.
fn mean<'a>(items: impl ExactSizeIterator<Item = &'a u32>, figure: impl Fn(&u32) -> f64) -> f64 {
    let n = items.len() as f64;
    items.map(figure).sum::<f64>() / n
}

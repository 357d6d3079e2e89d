//! What follows what: first-order Markov chains and item neighbours within a window.

use super::super::{Past, Popularity, Scorer};
use super::popular::Popular;

/// Events after an item that count as its neighbours.
const WINDOW: usize = 10;
/// Latest events of a history that are looked at.
const LATEST: usize = 20;
/// What an event counts beside the one after it.
const DECAY: f32 = 0.8;

/// A sparse matrix `[items, items]` by rows: how strongly an item is followed by others.
#[derive(Debug, Clone)]
struct Successors {
    /// First entry of each item, and the number of entries.
    starts: Vec<usize>,
    items: Vec<u32>,
    weights: Vec<f32>,
}

impl Successors {
    /// `W[a, b] = Σ 1 / d` over every b that follows an a at distance `d = 1..=window` in a history.
    ///
    /// Takes 8 bytes an event while it counts, and 8 for each pair of items that occurs.
    fn count(past: &Past, window: usize) -> Self {
        let occurrences = Occurrences::of(past);
        let mut sums = vec![0.0_f64; past.items()];
        let mut touched = Vec::new();
        let mut out = Self {
            starts: vec![0],
            items: Vec::new(),
            weights: Vec::new(),
        };
        for item in 0..past.items() {
            for &(user, at) in occurrences.of_item(item) {
                let after = &past.users()[user as usize].items[at as usize + 1..];
                for (before, &next) in after.iter().take(window).enumerate() {
                    if sums[next as usize] == 0.0 {
                        touched.push(next);
                    }
                    sums[next as usize] += 1.0 / (before as f64 + 1.0);
                }
            }
            touched.sort_unstable();
            for next in touched.drain(..) {
                out.items.push(next);
                let sum = std::mem::take(&mut sums[next as usize]);
                out.weights.push(sum as f32);
            }
            out.starts.push(out.items.len());
        }
        out
    }

    /// Adds `factor` times the row of an item.
    fn add(&self, item: u32, factor: f32, scores: &mut [f32]) {
        let row = self.starts[item as usize]..self.starts[item as usize + 1];
        for (&next, &weight) in self.items[row.clone()].iter().zip(&self.weights[row]) {
            scores[next as usize] += factor * weight;
        }
    }
}

/// Where each item occurs: user and number of the event.
struct Occurrences {
    starts: Vec<usize>,
    at: Vec<(u32, u32)>,
}

impl Occurrences {
    fn of(past: &Past) -> Self {
        let mut starts = vec![0_usize; past.items() + 1];
        for user in past.users() {
            for &item in user.items {
                starts[item as usize + 1] += 1;
            }
        }
        for item in 0..past.items() {
            starts[item + 1] += starts[item];
        }
        let mut next = starts.clone();
        let mut at = vec![(0, 0); starts[past.items()]];
        for (user, history) in past.users().iter().enumerate() {
            for (event, &item) in history.items.iter().enumerate() {
                at[next[item as usize]] = (user as u32, event as u32);
                next[item as usize] += 1;
            }
        }
        Self { starts, at }
    }

    fn of_item(&self, item: usize) -> &[(u32, u32)] {
        &self.at[self.starts[item]..self.starts[item + 1]]
    }
}

/// Markov chain of the first order: the score of an item is how often it came right after the last item of the
/// history; ties, all items among them where the history is empty, go by popularity.
#[derive(Debug, Clone)]
pub struct Markov {
    successors: Successors,
    tie_break: Vec<f32>,
}

impl Markov {
    /// Counts pairs of neighbouring events.
    pub fn fit(past: &Past) -> Self {
        Self {
            successors: Successors::count(past, 1),
            tie_break: Popular::tie_break(past),
        }
    }
}

impl Scorer for Markov {
    fn score(&self, history: &[u32], _time: i64, scores: &mut [f32]) {
        scores.fill(0.0);
        if let Some(&last) = history.last() {
            self.successors.add(last, 1.0, scores);
        }
        for (score, tie_break) in scores.iter_mut().zip(&self.tie_break) {
            *score += tie_break;
        }
    }
}

/// Item neighbours within a window: `W[a, b] / sqrt(takers(a) takers(b))` with `W[a, b] = Σ 1 / d` over every b that
/// follows an a at distance 1 to 10; the score is the sum over the last 20 events, the latest first, of `0.8^k W[item]`.
///
/// Cosine neighbours (Sarwar et al., "Item-Based Collaborative Filtering", WWW 2001) that know the order of events, as
/// in the sequential rules of Ludewig & Jannach ("Evaluation of Session-Based Recommendation Algorithms", 2018).
#[derive(Debug, Clone)]
pub struct ItemKnn {
    neighbours: Successors,
}

impl ItemKnn {
    /// Counts pairs within the window.
    pub fn fit(past: &Past) -> Self {
        let takers = Popularity::of(past).takers;
        let root = |item: usize| (takers[item].max(1) as f32).sqrt();
        let mut neighbours = Successors::count(past, WINDOW);
        for item in 0..past.items() {
            let row = neighbours.starts[item]..neighbours.starts[item + 1];
            let next = &neighbours.items[row.clone()];
            for (weight, &next) in neighbours.weights[row].iter_mut().zip(next) {
                *weight = *weight / root(next as usize) / root(item);
            }
        }
        Self { neighbours }
    }
}

impl Scorer for ItemKnn {
    fn score(&self, history: &[u32], _time: i64, scores: &mut [f32]) {
        scores.fill(0.0);
        let mut factor = 1.0;
        for &item in history.iter().rev().take(LATEST) {
            self.neighbours.add(item, factor, scores);
            factor *= DECAY;
        }
    }
}

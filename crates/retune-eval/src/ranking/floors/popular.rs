//! The same list for everyone: what most users took, of all times or of the last days.

use super::super::{Past, Popularity, Scorer};

/// Seven days in seconds.
pub const WEEK: i64 = 7 * 24 * 60 * 60;

/// What one taker weighs beside a count of 1 where popularity only orders what is tied, unless there are so many
/// takers that it would do more than that.
const TIE_BREAK: f32 = 1e-6;

/// Popularity: the score of an item is the number of training users who took it.
#[derive(Debug, Clone)]
pub struct Popular {
    scores: Vec<f32>,
}

impl Popular {
    /// Counts users per item.
    pub fn fit(past: &Past) -> Self {
        let takers = Popularity::of(past).takers;
        Self {
            scores: takers.into_iter().map(|n| n as f32).collect(),
        }
    }

    /// Popularity so small that it orders only what is tied in whole numbers.
    pub(super) fn tie_break(past: &Past) -> Vec<f32> {
        let scores = Self::fit(past).scores;
        let most = scores.iter().copied().fold(1.0, f32::max);
        let weight = TIE_BREAK.min(0.5 / most);
        scores.into_iter().map(|n| weight * n).collect()
    }
}

impl Scorer for Popular {
    fn score(&self, _history: &[u32], _time: i64, scores: &mut [f32]) {
        scores.copy_from_slice(&self.scores);
    }
}

/// Popularity of the last days: the score of an item is the number of training events with it in the `window` before
/// the question, `window` long and without the moment of the question itself; ties, all items among them where nothing
/// happened, go by popularity of all times.
///
/// Under a common cutoff ask at the cutoff, not at the time of each target: there are no training events after it.
#[derive(Debug, Clone)]
pub struct Recent {
    window: i64,
    /// All training events, oldest first.
    times: Vec<i64>,
    items: Vec<u32>,
    /// Events of each item before every event whose number is a multiple of the number of items.
    counts: Vec<u32>,
    tie_break: Vec<f32>,
}

impl Recent {
    /// Sorts the events of all users by time. Keeps 16 bytes an event, and takes 32 while it sorts.
    pub fn fit(past: &Past, window: i64) -> Self {
        let all = past.users().iter();
        let mut events: Vec<(i64, u32)> = all
            .flat_map(|user| user.times.iter().copied().zip(user.items.iter().copied()))
            .collect();
        events.sort_unstable();
        let mut so_far = vec![0_u32; past.items()];
        let mut counts = Vec::new();
        for part in events.chunks(past.items().max(1)) {
            counts.extend_from_slice(&so_far);
            for &(_, item) in part {
                so_far[item as usize] += 1;
            }
        }
        counts.extend_from_slice(&so_far);
        let (times, items) = events.into_iter().unzip();
        Self {
            window,
            times,
            items,
            counts,
            tie_break: Popular::tie_break(past),
        }
    }

    /// Adds `sign` times the number of events of each item that are older than `time`.
    fn add_before(&self, time: i64, sign: f32, scores: &mut [f32]) {
        let n = scores.len();
        let events = self.times.partition_point(|&t| t < time);
        let counted = events / n;
        for (score, &count) in scores.iter_mut().zip(&self.counts[counted * n..]) {
            *score += sign * count as f32;
        }
        for &item in &self.items[counted * n..events] {
            scores[item as usize] += sign;
        }
    }
}

impl Scorer for Recent {
    fn score(&self, _history: &[u32], time: i64, scores: &mut [f32]) {
        scores.fill(0.0);
        if scores.is_empty() {
            return;
        }
        self.add_before(time, 1.0, scores);
        self.add_before(time.saturating_sub(self.window), -1.0, scores);
        for (score, tie_break) in scores.iter_mut().zip(&self.tie_break) {
            *score += tie_break;
        }
    }
}

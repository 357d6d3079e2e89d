//! Card precision: how many of the cards that are called each day are being used for fraud.

use std::collections::HashMap;

use super::evaluate::{Family, Key};
use super::scored::{DAY, Groups, Scored};

/// One card on one day.
struct Called {
    card: u32,
    fraud: bool,
}

/// Card precision at several numbers of calls a day.
pub(super) struct Daily {
    /// Cards of each day with events, from the highest score down.
    days: Vec<Vec<Called>>,
    cards: usize,
    calls: Vec<usize>,
}

/// The highest score of a card on a day, and whether any of its events is fraud.
struct Seen {
    score: f32,
    fraud: bool,
}

impl Daily {
    /// `None` without times or cards.
    pub(super) fn new(events: &Scored, groups: &Groups, calls: &[usize]) -> Option<Self> {
        let (times, keys) = (events.time.as_ref()?, events.card.as_ref()?);
        let mut seen: HashMap<(i64, u64), (u32, Seen)> = HashMap::new();
        for (event, (time, key)) in times.iter().zip(keys).enumerate() {
            let first = Seen {
                score: f32::NEG_INFINITY,
                fraud: false,
            };
            let place = seen.entry((time.div_euclid(DAY), *key));
            let card = &mut place.or_insert((groups.of[event], first)).1;
            card.score = card.score.max(events.score[event]);
            card.fraud |= events.fraud[event];
        }
        let mut all: Vec<((i64, u64), (u32, Seen))> = seen.into_iter().collect();
        all.sort_by(|((day, key), (_, a)), ((other, other_key), (_, b))| {
            let by_score = b.score.total_cmp(&a.score);
            day.cmp(other).then(by_score).then(key.cmp(other_key))
        });
        let called = |(_, (card, seen)): &((i64, u64), (u32, Seen))| Called {
            card: *card,
            fraud: seen.fraud,
        };
        let by_day = all.chunk_by(|a, b| a.0.0 == b.0.0);
        Some(Self {
            days: by_day.map(|d| d.iter().map(called).collect()).collect(),
            cards: groups.count,
            calls: calls.to_vec(),
        })
    }

    /// Copies of a card that a resample draws more than once are cards of their own.
    fn precision(&self, calls: usize, drawn: &[u32]) -> f64 {
        let mut found = vec![0_u32; self.cards];
        let mut hits = 0_u64;
        for day in &self.days {
            let mut left = calls as u32;
            for called in day {
                let card = called.card as usize;
                let taken = (drawn[card] - found[card]).min(left);
                left -= taken;
                if called.fraud {
                    found[card] += taken;
                    hits += u64::from(taken);
                }
                if left == 0 {
                    break;
                }
            }
        }
        hits as f64 / (calls * self.days.len()) as f64
    }
}

impl Family for Daily {
    fn keys(&self) -> Vec<Key> {
        let key = |k: &usize| Key::Metric(format!("card_precision@{k}"));
        self.calls.iter().map(key).collect()
    }

    /// Each day the cards are ranked by their highest score of the day, and the first `k` are called. Those with a fraud
    /// that day count as found and are left out on later days. The figure is the found ones over `k`, in the mean over
    /// days with events (Le Borgne et al. 2022, "Card Precision top-k"). Days with fewer than `k` cards count as if `k`
    /// were called. Cards of equal score go by their key.
    fn fill(&self, drawn: &[u32], out: &mut Vec<f64>) {
        out.extend(self.calls.iter().map(|k| self.precision(*k, drawn)));
    }
}

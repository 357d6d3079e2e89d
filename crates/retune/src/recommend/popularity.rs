//! How popular items are, as every score of a model of texts takes it in.
//!
//! What is popular in one shop says nothing about another, and a model that can only tell items by their texts learns it
//! by learning texts by heart. Where popularity is given, what is left to learn is what goes with what ("logit
//! adjustment", Menon et al., arXiv:2007.07314), and that carries over; the new shop brings counts of its own.

use serde::{Deserialize, Serialize};

/// Why nobody has taken an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Untaken {
    /// By chance: all such items share the probability that the next event is about one of them, which is that of the items
    /// taken once (Good, Biometrika 1953).
    #[default]
    Missed,
    /// It was not there: it is as popular as what is usually taken.
    New,
}

/// How popular items are.
pub(super) struct Prior {
    /// `ln(1 + taken / mean taken)` for each item, `[items]`.
    pub logarithms: Vec<f32>,
    /// That of an item which is new: the mean over what was taken.
    pub new: f32,
}

impl Prior {
    /// Among these histories, which name `items` items.
    pub fn of<'a>(
        histories: impl Iterator<Item = &'a [u32]>,
        items: usize,
        untaken: Untaken,
    ) -> Self {
        let mut taken = vec![0u64; items];
        for item in histories.flatten() {
            taken[*item as usize] += 1;
        }
        let all = taken.iter().sum::<u64>() as f64;
        let mean = (all / items.max(1) as f64).max(f64::MIN_POSITIVE);
        let logarithm = |times: f64| (times / mean).ln_1p();
        let over_events: f64 = taken.iter().map(|t| *t as f64 * logarithm(*t as f64)).sum();
        let new = over_events / all.max(1.0);
        let items_taken = |n: u64| taken.iter().filter(|times| **times == n).count() as f64;
        let never = match untaken {
            Untaken::New => new,
            Untaken::Missed => logarithm(items_taken(1) / items_taken(0).max(1.0)),
        };
        let each = taken.iter().map(|times| match times {
            0 => never as f32,
            times => logarithm(*times as f64) as f32,
        });
        Self {
            logarithms: each.collect(),
            new: new as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prior(histories: &[&[u32]], items: usize, untaken: Untaken) -> Prior {
        Prior::of(histories.iter().copied(), items, untaken)
    }

    fn near(got: &[f32], wanted: &[f32]) {
        assert_eq!(got.len(), wanted.len());
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
        assert!(got.iter().zip(wanted).all(close), "{got:?} {wanted:?}");
    }

    #[test]
    fn popularity_is_relative_to_the_mean_whatever_the_size_of_the_shop() {
        let histories: [&[u32]; 2] = [&[0, 1, 0, 1], &[0, 0]];
        let found = prior(&histories, 3, Untaken::New); // taken 4, 2 and 0 times, 2 on average
        let (often, once) = (3f32.ln(), 2f32.ln());
        let new = (4.0 * often + 2.0 * once) / 6.0;
        near(&found.logarithms, &[often, once, new]);
        near(&[found.new], &[new]);
        let twice = prior(&[histories, histories].concat(), 3, Untaken::New);
        near(&found.logarithms, &twice.logarithms);
        near(&prior(&[], 2, Untaken::New).logarithms, &[0.0, 0.0]);
    }

    #[test]
    fn what_was_missed_shares_the_chance_of_what_was_taken_once() {
        // Three items once, one twice: of eight that nobody took each is like one taken 3/8 times, where the mean is 5/12.
        let once: &[u32] = &[0, 1, 2, 3, 3];
        let found = prior(&[once], 12, Untaken::Missed);
        near(
            &found.logarithms[11..],
            &[(0.375f32 / (5.0 / 12.0)).ln_1p()],
        );
        // None was taken once, so none is likely to have been missed.
        let often: &[u32] = &[0, 0, 1, 1];
        near(&prior(&[often], 3, Untaken::Missed).logarithms[2..], &[0.0]);
        near(&prior(&[], 2, Untaken::Missed).logarithms, &[0.0, 0.0]);
    }
}

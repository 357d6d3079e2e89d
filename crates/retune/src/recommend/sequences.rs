//! Batches of histories: what each user took, packed one history after the other.

use std::sync::Arc;

use retune_data::batch::Pictures;
use retune_data::interactions::SECOND;
use retune_data::interactions::protocol::Histories;

use crate::model::Inputs;
use crate::ops::Lengths;
use crate::seq::Marks;

/// What a user took, oldest first: `[events]` each.
#[derive(Debug, Clone, Copy, Default)]
pub struct History<'a> {
    /// Rows of items.
    pub items: &'a [u32],
    /// When, in nanoseconds.
    pub times: &'a [i64],
    /// Kinds of events; empty where there is only one kind.
    pub kinds: &'a [u32],
}

impl<'a> History<'a> {
    /// What is learned from of a row.
    pub fn learned(all: &'a Histories, row: usize) -> Self {
        Self {
            items: all.train(row),
            times: all.train_times(row),
            kinds: all.train_kinds(row),
        }
    }

    /// What is known of a row when its test item is asked for.
    pub fn known(all: &'a Histories, row: usize) -> Self {
        Self {
            items: all.known(row),
            times: all.known_times(row),
            kinds: all.known_kinds(row),
        }
    }

    /// Its last `most` events.
    #[must_use]
    pub fn last(self, most: usize) -> Self {
        let from = self.items.len().saturating_sub(most);
        self.between(from, self.items.len())
    }

    /// Its events of these places.
    #[must_use]
    pub fn between(self, from: usize, to: usize) -> Self {
        Self {
            items: &self.items[from..to],
            times: &self.times[from..to],
            kinds: match self.kinds {
                [] => &[],
                kinds => &kinds[from..to],
            },
        }
    }

    /// Bucket of the time since the event before each one, of so many: the logarithm of seconds to the base of 2, 0 for
    /// the first event.
    fn gaps(self, buckets: usize) -> impl Iterator<Item = u32> + 'a {
        let times = self.times;
        (0..times.len()).map(move |i| {
            let before = times[i.saturating_sub(1)];
            let seconds = (times[i].saturating_sub(before) / SECOND).max(0) as u64;
            (seconds + 1).ilog2().min(buckets.saturating_sub(1) as u32)
        })
    }
}

/// Histories of a batch, and what follows each of their events where that is known.
#[derive(Debug, Clone)]
pub struct SequenceBatch {
    /// Rows of items (`ids`), lengths of histories, keys of their random numbers.
    pub inputs: Inputs,
    /// What else is known of each event.
    pub marks: Marks,
    /// The item after each event, `[events]`; empty where nothing is asked of the model.
    pub next: Arc<Vec<u32>>,
}

impl SequenceBatch {
    /// Histories to rank items after, with the keys of their users.
    pub fn asking(histories: &[(u64, History)], gaps: usize) -> Self {
        let all = || histories.iter().map(|(_, history)| history);
        let lengths = || Lengths::new(all().map(|h| h.items.len() as u32).collect());
        let items: Vec<u32> = all().flat_map(|h| h.items.iter().copied()).collect();
        let events = items.len();
        let mut kinds: Vec<u32> = all().flat_map(|h| h.kinds.iter().copied()).collect();
        kinds.resize(events, 0);
        Self {
            inputs: Inputs {
                ids: Arc::new(items),
                types: Arc::default(),
                pictures: Arc::new(Pictures::default()),
                chunks: Lengths::new(vec![1; histories.len()]),
                lengths: lengths(),
                keys: Arc::new(histories.iter().map(|(key, _)| *key).collect()),
            },
            marks: Marks {
                kinds: Arc::new(kinds),
                gaps: Arc::new(all().flat_map(|h| h.gaps(gaps)).collect()),
            },
            next: Arc::default(),
        }
    }

    /// Histories to learn from: each but for its last event, and the item after each of those that are left.
    ///
    /// # Panics
    /// When a history has no event.
    pub fn learning(histories: &[(u64, History)], gaps: usize) -> Self {
        let shorter: Vec<(u64, History)> = histories
            .iter()
            .map(|(key, history)| (*key, history.between(0, history.items.len() - 1)))
            .collect();
        let next = histories
            .iter()
            .flat_map(|(_, history)| &history.items[1..]);
        Self {
            next: Arc::new(next.copied().collect()),
            ..Self::asking(&shorter, gaps)
        }
    }

    /// Row of the last event of each history, `[histories]`.
    pub fn last_rows(&self) -> Vec<u32> {
        let ends = self.inputs.lengths.starts().iter().skip(1);
        ends.map(|end| *end as u32 - 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_followed_by_the_item_after_it() {
        let all = History {
            items: &[3, 1, 4],
            times: &[0, SECOND, 100 * SECOND],
            kinds: &[0, 1, 0],
        };
        let (a, b) = (
            all,
            History {
                items: &[1, 5],
                ..all.between(0, 2)
            },
        );
        let batch = SequenceBatch::learning(&[(7, a), (8, b)], 4);
        assert_eq!(*batch.inputs.ids, [3, 1, 1]);
        assert_eq!(*batch.next, [1, 4, 5]);
        assert_eq!(batch.inputs.lengths.host(), [2, 1]);
        assert_eq!(*batch.marks.kinds, [0, 1, 0]);
        assert_eq!(*batch.marks.gaps, [0, 1, 0]);
        assert_eq!(batch.last_rows(), [1, 2]);
        let asked = SequenceBatch::asking(&[(7, a.last(2))], 4);
        assert_eq!(
            (asked.inputs.ids.as_slice(), asked.next.len()),
            ([1, 4].as_slice(), 0)
        );
        assert_eq!(*asked.marks.gaps, [0, 3]); // 99 seconds, in the last bucket
    }
}

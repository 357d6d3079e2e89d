//! Exact search for the items with the greatest inner product: users `[u, d]`, items `[i, d]`; of the scores `[u, i]` a
//! few dozen exist at a time.
//!
//! A task goes over a range of items with a group of users. Items are scored in blocks that stay in the first cache
//! while every user of the group meets them; for one user each item is read once, from memory, and the few additions
//! per value read are hidden behind that. A block none of whose scores exceeds the last of the user's best so far is
//! done after one comparison per vector. A score is the same number whatever it is computed beside, on every
//! instruction set, so results depend on nothing but the vectors.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::gemm::View;
use crate::isa::{Isa, vectorized};
use crate::parallel::Spread;
use crate::scratch;
use crate::sum::LANES;

/// Values of working space per score: sums by lanes, joined by halves.
const SPACE: usize = LANES + LANES / 2 + LANES / 4;
/// Bytes of items that are scored at a time.
const BLOCK_BYTES: usize = 1 << 14;
/// Bytes of items per task, at least.
const RANGE_BYTES: usize = 1 << 22;
/// Users per task.
const GROUP: usize = 32;
/// Tasks to aim at.
const TASKS: usize = 64;

/// Users, the items they are matched with, and those that are left out.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// `[u, d]`.
    pub users: View<'a, f32>,
    /// `[i, d]`; the id of an item is its row.
    pub items: View<'a, f32>,
    /// Items left out for each user, rising, `[u]`; empty for none. Ids that no item has are passed over.
    pub exclude: &'a [&'a [u32]],
    /// Items that are not left out for everybody: bit `id % 64` of word `id / 64`, `[i.div_ceil(64)]`.
    pub allow: Option<&'a [u64]>,
}

/// An item and its inner product with a user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Row of the item.
    pub id: u32,
    /// Inner product.
    pub score: f32,
}

/// The `k` best items of each user, best first, of equal ones the lower id first: `[u]` lists of `k`, or of fewer where
/// fewer are left. An item whose score is NaN is never among them.
///
/// # Panics
/// When shapes do not fit or excluded ids do not rise.
pub fn best(isa: Isa, search: &Search<'_>, k: usize) -> Vec<Vec<Scored>> {
    let visit = |_: usize, first: usize, scores: &mut [f32], best: &mut Best| {
        best.offer(isa, k, first, scores);
    };
    let found = search.sweep(isa, visit);
    let mut lists: Vec<Vec<Scored>> = vec![Vec::new(); search.users.rows()];
    for best in found.chunks(search.users.rows().max(1)) {
        for (list, best) in lists.iter_mut().zip(best) {
            list.extend(best.0.iter().map(|Worst(scored)| *scored));
        }
    }
    for list in &mut lists {
        list.sort_unstable_by(|a, b| in_order(*a, *b));
        list.truncate(k);
    }
    lists
}

impl Search<'_> {
    /// Lets `visit` see, for every user, the scores of all items, block by block: user, first item of the block, its
    /// scores (NaN for what is left out) and the user's state of the range, which starts as the default. Returns the
    /// states, `[ranges, u]`.
    fn sweep<S: Default + Send>(
        &self,
        isa: Isa,
        visit: impl Fn(usize, usize, &mut [f32], &mut S) + Sync,
    ) -> Vec<S> {
        self.check();
        let (users, items) = (self.users.rows(), self.items.rows());
        if users == 0 || items == 0 {
            return Vec::new();
        }
        let bytes = size_of::<f32>() * self.items.cols().max(1);
        // Where there are users enough for all threads, each range more would only be one more list to merge.
        let most = (TASKS / users.div_ceil(GROUP)).max(1);
        let ranges = (items * bytes).div_ceil(RANGE_BYTES).clamp(1, most);
        let per = items.div_ceil(ranges);
        let mut states: Vec<S> = Vec::new();
        states.resize_with(items.div_ceil(per) * users, S::default);
        let of_ranges = states.chunks_mut(users).enumerate();
        let tasks = of_ranges.flat_map(|(range, states)| {
            let groups = states.chunks_mut(GROUP).enumerate();
            groups.map(move |(group, states)| (range * per, group * GROUP, states))
        });
        tasks.spread(|(first, user, states)| {
            let range = (first, per.min(items - first));
            self.task(isa, range, (user, states), &visit);
        });
        states
    }

    fn check(&self) {
        let Self {
            users,
            items,
            exclude,
            allow,
        } = self;
        assert!(
            users.cols() == items.cols(),
            "top k: users of width {} and items of width {}",
            users.cols(),
            items.cols()
        );
        assert!(
            u32::try_from(items.rows()).is_ok(),
            "top k: {} items, more than ids of 32 bits name",
            items.rows()
        );
        assert!(
            exclude.is_empty() || exclude.len() == users.rows(),
            "top k: {} lists of excluded items for {} users",
            exclude.len(),
            users.rows()
        );
        for (user, list) in exclude.iter().enumerate() {
            assert!(
                list.is_sorted(),
                "top k: excluded items of user {user} do not rise"
            );
        }
        let words = items.rows().div_ceil(64);
        assert!(
            allow.is_none_or(|allow| allow.len() == words),
            "top k: {} words of allowed items, expected {words}",
            allow.map_or(0, <[u64]>::len)
        );
    }

    /// Items `first..first + n` for the users from `user` on, one for each state.
    fn task<S>(
        &self,
        isa: Isa,
        (first, n): (usize, usize),
        (user, states): (usize, &mut [S]),
        visit: &impl Fn(usize, usize, &mut [f32], &mut S),
    ) {
        let bytes = size_of::<f32>() * self.items.cols().max(1);
        let block = (BLOCK_BYTES / bytes / LANES).max(1) * LANES;
        let excluded = |i: usize| {
            let list = self.exclude.get(user + i).copied().unwrap_or_default();
            &list[list.partition_point(|id| (*id as usize) < first)..]
        };
        let mut excluded: Vec<&[u32]> = (0..states.len()).map(excluded).collect();
        scratch::with::<f32, _>(block * (1 + SPACE), |space| {
            let (kept, space) = space.split_at_mut(block);
            for at in (first..first + n).step_by(block) {
                let scores = &mut kept[..block.min(first + n - at)];
                for (i, (state, excluded)) in states.iter_mut().zip(&mut excluded).enumerate() {
                    let vector = self.users.row(user + i);
                    score_all(isa, vector, (self.items, at), space, scores);
                    strike(at, excluded, scores);
                    if let Some(allow) = self.allow {
                        strike_forbidden(at, allow, scores);
                    }
                    visit(user + i, at, scores, state);
                }
            }
        });
    }
}

/// Takes the scores of the items from `first` on that stand in `excluded` away, and those items from the list.
fn strike(first: usize, excluded: &mut &[u32], scores: &mut [f32]) {
    while let Some((id, rest)) = excluded.split_first() {
        let Some(score) = scores.get_mut((*id as usize).wrapping_sub(first)) else {
            break;
        };
        *score = f32::NAN;
        *excluded = rest;
    }
}

/// Takes the scores of the items from `first` on that are not allowed away.
fn strike_forbidden(first: usize, allow: &[u64], scores: &mut [f32]) {
    for (id, score) in (first..).zip(scores) {
        if allow[id / 64] >> (id % 64) & 1 == 0 {
            *score = f32::NAN;
        }
    }
}

/// Best first, of equal ones the lower id; no score is NaN.
fn in_order(a: Scored, b: Scored) -> Ordering {
    let scores = b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal);
    scores.then(a.id.cmp(&b.id))
}

/// Ordered so that the greatest is the one to give up first.
#[derive(Debug, Clone, Copy)]
struct Worst(Scored);

impl Ord for Worst {
    fn cmp(&self, other: &Self) -> Ordering {
        in_order(self.0, other.0)
    }
}

impl PartialOrd for Worst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Worst {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Worst {}

/// The best items of a user so far.
#[derive(Debug, Default)]
struct Best(BinaryHeap<Worst>);

impl Best {
    /// Scores of the items from `first` on, all of higher ids than those before.
    fn offer(&mut self, isa: Isa, k: usize, first: usize, scores: &[f32]) {
        if self.0.len() == k && above(isa, scores, self.bar()) == 0 {
            return;
        }
        for (id, score) in (first as u32..).zip(scores) {
            let scored = Worst(Scored { id, score: *score });
            if self.0.len() < k {
                if !score.is_nan() {
                    self.0.push(scored);
                }
            } else if *score > self.bar()
                && let Some(mut last) = self.0.peek_mut()
            {
                *last = scored;
            }
        }
    }

    /// What a score has to exceed, once there are enough.
    fn bar(&self) -> f32 {
        self.0.peek().map_or(f32::INFINITY, |last| last.0.score)
    }
}

vectorized! {
    /// Scores of the items from a first one on. Lanes are joined for all of them at once, from memory: a few values of
    /// one register after the other would take longer than their products.
    fn score_all(
        user: &[f32],
        items: (View<'_, f32>, usize),
        space: &mut [f32],
        scores: &mut [f32],
    ) {
        let (items, first) = items;
        let n = scores.len();
        let (sums, space) = space.split_at_mut(n * LANES);
        let (halves, space) = space.split_at_mut(n * (LANES / 2));
        let quarters = &mut space[..n * (LANES / 4)];
        for (i, sums) in sums.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            products(user, items.row(first + i), sums);
        }
        join::<LANES, { LANES / 2 }>(sums, halves);
        join::<{ LANES / 2 }, { LANES / 4 }>(halves, quarters);
        let quarters = quarters.as_chunks::<{ LANES / 4 }>().0;
        for (score, [a, b, c, d]) in scores.iter_mut().zip(quarters) {
            *score = (a + c) + (b + d);
        }
    }

    /// How many scores are above `bar`; NaN is not.
    fn above(scores: &[f32], bar: f32) -> u32 {
        scores.iter().map(|score| u32::from(*score > bar)).sum()
    }
}

/// Sums of products: value `i` is added to lane `i % LANES`.
#[inline(always)]
fn products(a: &[f32], b: &[f32], sums: &mut [f32; LANES]) {
    let mut lanes = [0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    *sums = lanes;
    for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum += a * b;
    }
}

/// Adds the second half of each group of `W` values to the first, of `H`.
#[inline(always)]
fn join<const W: usize, const H: usize>(from: &[f32], to: &mut [f32]) {
    let groups = to.as_chunks_mut::<H>().0.iter_mut();
    for (to, from) in groups.zip(from.as_chunks::<W>().0) {
        for i in 0..H {
            to[i] = from[i] + from[i + H];
        }
    }
}

#[cfg(test)]
mod tests;

//! Softmax cross-entropy of rows against items, from vectors rather than from logits: with hidden `[n, d]` and
//! items `[m, d]`, scores are `scale * hidden itemsᵀ` `[n, m]`, of which no more than a few rows and a block of
//! items exist at a time (Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models",
//! arXiv:2411.09009).
//!
//! Rows are worked on in chunks. A first pass over the blocks of items takes each row's logsumexp online (Milakov &
//! Gimelshein, arXiv:1805.02867), a second one turns scores into `g = weight * (softmax - onehot)` and adds
//! `g items` and `gᵀ hidden` to the gradients. Where all items are one block its scores are still there; otherwise they
//! are computed again, which costs a third more than keeping them would and needs no memory that grows with `m`.

mod rows;
#[cfg(test)]
mod tests;

use crate::element::Element;
use crate::gemm::{Packed, Side, Spot, Stored, View, add_outer, multiply};
use crate::isa::Isa;
use crate::parallel::Spread;
use crate::scratch;
use rows::{Masks, Part, State, close, observe, open, weigh};

/// Items scored at a time: rows of a block are whole panels, and not a power of two apart, which caches do not like.
const BLOCK: usize = 4000;
/// Rows of a chunk at least, a multiple of the height of every tile: for each chunk the gradients of all items are
/// read and written.
const LEAST_ROWS: usize = 264;
/// Values per task of passes over scores.
const TASK: usize = 1 << 14;

/// The rows of a loss.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a, E> {
    /// Vector of each row, `[n, d]`.
    pub hidden: View<'a, E>,
    /// The right item of each row, `[n]`.
    pub targets: &'a [u32],
    /// Weight of each row, `[n]`. A row of weight 0 counts for nothing.
    pub weights: &'a [f32],
    /// Factor of all scores: the inverse temperature.
    pub scale: f32,
}

/// Items drawn instead of all: each row is scored against its own right item and the same negatives.
#[derive(Debug, Clone, Copy)]
pub struct Sampled<'a, E> {
    /// Vector of the right item of each row, `[n, d]`.
    pub positives: View<'a, E>,
    /// Vectors of the items drawn, `[k, d]`.
    pub negatives: View<'a, E>,
    /// The items drawn, `[k]`. Those that are a row's target do not count for that row.
    pub ids: &'a [u32],
}

/// Where gradients go: what is written is the gradient of the loss divided by `scale`, so that a caller multiplies
/// by `scale` and by its own factor at once.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// Of the rows, `[n, d]`.
    pub hidden: &'a mut [f32],
    /// Of the items or of the negatives, `[m, d]`; empty when they are not asked for.
    pub items: &'a mut [f32],
    /// Of the right items of [`sampled`], `[n, d]`; empty for [`full`].
    pub positives: &'a mut [f32],
}

/// What a loss comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Weighted sum over rows of `logsumexp(scores) - scores[target]`.
    pub loss: f64,
    /// Its derivative by `scale`; 0 when no gradients were asked for.
    pub dscale: f64,
}

/// The loss against all items `[m, d]`.
///
/// # Panics
/// When a length is wrong or a target is no item.
pub fn full<E: Element>(
    isa: Isa,
    rows: Rows<'_, E>,
    items: View<'_, E>,
    gradients: Option<Gradients<'_>>,
) -> Found {
    for (row, target) in rows.targets.iter().enumerate() {
        assert!(
            (*target as usize) < items.rows(),
            "ranking: row {row} has target {target}, expected one of {} items from 0",
            items.rows()
        );
    }
    let positives = gradients.as_ref().map_or(0, |g| g.positives.len());
    assert!(
        positives == 0,
        "ranking: {positives} gradients of right items, which are among all items"
    );
    let loss = Loss {
        isa,
        rows,
        items,
        own: None,
    };
    loss.run(gradients)
}

/// The loss against items drawn at random (sampled softmax with masked accidental hits; without correction for the
/// probability of a draw, so negatives have to be drawn uniformly).
///
/// # Panics
/// When a length is wrong.
pub fn sampled<E: Element>(
    isa: Isa,
    rows: Rows<'_, E>,
    sampled: Sampled<'_, E>,
    gradients: Option<Gradients<'_>>,
) -> Found {
    let (positives, negatives) = (sampled.positives, sampled.negatives);
    assert!(
        sampled.ids.len() == negatives.rows(),
        "ranking: {} ids for {} negatives",
        sampled.ids.len(),
        negatives.rows()
    );
    let shape = (rows.hidden.rows(), rows.hidden.cols());
    assert!(
        (positives.rows(), positives.cols()) == shape,
        "ranking: {} x {} right items for {} x {} rows",
        positives.rows(),
        positives.cols(),
        shape.0,
        shape.1
    );
    if let Some(gradients) = &gradients {
        let (found, hidden) = (gradients.positives.len(), gradients.hidden.len());
        assert!(
            found == hidden,
            "ranking: {found} gradients of right items for {hidden} of rows"
        );
    }
    let loss = Loss {
        isa,
        rows,
        items: negatives,
        own: Some((positives, Masks::new(sampled.ids))),
    };
    loss.run(gradients)
}

struct Loss<'a, E> {
    isa: Isa,
    rows: Rows<'a, E>,
    items: View<'a, E>,
    /// The right items, where they do not stand among `items`, and what must not stand there beside them.
    own: Option<(View<'a, E>, Masks)>,
}

/// Items `first..first + len`.
struct Block<'a, E> {
    first: usize,
    len: usize,
    /// `[d, len]`.
    across: Packed<'a, E>,
    /// `[len, d]`, when there are gradients.
    down: Option<Packed<'a, E>>,
}

impl<E: Element> Loss<'_, E> {
    fn run(&self, mut gradients: Option<Gradients<'_>>) -> Found {
        self.check(gradients.as_ref());
        let (n, width) = (self.rows.hidden.rows(), BLOCK.min(self.items.rows()));
        if let Some(gradients) = &mut gradients {
            gradients.hidden.fill(0.0);
            gradients.items.fill(0.0);
        }
        let mut found = Found {
            loss: 0.0,
            dscale: 0.0,
        };
        if n == 0 {
            return found;
        }
        let chunk = (BLOCK * LEAST_ROWS / width.max(1)).max(LEAST_ROWS) / LEAST_ROWS * LEAST_ROWS;
        let chunk = chunk.min(n);
        self.with_blocks(gradients.is_some(), |blocks| {
            scratch::with::<f32, _>(chunk * width, |scores| {
                for first in (0..n).step_by(chunk) {
                    let rows = (first, chunk.min(n - first));
                    let states = self.first_pass(blocks, rows, scores);
                    let losses = states.iter().zip(&self.rows.weights[first..]);
                    found.loss += losses.map(|(state, w)| state.loss(*w)).sum::<f64>();
                    if let Some(gradients) = &mut gradients {
                        self.second_pass(blocks, rows, (scores, &states), gradients);
                        found.dscale += self.close(rows, &states, gradients);
                    }
                }
            });
        });
        found
    }

    fn check(&self, gradients: Option<&Gradients<'_>>) {
        let Rows {
            hidden,
            targets,
            weights,
            ..
        } = self.rows;
        let (n, d) = (hidden.rows(), hidden.cols());
        assert!(
            targets.len() == n && weights.len() == n,
            "ranking: {} targets and {} weights for {n} rows",
            targets.len(),
            weights.len()
        );
        assert!(
            d > 0 && self.items.cols() == d,
            "ranking: items of width {} for rows of width {d}",
            self.items.cols()
        );
        if let Some(gradients) = gradients {
            let (rows, items) = (gradients.hidden.len(), gradients.items.len());
            assert!(
                rows == n * d && (items == 0 || items == self.items.rows() * d),
                "ranking: {rows} and {items} gradients for {n} rows and {} items of width {d}",
                self.items.rows()
            );
        }
    }

    /// Runs `f` with the items packed, block by block.
    fn with_blocks(&self, both: bool, f: impl FnOnce(&[Block<'_, E>])) {
        let (isa, m, d) = (self.isa, self.items.rows(), self.items.cols());
        let each = (0..m)
            .step_by(BLOCK)
            .map(|first| (first, BLOCK.min(m - first)));
        let len = |(_, len): (usize, usize)| {
            let down = if both {
                Packed::<E>::len(isa, len, d)
            } else {
                0
            };
            (Packed::<E>::len(isa, d, len), down)
        };
        let total = each.clone().map(len).map(|(across, down)| across + down);
        scratch::with::<E, _>(total.sum(), |mut space| {
            let blocks = each.map(|(first, count)| {
                let (across, down) = len((first, count));
                let (panels, rest) = std::mem::take(&mut space).split_at_mut(across);
                let (more, rest) = rest.split_at_mut(down);
                space = rest;
                let items = [self.items.part((first, count), (0, d))];
                Block {
                    first,
                    len: count,
                    across: Packed::pack(isa, &items, Stored::Transposed, Side::N, panels),
                    down: both.then(|| Packed::pack(isa, &items, Stored::Plain, Side::N, more)),
                }
            });
            f(&blocks.collect::<Vec<_>>());
        });
    }

    /// The part of a pass that takes rows `first..` and one block of items.
    fn part(&self, first: usize, block: &Block<'_, E>) -> Part<'_> {
        Part {
            targets: &self.rows.targets[first..],
            weights: &self.rows.weights[first..],
            scale: self.rows.scale,
            columns: (block.first, block.len),
            masks: self.own.as_ref().map(|(_, masks)| masks),
        }
    }

    /// Products of the rows and one block of items, `[rows, block.len]`.
    fn products(&self, block: &Block<'_, E>, rows: (usize, usize), out: &mut [f32]) {
        let hidden = self.rows.hidden;
        let (isa, len) = (self.isa, block.len);
        let store = |spot: Spot<'_>, out: &mut [f32], _: &mut [()]| spot.store(isa, len, out);
        let hidden = hidden.part(rows, (0, hidden.cols()));
        multiply(hidden, &block.across, out, &mut [(); 0], store);
    }

    /// What each row's scores come to. Leaves those of the last block in `scores`.
    fn first_pass(
        &self,
        blocks: &[Block<'_, E>],
        (first, n): (usize, usize),
        scores: &mut [f32],
    ) -> Vec<State> {
        let mut states = vec![State::default(); n];
        if let Some((positives, _)) = &self.own {
            let given = (self.rows.hidden, *positives);
            let many = tasks(positives.cols());
            let chunks = states.chunks_mut(many).enumerate();
            chunks.spread(|(i, states)| {
                open(self.isa, given, first + i * many, self.rows.scale, states);
            });
        }
        for block in blocks {
            let scores = &mut scores[..n * block.len];
            self.products(block, (first, n), scores);
            let many = tasks(block.len);
            let chunks = scores
                .chunks_mut(many * block.len)
                .zip(states.chunks_mut(many));
            chunks.enumerate().spread(|(i, (scores, states))| {
                let part = self.part(first + i * many, block);
                observe(self.isa, &part, scores, states);
            });
        }
        states
    }

    /// Adds to the gradients what the rows and all blocks of items give.
    fn second_pass(
        &self,
        blocks: &[Block<'_, E>],
        (first, n): (usize, usize),
        (scores, states): (&mut [f32], &[State]),
        gradients: &mut Gradients<'_>,
    ) {
        let d = self.items.cols();
        let hidden = self.rows.hidden.part((first, n), (0, d));
        for block in blocks {
            let Some(down) = &block.down else {
                continue;
            };
            let scores = &mut scores[..n * block.len];
            let again = blocks.len() > 1;
            if again {
                self.products(block, (first, n), scores);
            }
            scratch::with::<E, _>(scores.len(), |slopes| {
                let many = tasks(block.len);
                let each = scores
                    .chunks_mut(many * block.len)
                    .zip(states.chunks(many))
                    .zip(slopes.chunks_mut(many * block.len));
                each.enumerate().spread(|(i, ((scores, states), slopes))| {
                    let part = self.part(first + i * many, block);
                    weigh(self.isa, &part, (scores, again), states, slopes);
                });
                let slopes = View::new(&*slopes, n, block.len);
                let sums = &mut gradients.hidden[first * d..][..n * d];
                multiply(slopes, down, sums, &mut [(); 0], |spot, sums, _| {
                    for i in 0..spot.rows {
                        let at = (spot.block_row + i) * d + spot.col;
                        let values = spot.values(i);
                        for (sum, value) in sums[at..].iter_mut().zip(values) {
                            *sum += value;
                        }
                    }
                });
                if !gradients.items.is_empty() {
                    let sums = &mut gradients.items[block.first * d..][..block.len * d];
                    add_outer(self.isa, slopes, hidden, sums, &mut []);
                }
            });
        }
    }

    /// Adds what the rows' own right items give; returns the rows' part of the derivative by `scale`.
    fn close(
        &self,
        (first, n): (usize, usize),
        states: &[State],
        gradients: &mut Gradients<'_>,
    ) -> f64 {
        let d = self.items.cols();
        let hidden = self.rows.hidden.part((first, n), (0, d));
        let own = self.own.as_ref().map(|(own, _)| *own);
        let weights = &self.rows.weights[first..][..n];
        let sums = &mut gradients.hidden[first * d..][..n * d];
        let many = tasks(d);
        let positives = gradients.positives.get_mut(first * d..(first + n) * d);
        let mut positives: Vec<&mut [f32]> =
            positives.unwrap_or_default().chunks_mut(many * d).collect();
        positives.resize_with(n.div_ceil(many), Default::default);
        let mut slopes = vec![0f64; n];
        let each = sums.chunks_mut(many * d).zip(positives);
        let each = each.zip(slopes.chunks_mut(many)).enumerate();
        each.spread(|(i, ((sums, positives), slopes))| {
            let at = (i * many, slopes.len());
            let hidden = hidden.part(at, (0, d));
            let own = own.map(|own| own.part((first + at.0, at.1), (0, d)));
            let rows = (&states[at.0..][..at.1], &weights[at.0..][..at.1]);
            close(self.isa, (hidden, own), rows, (sums, positives), slopes);
        });
        slopes.iter().sum()
    }
}

/// Rows per task of rows of `width` values.
fn tasks(width: usize) -> usize {
    (TASK / width.max(1)).max(1)
}

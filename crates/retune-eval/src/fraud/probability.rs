//! Whether scores mean what they say, over all events: Brier score and expected calibration error.

use std::collections::HashMap;

use super::evaluate::{Family, Key};
use super::scored::{Groups, Scored, Sums};
use crate::metrics::{BINS, bin_of};

/// What one group adds to a bin.
struct Cell {
    group: u32,
    /// `Σ (score - fraud)`
    gap: f64,
    /// `Σ (score - fraud)^2`
    squares: f64,
}

/// Both figures are made of sums over events, so the events of a group in a bin are summed once.
pub(super) struct Probabilities {
    bins: Vec<Vec<Cell>>,
    /// Events of each group.
    weights: Sums<1>,
}

impl Probabilities {
    pub(super) fn new(events: &Scored, groups: &Groups) -> Self {
        let mut places: HashMap<(u32, usize), usize> = HashMap::new();
        let mut bins: Vec<Vec<Cell>> = (0..BINS).map(|_| Vec::new()).collect();
        for (event, group) in groups.of.iter().enumerate() {
            let score = f64::from(events.score[event]);
            let bin = bin_of(score, BINS);
            let place = *places.entry((*group, bin)).or_insert(bins[bin].len());
            if place == bins[bin].len() {
                bins[bin].push(Cell {
                    group: *group,
                    gap: 0.0,
                    squares: 0.0,
                });
            }
            let (cell, weight) = (&mut bins[bin][place], events.weight(event));
            let gap = score - f64::from(events.fraud[event]);
            cell.gap += weight * gap;
            cell.squares += weight * gap * gap;
        }
        Self {
            bins,
            weights: groups.sums(|event| [events.weight(event)]),
        }
    }
}

impl Family for Probabilities {
    fn keys(&self) -> Vec<Key> {
        ["brier", "ece"].map(|k| Key::Metric(k.to_owned())).to_vec()
    }

    /// Brier (1950): mean of `(score - fraud)^2`. Expected calibration error (Naeini 2015): over 15 bins of the score of
    /// equal width, `Σ |Σ (score - fraud)| / events`.
    fn fill(&self, drawn: &[u32], out: &mut Vec<f64>) {
        let [weight] = self.weights.of(drawn);
        let (mut squares, mut gaps) = (0.0, 0.0);
        for bin in &self.bins {
            let mut gap = 0.0;
            for cell in bin {
                let times = f64::from(drawn[cell.group as usize]);
                squares += times * cell.squares;
                gap += times * cell.gap;
            }
            gaps += f64::abs(gap);
        }
        out.extend([squares / weight, gaps / weight]);
    }
}

//! Events sorted once, so that each resample is one pass.
//!
//! Only thresholds at the score of a fraud can raise recall, so a curve has one point per distinct score of fraud. In
//! front of it stand the legitimate events with higher scores (their sum is all that counts of them), and beside it
//! those with the same score. A pass is a sum of the weights of groups over a few long runs of events.

use std::ops::Range;

use super::scored::{Groups, Scored};

/// Events of one kind from the highest score to the lowest.
#[derive(Default)]
struct Side {
    group: Vec<u32>,
    /// Empty where every event counts once.
    weight: Vec<f64>,
}

impl Side {
    /// `Σ drawn weight` over a run of events.
    fn sum(&self, run: Range<usize>, drawn: &[u32]) -> f64 {
        let groups = &self.group[run.clone()];
        if self.weight.is_empty() {
            let times = groups.iter().map(|g| u64::from(drawn[*g as usize]));
            return times.sum::<u64>() as f64;
        }
        let each = groups.iter().zip(&self.weight[run]);
        each.map(|(g, w)| f64::from(drawn[*g as usize]) * w).sum()
    }
}

/// Where the runs of one point end.
struct Step {
    score: f32,
    /// End of the legitimate events with higher scores.
    clear: usize,
    /// End of the legitimate events with this score.
    tied: usize,
    /// End of the fraud with this score.
    fraud: usize,
}

/// One model's events in order.
pub(super) struct Order {
    legit: Side,
    fraud: Side,
    /// Amount of each fraud times its weight.
    amount: Vec<f64>,
    steps: Vec<Step>,
}

/// What alerts from a score on hold, in weighted events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// The score.
    pub(super) score: f32,
    /// Legitimate events with a higher score.
    pub(super) clear: f64,
    /// Legitimate events with this or a higher score.
    pub(super) legit: f64,
    /// Fraud with this or a higher score.
    pub(super) fraud: f64,
    /// Its amount.
    pub(super) amount: f64,
}

/// All points of a resample, by falling score, and the sums over all events.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    pub(super) points: Vec<Point>,
    pub(super) legit: f64,
    pub(super) fraud: f64,
    pub(super) amount: f64,
}

impl Order {
    pub(super) fn new(events: &Scored, groups: &Groups, ranked: &[u32]) -> Self {
        let mut order = Self {
            legit: Side::default(),
            fraud: Side::default(),
            amount: Vec::new(),
            steps: Vec::new(),
        };
        let score = |event: &u32| events.score[*event as usize];
        for tied in ranked.chunk_by(|a, b| score(a) == score(b)) {
            let clear = order.legit.group.len();
            for event in tied {
                order.add(*event as usize, events, groups);
            }
            let (tied_legit, fraud) = (order.legit.group.len(), order.fraud.group.len());
            if fraud > order.steps.last().map_or(0, |s| s.fraud) {
                order.steps.push(Step {
                    score: score(&tied[0]),
                    clear,
                    tied: tied_legit,
                    fraud,
                });
            }
        }
        order
    }

    fn add(&mut self, event: usize, events: &Scored, groups: &Groups) {
        let weight = events.weight(event);
        let side = if events.fraud[event] {
            self.amount.push(events.amount(event) * weight);
            &mut self.fraud
        } else {
            &mut self.legit
        };
        side.group.push(groups.of[event]);
        if events.weight.is_some() {
            side.weight.push(weight);
        }
    }

    /// The points of a resample; `drawn` is how often each group is in it.
    pub(super) fn curve(&self, drawn: &[u32]) -> Curve {
        let (mut legit, mut fraud, mut amount) = (0.0, 0.0, 0.0);
        let (mut at, mut at_fraud) = (0, 0);
        let mut points = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let clear = legit + self.legit.sum(at..step.clear, drawn);
            legit = clear + self.legit.sum(step.clear..step.tied, drawn);
            let new = at_fraud..step.fraud;
            fraud += self.fraud.sum(new.clone(), drawn);
            let groups = self.fraud.group[new.clone()].iter();
            let amounts = groups.zip(&self.amount[new]);
            amount += amounts
                .map(|(g, a)| f64::from(drawn[*g as usize]) * a)
                .sum::<f64>();
            (at, at_fraud) = (step.tied, step.fraud);
            points.push(Point {
                score: step.score,
                clear,
                legit,
                fraud,
                amount,
            });
        }
        legit += self.legit.sum(at..self.legit.group.len(), drawn);
        Curve {
            points,
            legit,
            fraud,
            amount,
        }
    }
}

//! What decided answers change: figures with the usual answers and with them, on the same resamples.

use std::sync::Arc;

use super::Metric;
use super::evaluate::{measure, per_class};
use super::sample::{Facts, weighted_mean};
use crate::bootstrap::{Draws, interval, resample};
use crate::decision::Decision;
use crate::predictions::{Predictions, Targets};
use crate::records::{Change, Chosen, Decided, Evaluation, PerClass};

/// The part of the figures that is about the decision of `p`; `after` are the figures of each class with it.
pub(super) fn decided(
    p: &Predictions,
    (chosen, e): (&[&'static Metric], &Evaluation),
    after: &[PerClass],
    seed: u64,
) -> Option<Decided> {
    let decision = p.decision.as_ref()?;
    let usual = Arc::new(Facts::usual(p));
    let before = per_class(&usual, &e.classes, seed);
    // A class without defined figures is in neither list.
    let change = |(class, threshold)| {
        let name = e.classes.get(class)?;
        let of = |figures: &[PerClass]| figures.iter().find(|c| c.class == *name).cloned();
        Some(Chosen {
            threshold,
            before: of(&before)?,
            after: of(after)?,
        })
    };
    Some(Decided {
        goal: decision.goal(),
        thresholds: decision
            .thresholds()
            .into_iter()
            .filter_map(change)
            .collect(),
        cost: cost(p, decision, seed),
        usual: measure(&usual, chosen, seed),
    })
}

/// Mean cost of a row without and with the decision.
fn cost(p: &Predictions, decision: &Decision, seed: u64) -> Option<Change> {
    let costs = [row_costs(&p.usual(), decision)?, row_costs(p, decision)?];
    let models = [Arc::new(Facts::new(p))];
    let figures = resample(&models, Draws::usual(seed), 2, &|of, out| {
        (out.iter_mut().zip(&costs)).for_each(|(v, c)| *v = weighted_mean(c, &of[0].weights));
    });
    let once = vec![1; p.scores.rows];
    let at = |i: usize| interval(weighted_mean(&costs[i], &once), &figures[i]);
    Some(Change {
        before: at(0)?,
        after: at(1)?,
    })
}

/// What the answers of `p` cost, row by row, where `decision` knows costs.
fn row_costs(p: &Predictions, decision: &Decision) -> Option<Vec<f64>> {
    let rows = 0..p.scores.rows;
    match &p.targets {
        Targets::Class(truth) => rows
            .map(|r| decision.cost_of_class(truth[r] as usize, p.class(r)))
            .collect(),
        Targets::Labels(flags) => rows
            .map(|r| {
                let scores = p.scores.row(r).iter().enumerate();
                let known = scores.filter_map(|(l, &s)| {
                    let truth = flags[r * p.scores.cols + l]?;
                    Some(decision.cost_of_flag(truth, p.flag(l, s)))
                });
                known.sum()
            })
            .collect(),
        Targets::Value(_) | Targets::Vectors(_) => None,
    }
}

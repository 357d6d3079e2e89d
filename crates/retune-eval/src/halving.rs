//! Successive halving (Jamieson & Talwalkar, arXiv:1502.07943): many candidates get few steps, the best of them more.
//!
//! With `n` candidates and a factor of `eta`, there are `s + 1` rungs, `s = floor(log_eta n)`. Rung `i` trains
//! `n / eta^i` candidates, the best of the rung before, each with `eta^(i - s)` of its own steps: the last rung with all
//! of them. Every rung costs about the same.

use serde::{Deserialize, Serialize};

use crate::metrics::metric;

/// One rung.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// How many candidates are trained.
    pub candidates: usize,
    /// Share of its own steps that each gets, up to 1.
    pub share: f64,
}

/// One training of a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Optimiser steps.
    pub steps: u64,
    /// The metric on the validation rows; `None` where the training gave none.
    pub score: Option<f64>,
    /// Mean loss on the validation rows.
    pub loss: Option<f64>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One setting of the space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its settings as people write them: `lr=3e-5 batch_size=32`.
    pub name: String,
    /// One per rung that it has reached.
    pub trials: Vec<Trial>,
}

/// A search over candidates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// The metric of the scores.
    pub metric: String,
    /// Whether a larger score is a better one.
    pub higher_is_better: bool,
    /// Validation rows behind each score.
    pub rows: usize,
    /// The rungs, the cheapest first.
    pub rungs: Vec<Rung>,
    /// In the order of the space.
    pub candidates: Vec<Candidate>,
}

/// The rungs of a search. `steps` are those of a whole training; a rung with less than `least` of them is left out, as
/// it would teach too little to tell candidates apart.
pub fn rungs(candidates: usize, eta: usize, steps: u64, least: u64) -> Vec<Rung> {
    let eta = eta.max(2);
    let (mut fewest, mut shortest, mut halvings) = (candidates, steps as f64, 0);
    while fewest >= eta && shortest / eta as f64 >= least as f64 {
        fewest /= eta;
        shortest /= eta as f64;
        halvings += 1;
    }
    let rung = |i: u32| Rung {
        candidates: candidates / eta.pow(i),
        share: (eta as f64).powi(i as i32 - halvings),
    };
    (0..=halvings as u32).map(rung).collect()
}

impl Rung {
    /// Optimiser steps of a candidate whose whole training has `steps`.
    pub fn steps(&self, steps: u64) -> u64 {
        // A share that is not exact must not add a step.
        ((self.share * steps as f64 - 1e-6).ceil() as u64).clamp(1, steps.max(1))
    }
}

impl Search {
    /// A search in which nothing has been measured yet. A metric that is not known is taken to be better when larger.
    pub fn new(name: &str, rows: usize, rungs: Vec<Rung>, candidates: Vec<String>) -> Self {
        let candidate = |name| Candidate {
            name,
            trials: Vec::new(),
        };
        Self {
            metric: name.to_owned(),
            higher_is_better: metric(name).is_none_or(|m| m.higher_is_better),
            rows,
            rungs,
            candidates: candidates.into_iter().map(candidate).collect(),
        }
    }

    /// Candidates that have been trained in a rung, the best first: by score, then by the smaller loss (few validation
    /// rows tie often), then in the order of the space. Those without a score come last.
    pub fn ranking(&self, rung: usize) -> Vec<usize> {
        let trial = |i: &usize| self.candidates[*i].trials.get(rung);
        let mut found: Vec<usize> = (0..self.candidates.len())
            .filter(|i| trial(i).is_some())
            .collect();
        let sign = if self.higher_is_better { -1.0 } else { 1.0 };
        let key = |i: &usize| {
            let of = trial(i);
            let score = of.and_then(|trial| trial.score);
            let loss = of.and_then(|trial| trial.loss);
            (
                score.map_or(f64::INFINITY, |score| sign * score),
                loss.unwrap_or(f64::INFINITY),
            )
        };
        found.sort_by(|a, b| {
            let (a, b) = (key(a), key(b));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        found
    }

    /// Candidates that a rung trains: all in the first, the best of the rung before in the others.
    pub fn entrants(&self, rung: usize) -> Vec<usize> {
        let Some(before) = rung.checked_sub(1) else {
            return (0..self.candidates.len()).collect();
        };
        let wanted = self.rungs[rung].candidates;
        let scored = |i: &usize| self.candidates[*i].trials[before].score.is_some();
        let best = self.ranking(before).into_iter();
        best.filter(scored).take(wanted).collect()
    }

    /// The best candidate and its rung: of the last rung in which any has a score. `None` where no training gave one.
    pub fn best(&self) -> Option<(usize, usize)> {
        (0..self.rungs.len()).rev().find_map(|rung| {
            let first = self.ranking(rung).first().copied()?;
            self.candidates[first].trials[rung].score?;
            Some((first, rung))
        })
    }

    /// Every candidate with the number of rungs that it has reached: the furthest first, then the best.
    pub fn order(&self) -> Vec<(usize, usize)> {
        let of = |rung: usize| {
            let here = self.ranking(rung).into_iter();
            here.filter_map(move |i| {
                let reached = self.candidates[i].trials.len();
                (reached == rung + 1).then_some((i, reached))
            })
        };
        (0..self.rungs.len()).rev().flat_map(of).collect()
    }

    /// How many trainings there were.
    pub fn trainings(&self) -> usize {
        self.candidates.iter().map(|c| c.trials.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn shape(found: &[Rung]) -> Vec<(usize, u64)> {
        found.iter().map(|r| (r.candidates, r.steps(900))).collect()
    }

    #[test]
    fn every_rung_costs_about_the_same() {
        assert_eq!(shape(&rungs(9, 3, 900, 1)), [(9, 100), (3, 300), (1, 900)]);
        assert_eq!(
            shape(&rungs(12, 3, 900, 1)),
            [(12, 100), (4, 300), (1, 900)]
        );
        assert_eq!(shape(&rungs(6, 3, 900, 1)), [(6, 300), (2, 900)]);
        assert_eq!(
            shape(&rungs(8, 2, 900, 1)),
            [(8, 113), (4, 225), (2, 450), (1, 900)]
        );
        assert_eq!(shape(&rungs(2, 3, 900, 1)), [(2, 900)]);
    }

    #[test]
    fn rungs_that_teach_too_little_are_left_out() {
        assert_eq!(shape(&rungs(9, 3, 900, 150)), [(9, 300), (3, 900)]);
        assert_eq!(rungs(9, 3, 10, 20).len(), 1);
        assert_eq!(rungs(9, 3, 10, 20)[0].steps(10), 10);
    }

    fn trial(score: Option<f64>, loss: f64) -> Trial {
        Trial {
            steps: 1,
            score,
            loss: Some(loss),
            note: None,
        }
    }

    fn search(metric: &str, first: &[(Option<f64>, f64)]) -> Search {
        let names = (0..first.len()).map(|i| i.to_string()).collect();
        let mut search = Search::new(metric, 10, rungs(first.len(), 3, 90, 1), names);
        for (candidate, (score, loss)) in search.candidates.iter_mut().zip(first) {
            candidate.trials.push(trial(*score, *loss));
        }
        search
    }

    #[test]
    fn the_best_go_on_and_ties_are_told_apart_by_the_loss() {
        let first = [
            (Some(0.7), 0.5),
            (None, 0.0),
            (Some(0.9), 0.4),
            (Some(0.9), 0.3),
            (Some(0.9), 0.3),
            (Some(0.1), 0.1),
        ];
        let mut found = search("accuracy", &first);
        assert_eq!(found.ranking(0), [3, 4, 2, 0, 5, 1]);
        assert_eq!(found.entrants(1), [3, 4]);
        assert_eq!(found.best(), Some((3, 0)));
        found.candidates[3].trials.push(trial(Some(0.8), 0.2));
        found.candidates[4].trials.push(trial(Some(0.85), 0.2));
        // A later rung decides, although an earlier score was higher.
        assert_eq!(found.best(), Some((4, 1)));
        let order = [(4, 2), (3, 2), (2, 1), (0, 1), (5, 1), (1, 1)];
        assert_eq!(found.order(), order);
        assert_eq!(found.trainings(), 8);
        // Of errors the smallest is best.
        assert_eq!(search("rmse", &first).ranking(0)[..2], [5, 0]);
    }

    #[test]
    fn a_candidate_without_a_score_never_goes_on() {
        let none = (None, 0.0);
        let mut found = search(
            "accuracy",
            &[none, none, (Some(0.2), 1.0), none, none, none],
        );
        assert_eq!(found.entrants(1), [2]);
        // It loses its score at full length: the rung before decides.
        found.candidates[2].trials.push(trial(None, 0.0));
        assert_eq!(found.best(), Some((2, 0)));
        assert_eq!(search("accuracy", &[none; 3]).best(), None);
        assert!(search("accuracy", &[none; 3]).entrants(1).is_empty());
    }

    #[test]
    fn a_search_is_written_and_read() {
        let found = search("accuracy", &[(Some(0.5), 0.1), (None, 0.2)]);
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Search>(&text).unwrap(), found);
    }
}

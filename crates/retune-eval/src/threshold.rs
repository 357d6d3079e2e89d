//! From which score on a row is called positive: the threshold that serves a stated goal best.
//!
//! A row is called positive when its score is at least the threshold. Every distinct score is tried, so rows with
//! equal scores are always on one side, and the answer is exact for the rows at hand.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a threshold is chosen for; written `f1`, `precision=0.9`, `recall=0.8` or `cost=1:10`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Goal {
    /// The largest F1.
    F1,
    /// Precision of at least this share, then the largest recall.
    Precision(f64),
    /// Recall of at least this share, then the largest precision.
    Recall(f64),
    /// The smallest mean cost of a row, given what each kind of error costs.
    Cost {
        /// Cost of a negative row that is called positive.
        false_positive: f64,
        /// Cost of a positive row that is missed.
        false_negative: f64,
    },
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a goal; write f1, precision=0.9, recall=0.8, or cost=1:10 (of a false alarm and of a miss)"
            )
        };
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
        let share = |text: &str| {
            let share = number(text)?;
            if share > 0.0 && share <= 1.0 {
                Ok(share)
            } else {
                Err(format!("{share} is out of range 0 to 1; try 0.9"))
            }
        };
        match text.trim().split_once('=') {
            None if text.trim() == "f1" => Ok(Self::F1),
            Some(("precision", wanted)) => Ok(Self::Precision(share(wanted)?)),
            Some(("recall", wanted)) => Ok(Self::Recall(share(wanted)?)),
            Some(("cost", costs)) => {
                let (alarm, miss) = costs.split_once(':').ok_or_else(wrong)?;
                let (false_positive, false_negative) = (number(alarm)?, number(miss)?);
                let fits = |cost: f64| cost >= 0.0 && cost.is_finite();
                if !fits(false_positive)
                    || !fits(false_negative)
                    || false_positive + false_negative == 0.0
                {
                    return Err(format!(
                        "costs {false_positive}:{false_negative} must be 0 or more, and one of them above 0; try cost=1:10"
                    ));
                }
                Ok(Self::Cost {
                    false_positive,
                    false_negative,
                })
            }
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Goal {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Goal> for String {
    fn from(goal: Goal) -> Self {
        match goal {
            Goal::F1 => "f1".to_owned(),
            Goal::Precision(p) => format!("precision={p}"),
            Goal::Recall(r) => format!("recall={r}"),
            Goal::Cost {
                false_positive,
                false_negative,
            } => format!("cost={false_positive}:{false_negative}"),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F1 => f.write_str("largest F1"),
            Self::Precision(p) => write!(f, "precision of at least {p}"),
            Self::Recall(r) => write!(f, "recall of at least {r}"),
            Self::Cost {
                false_positive,
                false_negative,
            } => write!(
                f,
                "smallest cost at {false_positive} per false alarm and {false_negative} per miss"
            ),
        }
    }
}

/// A threshold and what it gives on the rows it was chosen on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Rows whose score is at least this are called positive.
    pub value: f64,
    /// Whether it reaches the goal on those rows.
    pub met: bool,
    /// Of the rows called positive, the share that is; 0 when none is called positive.
    pub precision: f64,
    /// Of the positive rows, the share that is found.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Mean cost of a row, where the goal is a cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

impl Threshold {
    /// Whether a row with this score is called positive.
    pub fn reached(&self, score: f32) -> bool {
        // The value was a score; as one it is the same number again, however it was written down in between.
        score >= self.value as f32
    }
}

/// A goal that no threshold reaches on the rows at hand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutOfReach {
    /// What was asked for.
    pub goal: Goal,
    /// The largest value of the figure asked for; `None` without a positive row that has a score.
    pub best: Option<f64>,
}

impl fmt::Display for OutOfReach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.best {
            Some(best) => write!(
                f,
                "no threshold has a {}: the best on these rows is {best:.3}; ask for less",
                self.goal
            ),
            None => write!(
                f,
                "no threshold can be chosen for the {}: no positive row has a score; give rows of both kinds",
                self.goal
            ),
        }
    }
}

impl std::error::Error for OutOfReach {}

/// Rows called positive from one score on.
#[derive(Clone, Copy)]
struct Cut {
    value: f64,
    hits: u64,
    false_alarms: u64,
    positives: u64,
}

impl Cut {
    fn precision(&self) -> f64 {
        match self.hits + self.false_alarms {
            0 => 0.0,
            called => self.hits as f64 / called as f64,
        }
    }

    fn recall(&self) -> f64 {
        self.hits as f64 / self.positives as f64
    }

    fn f1(&self) -> f64 {
        2.0 * self.hits as f64 / (self.hits + self.false_alarms + self.positives) as f64
    }

    fn cost(&self, false_positive: f64, false_negative: f64, rows: usize) -> f64 {
        let misses = self.positives - self.hits;
        (false_positive * self.false_alarms as f64 + false_negative * misses as f64) / rows as f64
    }

    /// What calling these of `rows` rows positive gives; a share of nothing is 0.
    fn threshold(&self, goal: Goal, rows: usize) -> Threshold {
        let known = self.positives > 0;
        let cost = match goal {
            Goal::Cost {
                false_positive,
                false_negative,
            } => Some(self.cost(false_positive, false_negative, rows.max(1))),
            _ => None,
        };
        Threshold {
            value: self.value,
            met: true,
            precision: self.precision(),
            recall: if known { self.recall() } else { 0.0 },
            f1: if known { self.f1() } else { 0.0 },
            cost,
        }
    }
}

/// The threshold on `scores` of the positive class, one per row of `truth`, that serves `goal` best. Of equally good
/// thresholds the highest is taken, which calls the fewest rows positive. A score that is not a number is below every
/// threshold.
///
/// # Errors
/// When no threshold reaches the goal, or no positive row has a score (only a cost can be weighed without one).
///
/// # Panics
/// When the lengths differ.
pub fn threshold(scores: &[f32], truth: &[bool], goal: Goal) -> Result<Threshold, OutOfReach> {
    assert_eq!(scores.len(), truth.len(), "one score per row");
    let cuts = cuts(scores, truth);
    let chosen = match goal {
        Goal::F1 => best(cuts.iter().filter(|c| c.positives > 0), |c| (c.f1(), 0.0)),
        Goal::Precision(p) => best(
            cuts.iter()
                .filter(|c| c.positives > 0 && c.precision() >= p),
            |c| (c.recall(), c.precision()),
        ),
        Goal::Recall(r) => best(
            cuts.iter().filter(|c| c.positives > 0 && c.recall() >= r),
            |c| (c.precision(), c.recall()),
        ),
        Goal::Cost {
            false_positive,
            false_negative,
        } => best(cuts.iter(), |c| {
            (-c.cost(false_positive, false_negative, truth.len()), 0.0)
        }),
    };
    let Some(cut) = chosen else {
        let of = |figure: fn(&Cut) -> f64| {
            let known = cuts.iter().filter(|c| c.positives > 0).map(figure);
            known.max_by(f64::total_cmp)
        };
        let best = match goal {
            Goal::Precision(_) => of(Cut::precision),
            Goal::Recall(_) => of(Cut::recall),
            Goal::F1 | Goal::Cost { .. } => None,
        };
        return Err(OutOfReach { goal, best });
    };
    Ok(cut.threshold(goal, truth.len()))
}

/// As [`threshold`]; where the goal is out of reach the threshold that comes nearest to it, and why. Nearest is the
/// largest precision or recall there is, and one half without a positive row that has a score.
///
/// # Panics
/// As [`threshold`].
pub fn nearest(scores: &[f32], truth: &[bool], goal: Goal) -> (Threshold, Option<OutOfReach>) {
    let far = match threshold(scores, truth, goal) {
        Ok(found) => return (found, None),
        Err(far) => far,
    };
    let reachable = match (goal, far.best) {
        (Goal::Precision(_), Some(best)) => threshold(scores, truth, Goal::Precision(best)).ok(),
        (Goal::Recall(_), Some(best)) => threshold(scores, truth, Goal::Recall(best)).ok(),
        _ => None,
    };
    let found = reachable.unwrap_or_else(|| half(scores, truth, goal));
    (
        Threshold {
            met: false,
            ..found
        },
        Some(far),
    )
}

/// One half, as a threshold.
fn half(scores: &[f32], truth: &[bool], goal: Goal) -> Threshold {
    let called = |wanted: bool| {
        let rows = scores.iter().zip(truth);
        rows.filter(|(s, t)| **s >= 0.5 && **t == wanted).count() as u64
    };
    let cut = Cut {
        value: 0.5,
        hits: called(true),
        false_alarms: called(false),
        positives: truth.iter().filter(|t| **t).count() as u64,
    };
    cut.threshold(goal, truth.len())
}

/// Every different way to call rows positive, from none of them to all: thresholds fall.
fn cuts(scores: &[f32], truth: &[bool]) -> Vec<Cut> {
    let positives = truth.iter().filter(|t| **t).count() as u64;
    let mut rows: Vec<(f32, bool)> = (scores.iter().copied().zip(truth.iter().copied()))
        .filter(|(s, _)| s.is_finite())
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let Some(highest) = rows.first() else {
        return Vec::new();
    };
    let mut cut = Cut {
        value: f64::from(highest.0.next_up()),
        hits: 0,
        false_alarms: 0,
        positives,
    };
    let mut cuts = vec![cut];
    for tied in rows.chunk_by(|a, b| a.0 == b.0) {
        let hits = tied.iter().filter(|r| r.1).count();
        cut.value = f64::from(tied[0].0);
        cut.hits += hits as u64;
        cut.false_alarms += (tied.len() - hits) as u64;
        cuts.push(cut);
    }
    cuts
}

/// The first cut of the largest rank.
fn best<'a>(cuts: impl Iterator<Item = &'a Cut>, rank: impl Fn(&Cut) -> (f64, f64)) -> Option<Cut> {
    let mut found: Option<((f64, f64), Cut)> = None;
    for cut in cuts {
        let rank = rank(cut);
        if found.as_ref().is_none_or(|(best, _)| rank > *best) {
            found = Some((rank, *cut));
        }
    }
    found.map(|(_, cut)| cut)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const SCORES: [f32; 8] = [0.9, 0.8, 0.8, 0.6, 0.5, 0.4, 0.4, 0.1];
    const TRUTH: [bool; 8] = [true, true, false, true, false, true, false, false];

    fn chosen(goal: Goal) -> Threshold {
        threshold(&SCORES, &TRUTH, goal).unwrap()
    }

    #[test]
    fn each_goal_takes_its_own_threshold() {
        // F1 by threshold: 0.9: 2/5, 0.8: 4/7, 0.6: 6/8, 0.5: 6/9, 0.4: 8/11, 0.1: 8/12.
        let f1 = chosen(Goal::F1);
        assert_eq!((f1.value as f32, f1.f1), (0.6, 0.75));
        assert_eq!((f1.precision, f1.recall, f1.cost), (0.75, 0.75, None));
        let sure = chosen(Goal::Precision(0.8));
        assert_eq!(
            (sure.value as f32, sure.precision, sure.recall),
            (0.9, 1.0, 0.25)
        );
        let all = chosen(Goal::Recall(1.0));
        assert_eq!(
            (all.value as f32, all.precision, all.recall),
            (0.4, 4.0 / 7.0, 1.0)
        );
        let dear_misses = chosen(Goal::Cost {
            false_positive: 1.0,
            false_negative: 10.0,
        });
        assert_eq!(
            (dear_misses.value as f32, dear_misses.cost),
            (0.4, Some(3.0 / 8.0))
        );
    }

    #[test]
    fn equal_scores_are_never_parted() {
        // Taking one of the two rows at 0.8 would give precision 1 at recall 0.5.
        assert_eq!(chosen(Goal::Precision(1.0)).recall, 0.25);
    }

    #[test]
    fn nothing_is_called_positive_where_that_is_cheapest() {
        let never = chosen(Goal::Cost {
            false_positive: 100.0,
            false_negative: 0.1,
        });
        assert_eq!(
            (never.value as f32, never.recall, never.precision),
            (0.9, 0.25, 1.0)
        );
        let never = threshold(
            &[0.9, 0.2],
            &[false, false],
            Goal::Cost {
                false_positive: 1.0,
                false_negative: 1.0,
            },
        );
        let never = never.unwrap();
        assert!(never.value > 0.9 && never.cost == Some(0.0), "{never:?}");
    }

    #[test]
    fn goals_out_of_reach_say_what_is_in_reach() {
        let far = threshold(&[0.9, 0.8], &[false, true], Goal::Precision(0.9)).unwrap_err();
        assert_eq!(far.best, Some(0.5));
        assert!(
            far.to_string()
                .contains("precision of at least 0.9: the best on these rows is 0.500")
        );
        let none = threshold(&[0.9, 0.8], &[false, false], Goal::F1).unwrap_err();
        assert!(none.to_string().contains("no positive row has a score"));
        assert!(threshold(&[], &[], Goal::Recall(0.5)).is_err());
        assert!(threshold(&[f32::NAN], &[true], Goal::F1).is_err());
        let half = threshold(&[f32::NAN, 0.4], &[true, true], Goal::Recall(0.9)).unwrap_err();
        assert_eq!(half.best, Some(0.5));
    }

    #[test]
    fn the_nearest_threshold_stands_in_for_one_out_of_reach() {
        let (scores, truth) = ([0.9, 0.8, 0.7, 0.6], [false, true, true, false]);
        let (found, far) = nearest(&scores, &truth, Goal::Precision(0.9));
        // Precision by threshold: 0, 1/2, 2/3, 1/2.
        assert_eq!((found.value as f32, found.met), (0.7, false));
        assert_eq!(far.unwrap().best, Some(2.0 / 3.0));
        let (found, far) = nearest(&scores, &truth, Goal::Precision(0.6));
        assert!(found.met && far.is_none());
        let (found, far) = nearest(&[0.9, 0.2], &[false, false], Goal::F1);
        assert_eq!((found.value, found.met, found.precision), (0.5, false, 0.0));
        assert_eq!(far.unwrap().best, None);
    }

    #[test]
    fn goals_are_read_as_they_are_written() {
        for text in [
            "f1",
            "precision=0.9",
            "recall=0.8",
            "cost=1:10",
            "cost=0:2.5",
        ] {
            let goal: Goal = text.parse().unwrap();
            assert_eq!(String::from(goal), text);
        }
        for (text, said) in [
            ("F1", "not a goal"),
            ("f1=2", "not a goal"),
            ("precision", "not a goal"),
            ("precision=high", "not a goal"),
            ("precision=90", "out of range 0 to 1"),
            ("recall=0", "out of range 0 to 1"),
            ("cost=1", "not a goal"),
            ("cost=-1:2", "0 or more"),
            ("cost=0:0", "above 0"),
            ("cost=inf:1", "0 or more"),
            ("recall=NaN", "out of range"),
        ] {
            let error = text.parse::<Goal>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}

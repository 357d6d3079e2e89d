//! The goal that answers are decided for: what the recipe asks, whether the data fits it, and the thresholds that
//! serve it best on the validation rows.
//!
//! Thresholds are chosen after temperature scaling, on rows that took no part in training. Weights are selected without
//! them.

use std::collections::BTreeMap;

use retune_data::processor::Labels;
use retune_data::{Example, Target};
use retune_eval::{Decision, Event, Goal, Matrix, Predictions, Targets};
use serde::{Deserialize, Serialize};

use crate::error::{Problem, Result};
use crate::outcome::predictions;
use crate::plan::Plan;
use crate::run::{Flow, stage};

/// Fewer positive validation rows than this leave a threshold to chance.
const FEW: usize = 20;

/// What answers are decided for. By default nothing is: the class with the largest score is answered, and every label
/// from one half on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecideRecipe {
    /// What thresholds are chosen for: `f1`, `precision=0.9`, `recall=0.8` or `cost=1:10`. For two classes, or labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
    /// Of two classes the one that the goal is about; default: the rarer one in training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positive: Option<String>,
    /// For any number of classes, by the name of the right class and then of the answer: what it costs. Of pairs that
    /// are left out an error costs 1 and a right answer nothing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub costs: BTreeMap<String, BTreeMap<String, f64>>,
}

impl DecideRecipe {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What can be seen to be wrong without opening a file.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.goal.is_some() && !self.costs.is_empty() {
            found.push(Problem::new(
                "decide.costs",
                "a goal and costs cannot both decide; leave out [decide.costs] or --decide",
            ));
        }
        if self.positive.is_some() && self.goal.is_none() {
            found.push(Problem::new(
                "decide.positive",
                "names the class of a goal and there is none; add --decide GOAL, or leave out --positive",
            ));
        }
        let all = self.costs.values().flatten();
        let wrong = all.filter(|(_, cost)| !(cost.is_finite() && **cost >= 0.0));
        found.extend(wrong.map(|(name, cost)| {
            Problem::new(
                "decide.costs",
                format!("{cost} for `{name}` must be 0 or more"),
            )
        }));
        found
    }

    /// Why it cannot be done with these labels.
    pub(crate) fn misfit(&self, labels: &Labels) -> Option<Problem> {
        if self.is_empty() {
            return None;
        }
        let problem = |key: &str, text: String| Some(Problem::new(&format!("decide.{key}"), text));
        let names = labels.names();
        let unknown = |name: &String| {
            format!(
                "`{name}` is not a class of this data; it has {}",
                listed(names)
            )
        };
        match labels {
            Labels::Number { .. } => problem(
                "goal",
                "numbers are not decided by a threshold; leave out --decide".to_string(),
            ),
            Labels::MultiLabel { .. } if !self.costs.is_empty() => problem(
                "costs",
                "are for one class per row; with labels write --decide cost=1:10".to_string(),
            ),
            Labels::MultiLabel { .. } if self.positive.is_some() => problem(
                "positive",
                "every label has a threshold of its own; leave out --positive".to_string(),
            ),
            Labels::Classes { .. } if self.goal.is_some() && names.len() != 2 => problem(
                "goal",
                format!(
                    "a threshold divides two classes and this data has {} ({}); state what errors cost in the recipe: \
                     [decide.costs.{:?}], then ANSWER = COST",
                    names.len(),
                    listed(names),
                    names.first().map_or("CLASS", |name| name)
                ),
            ),
            _ => {
                let told = self.costs.iter();
                let told =
                    told.flat_map(|(truth, costs)| std::iter::once(truth).chain(costs.keys()));
                let stranger = |name: &&String| !names.contains(name);
                let of_goal = self.positive.iter().find(stranger).map(|n| ("positive", n));
                let of_costs = || told.into_iter().find(stranger).map(|n| ("costs", n));
                let (key, name) = of_goal.or_else(of_costs)?;
                problem(key, unknown(name))
            }
        }
    }

    /// Index of the class that the goal is about, and why; the second one of two equally frequent classes.
    fn positive(&self, names: &[String], train: &[Example]) -> (usize, String) {
        if let Some(named) = &self.positive {
            let at = names.iter().position(|name| name == named);
            return (at.unwrap_or(1), "as asked for".to_string());
        }
        let rows = |class: u32| {
            let of = train.iter().filter(|e| e.target == Target::Class(class));
            of.count()
        };
        let counts = [rows(0), rows(1)];
        let rarer = usize::from(counts[1] <= counts[0]);
        let why = format!(
            "the rarer class, {} of {} training rows; --positive names another",
            counts[rarer],
            train.len()
        );
        (rarer, why)
    }

    /// What `retune plan` says of it.
    pub(crate) fn note(&self, labels: &Labels, train: &[Example]) -> Option<String> {
        let names = labels.names();
        let goal = match self.goal {
            None if self.costs.is_empty() => return None,
            None => return Some("answers are those of least expected cost".to_string()),
            Some(goal) => goal,
        };
        Some(match labels {
            Labels::Classes { .. } => {
                let (class, why) = self.positive(names, train);
                format!(
                    "answers are decided for the {goal} of `{}` ({why})",
                    names[class]
                )
            }
            _ => format!("answers are decided for the {goal}, label by label"),
        })
    }

    /// `costs[truth][answer]`.
    pub(crate) fn matrix(&self, names: &[String]) -> Vec<Vec<f64>> {
        let cost = |truth: &String, answer: &String| {
            let told = self.costs.get(truth).and_then(|costs| costs.get(answer));
            told.copied()
                .unwrap_or(f64::from(u8::from(truth != answer)))
        };
        let row = |truth| names.iter().map(|answer| cost(truth, answer)).collect();
        names.iter().map(row).collect()
    }
}

fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut list = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        list.push_str(", …");
    }
    list
}

/// How `scores` of rows, whose confidence is set right already, become answers; and what should be known of it.
pub(crate) fn fit(
    plan: &Plan,
    scores: &dyn Fn(&[Example]) -> Result<Matrix>,
    on: &mut dyn FnMut(&Event) -> Flow,
) -> Result<(Option<Decision>, Vec<String>)> {
    let wanted = &plan.recipe.decide;
    let names = plan.processor.labels().names();
    let Some(goal) = wanted.goal else {
        let costs = (!wanted.costs.is_empty()).then(|| wanted.matrix(names));
        return Ok((costs.map(|costs| Decision::Costs { costs }), Vec::new()));
    };
    stage(on, "decide", Some(plan.valid.len() as u64));
    let rows = predictions(plan, &plan.valid, scores(&plan.valid)?, false);
    let positive = match rows.targets {
        Targets::Class(_) => wanted.positive(names, &plan.train).0,
        _ => 0,
    };
    let (decision, missed) = Decision::fit(&rows, goal, positive);
    let name = |class: usize| names.get(class).map_or("", |name| name);
    let mut notes: Vec<String> = missed
        .iter()
        .map(|(class, far)| {
            format!(
                "`{}`, on the validation rows: {far}; as it is, the nearest threshold decides",
                name(*class)
            )
        })
        .collect();
    notes.extend(few(&rows, &decision, name));
    Ok((Some(decision), notes))
}

/// The classes whose threshold rests on few positive rows.
fn few<'a>(
    rows: &Predictions,
    decision: &Decision,
    name: impl Fn(usize) -> &'a str,
) -> Option<String> {
    let positives = |class: usize| match &rows.targets {
        Targets::Class(truth) => truth.iter().filter(|t| **t as usize == class).count(),
        Targets::Labels(flags) => {
            let of_label = flags.iter().skip(class).step_by(rows.scores.cols.max(1));
            of_label.filter(|flag| **flag == Some(true)).count()
        }
        Targets::Value(_) | Targets::Vectors(_) => 0,
    };
    let thresholds = decision.thresholds().into_iter();
    let rare: Vec<String> = thresholds
        .map(|(class, _)| (class, positives(class)))
        .filter(|(_, n)| *n < FEW)
        .map(|(class, n)| format!("`{}` with {n}", name(class)))
        .collect();
    (!rare.is_empty()).then(|| {
        format!(
            "thresholds are rough where few validation rows are positive: {}; --valid-share or --valid gives more",
            listed(&rare)
        )
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn classes(names: &[&str]) -> Labels {
        Labels::Classes {
            names: names.iter().map(|n| (*n).to_string()).collect(),
        }
    }

    fn recipe(text: &str) -> DecideRecipe {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn costs_that_are_left_out_are_one_for_an_error() {
        let r = recipe("[costs.a]\nc = 5\n[costs.c]\na = 0.5\nc = 0.1\n");
        let names = ["a", "b", "c"].map(str::to_string);
        assert_eq!(
            r.matrix(&names),
            [[0.0, 1.0, 5.0], [1.0, 0.0, 1.0], [0.5, 1.0, 0.1]]
        );
        assert!(r.misfit(&classes(&["a", "b", "c"])).is_none());
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_to_do() {
        let three = classes(&["a", "b", "c"]);
        let labels = Labels::MultiLabel {
            names: vec!["a".to_string()],
        };
        let number = Labels::Number {
            mean: 0.0,
            std: 1.0,
        };
        for (text, labels, said) in [
            ("goal = 'f1'", &three, "[decide.costs.\"a\"]"),
            ("goal = 'f1'", &number, "leave out --decide"),
            ("[costs.a]\nb = 2", &labels, "--decide cost=1:10"),
            (
                "goal = 'f1'\npositive = 'a'",
                &labels,
                "leave out --positive",
            ),
            ("[costs.a]\nd = 2", &three, "`d` is not a class"),
            (
                "goal = 'f1'\npositive = 'd'",
                &classes(&["a", "b"]),
                "it has a, b",
            ),
        ] {
            let problem = recipe(text).misfit(labels).unwrap().to_string();
            assert!(problem.contains(said), "{text}: {problem}");
        }
        assert!(recipe("").misfit(&number).is_none());
        assert!(recipe("goal = 'recall=0.5'").misfit(&labels).is_none());
        for (text, said) in [
            ("goal = 'f1'\n[costs.a]\nb = 2", "cannot both"),
            ("positive = 'a'", "add --decide"),
            ("[costs.a]\nb = -2", "0 or more"),
        ] {
            let problem = recipe(text).problems()[0].to_string();
            assert!(problem.contains(said), "{text}: {problem}");
        }
        let error = toml::from_str::<DecideRecipe>("goal = 'f2'").unwrap_err();
        assert!(error.to_string().contains("precision=0.9"), "{error}");
    }

    #[test]
    fn the_rarer_class_is_positive_unless_one_is_named() {
        let row = |class| Example {
            features: retune_data::Features::Tokens(Vec::new()),
            target: Target::Class(class),
            meta: retune_data::Meta {
                row: 0,
                weight: 1.0,
            },
        };
        let names = ["a", "b"].map(str::to_string);
        let of = |text: &str, rows: &[u32]| {
            let train: Vec<Example> = rows.iter().map(|c| row(*c)).collect();
            recipe(text).positive(&names, &train)
        };
        let (class, why) = of("goal = 'f1'", &[0, 1, 1]);
        assert_eq!(class, 0);
        assert!(why.contains("1 of 3 training rows"), "{why}");
        assert_eq!(of("goal = 'f1'", &[0, 0, 1]).0, 1);
        assert_eq!(of("goal = 'f1'", &[0, 1]).0, 1);
        assert_eq!(of("goal = 'f1'\npositive = 'b'", &[0, 1, 1]).0, 1);
    }
}

//! A closer look at labelled rows before anything is tuned: what gives the label away, what stands on two sides of the
//! split, and whose label is probably wrong.
//!
//! Labels are doubted by two models that have not seen the row: a linear head on the backbone's frozen features, and
//! TF-IDF with a linear model. They err in different places: the geometric mean of their probabilities finds more
//! planted errors than either one. Every row is held out once, in one of five parts; of the other four, one selects the
//! models' settings.

use retune_data::inspect::deep::{Deep, deep, near_pictures};
use retune_data::processor::Labels;
use retune_data::{Column, Example, Table, Target, Values};
use retune_eval::{Event, Matrix};
use serde::Serialize;

use crate::embedding;
use crate::error::{Error, Result};
use crate::floors::classical::Effort;
use crate::floors::frozen::{Frozen, Rows};
use crate::floors::mislabelled::{Suspect, folds, gather, suspects};
use crate::job::Job;
use crate::losses::Objective;
use crate::outcome::{predictions, selection};
use crate::plan::Plan;
use crate::proof::{self, Plain};
use crate::scoring;
use crate::train::Flow;

/// Parts of the rows, each held out once.
const PARTS: usize = 5;
/// Fewest rows that can teach what a label looks like.
const FEWEST: usize = 50;
/// Deviations from the answer beyond which a number is doubted.
const FAR: f64 = 4.0;
/// Characters of a text that are kept beside a doubt.
const SHOWN: usize = 160;

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct CloserLook {
    /// Near-copies and leaks.
    #[serde(flatten)]
    pub deep: Deep,
    /// Rows whose label is doubted, the most doubtful first.
    pub doubts: Vec<Doubt>,
    /// What these findings rest on, one sentence each.
    pub notes: Vec<String>,
}

/// A row whose label is probably wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Doubt {
    /// Row of the table.
    pub row: usize,
    /// File and line.
    pub place: String,
    /// The label it has.
    pub label: String,
    /// What the other rows suggest.
    pub instead: String,
    /// Larger is more doubtful: by how much another class fits better; for numbers the distance in deviations.
    pub suspicion: f64,
    /// Start of its text.
    pub text: String,
}

type On<'a> = &'a mut dyn FnMut(&Event) -> Flow;

/// Looks at every row of the plan. Nothing is written and nothing of the plan is trained; it takes one pass of the
/// backbone and some small models.
///
/// # Errors
/// A loss that does not suit the rows; an observer that asks to stop.
pub fn closer_look(plan: &Plan, on: On) -> Result<CloserLook> {
    let rows = plan.every_row();
    let at =
        |rows: &[Example]| -> Vec<usize> { rows.iter().map(|e| e.meta.row as usize).collect() };
    let (train, valid, test) = (at(&plan.train), at(&plan.valid), at(&plan.test));
    let sides: [(&str, &[usize]); 3] = [("train", &train), ("valid", &valid), ("test", &test)];
    let mut deep = deep(&plan.table, &plan.roles, &sides)?;
    if let Some(seen) = &plan.survey {
        deep.near_duplicates = near_pictures(&plan.table, seen, &sides);
    }
    let mut notes = Vec::new();
    let doubts = if embedding::rates(plan.task) {
        notes.push(
            "labels are not doubted by vectors; leave --task out to look at them".to_string(),
        );
        Vec::new()
    } else if rows.len() < FEWEST {
        notes.push(format!(
            "{} rows are too few to doubt a label by the others; {FEWEST} are needed",
            rows.len()
        ));
        Vec::new()
    } else {
        notes.push(format!(
            "labels are doubted by models that have not seen the row (frozen features of {}, and {}): look at the \
             rows before you change them",
            plan.summary.model,
            if plan.roles.pictures { "colours and edges" } else { "TF-IDF" }
        ));
        doubts(plan, &rows, on)?
    };
    Ok(CloserLook {
        deep,
        doubts,
        notes,
    })
}

/// The rows of doubts with their columns, to be looked at one by one: place, label and what is suggested come first.
pub fn doubts_table(table: &Table, doubts: &[Doubt]) -> Table {
    let rows: Vec<usize> = doubts.iter().map(|doubt| doubt.row).collect();
    let mut out = table.select(&rows);
    let text = |name: &str, of: &dyn Fn(&Doubt) -> &str| Column {
        name: name.to_string(),
        values: Values::Text(doubts.iter().map(|d| Some(of(d).to_string())).collect()),
    };
    let suspicion = doubts.iter().map(|d| Some(d.suspicion)).collect();
    let found = [
        text("row", &|d| &d.place),
        text("instead", &|d| &d.instead),
        Column {
            name: "suspicion".to_string(),
            values: Values::Number(suspicion),
        },
    ];
    out.columns.splice(0..0, found);
    out
}

fn doubts(plan: &Plan, rows: &[Example], on: On) -> Result<Vec<Doubt>> {
    let targets: Vec<Target> = rows.iter().map(|e| e.target.clone()).collect();
    let scores = held_out(plan, rows, &targets, on)?;
    let labels = plan.processor.labels();
    let least = match labels {
        Labels::Number { .. } => FAR,
        _ => 0.0,
    };
    let texts = proof::texts(plan, rows);
    let doubt = |found: &Suspect| {
        let row = rows[found.row].meta.row as usize;
        Doubt {
            row,
            place: plan.table.place(row),
            label: plan.task.truth(&targets[found.row], labels),
            instead: instead(found, &targets[found.row], scores.row(found.row), labels),
            suspicion: found.suspicion,
            text: texts[found.row].join(" / ").chars().take(SHOWN).collect(),
        }
    };
    let found = suspects(&scores, &targets);
    let doubted = found
        .iter()
        .filter(|found| found.outvoted && found.suspicion > least);
    Ok(doubted.map(doubt).collect())
}

/// What the other rows suggest, in the words of the data.
fn instead(found: &Suspect, target: &Target, scores: &[f32], labels: &Labels) -> String {
    let name = |i: u32| {
        let name = labels.names().get(i as usize);
        name.map_or_else(String::new, Clone::clone)
    };
    match (found.output, target) {
        (Some(label), Target::Labels(flags)) => {
            let on = flags.get(label as usize).copied().flatten() == Some(true);
            format!("{} `{}`", if on { "without" } else { "with" }, name(label))
        }
        (Some(class), _) => name(class),
        (None, _) => format!("{:.4}", scores.first().copied().unwrap_or(f32::NAN)),
    }
}

/// Answers for every row by models that have not seen it, `[rows, classes | labels | 1]`.
fn held_out(plan: &Plan, rows: &[Example], targets: &[Target], on: On) -> Result<Matrix> {
    let objective = Objective::new(&plan.recipe.loss, plan.processor.labels(), rows);
    let objective = objective.map_err(|problem| Error::Problems(vec![problem]))?;
    let frozen = Frozen {
        task: plan.task,
        processor: &plan.processor,
        objective: &objective,
    };
    let features = features(plan, rows, &frozen, on)?;
    let parts = folds(targets, PARTS, plan.recipe.seed);
    let mut answers = Vec::new();
    on(&Event::Stage {
        name: "doubt".to_string(),
        total: Some(parts.len() as u64),
    });
    for at in 0..parts.len() {
        let part = Part::new(&parts, at);
        let selecting: Vec<Example> = part.selecting.iter().map(|i| rows[*i].clone()).collect();
        let score = |scores: &Matrix| {
            selection(plan, &predictions(plan, &selecting, scores.clone(), false)).score
        };
        let of_frozen = frozen.scores(
            (
                features.subset(&part.train),
                features.subset(&part.selecting),
                features.subset(&part.held),
            ),
            &score,
        )?;
        let of_words = without_network(plan, (rows, targets), &part, &score)?;
        answers.push(match of_words {
            Some(words) => together(of_frozen, &words, targets.first()),
            None => of_frozen,
        });
        let done = at as u64 + 1;
        if on(&Event::Progress { done }) == Flow::Stop {
            return Err(Error::User("stopped; nothing had been written".to_string()));
        }
    }
    Ok(gather(&parts, &answers))
}

fn features(plan: &Plan, rows: &[Example], frozen: &Frozen, on: On) -> Result<Rows> {
    on(&Event::Stage {
        name: "features".to_string(),
        total: Some(rows.len() as u64),
    });
    let (model, _) = Job::new(plan).model()?;
    let model = scoring::plain(&model);
    frozen.read((&model, plan.base.pooling), rows, &mut |done| {
        on(&Event::Progress { done: done as u64 });
    })
}

/// Row indices of one part and of what its models are made from.
struct Part {
    train: Vec<usize>,
    selecting: Vec<usize>,
    held: Vec<usize>,
}

impl Part {
    fn new(parts: &[Vec<usize>], at: usize) -> Self {
        let next = (at + 1) % parts.len();
        let others = (0..parts.len()).filter(|i| *i != at && *i != next);
        Self {
            train: others.flat_map(|i| parts[i].iter().copied()).collect(),
            selecting: parts[next].clone(),
            held: parts[at].clone(),
        }
    }
}

/// Answers for the held-out rows by words, or colours and edges, and a linear model.
fn without_network(
    plan: &Plan,
    (rows, targets): (&[Example], &[Target]),
    part: &Part,
    score: &dyn Fn(&Matrix) -> f64,
) -> Result<Option<Matrix>> {
    let of = |at: &[usize]| -> Vec<Example> { at.iter().map(|i| rows[*i].clone()).collect() };
    let train_targets: Vec<Target> = part.train.iter().map(|i| targets[*i].clone()).collect();
    let given = Plain {
        train: &of(&part.train),
        targets: &train_targets,
        valid: &of(&part.selecting),
        test: &of(&part.held),
    };
    let found = given.scores(plan, Effort::Fast, score)?;
    Ok(found.map(|(answers, _)| answers))
}

/// The geometric mean of two models' probabilities, made to sum to 1 (for labels, with their opposites); the mean of two
/// numbers.
fn together(mut a: Matrix, b: &Matrix, target: Option<&Target>) -> Matrix {
    let cols = a.cols.max(1);
    for (row, other) in a.data.chunks_mut(cols).zip(b.data.chunks(cols)) {
        for (a, b) in row.iter_mut().zip(other) {
            *a = match target {
                Some(Target::Value(_)) => 0.5 * (*a + b),
                Some(Target::Labels(_)) => {
                    let (on, off) = ((*a * b).sqrt(), ((1.0 - *a) * (1.0 - b)).sqrt());
                    share(on, on + off)
                }
                _ => (*a * b).sqrt(),
            };
        }
        if let Some(Target::Class(_)) = target {
            let sum: f32 = row.iter().sum();
            for a in row {
                *a = share(*a, sum);
            }
        }
    }
    a
}

fn share(part: f32, whole: f32) -> f32 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_row(data: &[f32]) -> Matrix {
        Matrix {
            rows: 1,
            cols: data.len(),
            data: data.to_vec(),
        }
    }

    #[test]
    fn two_models_are_taken_together() {
        let class = Target::Class(0);
        let both = together(one_row(&[0.9, 0.1]), &one_row(&[0.1, 0.9]), Some(&class));
        assert_eq!(both.data, [0.5, 0.5]);
        let labels = Target::Labels(vec![Some(true), Some(false)]);
        let both = together(one_row(&[0.8, 0.5]), &one_row(&[0.8, 0.1]), Some(&labels));
        assert!((both.data[0] - 0.8).abs() < 1e-6 && (both.data[1] - 0.25).abs() < 1e-6);
        let number = Target::Value(1.0);
        let both = together(one_row(&[2.0]), &one_row(&[4.0]), Some(&number));
        assert_eq!(both.data, [3.0]);
    }

    #[test]
    fn a_part_is_held_out_of_what_its_models_see() {
        let parts = [vec![0, 5], vec![1, 4], vec![2, 3]];
        let part = Part::new(&parts, 2);
        assert_eq!(
            (part.train, part.selecting, part.held),
            (vec![1, 4], vec![0, 5], vec![2, 3])
        );
    }
}

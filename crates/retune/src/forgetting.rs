//! Whether a model that went on from another has forgotten something: the parent's test rows, answered by both.
//!
//! `predictions.parquet` of the parent holds its test rows with their texts, right answers and scores; the new model
//! answers the same texts. Rows that the new training has seen, whose texts are equal after folding, are left out, and
//! so are rows of classes that the new model does not know. Of both models the usual answers count.

use std::collections::HashSet;

use retune_data::processor::Labels;
use retune_data::{Example, Features, Meta, Target, fold};
use retune_eval::{Evaluation, Event, Matrix, ParentTest, Predictions, Targets, evaluate, judge};

use crate::bundle::{read_json, read_manifest};
use crate::compare::{Answered, answered};
use crate::model::Model;
use crate::plan::Plan;
use crate::proof;
use crate::run::{Flow, score};

type On<'a> = &'a mut dyn FnMut(&Event) -> Flow;

/// What became of the answers of the bundle that the plan goes on from, or why that cannot be said. Neither where it
/// begins with a model that is no bundle.
pub(crate) fn measure(plan: &Plan, model: &Model, on: On) -> (Option<ParentTest>, Option<String>) {
    let Some(parent) = &plan.base.parent else {
        return (None, None);
    };
    let name = &parent.reference;
    match tested(plan, model, name, on) {
        Ok(found) => (Some(found), None),
        Err(why) => {
            let note = format!("what {name} knew before is not measured: {why}");
            (None, Some(note))
        }
    }
}

fn tested(plan: &Plan, model: &Model, parent: &str, on: On) -> Result<ParentTest, String> {
    let old = old_answers(plan)?;
    let columns = Columns::of(&old.names, plan.processor.labels());
    let rows = Rows::of(plan, &old, &columns)?;
    let texts: Vec<Vec<String>> = rows.kept.iter().map(|r| old.texts[*r].clone()).collect();
    let features = plan.processor.encode_items(&texts);
    let features = features.map_err(|e| e.to_string())?.into_iter().enumerate();
    let examples: Vec<Example> = features.map(example).collect();
    let scores = score(plan, model, &examples, "parent", on).map_err(|e| e.to_string())?;
    let before = old.predictions.subset(&rows.kept);
    let after = Predictions {
        scores: laid_out(&scores, &columns.new),
        targets: columns.targets(&before),
        ..before.clone()
    };
    let before = Predictions {
        scores: laid_out(&before.scores, &columns.old),
        ..after.clone()
    };
    let primary = plan.task.evaluation(plan.processor.labels()).primary;
    let evaluation = Evaluation {
        metrics: vec![primary.clone()],
        primary,
        classes: Vec::new(),
    };
    let seed = plan.recipe.seed;
    let figure = |p: &Predictions| {
        evaluate(p, &evaluation, parent, seed)
            .metrics
            .remove(&evaluation.primary)
    };
    let mut verdict = judge(&[&after], &[(parent, vec![&before])], &evaluation, seed);
    let change = verdict.floors.remove(parent);
    let (Some(from), Some(to), Some(change)) = (figure(&before), figure(&after), change) else {
        return Err(format!("{} is undefined on its rows", evaluation.primary));
    };
    Ok(ParentTest {
        parent: parent.to_string(),
        n: rows.kept.len(),
        seen: rows.seen,
        unknown: rows.unknown,
        before: from,
        after: to,
        change,
    })
}

/// The parent's answers, where they can be compared with those of this run.
fn old_answers(plan: &Plan) -> Result<Answered, String> {
    let folder = &plan.base.folder;
    let manifest = read_manifest(folder).map_err(|e| e.to_string())?;
    if manifest.refit {
        return Err("it was trained once more on all rows, its test rows among them".to_string());
    }
    if manifest.task != plan.task.name() {
        return Err(format!(
            "it does {}, this model {}",
            manifest.task,
            plan.task.name()
        ));
    }
    let run = read_json(&folder.join("run.json")).map_err(|e| e.to_string())?;
    let old = answered(folder, &run)?;
    let width = plan.roles.text.len();
    if old.texts.iter().any(|texts| texts.len() != width) {
        return Err(format!(
            "this model reads {width} texts per row, the one before did not"
        ));
    }
    Ok(old)
}

/// What two texts have in common that count as the same.
fn key(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| fold(text)).collect()
}

fn example((row, features): (usize, Features)) -> Example {
    Example {
        features,
        target: Target::None,
        meta: Meta {
            row: row as u64,
            weight: 1.0,
        },
    }
}

/// Which of the parent's test rows both models are asked.
struct Rows {
    kept: Vec<usize>,
    /// Rows that the new training has seen.
    seen: usize,
    /// Rows of a class that the new model does not know.
    unknown: usize,
}

impl Rows {
    fn of(plan: &Plan, old: &Answered, columns: &Columns) -> Result<Self, String> {
        // Validation rows select the weights, so they are part of the training.
        let trained = [&plan.train, &plan.valid, &plan.replay];
        let trained = trained
            .into_iter()
            .flat_map(|rows| proof::texts(plan, rows));
        let trained: HashSet<Vec<String>> = trained.map(|texts| key(&texts)).collect();
        let all = 0..old.texts.len();
        let (new, met): (Vec<usize>, Vec<usize>) =
            all.partition(|row| !trained.contains(&key(&old.texts[*row])));
        let answered = |row: &usize| columns.know(&old.predictions.targets, *row);
        let kept: Vec<usize> = new.iter().copied().filter(answered).collect();
        if kept.is_empty() {
            return Err(format!(
                "of its {} test rows {} are among the rows of this training, and none of the others has an answer that \
                 this model knows",
                old.texts.len(),
                met.len()
            ));
        }
        Ok(Self {
            seen: met.len(),
            unknown: new.len() - kept.len(),
            kept,
        })
    }
}

/// The outputs that both models are compared in, and where each of them stands in the outputs of the one before and of
/// the new one. Classes: all that either knows, the old ones first. Labels: those that both know.
struct Columns {
    old: Vec<Option<usize>>,
    new: Vec<Option<usize>>,
}

impl Columns {
    fn of(before: &[String], labels: &Labels) -> Self {
        let now = labels.names();
        let place = |names: &[String], name: &String| names.iter().position(|n| n == name);
        let names: Vec<&String> = match labels {
            Labels::Number { .. } => {
                return Self {
                    old: vec![Some(0)],
                    new: vec![Some(0)],
                };
            }
            Labels::Classes { .. } => {
                let added = now.iter().filter(|name| !before.contains(name));
                before.iter().chain(added).collect()
            }
            Labels::MultiLabel { .. } => before.iter().filter(|name| now.contains(name)).collect(),
        };
        Self {
            old: names.iter().map(|name| place(before, name)).collect(),
            new: names.iter().map(|name| place(now, name)).collect(),
        }
    }

    /// Whether the new model can answer a row of the parent.
    fn know(&self, targets: &Targets, row: usize) -> bool {
        match targets {
            Targets::Class(truth) => self.new[truth[row] as usize].is_some(),
            Targets::Labels(_) => !self.new.is_empty(),
            Targets::Value(_) | Targets::Vectors(_) => true,
        }
    }

    /// The parent's right answers in these columns.
    fn targets(&self, before: &Predictions) -> Targets {
        match &before.targets {
            Targets::Labels(flags) => {
                let rows = flags.chunks(before.scores.cols.max(1));
                let known = |row: &[Option<bool>]| -> Vec<Option<bool>> {
                    self.old.iter().flatten().map(|at| row[*at]).collect()
                };
                Targets::Labels(rows.flat_map(known).collect())
            }
            // Old classes keep their numbers.
            same => same.clone(),
        }
    }
}

/// Scores in the columns that `places` find, `[rows, columns]`; 0 for a class that the model does not know.
fn laid_out(scores: &Matrix, places: &[Option<usize>]) -> Matrix {
    let cells = (0..scores.rows).flat_map(|row| {
        let row = scores.row(row);
        places
            .iter()
            .map(move |place| place.map_or(0.0, |at| row[at]))
    });
    Matrix {
        rows: scores.rows,
        cols: places.len(),
        data: cells.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_string()).collect()
    }

    #[test]
    fn classes_of_both_stand_side_by_side() {
        let labels = Labels::Classes {
            names: names(&["b", "c"]),
        };
        let columns = Columns::of(&names(&["a", "b"]), &labels);
        assert_eq!(columns.old, [Some(0), Some(1), None]);
        assert_eq!(columns.new, [None, Some(0), Some(1)]);
        let truth = Targets::Class(vec![0, 1]);
        assert!(!columns.know(&truth, 0) && columns.know(&truth, 1));
        let scores = Matrix {
            rows: 1,
            cols: 2,
            data: vec![0.3, 0.7],
        };
        assert_eq!(laid_out(&scores, &columns.new).data, [0.0, 0.3, 0.7]);
    }

    #[test]
    fn only_labels_that_both_know_are_compared() {
        let labels = Labels::MultiLabel {
            names: names(&["c", "b"]),
        };
        let columns = Columns::of(&names(&["a", "b", "c"]), &labels);
        assert_eq!(columns.old, [Some(1), Some(2)]);
        assert_eq!(columns.new, [Some(1), Some(0)]);
        let before = Predictions {
            scores: Matrix {
                rows: 1,
                cols: 3,
                data: vec![0.1, 0.2, 0.3],
            },
            targets: Targets::Labels(vec![Some(true), Some(false), None]),
            slices: Vec::new(),
            ids: Vec::new(),
            decision: None,
        };
        let kept = columns.targets(&before);
        assert_eq!(kept, Targets::Labels(vec![Some(false), None]));
        assert_eq!(laid_out(&before.scores, &columns.old).data, [0.2, 0.3]);
        let strangers = Columns::of(&names(&["x"]), &labels);
        assert!(!strangers.know(&before.targets, 0));
    }
}

//! The test rows of a finished run, rebuilt from its `predictions.parquet`.

use std::path::Path;

use retune_data::processor::Labels;
use retune_data::read::{ReadOptions, read};
use retune_data::{Column, Processor, Table, Target};
use retune_eval::metrics::point;
use retune_eval::{Evaluation, Matrix, Predictions, RunRecord};

use super::users;
use crate::bundle::{PREDICTIONS, read_json};
use crate::embedding;
use crate::recommend;
use crate::tables;
use crate::tasks::{self, Task};

/// Scores are stored exactly; sums may be taken in another order.
const TOLERANCE: f64 = 1e-9;

/// The test rows of a run as it answered them.
pub(crate) struct Answered {
    pub(super) task: String,
    /// Its classes or labels, in the order of its outputs; the items of a recommender.
    pub(crate) names: Vec<String>,
    /// The texts of each row.
    pub(crate) texts: Vec<Vec<String>>,
    /// Right answers as text.
    pub(super) truth: Vec<String>,
    /// The usual answers, whatever was decided.
    pub(crate) predictions: Predictions,
    pub(super) over: Over,
}

/// What differences are taken over.
pub(super) enum Over {
    /// Rows, in the first of these metrics.
    Rows(Evaluation),
    /// Cards of payments: the class of frauds, and whose event each row is.
    Cards(usize, Vec<u64>),
    /// Users, in this figure; scores are places of what they took.
    Users(String),
}

/// The answers of a bundle, rebuilt from its predictions; or why they cannot be.
pub(crate) fn answered(folder: &Path, run: &RunRecord) -> Result<Answered, String> {
    let path = folder.join(PREDICTIONS);
    if !path.is_file() {
        return Err(format!(
            "it has no {PREDICTIONS}; train it anew to compare it row by row"
        ));
    }
    let table = read(&path, &ReadOptions::default()).map_err(|e| e.to_string())?;
    if run.task == recommend::TASK {
        return users::answered(folder, run, &table);
    }
    if let Some(task) = tables::task(&run.task) {
        return of_table(folder, run, task, &table);
    }
    let processor: Processor =
        read_json(&folder.join("processor.json")).map_err(|e| e.to_string())?;
    let labels = processor.labels();
    let task = tasks::task(&run.task)
        .ok_or_else(|| format!("task `{}` is not known to this version", run.task))?;
    if embedding::rates(task) {
        return Err(
            "predictions.parquet holds no vectors; compare metrics.json, where every floor is beside the model"
                .to_string(),
        );
    }
    let texts = row_texts(&table, &processor);
    let of = (task, labels, task.evaluation(labels));
    Ok(Answered {
        texts,
        ..of_task(&table, run, of)?
    })
}

/// The same of a model of tables.
fn of_table(
    folder: &Path,
    run: &RunRecord,
    task: &dyn Task,
    table: &Table,
) -> Result<Answered, String> {
    let (labels, positive) = tables::labels(folder).map_err(|e| e.to_string())?;
    let evaluation = tables::evaluation(task, &labels);
    let mut found = of_task(table, run, (task, &labels, evaluation))?;
    if task.name() == tables::FRAUD.name {
        let cards = column(table, tables::CARD);
        let cards = cards.map(|cards| tables::keys(cards, 0..table.rows()));
        found.over = Over::Cards(positive, cards.unwrap_or_default());
    }
    Ok(found)
}

/// The answers in `table` for a task and its labels; they have to give the figure that the run wrote down.
fn of_task(
    table: &Table,
    run: &RunRecord,
    (task, labels, evaluation): (&dyn Task, &Labels, Evaluation),
) -> Result<Answered, String> {
    let truth = texts(column(table, "truth")?);
    let predictions = rebuilt(table, &truth, task, labels)?;
    let found = point(&predictions, &evaluation);
    as_written(run, &evaluation.primary, found.get(&evaluation.primary))?;
    Ok(Answered {
        task: run.task.clone(),
        names: labels.names().to_vec(),
        texts: Vec::new(),
        truth,
        predictions,
        over: Over::Rows(evaluation),
    })
}

/// Checks that a figure of rebuilt answers is the one that the run wrote down.
pub(super) fn as_written(run: &RunRecord, figure: &str, found: Option<&f64>) -> Result<(), String> {
    let wanted = run.evaluated.usual().get(figure);
    let (Some(found), Some(wanted)) = (found, wanted) else {
        return Err(format!("{figure} is undefined on its rows"));
    };
    if (found - wanted.value).abs() > TOLERANCE * wanted.value.abs().max(1.0) {
        return Err(format!(
            "predictions.parquet gives {figure} {found}, metrics.json says {}",
            wanted.value
        ));
    }
    Ok(())
}

/// The texts of each row: the columns that stand behind `row`.
fn row_texts(table: &Table, processor: &Processor) -> Vec<Vec<String>> {
    let inputs = processor.inputs();
    let columns = table.columns.iter().skip(1).take(inputs.len());
    let columns: Vec<&Column> = columns.filter(|c| inputs.contains(&c.name)).collect();
    let cell = |row: usize, c: &&Column| c.text(row).unwrap_or_default().into_owned();
    let of = |row: usize| columns.iter().map(|c| cell(row, c)).collect();
    (0..table.rows()).map(of).collect()
}

/// Scores and right answers of the rows of `predictions.parquet`.
fn rebuilt(
    table: &Table,
    truth: &[String],
    task: &dyn Task,
    labels: &Labels,
) -> Result<Predictions, String> {
    let ids = table.columns.first().filter(|c| c.name == "row");
    let ids = texts(ids.ok_or("predictions.parquet has no column `row`")?);
    let names = match labels {
        Labels::Number { .. } => vec!["predicted".to_string()],
        _ => labels
            .names()
            .iter()
            .map(|n| format!("score_{n}"))
            .collect(),
    };
    let scores = names.iter().map(|name| column(table, name));
    let scores: Vec<&Column> = scores.collect::<Result<_, _>>()?;
    let mut data = Vec::with_capacity(truth.len() * scores.len());
    for row in 0..truth.len() {
        for column in &scores {
            let score = column.number(row);
            data.push(
                score.ok_or_else(|| format!("`{}` has no value in row {row}", column.name))? as f32,
            );
        }
    }
    let targets = truth.iter().map(|text| {
        target(text, labels).ok_or_else(|| format!("it does not know the label `{text}`"))
    });
    let targets: Vec<Target> = targets.collect::<Result<_, _>>()?;
    Ok(Predictions {
        scores: Matrix {
            rows: truth.len(),
            cols: scores.len(),
            data,
        },
        targets: task.targets(&targets),
        slices: Vec::new(),
        ids,
        decision: None,
    })
}

/// The last column of this name: those of the data file stand before those of the answers.
pub(super) fn column<'a>(table: &'a Table, name: &str) -> Result<&'a Column, String> {
    let found = table.columns.iter().rev().find(|c| c.name == name);
    found.ok_or_else(|| format!("predictions.parquet has no column `{name}`"))
}

pub(super) fn texts(column: &Column) -> Vec<String> {
    let text = |row| column.text(row).unwrap_or_default().into_owned();
    (0..column.len()).map(text).collect()
}

/// The right answer that [`Task::truth`] wrote as `text`.
fn target(text: &str, labels: &Labels) -> Option<Target> {
    match labels {
        Labels::Classes { names } => {
            let class = names.iter().position(|name| name == text)?;
            Some(Target::Class(class as u32))
        }
        Labels::MultiLabel { names } => {
            let mut rest = if text == "(none)" { "" } else { text };
            let mut flags = Vec::with_capacity(names.len());
            for name in names {
                let after = rest.strip_prefix(name.as_str());
                let after = after.filter(|rest| rest.is_empty() || rest.starts_with(", "));
                flags.push(Some(after.is_some()));
                rest = after.map_or(rest, |after| after.strip_prefix(", ").unwrap_or(after));
            }
            rest.is_empty().then_some(Target::Labels(flags))
        }
        Labels::Number { .. } => text.parse().ok().map(Target::Value),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn right_answers_are_read_as_they_are_written() {
        let names = ["a", "a, b", "c"].map(str::to_string).to_vec();
        let labels = Labels::MultiLabel {
            names: names.clone(),
        };
        let task = tasks::task("text-multi-label").unwrap();
        for flags in [
            [false, false, false],
            [true, false, true],
            [false, false, true],
        ] {
            let wanted = Target::Labels(flags.map(Some).to_vec());
            let text = task.truth(&wanted, &labels);
            assert_eq!(target(&text, &labels), Some(wanted), "{text}");
        }
        let classes = Labels::Classes { names };
        assert_eq!(target("a, b", &classes), Some(Target::Class(1)));
        assert_eq!(target("b", &classes), None);
    }
}

//! Answers for new rows and texts, by the same encode path as training.

use std::path::Path;

use retune_data::picture::Tta;
use retune_data::processor::Labels;
use retune_data::{Column, Example, Features, Meta, Processor, Table, Target, Values};
use retune_eval::Decision;

use crate::bundle::Bundle;
use crate::embedding::Gallery;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::scoring;
use crate::tasks::{Answer, Task};

/// One answer.
pub type Prediction = Answer;

/// A model ready to answer.
pub struct Predictor {
    task: &'static dyn Task,
    processor: Processor,
    model: Model,
    decision: Option<Decision>,
    /// Views of each picture over which scores are averaged.
    tta: Tta,
    /// Tokens that the model has a vector for.
    vectors: usize,
    /// Known pictures among which a vector's neighbours are looked for.
    gallery: Option<Gallery>,
}

impl Predictor {
    pub(crate) fn new(bundle: Bundle) -> Self {
        Self {
            task: bundle.task,
            processor: bundle.processor,
            model: bundle.model,
            decision: bundle.manifest.decision,
            tta: bundle.manifest.tta,
            vectors: bundle.vectors,
            gallery: bundle.gallery,
        }
    }

    /// The same with another model in place of its own.
    pub(crate) fn with_model(self, model: Model) -> Self {
        Self { model, ..self }
    }

    /// One answer per row of a table that has the text columns of training.
    ///
    /// # Errors
    /// A text column is missing; a text has a token that the model does not know.
    pub fn predict(&self, table: &Table) -> Result<Vec<Prediction>> {
        let rows: Vec<usize> = (0..table.rows()).collect();
        let examples = self.processor.examples(table, &rows, false)?;
        let place = |row: u64| table.place(row as usize);
        known(&self.processor, &examples, self.vectors, &place)?;
        self.answer(&examples)
    }

    /// One answer per text; each entry holds one text, or two where the model reads pairs.
    ///
    /// # Errors
    /// The wrong number of texts; a text has a token that the model does not know.
    pub fn predict_texts(&self, texts: &[Vec<String>]) -> Result<Vec<Prediction>> {
        self.answer(&self.examples(texts)?)
    }

    /// Raw outputs per text, `[texts][outputs]`: logits, or values in the user's units.
    ///
    /// # Errors
    /// As [`Predictor::predict_texts`].
    pub fn outputs(&self, texts: &[Vec<String>]) -> Result<Vec<Vec<f32>>> {
        let examples = self.examples(texts)?;
        let matrix = scoring::outputs(&self.model, &self.processor, &examples)?;
        Ok((0..matrix.rows).map(|i| matrix.row(i).to_vec()).collect())
    }

    fn examples(&self, texts: &[Vec<String>]) -> Result<Vec<Example>> {
        let features = self.processor.encode_items(texts)?;
        let example = |(row, features): (usize, Features)| Example {
            features,
            target: Target::None,
            meta: Meta {
                row: row as u64,
                weight: 1.0,
            },
        };
        let examples: Vec<Example> = features.into_iter().enumerate().map(example).collect();
        let place = |row: u64| format!("text {}", row + 1);
        known(&self.processor, &examples, self.vectors, &place)?;
        Ok(examples)
    }

    /// The columns of texts, or of pictures, that a table needs.
    pub fn text_columns(&self) -> &[String] {
        self.processor.inputs()
    }

    /// Writes the input columns with the answers behind them, by the file's extension.
    ///
    /// # Errors
    /// The file cannot be written or has another extension than .csv, .jsonl or .parquet.
    pub fn write(&self, table: &Table, answers: &[Prediction], path: &Path) -> Result<()> {
        write_answers((table, answers), self.processor.labels(), path)
    }

    fn answer(&self, examples: &[Example]) -> Result<Vec<Prediction>> {
        let quiet = &mut |_| ();
        let (model, processor) = (&self.model, &self.processor);
        let (first, _) = scoring::scores(model, self.task, processor, examples, quiet)?;
        let views = (examples, self.tta);
        let scores = scoring::over_views(first, (model, self.task), processor, views)?;
        let (labels, decision) = (self.processor.labels(), self.decision.as_ref());
        let answer = |i| self.task.answer(scores.row(i), labels, decision);
        let mut answers: Vec<Prediction> = (0..scores.rows).map(answer).collect();
        if let Some(gallery) = &self.gallery {
            gallery.label(&scores, labels, &mut answers);
        }
        Ok(answers)
    }
}

/// Writes the columns of a table with answers behind them, by the file's extension.
///
/// # Errors
/// As [`Predictor::write`].
pub(crate) fn write_answers(
    (table, answers): (&Table, &[Answer]),
    labels: &Labels,
    path: &Path,
) -> Result<()> {
    let mut out = table.clone();
    for mut column in answer_columns(answers, labels) {
        while out.columns.iter().any(|c| c.name == column.name) {
            column.name.push('_');
        }
        out.columns.push(column);
    }
    Ok(retune_data::write::write(&out, path)?)
}

/// Refuses examples with a token beyond the `vectors` of a model; `place` names the place of a row.
pub(crate) fn known(
    processor: &Processor,
    examples: &[Example],
    vectors: usize,
    place: &dyn Fn(u64) -> String,
) -> Result<()> {
    match processor.beyond(examples, vectors) {
        None => Ok(()),
        Some((row, token)) => Err(Error::User(format!(
            "{} has {token}, but the model has vectors for {vectors} tokens, from 0; take it out of the text",
            place(row)
        ))),
    }
}

/// Test rows as `predictions.parquet` holds them: `row`, columns of what was asked, `truth` and the answers.
pub(crate) fn answered_rows(
    rows: Vec<String>,
    asked: Vec<Column>,
    truth: Vec<String>,
    (answers, labels): (&[Answer], &Labels),
) -> Table {
    let text = |name: &str, values: Vec<String>| Column {
        name: name.to_string(),
        values: Values::Text(values.into_iter().map(Some).collect()),
    };
    let mut columns = vec![text("row", rows)];
    columns.extend(asked);
    columns.push(text("truth", truth));
    columns.extend(answer_columns(answers, labels));
    Table {
        columns,
        ..Table::default()
    }
}

/// Answers as columns: `predicted`, `confidence` and one `score_NAME` per class, or one `vector_I` per number of a vector.
pub(crate) fn answer_columns(answers: &[Answer], labels: &Labels) -> Vec<Column> {
    let column = |name: String, values| Column { name, values };
    let predicted = match labels {
        Labels::Classes { .. } => Values::Text(answers.iter().map(|a| a.label.clone()).collect()),
        Labels::MultiLabel { .. } => {
            Values::List(answers.iter().map(|a| a.labels.clone()).collect())
        }
        Labels::Number { .. } => Values::Number(answers.iter().map(|a| a.value).collect()),
    };
    let mut columns = vec![column("predicted".to_string(), predicted)];
    if !labels.names().is_empty() {
        let sure = answers.iter().map(|a| a.confidence).collect();
        columns.push(column("confidence".to_string(), Values::Number(sure)));
    }
    let width = answers.first().map_or(0, |answer| answer.vector.len());
    for i in 0..width {
        let value = |a: &Answer| a.vector.get(i).map(|v| f64::from(*v));
        let values = Values::Number(answers.iter().map(value).collect());
        columns.push(column(format!("vector_{i}"), values));
    }
    let scored = |answer: &Answer| !answer.scores.is_empty();
    if !answers.is_empty() && !answers.iter().any(scored) {
        return columns;
    }
    for name in labels.names() {
        let score = |a: &Answer| a.scores.get(name).copied();
        let values = Values::Number(answers.iter().map(score).collect());
        columns.push(column(format!("score_{name}"), values));
    }
    columns
}

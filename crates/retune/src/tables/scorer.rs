//! Answers of a saved model: of a table at once, or of a stream of events, one after the other.

use std::path::{Path, PathBuf};

use retune_data::fields::{Cells, FieldKind, Fields};
use retune_data::processor::Labels;
use retune_data::roles::Roles;
use retune_data::timelines::Timelines;
use retune_data::windows::{self, Engine, Event, Taken, features_of};
use retune_data::{Column, Table, Values};
use retune_eval::{Evaluated, Matrix, Predictions, evaluate};
use serde::Serialize;
use serde_json::{Map, Value};

use super::bundle::{Opened, TableBundle};
use super::figures::{figure, of_two};
use super::history::{Live, STATE};
use super::queue::{Queue, times};
use super::{FRAUD, alerts, attribution, evaluation, net, run};
use crate::error::{Error, Result};
use crate::predictor::write_answers;
use crate::tasks::Answer;

/// Reasons that an alert is given with.
const REASONS: usize = 3;

/// A model that answers, and the past of every entity it has seen.
pub struct Scorer {
    bundle: TableBundle,
    /// Names of the inputs.
    names: Vec<String>,
    features: Vec<f32>,
}

/// What a model says of one event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scored {
    /// The event's number, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Probability that it is what the task is about, or the number.
    pub score: f64,
    /// Whether it is an alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<bool>,
    /// What speaks most for it, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// How the event was taken, where it was not the newest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken: Option<&'static str>,
}

impl Scorer {
    /// The model in `folder`, with the past as it was after the last event of its data.
    ///
    /// # Errors
    /// No model of tables, or a damaged one.
    pub fn open(folder: &Path) -> Result<Self> {
        let bundle = TableBundle::open(folder)?;
        let mut names = bundle.config.fields.names();
        names.extend(
            bundle
                .engine
                .iter()
                .flat_map(|engine| engine.spec().names()),
        );
        names.extend(bundle.live.iter().flat_map(Live::names));
        Ok(Self {
            bundle,
            names,
            features: Vec::new(),
        })
    }

    /// The bundle.
    pub fn bundle(&self) -> &TableBundle {
        &self.bundle
    }

    /// Begins without any past.
    pub fn forget(&mut self) {
        if let Some(engine) = &mut self.bundle.engine {
            engine.clear();
        }
        if let Some(live) = &mut self.bundle.live {
            live.timelines.clear();
        }
    }

    /// Goes on from the past that [`Scorer::save_past`] wrote.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, or was written for another model.
    pub fn load_past(&mut self, path: &Path) -> Result<()> {
        let found = Engine::open(path)?;
        let engine = self
            .bundle
            .engine
            .as_mut()
            .filter(|own| own.spec() == found.spec());
        let Some(engine) = engine else {
            return Err(Error::User(format!(
                "{} is the past of another model; leave --past out, or name the file that this model left",
                path.display()
            )));
        };
        if let Some(live) = &mut self.bundle.live {
            let told = Timelines::open(&beside(path))?;
            let same =
                told.spec() == live.timelines.spec() && told.events() == found.counts().kept();
            if !same {
                return Err(Error::User(format!(
                    "{} is not of the same moment as {}; name a past whose two files were left together",
                    beside(path).display(),
                    path.display()
                )));
            }
            live.timelines = told;
        }
        *engine = found;
        Ok(())
    }

    /// Writes the past as it is now, what a model of events remembers into a second file beside it; a file of that name stays whole until the new one is.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_past(&self, path: &Path) -> Result<()> {
        let Some(engine) = &self.bundle.engine else {
            return Err(Error::User(
                "this model reads no past; leave --keep-past out".to_string(),
            ));
        };
        if let Some(live) = &self.bundle.live {
            live.timelines.save_to(&beside(path))?;
        }
        Ok(engine.save_to(path)?)
    }

    /// Takes in what became of an earlier event: its number, whether it was a fraud, and when that was known.
    pub fn learn(&mut self, id: &str, fraud: bool, at: &str) -> bool {
        let engine = self.bundle.engine.as_mut();
        let at = windows::seconds(at);
        engine
            .zip(at)
            .is_some_and(|(engine, at)| engine.label(id, fraud, at))
    }

    /// What was odd about the events so far, in words: late ones, repeated ones.
    pub fn oddities(&self) -> String {
        let Some(engine) = &self.bundle.engine else {
            return String::new();
        };
        let counts = engine.counts();
        let told = [
            (counts.late, "late"),
            (counts.too_late, "too late to be remembered"),
            (counts.again, "seen before"),
        ];
        let told: Vec<String> = told
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{n} {what}"))
            .collect();
        if told.is_empty() {
            return String::new();
        }
        format!("; of all events so far {}", told.join(", "))
    }

    /// Inputs of every row of a table, `[rows, inputs]`. Features of the past begin anew with the table's first event:
    /// it holds its own past.
    ///
    /// # Errors
    /// A column that is missing, or a cell that cannot be read.
    pub fn cells(&self, table: &Table) -> Result<Cells> {
        let rows: Vec<usize> = (0..table.rows()).collect();
        let own = self.bundle.config.fields.encode(table, &rows)?;
        let Some(engine) = &self.bundle.engine else {
            return Ok(own);
        };
        let mut spec = engine.spec().clone();
        // New events have no labels yet, and may have no numbers.
        for column in [&mut spec.label, &mut spec.label_time, &mut spec.id] {
            let there = |name: &String| table.column(name).is_ok();
            *column = column.take().filter(there);
        }
        let mut engine = Engine::new(spec)?;
        let (told, values) = match &self.bundle.live {
            Some(live) => live.of_table(table, &mut engine)?,
            None => (Cells::default(), features_of(table, &mut engine)?),
        };
        let width = engine.spec().names().len();
        Ok(own.beside(&Cells { width, values }).beside(&told))
    }

    /// Probabilities or values of rows: `[rows, outputs]`.
    pub fn scores(&self, cells: &Cells) -> Matrix {
        let config = &self.bundle.config;
        config.correction.apply(self.said(cells), config.positive)
    }

    /// The same as the model says them.
    fn said(&self, cells: &Cells) -> Matrix {
        match &self.bundle.model {
            Opened::Trees(trees) => trees.scores(cells),
            Opened::Linear(line) => line.scores(cells),
            Opened::Net { net, inputs } => {
                let labels = &self.bundle.config.labels;
                let classes = !matches!(labels, Labels::Number { .. });
                net::answers(net, inputs, cells, run::units(labels), classes)
            }
        }
    }

    /// The answers to the rows of a table.
    ///
    /// # Errors
    /// As [`Scorer::cells`].
    pub fn answers(&self, table: &Table) -> Result<Vec<Answer>> {
        let scores = self.scores(&self.cells(table)?);
        let config = &self.bundle.config;
        let one = |row: usize| {
            self.bundle
                .task
                .answer(scores.row(row), &config.labels, None)
        };
        Ok((0..scores.rows).map(one).collect())
    }

    /// Writes the columns of a table with answers behind them, by the file's extension.
    ///
    /// # Errors
    /// The file cannot be written or has another extension than .csv, .jsonl or .parquet.
    pub fn write(&self, table: &Table, answers: &[Answer], path: &Path) -> Result<()> {
        write_answers((table, answers), &self.bundle.config.labels, path)
    }

    /// Figures of the model on the labelled rows of a table: of events those of the queue of alerts, at the score of an alert
    /// that the run chose.
    ///
    /// # Errors
    /// As [`Scorer::cells`]; a label that is missing or not known.
    pub fn evaluated(
        &self,
        table: &Table,
        (split, slices): (&str, &[String]),
    ) -> Result<Evaluated> {
        let config = &self.bundle.config;
        let roles = Roles {
            text: Vec::new(),
            pictures: false,
            label: Some(config.label.clone()),
            task: Some(self.bundle.task.kind()),
            group: None,
            time: None,
            reasons: Vec::new(),
        };
        table.column(&config.label)?;
        let (rows, _) = retune_data::processor::labelled_rows(table, &roles)?;
        let targets = rows
            .iter()
            .map(|row| config.labels.target(table, *row, &config.label));
        let targets: Vec<_> = targets.collect::<retune_data::Result<_>>()?;
        let scores = self.scores(&self.cells(table)?.select(&rows));
        let seed = self.bundle.manifest.split.seed;
        if self.bundle.task.name() == FRAUD.name {
            let queue = Queue {
                table,
                cast: &config.cast,
                times: times(table, &config.cast)?.into(),
                positive: config.positive,
                rows: &rows,
                targets: &targets,
            };
            return alerts::again(config, (&queue, &scores), (split, slices, seed));
        }
        let predictions = Predictions {
            scores,
            targets: self.bundle.task.targets(&targets),
            slices: slices
                .iter()
                .map(|column| crate::scoring::slice(table, column, &rows))
                .collect::<retune_data::Result<_>>()?,
            ids: rows.iter().map(|row| table.place(*row)).collect(),
            decision: self.bundle.manifest.decision.clone(),
        };
        let of = evaluation(self.bundle.task, &config.labels);
        let mut evaluated = evaluate(&predictions, &of, split, seed);
        let labels = (&config.labels, config.positive);
        evaluated.metrics.extend(of_two(labels, &predictions));
        Ok(evaluated)
    }

    /// Scores one event, given as a record of names and values, and puts it into the past.
    ///
    /// # Errors
    /// A record without a time, or with a value that cannot be read.
    pub fn score(&mut self, record: &Map<String, Value>) -> Result<Scored> {
        let mut row = cells(record, &self.bundle.config.fields)?;
        let (mut id, mut taken) = (None, None);
        if let Some(engine) = &mut self.bundle.engine {
            let told = |name: &str| record.get(name).filter(|v| !v.is_null()).map(text);
            let event = Event::of(engine.spec(), &told)?;
            let entities: Vec<Option<&str>> = event.entities.iter().map(Option::as_deref).collect();
            let found = engine.step(&event.row(&entities), &mut self.features)?;
            row.extend(&self.features);
            if let Some(live) = &mut self.bundle.live {
                let own = cells(record, live.fields())?;
                let kept = matches!(found, Taken::InOrder | Taken::Late);
                row.extend(live.columns(&event.row(&entities), &own, kept));
            }
            id = event.id;
            taken = match found {
                Taken::InOrder => None,
                Taken::Late => Some("late"),
                Taken::TooLate => Some("too late to be remembered"),
                Taken::Again => Some("again"),
            };
        }
        Ok(Scored {
            id,
            taken,
            ..self.one(&row)
        })
    }

    /// Whether a table has the columns that the model reads of an event.
    ///
    /// # Errors
    /// One that is not there.
    pub fn check(&self, table: &Table) -> Result<()> {
        let fields = self.bundle.config.fields.fields.iter();
        let fields = fields.map(|field| &field.name);
        let parts = self.bundle.engine.iter().flat_map(|engine| {
            let spec = engine.spec();
            [&spec.time]
                .into_iter()
                .chain(&spec.amount)
                .chain(&spec.entities)
        });
        for name in fields.chain(parts) {
            table.column(name)?;
        }
        Ok(())
    }

    /// What the model says of one row of inputs.
    fn one(&self, row: &[f32]) -> Scored {
        let config = &self.bundle.config;
        let positive = match config.labels {
            Labels::Number { .. } => 0,
            _ => config.positive,
        };
        let score = match &self.bundle.model {
            Opened::Trees(trees) => config.correction.probability(trees.score(row)[positive]),
            Opened::Linear(_) | Opened::Net { .. } => {
                let cells = Cells {
                    width: row.len(),
                    values: row.to_vec(),
                };
                self.scores(&cells).row(0)[positive]
            }
        };
        let alert = config
            .threshold
            .map(|threshold| f64::from(score) >= threshold);
        Scored {
            id: None,
            score: f64::from(score),
            alert,
            reasons: if alert == Some(true) {
                self.reasons(row, positive)
            } else {
                Vec::new()
            },
            taken: None,
        }
    }

    /// The inputs that speak most for the positive class, in words.
    fn reasons(&self, row: &[f32], positive: usize) -> Vec<String> {
        let by: Vec<f64> = match &self.bundle.model {
            Opened::Trees(trees) => {
                // Trees of two classes speak for the second one.
                let sign = if positive == 0 { -1.0 } else { 1.0 };
                let each = trees.contributions(row).into_iter();
                each.map(|by| by * sign).collect()
            }
            Opened::Linear(line) => line.contributions(row, positive),
            Opened::Net { net, inputs } => {
                let labels = &self.bundle.config.labels;
                let classes = !matches!(labels, Labels::Number { .. });
                let says = (run::units(labels), classes);
                attribution::of_fields((net, inputs), row, positive, says)
            }
        };
        let by = self.state_as_one(by);
        let mut order: Vec<usize> = (0..row.len()).filter(|at| by[*at] > 0.0).collect();
        order.sort_by(|a, b| by[*b].total_cmp(&by[*a]));
        let fields = &self.bundle.config.fields.fields;
        let say = |at: usize| {
            let value = fields
                .get(at)
                .map_or_else(|| figure(row[at]), |field| field.show(row[at]));
            if self.names[at] == STATE {
                return STATE.to_string();
            }
            format!("{} is {value}", self.names[at])
        };
        order.into_iter().take(REASONS).map(say).collect()
    }

    /// Attributions in which the first number of a state stands for all of them.
    fn state_as_one(&self, mut by: Vec<f64>) -> Vec<f64> {
        let state = |at: &usize| self.names[*at] == STATE;
        let all: Vec<usize> = (0..by.len()).filter(state).collect();
        let sum = all.iter().map(|at| std::mem::take(&mut by[*at])).sum();
        if let Some(first) = all.first() {
            by[*first] = sum;
        }
        by
    }
}

/// A value as text, numbers as columns of numbers write them.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap_or_default().to_string(),
        other => other.to_string(),
    }
}

/// A row of a table as an event of a stream: its values as text, but for true and false.
pub fn record(table: &Table, row: usize) -> Map<String, Value> {
    let value = |column: &Column| match &column.values {
        Values::Bool(flags) => flags[row].map(Value::Bool),
        _ => column
            .text(row)
            .map(|text| Value::String(text.into_owned())),
    };
    let columns = table.columns.iter();
    columns
        .filter_map(|column| Some((column.name.clone(), value(column)?)))
        .collect()
}

/// The file in which what a model of events remembers is left, beside that of the engine.
fn beside(past: &Path) -> PathBuf {
    let mut name = past.as_os_str().to_owned();
    name.push(".timelines");
    PathBuf::from(name)
}

/// The cells of a record.
fn cells(record: &Map<String, Value>, fields: &Fields) -> Result<Vec<f32>> {
    let fields = fields.fields.iter();
    fields
        .map(|field| cell(record, &field.name, &field.kind))
        .collect()
}

fn cell(record: &Map<String, Value>, name: &str, kind: &FieldKind) -> Result<f32> {
    let Some(value) = record.get(name).filter(|value| !value.is_null()) else {
        return Ok(f32::NAN);
    };
    let told = text(value);
    let told = told.trim();
    if told.is_empty() {
        return Ok(f32::NAN);
    }
    match kind {
        FieldKind::Words(words) => {
            let at = words.iter().position(|word| word == told);
            Ok(at.unwrap_or(words.len()) as f32)
        }
        FieldKind::Number => match value {
            Value::Bool(flag) => Ok(f32::from(u8::from(*flag))),
            _ => told
                .parse()
                .map_err(|_| Error::User(format!("`{name}` is `{told}`, and a number is needed"))),
        },
    }
}

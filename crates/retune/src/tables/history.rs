//! What a model of events says of each row: how surprising its event is after what the card did before.
//!
//! The model learned without labels ([`crate::events`]), so what it finds is there where labels are few. Its surprises stand
//! beside the features of the past as columns that trees and networks read.

use std::path::Path;

use retune_data::fields::{Cast, Cells, Fields};
use retune_data::timelines::{Moments, TimelineSpec, Timelines, Told, moments_of};
use retune_data::windows::{Engine, EventRow};
use retune_data::{DataError, Table};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Problem, Result};
use crate::events::batch::EventBatch;
use crate::events::bundle::begun;
use crate::events::plan::{Codes, form};
use crate::events::{EventBase, EventForm, EventModel, load};
use crate::model::Pass;
use crate::ops::Precision;
use crate::recipe::Recipe;
use crate::scoring::to_host;
use crate::weights::Place;

/// Rows whose timelines are read at once.
const ROWS: usize = 64;

/// How a bundle reads events, beside the weights of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryForm {
    /// What the model is made of.
    pub form: EventForm,
    /// The fields of a row that events have.
    pub fields: Fields,
    /// Whether the state after an event stands beside what surprises about it.
    #[serde(default)]
    pub state: bool,
}

/// What the numbers of a state are called.
pub(super) const STATE: &str = "what the card did";

/// A model of events with the timelines of a table.
pub struct History {
    /// How it reads events.
    pub of: HistoryForm,
    /// The model as it was gone on from, or of random numbers.
    pub model: EventModel,
    /// The timelines after the last event of the table.
    pub timelines: Timelines,
    /// The events of the table.
    pub told: Told,
    /// What was gone on from, and whether the fields of its events are those of these.
    base: Option<(EventBase, bool)>,
}

impl History {
    /// Of a table's events by the model that the recipe names, with the engine's features of every row. `train` are the rows that
    /// may teach how large an amount is.
    pub(super) fn of(
        recipe: &Recipe,
        state: bool,
        (table, train): (&Table, &[usize]),
        (cast, taken): (&Cast, &[&str]),
        engine: &mut Engine,
    ) -> std::result::Result<(Self, Vec<f32>), Problem> {
        let wrong = |error: DataError| Problem::new("tables", error.to_string());
        let lost = |error: Error| Problem::new("tables.event_model", error.to_string());
        let folder = recipe.tables.event_model.as_deref();
        let base = folder.map(EventBase::open).transpose().map_err(lost)?;
        let Codes { fields, spec, same } =
            Codes::of((table, train), (cast, taken), base.as_ref()).map_err(wrong)?;
        let form = form(recipe, &spec, base.as_ref())?;
        let base = base.map(|base| (base, same));
        let place = Place::cpu(false, Precision::F32);
        let model = begun(base.as_ref(), &form, &place, recipe.seed)
            .map_err(lost)?
            .0;
        let rows: Vec<usize> = (0..table.rows()).collect();
        let cells = fields.encode(table, &rows).map_err(wrong)?;
        let mut timelines = Timelines::new(spec).map_err(wrong)?;
        let (features, told) =
            moments_of(table, engine, (&mut timelines, &cells)).map_err(wrong)?;
        let of = HistoryForm {
            form,
            fields,
            state,
        };
        Ok((
            Self {
                of,
                model,
                timelines,
                told,
                base,
            },
            features,
        ))
    }

    /// The model to train.
    pub(super) fn begin(&self, place: &Place, seed: u64) -> Result<EventModel> {
        Ok(begun(self.base.as_ref(), &self.of.form, place, seed)?.0)
    }

    /// Where the model comes from, in words.
    pub(super) fn origin(&self) -> String {
        match &self.base {
            Some((base, true)) => format!("what surprises {}", base.folder.display()),
            Some((base, false)) => format!(
                "what surprises {}, which has not seen the fields of these events: it reads their parts alone",
                base.folder.display()
            ),
            None => "a model from random numbers; `retune pretrain` makes one that knows events"
                .to_string(),
        }
    }

    /// Whether it goes on from a model that learned without labels.
    pub(super) fn goes_on(&self) -> bool {
        self.base.is_some()
    }

    /// The timelines that rows of the table end.
    pub(super) fn batch(&self, rows: &[usize]) -> EventBatch {
        let timelines: Vec<(u64, Vec<u32>)> = rows
            .iter()
            .map(|row| (*row as u64, self.told.seen(*row)))
            .collect();
        EventBatch::of_rows(&self.told, &timelines)
    }

    /// What a model says of rows of the table: `[rows, HistoryForm::width]`.
    pub(super) fn columns(&self, model: &EventModel, rows: &[usize]) -> Cells {
        columns((&self.of, model), &self.told, rows)
    }
}

/// The columns of rows of a table. Rows of one part of a timeline are seen with the same events, which are read once.
fn columns((of, model): (&HistoryForm, &EventModel), told: &Told, rows: &[usize]) -> Cells {
    let width = of.width();
    let mut values = vec![0f32; rows.len() * width];
    let parts = told.parts(rows);
    for some in parts.chunks(ROWS) {
        let timelines: Vec<(u64, Vec<u32>)> =
            some.iter().map(|part| (0, part.rows.clone())).collect();
        let batch = EventBatch::of_rows(told, &timelines);
        let starts = batch.inputs.lengths.starts();
        let asked = || {
            let parts = some.iter().zip(starts);
            parts.flat_map(|(part, start)| {
                part.asked
                    .iter()
                    .map(move |(row, at)| (*row, *start as u32 + at))
            })
        };
        let at: Vec<u32> = asked().map(|(_, at)| at).collect();
        let said = of.said(model, &batch, &at);
        for ((row, _), said) in asked().zip(said.chunks_exact(width)) {
            values[row * width..(row + 1) * width].copy_from_slice(said);
        }
    }
    Cells { width, values }
}

impl HistoryForm {
    /// Number of columns.
    pub fn width(&self) -> usize {
        self.states() + self.form.surprises()
    }

    /// Of these the numbers of a state.
    fn states(&self) -> usize {
        if self.state { self.form.body.width } else { 0 }
    }

    /// The names of the columns, in plain words.
    pub fn names(&self, spec: &TimelineSpec) -> Vec<String> {
        let parts = spec.names();
        let states = std::iter::repeat_n(STATE.to_string(), self.states());
        let surprises = self
            .form
            .foretold()
            .map(|at| format!("surprise of {}", parts[at]));
        let larger = "share of larger amounts expected".to_string();
        states.chain(surprises).chain([larger]).collect()
    }

    /// The columns of the events at `at`, row by row.
    fn said(&self, model: &EventModel, batch: &EventBatch, at: &[u32]) -> Vec<f32> {
        let pass = Pass::default();
        if self.state {
            return to_host(model.told(batch, at, &pass));
        }
        to_host(model.surprises(&model.states(batch, &pass), batch, at))
    }
}

/// A model of events that reads a stream.
pub struct Live {
    of: HistoryForm,
    model: EventModel,
    /// What every card has done.
    pub timelines: Timelines,
    seen: Moments,
}

impl Live {
    /// From the files of a bundle.
    pub(super) fn open(of: &HistoryForm, (weights, timelines): (&Path, &Path)) -> Result<Self> {
        let checkpoint = Checkpoint::open(weights)?;
        let timelines = Timelines::open(timelines)?;
        if timelines.spec().sizes() != of.form.sizes {
            return Err(Error::User(format!(
                "{} does not fit the model; copy the whole folder again",
                weights.display()
            )));
        }
        Ok(Self {
            model: load(&checkpoint, &of.form)?,
            of: of.clone(),
            timelines,
            seen: Moments::default(),
        })
    }

    /// The fields of a row that events have.
    pub fn fields(&self) -> &Fields {
        &self.of.fields
    }

    /// The names of the columns.
    pub fn names(&self) -> Vec<String> {
        self.of.names(self.timelines.spec())
    }

    /// What surprises about an event, which is put into the past if it is to be `kept`: `[HistoryForm::width]`.
    pub(super) fn columns(&mut self, event: &EventRow<'_>, cells: &[f32], kept: bool) -> Vec<f32> {
        self.timelines.step(event, cells, kept, &mut self.seen);
        let batch = EventBatch::of_moments(&self.seen);
        self.of.said(&self.model, &batch, &batch.last_rows())
    }

    /// Surprises and features of every row of a table, whose events hold their own past.
    pub(super) fn of_table(&self, table: &Table, engine: &mut Engine) -> Result<(Cells, Vec<f32>)> {
        let rows: Vec<usize> = (0..table.rows()).collect();
        let cells = self.of.fields.encode(table, &rows)?;
        let mut timelines = Timelines::new(self.timelines.spec().clone())?;
        let (features, told) = moments_of(table, engine, (&mut timelines, &cells))?;
        Ok((columns((&self.of, &self.model), &told, &rows), features))
    }
}

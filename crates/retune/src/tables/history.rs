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
use crate::events::plan::{codes, fits, form};
use crate::events::{EventBase, EventForm, EventModel, load};
use crate::model::Pass;
use crate::ops::Precision;
use crate::recipe::Recipe;
use crate::scoring::to_host;
use crate::weights::{Place, host_values};

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
}

/// A model of events with the timelines of a table.
pub struct History {
    /// How it reads events.
    pub of: HistoryForm,
    /// The model.
    pub model: EventModel,
    /// The timelines after the last event of the table.
    pub timelines: Timelines,
    told: Told,
}

impl History {
    /// Of a table's events by the model that the recipe names, with the engine's features of every row. `train` are the rows that
    /// may teach how large an amount is.
    pub(super) fn of(
        recipe: &Recipe,
        folder: &Path,
        (table, train): (&Table, &[usize]),
        (cast, taken): (&Cast, &[&str]),
        engine: &mut Engine,
    ) -> std::result::Result<(Self, Vec<f32>), Problem> {
        let wrong = |error: DataError| Problem::new("tables", error.to_string());
        let lost = |error: Error| Problem::new("tables.event_model", error.to_string());
        let base = EventBase::open(folder).map_err(lost)?;
        let (fields, spec) = codes((table, train), (cast, taken), Some(&base)).map_err(wrong)?;
        let form = form(recipe, &spec, Some(&base))?;
        let place = Place::cpu(false, Precision::F32);
        let (model, _) = base
            .model(&form, fits(&base, table), &place, recipe.seed)
            .map_err(lost)?;
        let rows: Vec<usize> = (0..table.rows()).collect();
        let cells = fields.encode(table, &rows).map_err(wrong)?;
        let mut timelines = Timelines::new(spec).map_err(wrong)?;
        let (features, told) =
            moments_of(table, engine, (&mut timelines, &cells)).map_err(wrong)?;
        let of = HistoryForm { form, fields };
        Ok((
            Self {
                of,
                model,
                timelines,
                told,
            },
            features,
        ))
    }

    /// What the model finds surprising about rows of the table: `[rows, HistoryForm::width]`.
    pub(super) fn columns(&self, rows: &[usize]) -> Cells {
        let width = self.of.width();
        let mut values = Vec::with_capacity(rows.len() * width);
        for some in rows.chunks(ROWS) {
            let timelines: Vec<(u64, Vec<u32>)> =
                some.iter().map(|row| (0, self.told.seen(*row))).collect();
            values.extend(said(
                &self.model,
                &EventBatch::of_rows(&self.told, &timelines),
            ));
        }
        Cells { width, values }
    }

    /// The weights by path.
    pub(super) fn weights(&self) -> Vec<crate::weights::HostTensor> {
        host_values(&self.model)
    }
}

impl HistoryForm {
    /// Number of columns.
    pub fn width(&self) -> usize {
        self.form.surprises()
    }

    /// The names of the columns, in plain words.
    pub fn names(&self, spec: &TimelineSpec) -> Vec<String> {
        let parts = spec.names();
        let surprises = self
            .form
            .foretold()
            .map(|at| format!("surprise of {}", parts[at]));
        surprises
            .chain(["share of larger amounts expected".to_string()])
            .collect()
    }
}

/// Surprises of the last event of each timeline, row by row.
fn said(model: &EventModel, batch: &EventBatch) -> Vec<f32> {
    let states = model.states(batch, &Pass::over_many());
    to_host(model.surprises(&states, batch, &batch.last_rows()))
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
        said(&self.model, &EventBatch::of_moments(&self.seen))
    }

    /// Surprises and features of every row of a table, whose events hold their own past.
    pub(super) fn of_table(&self, table: &Table, engine: &mut Engine) -> Result<(Cells, Vec<f32>)> {
        let rows: Vec<usize> = (0..table.rows()).collect();
        let cells = self.of.fields.encode(table, &rows)?;
        let mut timelines = Timelines::new(self.timelines.spec().clone())?;
        let (features, told) = moments_of(table, engine, (&mut timelines, &cells))?;
        let width = self.of.width();
        let mut values = Vec::with_capacity(rows.len() * width);
        for some in rows.chunks(ROWS) {
            let timelines: Vec<(u64, Vec<u32>)> =
                some.iter().map(|row| (0, told.seen(*row))).collect();
            values.extend(said(&self.model, &EventBatch::of_rows(&told, &timelines)));
        }
        Ok((Cells { width, values }, features))
    }
}

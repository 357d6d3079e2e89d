//! Features of whole tables: their rows in order of time, through the engine that serves.

use std::borrow::Cow;

use super::engine::{Engine, EventRow, Taken};
use super::event::{TIMES, as_label, is_missing, known_at, times};
use super::spec::EngineSpec;
use crate::error::{DataError, Result};
use crate::interactions::moments::SECOND;
use crate::table::{Column, Table};

/// Takes one event, as [`Engine::step`].
pub type Step<'a> = dyn FnMut(&EventRow<'_>) -> Result<Taken> + 'a;

/// Features of events in any order: `[times.len(), width]`, row by row in the order of the rows. They are stepped through in the
/// order of `times` (of any unit), those of one time in the order of the rows: `each` gets the number of a row, and hands its
/// event to the step. The engine has seen them all afterwards.
///
/// # Errors
/// Those of `each`, which are as of [`Engine::step`].
pub fn replay(
    engine: &mut Engine,
    times: &[i64],
    mut each: impl FnMut(usize, &mut Step<'_>) -> Result<Taken>,
) -> Result<Vec<f32>> {
    let mut order: Vec<u32> = (0..times.len() as u32).collect();
    // Stable: the order of the rows decides between equal times.
    order.sort_by_key(|&at| times[at as usize]);
    let width = engine.spec().width();
    let mut features = vec![f32::NAN; times.len() * width];
    let mut out = Vec::with_capacity(width);
    for at in order {
        let at = at as usize;
        each(at, &mut |row| engine.step(row, &mut out))?;
        features[at * width..(at + 1) * width].copy_from_slice(&out);
    }
    Ok(features)
}

/// Features of the rows of a table by the columns that the engine's spec names: `[rows, width]`, row by row in the order of
/// the table, whatever its order in time. The engine has seen all rows afterwards, with their labels: saved, it serves from there.
///
/// # Errors
/// A column that is not there, a row without a time, or a cell that is no time, no number or no label, with its place.
pub fn features_of(table: &Table, engine: &mut Engine) -> Result<Vec<f32>> {
    features_and(table, engine, &mut |_, _, _| ())
}

/// The same, and `watch` sees each row's event in their order, with how it was taken.
pub(crate) fn features_and(
    table: &Table,
    engine: &mut Engine,
    watch: &mut dyn FnMut(usize, &EventRow<'_>, Taken),
) -> Result<Vec<f32>> {
    let columns = Columns::new(table, engine.spec())?;
    let moments: Vec<i64> = times(table, columns.time, true)?
        .into_iter()
        .flatten()
        .collect();
    let label_times = columns
        .label_time
        .map(|column| times(table, column, false))
        .transpose()?;
    let amounts = columns.amounts()?;
    let labels = columns.labels()?;
    let mut names: Vec<Option<Cow<'_, str>>> = Vec::new();
    replay(engine, &moments, |row, step| {
        let id = columns.id.and_then(|id| name(id, row));
        names.clear();
        names.extend(columns.entities.iter().map(|column| name(column, row)));
        let entities: Vec<Option<&str>> = names.iter().map(Option::as_deref).collect();
        let label_time = label_times.as_ref().and_then(|times| times[row]);
        let event = EventRow {
            id: id.as_deref(),
            time: moments[row].div_euclid(SECOND),
            amount: amounts.as_ref().and_then(|amounts| amounts[row]),
            entities: &entities,
            label: labels.as_ref().and_then(|labels| labels[row]),
            label_time: label_time.map(known_at),
        };
        let taken = step(&event)?;
        watch(row, &event, taken);
        Ok(taken)
    })
}

/// The text of a cell without white space around it; `None` if that is all.
fn name(column: &Column, row: usize) -> Option<Cow<'_, str>> {
    let text = column.text(row)?;
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return None;
    }
    Some(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(ref text) => Cow::Owned(text.trim().to_string()),
    })
}

/// The columns of a table that a spec names.
struct Columns<'a> {
    table: &'a Table,
    id: Option<&'a Column>,
    time: &'a Column,
    amount: Option<&'a Column>,
    entities: Vec<&'a Column>,
    label: Option<&'a Column>,
    label_time: Option<&'a Column>,
}

impl<'a> Columns<'a> {
    fn new(table: &'a Table, spec: &EngineSpec) -> Result<Self> {
        let optional = |name: &Option<String>| name.as_ref().map(|n| table.column(n)).transpose();
        Ok(Self {
            id: optional(&spec.id)?,
            time: table.column(&spec.time)?,
            amount: optional(&spec.amount)?,
            entities: spec
                .entities
                .iter()
                .map(|name| table.column(name))
                .collect::<Result<_>>()?,
            label: optional(&spec.label)?,
            label_time: optional(&spec.label_time)?,
            table,
        })
    }

    fn amounts(&self) -> Result<Option<Vec<Option<f64>>>> {
        let Some(column) = self.amount else {
            return Ok(None);
        };
        let read = |row: usize| match column.text(row) {
            Some(text) if !is_missing(&text) => match column.number(row) {
                None => Err(self.wrong(column, row, format!("`{text}` is not a number"))),
                number => Ok(number),
            },
            _ => Ok(None),
        };
        (0..column.len()).map(read).collect::<Result<_>>().map(Some)
    }

    fn labels(&self) -> Result<Option<Vec<Option<bool>>>> {
        let Some(column) = self.label else {
            return Ok(None);
        };
        let read = |row: usize| match column.text(row) {
            Some(text) if !is_missing(&text) => match as_label(&text) {
                None => {
                    let problem = format!("`{text}` says neither fraud nor honest");
                    Err(self.wrong(column, row, problem))
                }
                label => Ok(label),
            },
            _ => Ok(None),
        };
        (0..column.len()).map(read).collect::<Result<_>>().map(Some)
    }

    fn wrong(&self, column: &Column, row: usize, problem: String) -> DataError {
        let cure = if Some(&column.name) == self.label.map(|label| &label.name) {
            "write 1 or 0, true or false, yes or no, fraud or honest; or leave it empty"
        } else if Some(&column.name) == self.amount.map(|amount| &amount.name) {
            "write a number such as 12.30, or leave it empty"
        } else {
            TIMES
        };
        DataError::Cell {
            column: column.name.clone(),
            place: self.table.place(row),
            problem,
            cure: cure.to_string(),
        }
    }
}

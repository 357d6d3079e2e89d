//! Rows to events: ids become numbers, times nanoseconds, and every bad cell an error with its place.

use std::path::Path;

use super::columns::{Found, detect};
use super::moments::{NoTime, Unit, moment};
use super::{Cells, Clock, Codes, Events, Interactions, Request, SAMPLE, Source};
use crate::error::{DataError, Result};
use crate::profile::is_missing_word;
use crate::roles::Reason;
use crate::table::parse_number;

/// Most different names of events.
const MOST_EVENTS: usize = 1000;

/// Interactions under construction.
#[derive(Default)]
pub(super) struct Reader {
    out: Interactions,
    users: Codes,
    items: Codes,
    events: Codes,
    unit: Option<First>,
    files: Vec<String>,
}

/// The first time that was read: its unit, how it was written, and where.
struct First {
    unit: Unit,
    text: String,
    place: String,
}

/// Rows that were left out for want of a user or an item.
#[derive(Default)]
struct Left {
    rows: u64,
    first: String,
    of: u64,
}

impl Reader {
    /// Adds the rows of a file.
    pub(super) fn add(&mut self, path: &Path, request: &Request) -> Result<()> {
        let source = Source::open(path, &request.read)?;
        let found = detect(&source.table(SAMPLE)?, &request.columns, request.file_order)?;
        self.note_roles(&source, &found);
        self.reserve(source.most_rows(), &found)?;
        let names = found.names.each_ref().map(Option::as_deref);
        let mut left = Left::default();
        source.each(names, &mut |at, cells| {
            self.row(&source, &found, (at, cells), &mut left)
        })?;
        self.note_left(&source, &left)?;
        self.files.push(source.file());
        Ok(())
    }

    fn note_roles(&mut self, source: &Source, found: &Found) {
        for note in &source.notes {
            if !self.out.notes.contains(note) {
                self.out.notes.push(note.clone());
            }
        }
        let new: Vec<Reason> = found
            .reasons
            .iter()
            .filter(|r| !self.out.reasons.contains(r))
            .cloned()
            .collect();
        self.out.reasons.extend(new);
    }

    /// Makes room for as many rows as the file can have, so that no column grows by copying.
    fn reserve(&mut self, rows: usize, found: &Found) -> Result<()> {
        let before = self.out.len();
        if before + rows > u32::MAX as usize {
            return Err(DataError::File {
                file: self.files.join(", "),
                problem: format!("{} rows; the most is {}", before + rows, u32::MAX),
                cure: "give the events of a shorter time".to_string(),
            });
        }
        self.out.user.reserve_exact(rows);
        self.out.item.reserve_exact(rows);
        self.out.time.reserve_exact(rows);
        // A column that an earlier file lacks is filled up.
        let [_, _, _, rating, event, weight] = &found.names;
        if rating.is_some() || self.out.rating.is_some() {
            let column = self
                .out
                .rating
                .get_or_insert_with(|| vec![f32::NAN; before]);
            column.reserve_exact(rows);
        }
        if weight.is_some() || self.out.weight.is_some() {
            let column = self.out.weight.get_or_insert_with(|| vec![1.0; before]);
            column.reserve_exact(rows);
        }
        if event.is_some() || self.out.event.is_some() {
            let lacking = before > 0 && self.out.event.is_none();
            let none = if lacking { self.events.of("") } else { 0 };
            let column = self.out.event.get_or_insert_with(|| Events {
                names: Vec::new(),
                code: vec![none as u16; before],
            });
            column.code.reserve_exact(rows);
        }
        Ok(())
    }

    fn row(
        &mut self,
        source: &Source,
        found: &Found,
        (at, cells): (u64, &Cells<'_>),
        left: &mut Left,
    ) -> Result<()> {
        let [user, item, time, rating, event, weight] = *cells;
        left.of += 1;
        if user.is_empty() || item.is_empty() {
            if left.rows == 0 {
                left.first = source.place(at);
            }
            left.rows += 1;
            return Ok(());
        }
        let time = match &found.names[2] {
            Some(column) => self.time(source, found, (column, at, time))?,
            None => self.out.time.len() as i64,
        };
        self.out.user.push(self.users.of(user));
        self.out.item.push(self.items.of(item));
        self.out.time.push(time);
        if let Some(column) = &mut self.out.rating {
            column.push(number(
                source,
                (found.names[3].as_deref(), at, rating),
                f32::NAN,
            )?);
        }
        if let Some(column) = &mut self.out.weight {
            column.push(number(
                source,
                (found.names[5].as_deref(), at, weight),
                1.0,
            )?);
        }
        if let Some(column) = &mut self.out.event {
            let code = self.events.of(event);
            if code as usize >= MOST_EVENTS {
                let name = found.names[4].as_deref().unwrap_or_default();
                return Err(source.cell(
                    name,
                    at,
                    format!("`{event}` is its event number {MOST_EVENTS}; events are a few words such as view and buy"),
                    "name another column with --event",
                ));
            }
            column.code.push(code as u16);
        }
        Ok(())
    }

    /// The time of a row; all have the unit of the first.
    fn time(
        &mut self,
        source: &Source,
        found: &Found,
        (column, at, text): (&str, u64, &str),
    ) -> Result<i64> {
        if text.is_empty() {
            return Err(source.cell(
                column,
                at,
                "it is empty; every event needs a time".to_string(),
                "fill it in or drop the row, name another column with --time, or type --file-order if the rows are in order",
            ));
        }
        let (ns, unit) = moment(text, found.days).map_err(|why| {
            let problem = match why {
                NoTime::Unreadable => {
                    format!("`{text}` is neither a number nor a date such as 2024-05-31 12:30")
                }
                NoTime::OutOfRange => format!("`{text}` lies outside the years 1677 to 2262"),
            };
            source.cell(
                column,
                at,
                problem,
                "correct it, or name another column with --time",
            )
        })?;
        let first = self.unit.get_or_insert_with(|| First {
            unit,
            text: text.to_string(),
            place: source.place(at),
        });
        if first.unit != unit {
            let problem = format!(
                "`{text}` looks like {}, and `{}` in {} like {}",
                unit.name(),
                first.text,
                first.place,
                first.unit.name()
            );
            return Err(source.cell(column, at, problem, "write all times in one unit"));
        }
        Ok(ns)
    }

    fn note_left(&mut self, source: &Source, left: &Left) -> Result<()> {
        if left.rows == 0 {
            return Ok(());
        }
        let problem = format!(
            "{} of {} rows have no user or no item, the first in {}",
            left.rows, left.of, left.first
        );
        if left.rows * 2 > left.of {
            return Err(DataError::File {
                file: source.file(),
                problem,
                cure: "fill them in, or name other columns with --user and --item".to_string(),
            });
        }
        let note = format!("{}: {problem}: left out", source.file());
        self.out.notes.push(note);
        Ok(())
    }

    /// The events in order of time.
    pub(super) fn finish(self, request: &Request) -> Result<Interactions> {
        let mut out = self.out;
        if out.is_empty() {
            return Err(DataError::File {
                file: self.files.join(", "),
                problem: "it has no events".to_string(),
                cure: "give rows of user, item and time".to_string(),
            });
        }
        out.users = self.users.into_names();
        out.items = self.items.into_names();
        if let Some(event) = &mut out.event {
            event.names = self.events.into_names();
        }
        note_nobody(&mut out);
        match self.unit {
            Some(first) if !request.file_order => {
                let note = format!("times are read as {}", first.unit.name());
                out.notes.push(note);
            }
            _ => {
                out.clock = Clock::Rows;
                out.notes
                    .push("the order of the rows is taken for the order of time".to_string());
            }
        }
        out.sort();
        Ok(out)
    }
}

/// Notes users and items whose id is a word for a missing value, which programs write into empty cells.
fn note_nobody(out: &mut Interactions) {
    for (what, names, codes) in [
        ("user", &out.users, &out.user),
        ("item", &out.items, &out.item),
    ] {
        for (code, name) in names.iter().enumerate().filter(|(_, n)| is_missing_word(n)) {
            let events = codes.iter().filter(|&&c| c as usize == code).count();
            out.notes.push(format!(
                "`{name}` is taken for a {what} with {events} events; leave its cells empty if it stands for none"
            ));
        }
    }
}

/// A number of a cell; `empty` where the cell or the whole column is not there.
fn number(
    source: &Source,
    (column, at, text): (Option<&str>, u64, &str),
    empty: f32,
) -> Result<f32> {
    let Some(column) = column.filter(|_| !text.is_empty()) else {
        return Ok(empty);
    };
    parse_number(text).map(|x| x as f32).ok_or_else(|| {
        source.cell(
            column,
            at,
            format!("`{text}` is not a number"),
            "correct it, or name another column with --rating or --weight",
        )
    })
}

//! How the parts of an event are written: times, amounts and labels, the same in files and in streams.

use super::engine::EventRow;
use super::spec::EngineSpec;
use crate::error::{DataError, Result};
use crate::interactions::moments::{NoTime, SECOND, are_days, moment};
use crate::profile::is_missing_word;
use crate::table::{Column, Table, parse_number};

/// What a time has to look like.
pub(super) const TIMES: &str =
    "write dates such as 2024-05-31T12:30:00 or seconds since 1970, all in one way";

/// An event by itself, as a record of a stream gives it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    /// Its number.
    pub id: Option<String>,
    /// Seconds since 1970.
    pub time: i64,
    /// Its amount.
    pub amount: Option<f64>,
    /// Whose it is, by the columns of the spec.
    pub entities: Vec<Option<String>>,
    /// Whether it is a fraud, where that is known.
    pub label: Option<bool>,
    /// When that is known, in seconds since 1970.
    pub label_time: Option<i64>,
}

impl Event {
    /// The event whose values `cell` gives by the names of columns, read as those of files are.
    ///
    /// # Errors
    /// No time, or a value that cannot be read.
    pub fn of(spec: &EngineSpec, cell: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let told = |name: &str| cell(name).filter(|text| !is_missing(text));
        let wrong = |name: &str, text: &str, cure: &str| DataError::Windows {
            problem: format!("`{name}` is `{text}`"),
            cure: cure.to_string(),
        };
        let time = |name: &str| {
            let read = |text: String| nanoseconds(&text).ok_or_else(|| wrong(name, &text, TIMES));
            told(name).map(read).transpose()
        };
        let Some(at) = time(&spec.time)? else {
            return Err(DataError::Windows {
                problem: format!("the event has no `{}`", spec.time),
                cure: "its features depend on when it happened: give every event a time"
                    .to_string(),
            });
        };
        let amount = |name: &String| {
            let read = |text: String| {
                parse_number(&text)
                    .ok_or_else(|| wrong(name, &text, "write a number such as 12.30"))
            };
            told(name).map(read).transpose()
        };
        let label = |name: &String| {
            let read = |text: String| {
                as_label(&text).ok_or_else(|| wrong(name, &text, "write 1 or 0, true or false"))
            };
            told(name).map(read).transpose()
        };
        let name =
            |name: &str| Some(cell(name)?.trim().to_string()).filter(|text| !text.is_empty());
        Ok(Self {
            id: spec.id.as_deref().and_then(name),
            time: at.div_euclid(SECOND),
            amount: spec.amount.as_ref().map_or(Ok(None), amount)?,
            entities: spec.entities.iter().map(|entity| name(entity)).collect(),
            label: spec.label.as_ref().map_or(Ok(None), label)?,
            label_time: spec
                .label_time
                .as_deref()
                .map_or(Ok(None), time)?
                .map(known_at),
        })
    }

    /// The same as the engine takes it; `entities` are those of the event.
    pub fn row<'a>(&'a self, entities: &'a [Option<&'a str>]) -> EventRow<'a> {
        EventRow {
            id: self.id.as_deref(),
            time: self.time,
            amount: self.amount,
            entities,
            label: self.label,
            label_time: self.label_time,
        }
    }
}

/// Seconds since 1970 of a time as it is written; whole days may be written 20240531.
pub fn seconds(text: &str) -> Option<i64> {
    nanoseconds(text).map(|ns| ns.div_euclid(SECOND))
}

fn nanoseconds(text: &str) -> Option<i64> {
    let days = are_days(std::iter::once(text));
    moment(text, days).ok().map(|(ns, _)| ns)
}

/// The second in which a label is known: it is not in the one before.
pub(super) fn known_at(ns: i64) -> i64 {
    -(-ns).div_euclid(SECOND)
}

pub(super) fn is_missing(text: &str) -> bool {
    text.trim().is_empty() || is_missing_word(text)
}

/// Whether a label means fraud.
pub fn as_label(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "1" | "1.0" | "true" | "yes" | "y" | "fraud" => Some(true),
        "0" | "0.0" | "false" | "no" | "n" | "honest" | "legit" | "genuine" | "ok" => Some(false),
        _ => None,
    }
}

/// The times of a column in nanoseconds since 1970, all written in one way; `None` where a cell is empty.
///
/// # Errors
/// A cell that is no time, or is written in another way than those before; with `needed` also an empty one.
pub(crate) fn times(t: &Table, column: &Column, needed: bool) -> Result<Vec<Option<i64>>> {
    let wrong = |row: usize, problem: String| DataError::Cell {
        column: column.name.clone(),
        place: t.place(row),
        problem,
        cure: TIMES.to_string(),
    };
    let cell = |row: usize| column.text(row).filter(|text| !text.trim().is_empty());
    let first: Vec<_> = (0..column.len()).filter_map(cell).take(1000).collect();
    let days = are_days(first.iter().map(AsRef::as_ref));
    let mut seen = None;
    let mut out = Vec::with_capacity(column.len());
    for row in 0..column.len() {
        let Some(text) = cell(row) else {
            if needed {
                return Err(wrong(row, "there is no time".to_string()));
            }
            out.push(None);
            continue;
        };
        let (ns, unit) = moment(&text, days).map_err(|why| {
            let why = match why {
                NoTime::Unreadable => "is neither a date nor a number",
                NoTime::OutOfRange => "lies before 1677 or after 2262",
            };
            wrong(row, format!("`{text}` {why}"))
        })?;
        let unit = unit.name();
        if let Some(other) = seen.filter(|other| *other != unit) {
            let problem = format!("`{text}` is in {unit}, and those before in {other}");
            return Err(wrong(row, problem));
        }
        seen = Some(unit);
        out.push(Some(ns));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_record_is_read_as_a_row_of_a_file_is() {
        let mut spec = EngineSpec::usual("at", &["card"], Some("amount"), Some("fraud"));
        spec.label_time = Some("known".to_string());
        spec.id = Some("id".to_string());
        let cell = |values: &[(&str, &str)], name: &str| {
            let found = values.iter().find(|(key, _)| *key == name);
            found.map(|(_, text)| (*text).to_string())
        };
        let values = [
            ("at", "1700000000500"),
            ("known", "1700000000500"),
            ("card", " na "),
            ("amount", "?"),
            ("fraud", "yes"),
            ("id", "7"),
        ];
        let event = Event::of(&spec, &|name| cell(&values, name)).unwrap();
        let wanted = Event {
            id: Some("7".to_string()),
            time: 1_700_000_000,
            amount: None,
            // A name is a name, whatever it says.
            entities: vec![Some("na".to_string())],
            label: Some(true),
            // Half a second later than that second began, so not before the next.
            label_time: Some(1_700_000_001),
        };
        assert_eq!(event, wanted);
        assert_eq!(seconds("20240531"), Some(1_717_113_600));
        assert_eq!(seconds("1717113600000000"), Some(1_717_113_600));
        for (wrong, told) in [
            ([("at", "soon"), ("amount", "1")], "`at` is `soon`"),
            (
                [("at", "2024-05-31"), ("amount", "much")],
                "`amount` is `much`",
            ),
            (
                [("at", "2024-05-31"), ("fraud", "perhaps")],
                "`fraud` is `perhaps`",
            ),
            ([("card", "5"), ("amount", "1")], "no `at`"),
        ] {
            let error = Event::of(&spec, &|name| cell(&wrong, name))
                .unwrap_err()
                .to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}

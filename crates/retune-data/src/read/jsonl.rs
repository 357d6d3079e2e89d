//! JSON: one object per line, or one array of objects. Keys are columns; nested objects are refused.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::decode::{count_lines, load};
use super::{ReadOptions, wrong, wrong_row};
use crate::error::{DataError, Result};
use crate::table::{Column, RowOrigin, Table, Values};

/// A line longer than this is refused: it is one value of a file that is not JSON lines.
const MAX_LINE_BYTES: usize = 64 << 20;
/// Whole numbers from here on lose digits as `f64`; their columns are kept as text.
pub(super) const EXACT: f64 = 9_007_199_254_740_992.0;

/// Reads one object per line; blank lines are skipped.
pub(super) fn read_lines(path: &Path, o: &ReadOptions) -> Result<Table> {
    let decoded = load(path, o)?;
    let mut gather = Gather::new(path);
    each(path, &decoded.text, &mut |line, value| {
        gather.push(line, value)?;
        Ok(true)
    })?;
    gather.finish(decoded.notes)
}

/// Calls `part` with tables of at most `rows` rows until it answers `false`; each has the columns that its own rows have.
pub(super) fn parts(
    path: &Path,
    o: &ReadOptions,
    rows: usize,
    part: &mut super::Part<'_>,
) -> Result<()> {
    let decoded = load(path, o)?;
    let mut gather = Gather::new(path);
    let (mut some, mut more) = (false, true);
    each(path, &decoded.text, &mut |line, value| {
        gather.push(line, value)?;
        if gather.origin.len() >= rows {
            let full = std::mem::replace(&mut gather, Gather::new(path));
            more = part(full.finish(decoded.notes.clone())?)?;
            some = true;
        }
        Ok(more)
    })?;
    if more && !(some && gather.origin.is_empty()) {
        part(gather.finish(decoded.notes.clone())?)?;
    }
    Ok(())
}

/// Calls `row` with the number and the value of each line that is not blank, until it answers `false`.
fn each(path: &Path, text: &str, row: &mut dyn FnMut(u64, Value) -> Result<bool>) -> Result<()> {
    for (i, line) in text.lines().enumerate() {
        let number = i as u64 + 1;
        if line.trim().is_empty() {
            continue;
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(wrong_row(
                path,
                number,
                format!(
                    "the line has {} MiB; the most is {}",
                    line.len() >> 20,
                    MAX_LINE_BYTES >> 20
                ),
                "write one object per line",
            ));
        }
        let value = serde_json::from_str(line).map_err(|e| not_json(path, number, line, &e))?;
        if !row(number, value)? {
            break;
        }
    }
    Ok(())
}

/// Reads one array of objects.
pub(super) fn read_array(path: &Path, o: &ReadOptions) -> Result<Table> {
    let decoded = load(path, o)?;
    let text = decoded.text.as_str();
    let mut gather = Gather::new(path);
    let mut at = text.find('[').map_or(0, |p| p + 1);
    let (mut counted, mut line) = (0, 1);
    loop {
        at += skip(&text[at..], char::is_whitespace);
        line += count_lines(&text.as_bytes()[counted..at]);
        counted = at;
        if text[at..].starts_with(']') {
            break;
        }
        let mut stream = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        let value = match stream.next() {
            Some(Ok(value)) => value,
            Some(Err(e)) => return Err(not_json(path, line + e.line() as u64 - 1, "", &e)),
            None => return Err(cut_off(path, line)),
        };
        at += stream.byte_offset();
        gather.push(line, value)?;
        at += skip(&text[at..], char::is_whitespace);
        match text[at..].chars().next() {
            Some(',') => at += 1,
            Some(']') => break,
            None => return Err(cut_off(path, line)),
            Some(c) => {
                return Err(wrong_row(
                    path,
                    line,
                    format!("`{c}` after an object"),
                    "put a comma between objects",
                ));
            }
        }
    }
    gather.finish(decoded.notes)
}

fn skip(text: &str, what: fn(char) -> bool) -> usize {
    text.len() - text.trim_start_matches(what).len()
}

fn cut_off(path: &Path, line: u64) -> DataError {
    wrong_row(
        path,
        line,
        "the array is not closed: the file is cut off",
        "write or fetch the file again",
    )
}

fn not_json(path: &Path, line: u64, text: &str, e: &serde_json::Error) -> DataError {
    let cure = if ["NaN", "Infinity"].iter().any(|w| text.contains(w)) {
        "NaN and Infinity are not JSON: write null"
    } else if text.trim_start().starts_with('[') || text.trim_start().starts_with('{') {
        "write each object on one line of its own; pandas: to_json(..., orient=\"records\", lines=True)"
    } else {
        "write one object per line, such as {\"text\": \"fine\", \"label\": \"pos\"}"
    };
    wrong_row(path, line, format!("column {}: {e}", e.column()), cure)
}

/// Columns under construction: values are kept as JSON until the type of the whole column is known.
struct Gather<'a> {
    path: &'a Path,
    names: Vec<String>,
    at: HashMap<String, usize>,
    cells: Vec<Vec<Value>>,
    origin: Vec<RowOrigin>,
}

impl<'a> Gather<'a> {
    fn new(path: &'a Path) -> Self {
        Self {
            path,
            names: Vec::new(),
            at: HashMap::new(),
            cells: Vec::new(),
            origin: Vec::new(),
        }
    }

    fn push(&mut self, line: u64, value: Value) -> Result<()> {
        let Value::Object(object) = value else {
            return Err(wrong_row(
                self.path,
                line,
                format!("expected an object, found {}", kind(&value)),
                "write one object per line, such as {\"text\": \"fine\", \"label\": \"pos\"}",
            ));
        };
        let rows = self.origin.len();
        for (key, value) in object {
            let key = key.trim().to_string();
            self.check(line, &key, &value)?;
            let column = *self.at.entry(key.clone()).or_insert_with(|| {
                self.names.push(key);
                self.cells.push(vec![Value::Null; rows]);
                self.names.len() - 1
            });
            if self.cells[column].len() > rows {
                let name = &self.names[column];
                return Err(wrong_row(
                    self.path,
                    line,
                    format!("two keys are called `{name}`"),
                    "keep one of them",
                ));
            }
            self.cells[column].push(value);
        }
        for column in &mut self.cells {
            column.resize(rows + 1, Value::Null);
        }
        self.origin.push(RowOrigin { file: 0, line });
        Ok(())
    }

    fn check(&self, line: u64, key: &str, value: &Value) -> Result<()> {
        let nested = |found: &str| DataError::Cell {
            column: key.to_string(),
            place: format!("{}, line {line}", self.path.display()),
            problem: format!(
                "expected text, a number, true/false or a list of words, found {found}"
            ),
            cure: "lift the values you need to the top level of the object".to_string(),
        };
        match value {
            Value::Object(_) => Err(nested("an object")),
            Value::Array(items)
                if items
                    .iter()
                    .any(|i| i.is_array() || i.is_object() || i.is_null()) =>
            {
                Err(nested("a list of lists, objects or nulls"))
            }
            _ => Ok(()),
        }
    }

    fn finish(self, mut notes: Vec<String>) -> Result<Table> {
        if self.origin.is_empty() {
            return Err(wrong(
                self.path,
                "it has no rows",
                "write one object per line",
            ));
        }
        let mut columns = Vec::with_capacity(self.names.len());
        for (name, cells) in self.names.into_iter().zip(self.cells) {
            let values = type_column(self.path, &name, cells, &self.origin, &mut notes)?;
            columns.push(Column { name, values });
        }
        Ok(Table {
            columns,
            origin: self.origin,
            files: vec![self.path.to_path_buf()],
            notes,
        })
    }
}

/// Gives a column its type: that of all its values, or text where they differ.
fn type_column(
    path: &Path,
    name: &str,
    cells: Vec<Value>,
    origin: &[RowOrigin],
    notes: &mut Vec<String>,
) -> Result<Values> {
    let (mut text, mut numbers, mut bools, mut lists, mut wide) =
        (false, false, false, None, false);
    for (row, cell) in cells.iter().enumerate() {
        match cell {
            Value::String(_) => text = true,
            Value::Number(n) => {
                numbers = true;
                wide |= !n.is_f64() && n.as_f64().is_none_or(|x| x.abs() >= EXACT);
            }
            Value::Bool(_) => bools = true,
            Value::Array(_) => lists = lists.or(Some(row)),
            _ => {}
        }
    }
    if let Some(row) = lists {
        if text || numbers || bools {
            return Err(DataError::Cell {
                column: name.to_string(),
                place: format!("{}, line {}", path.display(), origin[row].line),
                problem: "a list, where other rows have single values".to_string(),
                cure: "write a list in every row, such as [\"a\"]".to_string(),
            });
        }
        return Ok(Values::List(cells.into_iter().map(list).collect()));
    }
    Ok(match (text, numbers, bools) {
        (false, true, false) if !wide => Values::Number(cells.iter().map(Value::as_f64).collect()),
        (false, false, true) => Values::Bool(cells.iter().map(Value::as_bool).collect()),
        _ => {
            if u8::from(text) + u8::from(numbers) + u8::from(bools) > 1 {
                notes.push(format!(
                    "{}: column `{name}` mixes types and is read as text",
                    path.display()
                ));
            }
            Values::Text(
                cells
                    .into_iter()
                    .map(|c| scalar(c).filter(|s| !s.is_empty()))
                    .collect(),
            )
        }
    })
}

fn list(value: Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => Some(items.into_iter().filter_map(scalar).collect()),
        _ => None,
    }
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(s) => Some(s),
        other => Some(other.to_string()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn run(name: &str, text: &str) -> Result<Table> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        super::super::read(&path, &ReadOptions::default())
    }

    fn error(text: &str) -> String {
        run("t.jsonl", text).unwrap_err().to_string()
    }

    #[test]
    fn objects_become_typed_columns() {
        let t = run(
            "t.jsonl",
            "{\"text\": \"a\", \"n\": 1, \"ok\": true, \"tags\": [\"x\", \"y\"], \"id\": 9007199254740993}\n\n{\"text\": null, \"n\": 2.5, \"tags\": []}\n",
        )
        .unwrap();
        assert!(matches!(t.column("n").unwrap().values, Values::Number(_)));
        assert!(matches!(t.column("ok").unwrap().values, Values::Bool(_)));
        assert_eq!(t.column("ok").unwrap().text(1), None);
        assert_eq!(t.column("tags").unwrap().text(0).unwrap(), "x|y");
        assert_eq!(t.column("id").unwrap().text(0).unwrap(), "9007199254740993");
        assert_eq!(t.place(1).rsplit(", ").next().unwrap(), "line 3");
    }

    #[test]
    fn mixed_scalars_become_text_with_a_note() {
        let t = run("t.jsonl", "{\"y\": 1}\n{\"y\": \"high\"}\n").unwrap();
        assert_eq!(t.columns[0].text(0).unwrap(), "1");
        assert!(t.notes[0].contains("`y` mixes types"));
    }

    #[test]
    fn malformed_lines_are_placed() {
        assert!(error("{\"a\": 1}\n{\"a\": ").contains("line 2: column 6"));
        assert!(error("{\"a\": NaN}\n").contains("write null"));
        assert!(error("{\"a\": 1}\n[1]\n").contains("line 2: expected an object, found a list"));
        let nested = error("{\"user\": {\"name\": 1}}\n");
        assert!(
            nested.contains("`user`")
                && nested.contains("line 1")
                && nested.contains("found an object"),
            "{nested}"
        );
        assert!(error("{\"a\": [1]}\n{\"a\": 2}\n").contains("line 1: a list, where other rows"));
        assert!(error("{\"a\": 1, \" a\": 2}\n").contains("two keys are called `a`"));
        assert!(error("{\n  \"a\": 1\n}\n").contains("on one line of its own"));
    }

    #[test]
    fn an_over_long_line_is_refused() {
        let long = format!("{{\"a\": \"{}\"}}\n", "x".repeat(MAX_LINE_BYTES));
        assert!(error(&long).contains("the most is 64"));
    }

    #[test]
    fn an_array_of_objects_is_read_with_line_numbers() {
        let t = run(
            "t.json",
            "[\n  {\"text\": \"a\"},\n  {\n    \"text\": \"b\"\n  }\n]\n",
        )
        .unwrap();
        assert_eq!(t.rows(), 2);
        assert_eq!(t.origin[1].line, 3);
        assert!(
            run("t.json", "[{\"a\": 1},\n")
                .unwrap_err()
                .to_string()
                .contains("cut off")
        );
        assert!(
            run("t.json", "[{\"a\": 1} {\"a\": 2}]")
                .unwrap_err()
                .to_string()
                .contains("comma")
        );
        assert!(
            run("t.json", "[]")
                .unwrap_err()
                .to_string()
                .contains("no rows")
        );
        assert!(
            run("t.json", "[{\"a\": 1},\n{\"a\" 2}]")
                .unwrap_err()
                .to_string()
                .contains("line 2")
        );
    }
}

//! Delimited text: CSV, TSV and kin. The delimiter and the kind of quoting are detected; rows must be even.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::decode::{count_lines, load};
use super::quotes::{Quotes, survey};
use super::{ReadOptions, wrong, wrong_row};
use crate::error::Result;
use crate::table::{Column, RowOrigin, Table, Values, list_names, parse_number};

/// Delimiters that are looked for, the more telling first.
const CANDIDATES: [u8; 4] = *b"\t;,|";
/// Rows looked at to find the delimiter.
const SAMPLE_ROWS: usize = 100;
/// Bytes looked at to find the delimiter.
const SAMPLE_BYTES: usize = 1 << 20;
/// Bytes that a header line fits into.
const HEAD_BYTES: u64 = 1 << 16;

/// How the fields of a file are cut.
#[derive(Debug, Clone, Copy)]
struct Dialect {
    delimiter: u8,
    quoting: bool,
    escape: bool,
}

/// Reads a delimited file with a header line. All columns are text; an empty cell is no value.
pub(super) fn read(path: &Path, o: &ReadOptions) -> Result<Table> {
    let file = Delimited::open(path, o)?;
    let mut table = file.table(usize::MAX)?;
    let usual = if is_tab_file(path) { b'\t' } else { b',' };
    if file.dialect.delimiter != usual && table.columns.len() > 1 {
        table.notes.push(format!(
            "{}: fields are separated by {}",
            path.display(),
            show(file.dialect.delimiter)
        ));
    }
    Ok(table)
}

/// The first line of a file and its fields, cut at the delimiter that it holds most often; `None` where nothing can be
/// read. The rest of the file is left alone.
pub(crate) fn header(path: &Path, o: &ReadOptions) -> Option<(String, Vec<String>)> {
    let mut head = Vec::new();
    let file = File::open(path).ok()?;
    file.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    let text = String::from_utf8_lossy(&head);
    let line = text.trim_start_matches('\u{feff}').lines().next()?;
    let often = |delimiter: &u8| line.bytes().filter(|byte| byte == delimiter).count();
    let delimiter = o.delimiter.or(CANDIDATES.into_iter().max_by_key(often))?;
    let fields = line.split(char::from(delimiter));
    let plain = fields.map(|field| field.trim().trim_matches('"').to_string());
    Some((line.to_string(), plain.collect()))
}

/// A delimited file whose rows can be walked over without keeping them.
pub(crate) struct Delimited {
    path: PathBuf,
    text: String,
    /// Offset of the header line in `text`, and its line number.
    start: usize,
    first_line: u64,
    dialect: Dialect,
    /// The names of the columns.
    pub(crate) names: Vec<String>,
    /// What was decided about encoding, quotes and names.
    pub(crate) notes: Vec<String>,
}

impl Delimited {
    /// Reads and decodes the file, finds its dialect, and checks its header line.
    pub(crate) fn open(path: &Path, o: &ReadOptions) -> Result<Self> {
        let decoded = load(path, o)?;
        let mut notes = decoded.notes;
        let (body, skipped, announced) = excel_hint(&decoded.text);
        let start = decoded.text.len() - body.len();
        let delimiter = o
            .delimiter
            .or(announced)
            .unwrap_or_else(|| detect_delimiter(body));
        let dialect = dialect(path, body, skipped, delimiter, &mut notes)?;
        let mut file = Self {
            path: path.to_path_buf(),
            text: decoded.text,
            start,
            first_line: skipped + 1,
            dialect,
            names: Vec::new(),
            notes: Vec::new(),
        };
        file.names = file.rows().names(&mut notes)?;
        file.notes = notes;
        Ok(file)
    }

    /// Takes double quotes for plain characters, as formats without quoting do.
    pub(crate) fn without_quotes(&mut self) {
        self.dialect.quoting = false;
        self.dialect.escape = false;
        self.notes.retain(|n| !n.contains("quote"));
    }

    /// Line ends of the file: an upper bound of the number of its rows.
    pub(crate) fn lines(&self) -> usize {
        count_lines(self.text.as_bytes()) as usize
    }

    /// Calls `row` with the line and the fields of each row until it answers `false`; returns how many repeated header
    /// lines were skipped.
    pub(crate) fn each(&self, row: &mut RowSink<'_>) -> Result<u64> {
        self.rows().each(&self.names, row)
    }

    /// The first `most` rows as a table of text.
    pub(crate) fn table(&self, most: usize) -> Result<Table> {
        let mut notes = self.notes.clone();
        let table = self.rows().collect(self.names.clone(), most, &mut notes)?;
        Ok(Table { notes, ..table })
    }

    fn rows(&self) -> Rows<'_> {
        Rows {
            path: &self.path,
            text: &self.text[self.start..],
            first_line: self.first_line,
            dialect: self.dialect,
        }
    }
}

/// Takes a line number and the fields of its row; `false` ends the walk.
pub(crate) type RowSink<'a> = dyn FnMut(u64, &csv::StringRecord) -> Result<bool> + 'a;

/// Whether the name of the file says that tabs are to be expected.
fn is_tab_file(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    extension.eq_ignore_ascii_case("tsv") || extension.eq_ignore_ascii_case("tab")
}

/// Excel's first line `sep=;` names the delimiter: the text after it, the lines skipped, the delimiter.
fn excel_hint(text: &str) -> (&str, u64, Option<u8>) {
    let Some(rest) = text.strip_prefix("sep=") else {
        return (text, 0, None);
    };
    match (rest.as_bytes().first(), rest.find('\n')) {
        (Some(&d), Some(end))
            if d.is_ascii() && rest.get(1..end).is_some_and(|r| r.trim().is_empty()) =>
        {
            (&rest[end + 1..], 1, Some(d))
        }
        _ => (text, 0, None),
    }
}

/// Stands for the delimiter of a file with one column: a control character that text does not hold.
const NONE: u8 = 0x1f;

/// The candidate that cuts the most rows into as many fields as the header has; none where the header is one field.
fn detect_delimiter(text: &str) -> u8 {
    let mut best = (0.0, NONE);
    for delimiter in CANDIDATES {
        let dialect = Dialect {
            delimiter,
            quoting: true,
            escape: false,
        };
        let counts = field_counts(text, dialect);
        let Some((&header, rows)) = counts.split_first() else {
            continue;
        };
        if header < 2 {
            continue;
        }
        let even = rows.iter().filter(|&&n| n == header).count();
        // A header alone says little, but more than nothing.
        let score = (even as f64 + 0.5) / (rows.len() as f64 + 0.5);
        if score > best.0 {
            best = (score, delimiter);
        }
    }
    best.1
}

fn field_counts(text: &str, dialect: Dialect) -> Vec<usize> {
    let mut end = text.len().min(SAMPLE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut counts: Vec<usize> = reader(&text.as_bytes()[..end], dialect)
        .byte_records()
        .take(SAMPLE_ROWS)
        .filter_map(|r| r.ok().map(|r| r.len()))
        .collect();
    // The last row of a cut sample is incomplete.
    if end < text.len() && counts.len() < SAMPLE_ROWS {
        counts.pop();
    }
    counts
}

fn reader(bytes: &[u8], d: Dialect) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(d.delimiter)
        .quoting(d.quoting)
        .escape(d.escape.then_some(b'\\'))
        .from_reader(bytes)
}

/// Decides what double quotes mean in this file, so that no row is swallowed in silence.
fn dialect(
    path: &Path,
    text: &str,
    skipped: u64,
    delimiter: u8,
    notes: &mut Vec<String>,
) -> Result<Dialect> {
    let with = |quoting, escape| Dialect {
        delimiter,
        quoting,
        escape,
    };
    let bytes = text.as_bytes();
    let found = survey(bytes, delimiter, false);
    if found == Quotes::Proper {
        return Ok(with(true, false));
    }
    if text.contains("\\\"") && survey(bytes, delimiter, true) == Quotes::Proper {
        notes.push(format!(
            "{}: quotes inside fields are escaped by backslashes",
            path.display()
        ));
        return Ok(with(true, true));
    }
    if delimiter != b',' && delimiter != b';' {
        notes.push(format!(
            "{}: double quotes are taken as plain characters",
            path.display()
        ));
        return Ok(with(false, false));
    }
    let line = |at: usize| skipped + count_lines(&bytes[..at]) + 1;
    match found {
        Quotes::Stray {
            open,
            over_lines: false,
        } => {
            notes.push(format!(
                "{}, line {}: text after a closing quote was joined to the quoted text",
                path.display(),
                line(open)
            ));
            Ok(with(true, false))
        }
        Quotes::Stray { open, .. } | Quotes::Unclosed(open) => Err(wrong_row(
            path,
            line(open),
            "the double quote that opens a field here is not closed before a delimiter or a line end",
            "close it, or double it inside a quoted field: \"he said \"\"hi\"\"\"",
        )),
        Quotes::Proper => Ok(with(true, false)),
    }
}

struct Rows<'a> {
    path: &'a Path,
    text: &'a str,
    first_line: u64,
    dialect: Dialect,
}

impl Rows<'_> {
    /// The names of the columns.
    fn names(&self, notes: &mut Vec<String>) -> Result<Vec<String>> {
        let mut reader = reader(self.text.as_bytes(), self.dialect);
        let mut record = csv::StringRecord::new();
        if !self.next(&mut reader, &mut record)? {
            return Err(wrong(
                self.path,
                "it has no rows",
                "give a file with a header line and rows",
            ));
        }
        self.header(&record, notes)
    }

    fn each(&self, names: &[String], row: &mut RowSink<'_>) -> Result<u64> {
        let mut reader = reader(self.text.as_bytes(), self.dialect);
        let mut record = csv::StringRecord::new();
        // The header line.
        self.next(&mut reader, &mut record)?;
        let mut lines = Lines {
            byte: 0,
            line: self.first_line,
        };
        let mut repeated = 0;
        while self.next(&mut reader, &mut record)? {
            let start = record.position().map_or(0, |p| p.byte() as usize);
            let line = lines.at(self.text.as_bytes(), start);
            if record.len() == 1 && names.len() > 1 && record[0].trim().is_empty() {
                continue;
            }
            if record.len() != names.len() {
                return Err(self.ragged(line, record.len(), names.len()));
            }
            if record
                .iter()
                .map(str::trim)
                .eq(names.iter().map(String::as_str))
            {
                repeated += 1;
                continue;
            }
            if !row(line, &record)? {
                break;
            }
        }
        Ok(repeated)
    }

    fn collect(&self, names: Vec<String>, most: usize, notes: &mut Vec<String>) -> Result<Table> {
        let mut cells: Vec<Vec<Option<String>>> = vec![Vec::new(); names.len()];
        let mut origin = Vec::new();
        let repeated = self.each(&names, &mut |line, record| {
            for (column, cell) in cells.iter_mut().zip(record) {
                column.push((!cell.is_empty()).then(|| cell.to_string()));
            }
            origin.push(RowOrigin { file: 0, line });
            Ok(origin.len() < most)
        })?;
        if repeated > 0 {
            notes.push(format!(
                "{}: {repeated} repeated header lines were skipped",
                self.path.display()
            ));
        }
        self.table(names, cells, origin)
    }

    fn next(
        &self,
        reader: &mut csv::Reader<&[u8]>,
        record: &mut csv::StringRecord,
    ) -> Result<bool> {
        reader.read_record(record).map_err(|e| {
            wrong(
                self.path,
                e.to_string(),
                "check that it is a delimited text file",
            )
        })
    }

    /// Column names from the first record: trimmed, unnamed ones numbered, duplicates refused.
    fn header(&self, record: &csv::StringRecord, notes: &mut Vec<String>) -> Result<Vec<String>> {
        let trimmed: Vec<&str> = record.iter().map(str::trim).collect();
        if let Some(cell) = trimmed.iter().find(|c| looks_like_data(c, trimmed.len())) {
            return Err(self.headerless(cell, trimmed.len()));
        }
        let mut names: Vec<String> = Vec::with_capacity(trimmed.len());
        for (i, cell) in trimmed.iter().enumerate() {
            let name = if cell.is_empty() {
                format!("unnamed_{}", i + 1)
            } else {
                (*cell).to_string()
            };
            if names.contains(&name) {
                return Err(wrong_row(
                    self.path,
                    self.first_line,
                    format!("two columns are called `{name}`"),
                    "give each column its own name",
                ));
            }
            names.push(name);
        }
        let unnamed: Vec<&str> = names
            .iter()
            .zip(&trimmed)
            .filter(|(_, c)| c.is_empty())
            .map(|(n, _)| n.as_str())
            .collect();
        if !unnamed.is_empty() {
            notes.push(format!(
                "{}: columns without a name are called {}",
                self.path.display(),
                list_names(&unnamed)
            ));
        }
        Ok(names)
    }

    fn table(
        &self,
        names: Vec<String>,
        cells: Vec<Vec<Option<String>>>,
        origin: Vec<RowOrigin>,
    ) -> Result<Table> {
        if origin.is_empty() {
            return Err(wrong(
                self.path,
                format!("it has a header line ({}) and no rows", names.join(", ")),
                "add rows below the header",
            ));
        }
        for (name, column) in names.iter().zip(&cells) {
            // A column name that is also a repeated value of a short-valued column is the first data row.
            let same = column.iter().flatten().filter(|c| c.trim() == name).count();
            if same >= 2 && names.len() > 1 {
                return Err(self.headerless(name, names.len()));
            }
        }
        let columns = names
            .into_iter()
            .zip(cells)
            // Spreadsheets often write delimiters for columns that hold nothing.
            .filter(|(name, column)| {
                !name.starts_with("unnamed_") || column.iter().any(Option::is_some)
            })
            .map(|(name, column)| Column {
                name,
                values: Values::Text(column),
            })
            .collect();
        Ok(Table {
            columns,
            origin,
            files: vec![self.path.to_path_buf()],
            notes: Vec::new(),
        })
    }

    fn headerless(&self, cell: &str, columns: usize) -> crate::error::DataError {
        let shown: String = cell.chars().take(40).collect();
        let delimiter = self.dialect.delimiter;
        let between = match delimiter {
            b'\t' => "<tab>".to_string(),
            d => char::from(d).to_string(),
        };
        let example = match columns {
            1 => "text".to_string(),
            2 => format!("text{between}label"),
            _ => format!("id{between}text{between}label"),
        };
        let cure = if columns < 4 {
            format!("add a first line with a name for each column in its place, such as {example}")
        } else {
            format!(
                "add a first line with the names of the {columns} columns, with {} between",
                show(delimiter)
            )
        };
        wrong_row(
            self.path,
            self.first_line,
            format!(
                "the file has no header line: `{shown}` looks like data, not like a column name"
            ),
            cure,
        )
    }

    fn ragged(&self, line: u64, found: usize, expected: usize) -> crate::error::DataError {
        let cure = if found > expected {
            format!(
                "put fields that contain {} in double quotes, or name another delimiter with --delimiter",
                show(self.dialect.delimiter)
            )
        } else {
            "fill the row up, or name another delimiter with --delimiter".to_string()
        };
        wrong_row(
            self.path,
            line,
            format!(
                "{found} field{} where the header has {expected}",
                if found == 1 { "" } else { "s" }
            ),
            cure,
        )
    }
}

/// Line numbers of increasing offsets, counted once over the text.
struct Lines {
    byte: usize,
    line: u64,
}

impl Lines {
    /// Line of the row that starts at `start` or, after blank lines, a little later.
    fn at(&mut self, text: &[u8], start: usize) -> u64 {
        let mut start = start;
        while matches!(text.get(start), Some(b'\n' | b'\r')) {
            start += 1;
        }
        self.line += count_lines(&text[self.byte..start]);
        self.byte = start;
        self.line
    }
}

fn looks_like_data(cell: &str, columns: usize) -> bool {
    let words = cell.split_whitespace().count();
    parse_number(cell).is_some()
        || cell.chars().count() > 120
        || words > 16
        || (columns == 1 && words > 3)
}

fn show(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "tabs".to_string(),
        d => format!("`{}`", d as char),
    }
}

#[cfg(test)]
mod tests;

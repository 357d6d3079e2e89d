//! Files to tables: CSV and its kin, JSON lines, Parquet, IDX and NumPy files of pictures, and a folder of text files
//! or pictures by class.
//!
//! The format is told by the first bytes where they are unmistakable, else by the extension, else by a look at
//! the content. Whatever the reader decides by itself is written to `Table::notes`.

mod colons;
mod csv;
mod decode;
mod folder;
mod idx;
mod jsonl;
mod npz;
mod parquet;
mod quotes;

use std::path::Path;

use crate::error::{DataError, Result};
use crate::table::{Table, suggestion};

pub(crate) use colons::Colons;
pub(crate) use csv::{Delimited, header};

/// Files larger than this are refused: they would not fit in memory beside the model.
pub const MAX_FILE_BYTES: u64 = 8 << 30;

/// What the user says about a file instead of letting it be detected.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The byte between fields of a delimited file; detected among `,` `;` tab and `|` where `None`.
    pub delimiter: Option<u8>,
    /// Label of the text encoding as browsers know it, such as `windows-1252`; UTF-8 (or the byte-order mark's) where `None`.
    pub encoding: Option<String>,
}

/// Reads a labelled file, or a folder with one sub-folder of text files or pictures per class.
///
/// Errors name the file, the line and what to do; see [`DataError`].
pub fn read(path: &Path, o: &ReadOptions) -> Result<Table> {
    if is_folder(path)? {
        return folder::read(path, o);
    }
    if idx::is_name(path) {
        return idx::read(path);
    }
    if npz::is_name(path) {
        return npz::read(path);
    }
    match format(path)? {
        Format::Parquet => parquet::read(path),
        Format::JsonLines => jsonl::read_lines(path, o),
        Format::JsonArray => jsonl::read_array(path, o),
        Format::Delimited => csv::read(path, o),
    }
}

/// The first rows of a file, for a look at its columns: about as many as a megabyte holds, of pictures all.
///
/// # Errors
/// As [`read`].
pub fn head(path: &Path, o: &ReadOptions) -> Result<Table> {
    const BYTES: u64 = 1 << 20;
    const ROWS: usize = 2_000;
    if is_folder(path)? || idx::is_name(path) || npz::is_name(path) {
        return read(path, o);
    }
    match format(path)? {
        Format::Parquet if parquet::has_pictures(path)? => read(path, o),
        Format::Parquet => {
            let mut first = Table::default();
            parquet::parts(path, None, ROWS, &mut |table| {
                first = table;
                Ok(false)
            })?;
            Ok(first)
        }
        Format::JsonLines | Format::Delimited => {
            let whole = std::fs::metadata(path).is_ok_and(|meta| meta.len() <= BYTES);
            if whole {
                return read(path, o);
            }
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path).map_err(|e| not_found(path, e))?;
            std::io::Read::read_to_end(&mut std::io::Read::take(file, BYTES), &mut bytes)
                .map_err(|e| not_found(path, e))?;
            let end = bytes.iter().rposition(|b| *b == b'\n').unwrap_or(0);
            let ending = path.extension().unwrap_or_default().to_string_lossy();
            let copy = tempfile::Builder::new()
                .suffix(&format!(".{ending}"))
                .tempfile()
                .map_err(|e| not_found(path, e))?;
            std::fs::write(copy.path(), &bytes[..end]).map_err(|e| not_found(path, e))?;
            read(copy.path(), o)
        }
        Format::JsonArray => read(path, o),
    }
}

/// A delimited file to walk over row by row; `None` for any other kind of file or folder.
pub(crate) fn delimited(path: &Path, o: &ReadOptions) -> Result<Option<Delimited>> {
    if is_folder(path)? || idx::is_name(path) || npz::is_name(path) {
        return Ok(None);
    }
    match format(path)? {
        Format::Delimited => Delimited::open(path, o).map(Some),
        _ => Ok(None),
    }
}

/// Takes some rows of a file as a table; `false` ends the walk.
pub(crate) type Part<'a> = dyn FnMut(Table) -> Result<bool> + 'a;

/// Whether [`parts`] can read the file.
pub(crate) fn has_parts(path: &Path) -> Result<bool> {
    let other = is_folder(path)? || idx::is_name(path) || npz::is_name(path);
    Ok(!other && matches!(format(path)?, Format::Parquet | Format::JsonLines))
}

/// Calls `part` with tables of at most `rows` rows of a Parquet or JSON lines file until it answers `false`. With
/// `wanted`, other columns may be left out; a table may lack a column that none of its rows has.
pub(crate) fn parts(
    path: &Path,
    o: &ReadOptions,
    (wanted, rows): (Option<&[&str]>, usize),
    part: &mut Part<'_>,
) -> Result<()> {
    match format(path)? {
        Format::Parquet => parquet::parts(path, wanted, rows, part),
        _ => jsonl::parts(path, o, rows, part),
    }
}

/// A file with `::` between its fields to walk over row by row; `None` for any other kind of file or folder.
pub(crate) fn colons(path: &Path, o: &ReadOptions) -> Result<Option<Colons>> {
    if is_folder(path)? || !colons::is_colons(path)? {
        return Ok(None);
    }
    Colons::open(path, o).map(Some)
}

/// Whether the path is a folder; a file that is too large is an error.
fn is_folder(path: &Path) -> Result<bool> {
    let meta = std::fs::metadata(path).map_err(|e| not_found(path, e))?;
    if meta.is_file() && meta.len() > MAX_FILE_BYTES {
        return Err(wrong(
            path,
            format!(
                "it has {} GiB; the most is {}",
                meta.len() >> 30,
                MAX_FILE_BYTES >> 30
            ),
            "cut it into a smaller sample first",
        ));
    }
    Ok(meta.is_dir())
}

enum Format {
    Parquet,
    JsonLines,
    JsonArray,
    Delimited,
}

/// First bytes of formats that are often handed over by mistake, with what to do instead.
const FOREIGN: &[(&[u8], &str, &str)] = &[
    (
        b"\x1f\x8b",
        "it is compressed by gzip",
        "unpack it first: gunzip -k FILE",
    ),
    (
        b"PK\x03\x04",
        "it is a zip archive or an Excel workbook",
        "unpack it, or save the sheet as CSV (UTF-8)",
    ),
    (
        b"\xd0\xcf\x11\xe0",
        "it is an old Excel workbook",
        "save the sheet as CSV (UTF-8)",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "it is compressed by zstd",
        "unpack it first: unzstd FILE",
    ),
    (
        b"BZh",
        "it is compressed by bzip2",
        "unpack it first: bunzip2 -k FILE",
    ),
    (
        b"%PDF",
        "it is a PDF",
        "give a table with a text and a label column",
    ),
    (b"ARROW1", "it is an Arrow file", "save it as Parquet"),
    (
        b"SQLite format 3",
        "it is an SQLite database",
        "export the table as CSV",
    ),
];

fn format(path: &Path) -> Result<Format> {
    use std::io::Read as _;
    let mut head = Vec::new();
    std::fs::File::open(path)
        .and_then(|f| f.take(4096).read_to_end(&mut head))
        .map_err(|e| not_found(path, e))?;
    if head.is_empty() {
        return Err(wrong(
            path,
            "it is empty",
            "give a file with a header line and rows",
        ));
    }
    for (magic, problem, cure) in FOREIGN {
        if head.starts_with(magic) {
            let cure = cure.replace("FILE", &path.display().to_string());
            return Err(wrong(path, *problem, cure));
        }
    }
    if head.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    let first = head
        .strip_prefix(b"\xef\xbb\xbf".as_slice())
        .unwrap_or(&head)
        .iter()
        .copied()
        .find(|b| !b.is_ascii_whitespace());
    let extension = path
        .extension()
        .map(|e| e.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    Ok(match (extension.as_str(), first) {
        ("parquet" | "pq", _) => Format::Parquet,
        ("csv" | "tsv" | "tab", _) => Format::Delimited,
        ("json" | "jsonl" | "ndjson", Some(b'[')) => Format::JsonArray,
        ("json" | "jsonl" | "ndjson", _) | (_, Some(b'{')) => Format::JsonLines,
        _ => Format::Delimited,
    })
}

fn not_found(path: &Path, source: std::io::Error) -> DataError {
    let cure = if source.kind() == std::io::ErrorKind::NotFound {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let folder = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let near: Vec<String> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        format!(
            "check the path{}",
            suggestion(&name, near.iter().map(String::as_str))
        )
    } else {
        "check that it may be read".to_string()
    };
    DataError::Io {
        file: path.display().to_string(),
        source,
        cure,
    }
}

fn wrong(path: &Path, problem: impl Into<String>, cure: impl Into<String>) -> DataError {
    DataError::File {
        file: path.display().to_string(),
        problem: problem.into(),
        cure: cure.into(),
    }
}

fn wrong_row(
    path: &Path,
    line: u64,
    problem: impl Into<String>,
    cure: impl Into<String>,
) -> DataError {
    DataError::Row {
        place: format!("{}, line {line}", path.display()),
        problem: problem.into(),
        cure: cure.into(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn error(name: &str, bytes: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path, &ReadOptions::default())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn foreign_formats_are_named_with_their_cure() {
        assert!(error("t.csv", b"").contains("it is empty"));
        assert!(error("t.csv", b"\x1f\x8b\x08rest").contains("gunzip -k"));
        assert!(error("t.xlsx", b"PK\x03\x04rest").contains("save the sheet as CSV"));
        assert!(error("t.parquet", b"text,label\na,b\n").contains("Parquet"));
    }

    #[test]
    fn a_missing_file_suggests_its_neighbour() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("reviews.csv"), "text,label\n").unwrap();
        let error = read(&dir.path().join("review.csv"), &ReadOptions::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("review.csv") && error.contains("did you mean `reviews.csv`?"),
            "{error}"
        );
    }

    #[test]
    fn a_file_over_the_limit_is_refused_without_reading_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge.csv");
        let file = std::fs::File::create(&path).unwrap();
        // A sparse file: it takes no room on disk.
        file.set_len(MAX_FILE_BYTES + 1).unwrap();
        let error = read(&path, &ReadOptions::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("the most is 8"), "{error}");
    }

    #[test]
    fn the_content_decides_where_the_extension_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::write(&path, "{\"text\": \"a\", \"label\": 1}\n").unwrap();
        let t = read(&path, &ReadOptions::default()).unwrap();
        assert_eq!(t.columns[1].name, "label");
        std::fs::write(&path, "text\tlabel\na\tb\n").unwrap();
        let t = read(&path, &ReadOptions::default()).unwrap();
        assert_eq!(t.columns[1].text(0).unwrap(), "b");
    }
}

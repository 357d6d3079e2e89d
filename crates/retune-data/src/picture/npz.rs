//! NumPy's `.npy` and `.npz` files of whole numbers. Pickled objects are never loaded.
//!
//! A `.npy` file is `\x93NUMPY`, a version, the length of a header, the header (the text of a Python dictionary with
//! `descr`, `fortran_order` and `shape`) and the values. An `.npz` file is a zip archive of them.
//! Source: NumPy's `numpy/lib/format.py`.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use super::numbers::{
    Array, Layout, MAX_ARRAY_BYTES, Numbers, open, plausible, read_exactly, wrong,
};
use crate::error::{DataError, Result};

const CURE: &str = "save arrays of whole numbers with numpy.savez or numpy.save";
/// The most arrays of one archive.
const MAX_ARRAYS: usize = 1024;
/// The longest header: a shape of 64 axes fits many times.
const MAX_HEADER: usize = 1 << 16;

/// What one array may take: the bytes stored, whether they are packed, and what is left of the limit of the file.
struct Budget {
    stored: u64,
    packed: bool,
    left: u64,
}

/// Reads all arrays of an `.npz` archive, in its order, or the one of an `.npy` file, with their names.
///
/// # Errors
/// Names the file, the array and what it has: another format, objects (pickle), numbers with a fraction, or a header
/// that promises more or less than the file holds (checked against its length before anything is reserved).
pub fn read(path: &Path) -> Result<Vec<(String, Array)>> {
    let (file, length) = open(path)?;
    let mut from = BufReader::new(file);
    let unreadable = |source| DataError::Io {
        file: path.display().to_string(),
        source,
        cure: "fetch the file again; it may be cut off or damaged".to_string(),
    };
    let head = from.fill_buf().map_err(unreadable)?;
    if head.starts_with(MAGIC) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let budget = Budget {
            stored: length,
            packed: false,
            left: MAX_ARRAY_BYTES,
        };
        let array = parse(&mut from, &budget).map_err(unreadable)?;
        let array = array.map_err(|problem| wrong(path, problem, CURE))?;
        return Ok(vec![(name.into_owned(), array)]);
    }
    if !head.starts_with(b"PK") {
        let problem = "it is neither an .npz archive nor an .npy file";
        return Err(wrong(path, problem, CURE));
    }
    archive(path, from)
}

fn archive(path: &Path, from: BufReader<std::fs::File>) -> Result<Vec<(String, Array)>> {
    let broken = |e: zip::result::ZipError| {
        let problem = format!("the archive is broken: {e}");
        wrong(
            path,
            problem,
            "fetch the file again; it may be cut off or damaged",
        )
    };
    let mut zip = zip::ZipArchive::new(from).map_err(broken)?;
    if zip.len() > MAX_ARRAYS {
        let problem = format!("it holds {} entries; the most is {MAX_ARRAYS}", zip.len());
        return Err(wrong(path, problem, CURE));
    }
    let mut arrays = Vec::new();
    let mut left = MAX_ARRAY_BYTES;
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).map_err(broken)?;
        let full = entry.name().map_err(broken)?.into_owned();
        let Some(name) = full.strip_suffix(".npy") else {
            let problem = format!("its entry `{full}` is not an array (.npy)");
            return Err(wrong(path, problem, CURE));
        };
        let budget = Budget {
            stored: entry.compressed_size(),
            packed: entry.compression() != zip::CompressionMethod::Stored,
            left,
        };
        let array = parse(&mut entry, &budget)
            .unwrap_or_else(|e| Err(format!("the archive is broken: {e}")))
            .map_err(|problem| wrong(path, format!("its array `{name}`: {problem}"), CURE))?;
        left -= match &array.numbers {
            Numbers::U8(v) => v.len() as u64,
            Numbers::I64(v) => v.len() as u64 * 8,
        }
        .min(left);
        arrays.push((name.to_string(), array));
    }
    Ok(arrays)
}

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads one array; the inner error is a problem of the content.
fn parse(
    from: &mut impl Read,
    budget: &Budget,
) -> std::io::Result<std::result::Result<Array, String>> {
    let header = match header(from)? {
        Ok(text) => text,
        Err(problem) => return Ok(Err(problem)),
    };
    let header = match Header::parse(&header) {
        Ok(header) => header,
        Err(problem) => return Ok(Err(problem)),
    };
    let shape = header.shape;
    if header
        .layout
        .widened(&shape)
        .is_none_or(|t| t > budget.left)
    {
        return Ok(Err(format!(
            "with its shape {shape:?} the file takes more than {} GiB",
            MAX_ARRAY_BYTES >> 30
        )));
    }
    let want = header.layout.total(&shape).unwrap_or(u64::MAX);
    if !plausible(want, budget.stored, budget.packed) {
        return Ok(Err(format!(
            "its shape {shape:?} takes {want} bytes, which {} stored bytes cannot hold",
            budget.stored
        )));
    }
    let bytes = match read_exactly(from, want)? {
        Ok(bytes) => bytes,
        Err(problem) => return Ok(Err(problem)),
    };
    let bytes = if header.columns_first {
        rows_first(&bytes, &shape, header.layout.bytes)
    } else {
        bytes
    };
    Ok(match header.layout.numbers(bytes) {
        Some(numbers) => Ok(Array { shape, numbers }),
        None => Err("a number is too large for 64 bits with a sign".to_string()),
    })
}

/// The text of the header.
fn header(from: &mut impl Read) -> std::io::Result<std::result::Result<String, String>> {
    let take = |from: &mut dyn Read, n: usize| {
        let mut bytes = Vec::new();
        from.take(n as u64).read_to_end(&mut bytes).map(|_| bytes)
    };
    let cut = || Ok(Err("its header is cut off".to_string()));
    let start = take(from, 8)?;
    if !start.starts_with(MAGIC) {
        return Ok(Err("it is not in NumPy's format (.npy)".to_string()));
    }
    let length = match start.get(6) {
        Some(1) => take(from, 2)?,
        Some(2 | 3) => take(from, 4)?,
        Some(v) => {
            return Ok(Err(format!(
                "its version {v} of NumPy's format is not known"
            )));
        }
        None => return cut(),
    };
    let length = match *length.as_slice() {
        [a, b] => usize::from(u16::from_le_bytes([a, b])),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]) as usize,
        _ => return cut(),
    };
    if length > MAX_HEADER {
        return Ok(Err(format!(
            "its header has {length} bytes; the most is {MAX_HEADER}"
        )));
    }
    let text = take(from, length)?;
    if text.len() < length {
        return cut();
    }
    Ok(Ok(String::from_utf8_lossy(&text).into_owned()))
}

/// What the header says.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    layout: Layout,
    columns_first: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let missing = |key: &str| format!("its header has no readable `{key}`: {}", text.trim());
        let descr = value(text, "descr").ok_or_else(|| missing("descr"))?;
        let order = value(text, "fortran_order").ok_or_else(|| missing("fortran_order"))?;
        let shape = value(text, "shape").ok_or_else(|| missing("shape"))?;
        let columns_first = match order {
            order if order.starts_with("True") => true,
            order if order.starts_with("False") => false,
            _ => return Err(missing("fortran_order")),
        };
        let inside = shape
            .strip_prefix('(')
            .and_then(|s| s.split_once(')'))
            .ok_or_else(|| missing("shape"))?
            .0;
        let shape = inside
            .split(',')
            .map(str::trim)
            .filter(|n| !n.is_empty())
            .map(|n| n.parse().map_err(|_| missing("shape")))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self {
            layout: layout(descr)?,
            columns_first,
            shape,
        })
    }
}

/// What follows `'key':` in the text of a dictionary.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("'{key}'"))?;
    rest.trim_start().strip_prefix(':').map(str::trim_start)
}

/// The kind of number, such as `'<i8'`.
fn layout(descr: &str) -> std::result::Result<Layout, String> {
    let name = descr.strip_prefix('\'').and_then(|d| d.split_once('\''));
    let Some((name, _)) = name else {
        return Err("it has records, not plain numbers".to_string());
    };
    let (order, kind) = match name.as_bytes() {
        [order @ (b'<' | b'>' | b'|' | b'='), kind @ ..] => (*order, kind),
        kind => (b'=', kind),
    };
    let (signed, bytes) = match kind {
        b"b1" | b"?" => (false, 1),
        [sign @ (b'u' | b'i'), width @ (b'1' | b'2' | b'4' | b'8')] => {
            (*sign == b'i', usize::from(width - b'0'))
        }
        [b'O', ..] => {
            return Err("it holds Python objects (pickle), which are never loaded".to_string());
        }
        [b'f' | b'c', ..] => {
            return Err(format!(
                "it holds numbers with a fraction (`{name}`), not whole numbers"
            ));
        }
        _ => return Err(format!("it holds `{name}`, not whole numbers")),
    };
    Ok(Layout {
        bytes,
        signed,
        big_endian: order == b'>',
    })
}

/// The items of an array whose first axis varies fastest, in the order where the last one does.
fn rows_first(bytes: &[u8], shape: &[usize], width: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = vec![0; shape.len()];
    for _ in 0..bytes.len() / width {
        let item = at
            .iter()
            .zip(shape)
            .rev()
            .fold(0, |sum, (i, n)| sum * n + i);
        out.extend_from_slice(&bytes[item * width..][..width]);
        for (i, n) in at.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *n {
                break;
            }
            *i = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn headers_are_read_as_numpy_writes_them() {
        let h = Header::parse("{'descr': '>u2', 'fortran_order': True, 'shape': (3, 4), }   \n")
            .unwrap();
        assert_eq!((h.shape, h.columns_first), (vec![3, 4], true));
        let big = Layout {
            bytes: 2,
            signed: false,
            big_endian: true,
        };
        assert_eq!(h.layout, big);
        let scalar =
            Header::parse("{'descr': '|b1', 'fortran_order': False, 'shape': (), }").unwrap();
        assert_eq!((scalar.shape, scalar.layout.bytes), (vec![], 1));
    }

    #[test]
    fn kinds_that_are_no_whole_numbers_say_what_they_are() {
        let error = |descr: &str| {
            let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}");
            Header::parse(&text).unwrap_err()
        };
        assert!(error("'|O'").contains("never loaded"));
        assert!(error("'<f4'").contains("fraction (`<f4`)"));
        assert!(error("[('a', '<i4')]").contains("records"));
        assert!(error("'<U5'").contains("`<U5`"));
        assert!(error("'<i3'").contains("`<i3`"));
        let lost = Header::parse("{'descr': '<i4', 'shape': (1,)}").unwrap_err();
        assert!(lost.contains("`fortran_order`"), "{lost}");
        let negative = Header::parse("{'descr': '<i4', 'fortran_order': False, 'shape': (-1,)}");
        assert!(negative.unwrap_err().contains("`shape`"));
    }

    #[test]
    fn columns_first_becomes_rows_first() {
        // [[1, 3, 5], [2, 4, 6]] column by column.
        assert_eq!(
            rows_first(&[1, 2, 3, 4, 5, 6], &[2, 3], 1),
            [1, 3, 5, 2, 4, 6]
        );
        assert_eq!(rows_first(&[1, 0, 2, 0], &[2, 1], 2), [1, 0, 2, 0]);
        assert!(rows_first(&[], &[2, 0], 1).is_empty());
    }
}

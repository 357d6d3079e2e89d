//! IDX files, the format of MNIST and its family, plain or compressed by gzip.
//!
//! Two zero bytes, the kind of number, the count of axes, the lengths (32 bits, big-endian), then the values,
//! big-endian. Source: <http://yann.lecun.com/exdb/mnist>, "the IDX file format".

use std::io::{BufReader, Read};
use std::path::Path;

use super::numbers::{Array, Layout, MAX_ARRAY_BYTES, open, plausible, read_exactly, wrong};
use crate::error::{DataError, Result};

const CURE: &str = "give an IDX file such as train-images-idx3-ubyte or train-images-idx3-ubyte.gz";

/// Reads an IDX file of whole numbers.
///
/// # Errors
/// Names the file and what it has: another format, numbers with a fraction, a header that promises more or less than
/// the file holds (checked against the file's length before anything is reserved).
pub fn read(path: &Path) -> Result<Array> {
    let (file, length) = open(path)?;
    let mut from = BufReader::new(file);
    let unreadable = |source| DataError::Io {
        file: path.display().to_string(),
        source,
        cure: "fetch the file again; it may be cut off or damaged".to_string(),
    };
    let packed = std::io::BufRead::fill_buf(&mut from)
        .map_err(unreadable)?
        .starts_with(b"\x1f\x8b");
    let array = if packed {
        parse(
            &mut flate2::bufread::MultiGzDecoder::new(from),
            length,
            true,
        )
    } else {
        parse(&mut from, length, false)
    };
    array
        .map_err(unreadable)?
        .map_err(|problem| wrong(path, problem, CURE))
}

/// Reads header and values from a stream of `length` stored bytes; the inner error is a problem of the content.
fn parse(
    from: &mut impl Read,
    length: u64,
    packed: bool,
) -> std::io::Result<std::result::Result<Array, String>> {
    let mut head = Vec::new();
    from.by_ref().take(4).read_to_end(&mut head)?;
    let &[0, 0, kind, axes] = head.as_slice() else {
        let hex: Vec<String> = head.iter().map(|b| format!("{b:02x}")).collect();
        let problem = format!(
            "it is not an IDX file: it starts with bytes `{}`, not `00 00`, a kind and a count of axes",
            hex.join(" ")
        );
        return Ok(Err(problem));
    };
    let layout = match layout(kind) {
        Ok(layout) => layout,
        Err(problem) => return Ok(Err(problem)),
    };
    let mut shape = Vec::new();
    for _ in 0..axes {
        let mut long = Vec::new();
        from.by_ref().take(4).read_to_end(&mut long)?;
        let Ok(long) = <[u8; 4]>::try_from(long) else {
            return Ok(Err(format!("its header of {axes} axes is cut off")));
        };
        shape.push(u32::from_be_bytes(long) as usize);
    }
    let (Some(want), Some(_)) = (layout.total(&shape), layout.widened(&shape)) else {
        return Ok(Err(format!(
            "its shape {shape:?} takes more than {} GiB",
            MAX_ARRAY_BYTES >> 30
        )));
    };
    if !plausible(want, length, packed) {
        return Ok(Err(format!(
            "its shape {shape:?} takes {want} bytes, which a file of {length} cannot hold"
        )));
    }
    let bytes = match read_exactly(from, want)? {
        Ok(bytes) => bytes,
        Err(problem) => return Ok(Err(problem)),
    };
    Ok(match layout.numbers(bytes) {
        Some(numbers) => Ok(Array { shape, numbers }),
        None => Err("a number is too large for 64 bits".to_string()),
    })
}

/// The kinds of number; those with a fraction are refused.
fn layout(kind: u8) -> std::result::Result<Layout, String> {
    let (bytes, signed) = match kind {
        0x08 => (1, false),
        0x09 => (1, true),
        0x0b => (2, true),
        0x0c => (4, true),
        0x0d | 0x0e => {
            return Err("it holds numbers with a fraction, not whole numbers".to_string());
        }
        _ => {
            return Err(format!(
                "its kind of number, 0x{kind:02x}, is not one of IDX"
            ));
        }
    };
    Ok(Layout {
        bytes,
        signed,
        big_endian: true,
    })
}

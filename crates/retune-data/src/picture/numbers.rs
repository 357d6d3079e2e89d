//! Arrays of whole numbers, as files of pictures and labels hold them, read within the bounds of their file.

use std::io::Read;
use std::path::Path;

use crate::error::{DataError, Result};

/// The most bytes that the arrays of one file may take together.
pub const MAX_ARRAY_BYTES: u64 = 4 << 30;

/// Deflate makes at most 1,032 bytes of one; a header that asks for more than that is a lie.
const MAX_RATIO: u64 = 1032;

/// An array, row by row: the last axis varies fastest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Lengths of the axes, outermost first; empty for a single number.
    pub shape: Vec<usize>,
    /// The values, as many as the product of the shape.
    pub numbers: Numbers,
}

/// Whole numbers: bytes as they are, every other kind widened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numbers {
    /// Bytes, such as pixels, and booleans as 0 and 1.
    U8(Vec<u8>),
    /// Every other kind.
    I64(Vec<i64>),
}

impl Numbers {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::I64(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a file writes one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// 1, 2, 4 or 8.
    pub bytes: usize,
    pub signed: bool,
    pub big_endian: bool,
}

impl Layout {
    /// Bytes of an array of this shape; `None` beyond [`MAX_ARRAY_BYTES`].
    pub fn total(self, shape: &[usize]) -> Option<u64> {
        // A zero anywhere must not hide an axis that overflows.
        let mut total = self.bytes as u64;
        for &n in shape.iter().filter(|&&n| n > 0) {
            total = total.checked_mul(n as u64)?;
        }
        if total > MAX_ARRAY_BYTES {
            return None;
        }
        Some(if shape.contains(&0) { 0 } else { total })
    }

    /// Bytes of the array as [`Numbers`]; `None` beyond [`MAX_ARRAY_BYTES`].
    pub fn widened(self, shape: &[usize]) -> Option<u64> {
        let kept = self.bytes == 1 && !self.signed;
        let bytes = if kept { 1 } else { 8 };
        Self { bytes, ..self }.total(shape)
    }

    /// The numbers in `bytes`; `None` if one is beyond what 64 bits with a sign hold.
    pub fn numbers(self, bytes: Vec<u8>) -> Option<Numbers> {
        if self.bytes == 1 && !self.signed {
            return Some(Numbers::U8(bytes));
        }
        let one = |chunk: &[u8]| {
            let mut wide = 0u64;
            for i in 0..self.bytes {
                let at = if self.big_endian {
                    i
                } else {
                    self.bytes - 1 - i
                };
                wide = wide << 8 | u64::from(chunk[at]);
            }
            if self.signed {
                let spare = 64 - 8 * self.bytes as u32;
                return Some((wide << spare) as i64 >> spare);
            }
            i64::try_from(wide).ok()
        };
        let values: Option<Vec<i64>> = bytes.chunks_exact(self.bytes).map(one).collect();
        values.map(Numbers::I64)
    }
}

/// Whether an array of `want` bytes can come out of a stream of `have` stored bytes.
pub(super) fn plausible(want: u64, have: u64, packed: bool) -> bool {
    let most = if packed {
        have.saturating_mul(MAX_RATIO)
    } else {
        have
    };
    want <= most
}

/// Reads exactly `want` bytes and checks that nothing follows; grows only as bytes arrive.
///
/// `Ok(Err(problem))` says what is wrong with the length.
pub(super) fn read_exactly(
    from: &mut impl Read,
    want: u64,
) -> std::io::Result<std::result::Result<Vec<u8>, String>> {
    let mut bytes = Vec::new();
    from.take(want + 1).read_to_end(&mut bytes)?;
    let got = bytes.len() as u64;
    Ok(match got.cmp(&want) {
        std::cmp::Ordering::Equal => Ok(bytes),
        std::cmp::Ordering::Less => Err(format!(
            "its header promises {want} bytes of values and {got} follow"
        )),
        std::cmp::Ordering::Greater => Err(format!(
            "its header promises {want} bytes of values and more follow"
        )),
    })
}

/// An array file that is not as it should be.
pub(super) fn wrong(path: &Path, problem: impl Into<String>, cure: &str) -> DataError {
    DataError::File {
        file: path.display().to_string(),
        problem: problem.into(),
        cure: cure.to_string(),
    }
}

/// Opens a file and tells its length; folders and devices are refused.
pub(super) fn open(path: &Path) -> Result<(std::fs::File, u64)> {
    let refused = |source| DataError::Io {
        file: path.display().to_string(),
        source,
        cure: "check the path and that it may be read".to_string(),
    };
    let meta = std::fs::metadata(path).map_err(refused)?;
    if !meta.is_file() {
        let cure = "give the file itself";
        return Err(wrong(path, "it is a folder or a device, not a file", cure));
    }
    let file = std::fs::File::open(path).map_err(refused)?;
    Ok((file, meta.len()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn layout(bytes: usize, signed: bool, big_endian: bool) -> Layout {
        Layout {
            bytes,
            signed,
            big_endian,
        }
    }

    #[test]
    fn numbers_of_every_width_and_order_are_widened() {
        let one = |l: Layout, b: &[u8]| l.numbers(b.to_vec());
        let wide = |v: &[i64]| Some(Numbers::I64(v.to_vec()));
        assert_eq!(
            one(layout(1, false, true), &[0, 255]),
            Some(Numbers::U8(vec![0, 255]))
        );
        assert_eq!(
            one(layout(1, true, true), &[255, 128, 1]),
            wide(&[-1, -128, 1])
        );
        assert_eq!(
            one(layout(2, true, true), &[0xff, 0xfe, 0, 3]),
            wide(&[-2, 3])
        );
        assert_eq!(one(layout(2, false, false), &[0xfe, 0xff]), wide(&[0xfffe]));
        assert_eq!(
            one(layout(4, true, false), &[1, 0, 0, 0x80]),
            wide(&[-2_147_483_647])
        );
        assert_eq!(one(layout(8, true, false), &[0xff; 8]), wide(&[-1]));
        assert_eq!(one(layout(8, false, false), &[0xff; 8]), None);
    }

    #[test]
    fn sizes_beyond_the_limit_and_beyond_64_bits_are_refused() {
        let l = layout(8, true, true);
        assert_eq!(l.total(&[]), Some(8));
        assert_eq!(l.total(&[3, 0]), Some(0));
        assert_eq!(l.total(&[usize::MAX, usize::MAX, 0]), None);
        assert_eq!(l.total(&[1 << 30]), None);
    }

    #[test]
    fn a_stream_must_have_exactly_what_was_promised() {
        let mut three: &[u8] = &[1, 2, 3];
        assert_eq!(read_exactly(&mut three, 3).unwrap(), Ok(vec![1, 2, 3]));
        let mut three: &[u8] = &[1, 2, 3];
        assert!(
            read_exactly(&mut three, 2)
                .unwrap()
                .unwrap_err()
                .contains("more follow")
        );
        let mut three: &[u8] = &[1, 2, 3];
        assert!(
            read_exactly(&mut three, 1 << 40)
                .unwrap()
                .unwrap_err()
                .contains("3 follow")
        );
    }
}

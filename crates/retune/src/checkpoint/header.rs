//! The header of a safetensors file: 8 bytes of length (little-endian), then JSON that gives each tensor's
//! dtype, shape and place in the bytes that follow.
//!
//! Nothing in the header is believed before it has been checked against the size of the file, and nothing
//! is allocated from a number that the header names.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Longest header that is read, in bytes; the limit of the reference implementation.
const LONGEST_HEADER: u64 = 100_000_000;
/// Most axes that a tensor may have.
const MOST_AXES: usize = 16;
/// Key beside the tensors that holds free text.
const METADATA: &str = "__metadata__";

/// Where one tensor is.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Number type.
    pub dtype: Dtype,
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// Values from one place to the next along each axis, where they do not lie one after the other.
    pub strides: Option<Vec<usize>>,
    /// Its bytes, counted from the start of the file; with strides, from its first value to its last.
    pub bytes: Range<usize>,
}

/// Reads the header of a whole file given as bytes; the error is a fragment that says what is wrong.
pub fn parse(file: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    let start = data_start(file)?;
    let text = std::str::from_utf8(&file[8..start]).map_err(|e| {
        format!(
            "its header is not UTF-8 text (byte {})",
            8 + e.valid_up_to()
        )
    })?;
    let header: Header =
        serde_json::from_str(text).map_err(|e| format!("its header cannot be read: {e}"))?;
    place(header, start, file.len())
}

/// Where the tensors' bytes begin.
fn data_start(file: &[u8]) -> Result<usize, String> {
    let Some(length) = file.first_chunk::<8>() else {
        return Err(format!(
            "it has {} bytes, and its header alone needs more",
            file.len()
        ));
    };
    let length = u64::from_le_bytes(*length);
    if length > LONGEST_HEADER {
        return Err(format!(
            "it claims a header of {length} bytes, more than the {LONGEST_HEADER} that are allowed"
        ));
    }
    let start = 8 + length as usize;
    if start > file.len() {
        return Err(format!(
            "it claims a header of {length} bytes, but has only {} bytes: it was cut short",
            file.len()
        ));
    }
    Ok(start)
}

/// Checks that the tensors fill the rest of the file without overlap or gap.
fn place(header: Header, start: usize, end: usize) -> Result<BTreeMap<String, Entry>, String> {
    let mut order: Vec<(String, Info)> = header.0;
    order.sort_by_key(|(_, info)| info.data_offsets);
    let mut entries = BTreeMap::new();
    let room = (end - start) as u64;
    let mut at = 0;
    for (name, info) in order {
        let Offsets(begin, stop) = info.data_offsets;
        if begin != at {
            return Err(format!(
                "tensor `{name}` begins at byte {begin} of the data where {at} is expected: tensors overlap or leave a gap"
            ));
        }
        let size = bytes_of(&info).ok_or_else(|| {
            format!(
                "tensor `{name}` has the shape {:?}, which no memory can hold",
                info.shape.0
            )
        })?;
        if stop.checked_sub(begin) != Some(size) {
            return Err(format!(
                "tensor `{name}` of shape {:?} in {} needs {size} bytes, but its place is {begin}..{stop}",
                info.shape.0, info.dtype
            ));
        }
        if stop > room {
            return Err(format!(
                "tensor `{name}` ends at byte {stop} of the data, but there are only {room}: the file was cut short"
            ));
        }
        let entry = Entry {
            dtype: info.dtype,
            shape: info.shape.0,
            strides: None,
            bytes: start + begin as usize..start + stop as usize,
        };
        entries.insert(name, entry);
        at = stop;
    }
    if at != room {
        return Err(format!(
            "{} bytes follow the last tensor: the file does not belong to its header",
            room - at
        ));
    }
    Ok(entries)
}

/// Bytes that dtype and shape ask for; `None` when they do not fit, or are no whole number.
fn bytes_of(info: &Info) -> Option<u64> {
    let count = info
        .shape
        .0
        .iter()
        .try_fold(1u64, |product, &axis| product.checked_mul(axis as u64))?;
    let bits = count.checked_mul(info.dtype.bitsize() as u64)?;
    (bits % 8 == 0).then_some(bits / 8)
}

/// The header as written, every key once.
struct Header(Vec<(String, Info)>);

#[derive(Deserialize)]
struct Info {
    dtype: Dtype,
    shape: Shape,
    data_offsets: Offsets,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Offsets(u64, u64);

struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors by name")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Header, M::Error> {
                let mut seen = std::collections::HashSet::new();
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !seen.insert(name.clone()) {
                        return Err(M::Error::custom(format!("`{name}` stands there twice")));
                    }
                    if name == METADATA {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        let info = map
                            .next_value()
                            .map_err(|e| M::Error::custom(format!("tensor `{name}`: {e}")))?;
                        tensors.push((name, info));
                    }
                }
                Ok(Header(tensors))
            }
        }
        from.deserialize_map(Keys)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Axes;
        impl<'de> Visitor<'de> for Axes {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the sizes of a tensor's axes")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Shape, S::Error> {
                let mut axes = Vec::new();
                while let Some(axis) = seq.next_element::<usize>()? {
                    if axes.len() == MOST_AXES {
                        return Err(S::Error::custom(format!("more than {MOST_AXES} axes")));
                    }
                    axes.push(axis);
                }
                Ok(Shape(axes))
            }
        }
        from.deserialize_seq(Axes)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn refused(header: &str, data: usize, why: &str) {
        let error = parse(&file(header, data)).unwrap_err();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn finds_every_tensor() {
        let header = r#"{"b":{"dtype":"F16","shape":[3],"data_offsets":[8,14]},
            "__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#;
        let entries = parse(&file(header, 14)).unwrap();
        assert_eq!(entries["a"].shape, [1, 2]);
        let start = 8 + header.len();
        assert_eq!(entries["b"].bytes, start + 8..start + 14);
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn hostile_headers_are_refused_with_a_reason() {
        assert!(parse(b"1234567").unwrap_err().contains("has 7 bytes"));
        let mut huge = u64::MAX.to_le_bytes().to_vec();
        assert!(parse(&huge).unwrap_err().contains("are allowed"));
        huge[..8].copy_from_slice(&5000u64.to_le_bytes());
        assert!(parse(&huge).unwrap_err().contains("cut short"));
        refused("{", 0, "cannot be read");
        refused("[1]", 0, "object of tensors");
        let one = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
        refused(&format!("{{{one},{one}}}"), 8, "twice");
        refused(&format!("{{{one}}}"), 4, "cut short");
        refused(&format!("{{{one}}}"), 9, "1 bytes follow");
        let two = r#""b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}"#;
        refused(&format!("{{{one},{two}}}"), 12, "overlap");
        refused(
            r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
            8,
            "needs 12",
        );
        refused(
            r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[8,0]}}"#,
            8,
            "begins at byte 8",
        );
        refused(
            r#"{"a":{"dtype":"Q7","shape":[3],"data_offsets":[0,8]}}"#,
            8,
            "tensor `a`: unknown variant",
        );
        refused(
            r#"{"a":{"dtype":"F32","shape":[-3],"data_offsets":[0,8]}}"#,
            8,
            "tensor `a`",
        );
        refused(
            r#"{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}"#,
            1,
            "more than 16 axes",
        );
    }

    #[test]
    fn shapes_that_overflow_are_refused() {
        let wide = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#;
        refused(wide, 0, "no memory can hold");
        // Each fits, their end does not: the sum must not wrap either.
        let each = (1u64 << 61) - 1;
        let tensor = |i: u64| {
            let (a, b) = (i * each, (i + 1).wrapping_mul(each));
            format!(r#""t{i}":{{"dtype":"U8","shape":[{each}],"data_offsets":[{a},{b}]}}"#)
        };
        let all: Vec<String> = (0..8).map(tensor).collect();
        refused(&format!("{{{}}}", all.join(",")), 8, "cut short");
    }
}

//! Keys that name a part of a tensor: `blocks.0.attn.qkv.weight[1/3]` is the middle third of its rows, the weight of
//! the keys where a checkpoint holds queries, keys and values as one.

use super::{Checkpoint, CheckpointError};

/// Part `index` of `of` equal parts of a tensor, by rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// Name of the whole tensor.
    pub whole: &'a str,
    /// Number of the part, from 0.
    pub index: usize,
    /// Parts of the tensor.
    pub of: usize,
}

impl<'a> Part<'a> {
    /// What `key` names; `None` where it names a whole tensor.
    pub fn named(key: &'a str) -> Option<Self> {
        let (whole, rest) = key.rsplit_once('[')?;
        let (index, of) = rest.strip_suffix(']')?.split_once('/')?;
        let (index, of) = (index.parse().ok()?, of.parse().ok()?);
        (index < of).then_some(Self { whole, index, of })
    }
}

/// Tensors as they are written: those whose keys name parts are put together.
#[derive(Debug, PartialEq)]
pub(super) struct Joined {
    /// Name.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// The entries that it is made of, one after the other.
    pub entries: Vec<usize>,
}

/// Puts parts together; each whole stands where the first of its parts stood.
///
/// # Errors
/// Says which part is missing, or which has another form than its siblings.
pub(super) fn joined(entries: &[(String, Vec<usize>)]) -> Result<Vec<Joined>, String> {
    let mut found: Vec<Joined> = Vec::new();
    for (i, (key, shape)) in entries.iter().enumerate() {
        let Some(part) = Part::named(key) else {
            found.push(Joined {
                name: key.clone(),
                shape: shape.clone(),
                entries: vec![i],
            });
            continue;
        };
        if part.index != 0 {
            continue;
        }
        let Some((rows, rest)) = shape.split_first() else {
            return Err(format!("`{key}` has no rows to be a part of"));
        };
        let place = |index: usize| {
            let name = format!("{}[{index}/{}]", part.whole, part.of);
            let place = entries
                .iter()
                .position(|(key, other)| *key == name && other == shape);
            place.ok_or_else(|| format!("there is no `{name}` of shape {shape:?}"))
        };
        found.push(Joined {
            name: part.whole.to_string(),
            shape: [&[rows * part.of], rest].concat(),
            entries: (0..part.of).map(place).collect::<Result<_, _>>()?,
        });
    }
    let written: usize = found.iter().map(|whole| whole.entries.len()).sum();
    if written == entries.len() {
        return Ok(found);
    }
    let lost = (0..entries.len()).find(|i| !found.iter().any(|whole| whole.entries.contains(i)));
    let name = lost.map_or("a part", |i| entries[i].0.as_str());
    Err(format!("`{name}` is a part of nothing, or there twice"))
}

impl Checkpoint {
    /// Shape of the tensor, or of the part of a tensor, that `key` names; `None` where there is no such tensor or its
    /// rows are not so many equal parts.
    pub fn shape_at(&self, key: &str) -> Option<Vec<usize>> {
        if let Some(shape) = self.shape(key) {
            return Some(shape.to_vec());
        }
        let part = Part::named(key)?;
        let (rows, rest) = self.shape(part.whole)?.split_first()?;
        let even = rows.is_multiple_of(part.of);
        even.then(|| [&[rows / part.of], rest].concat())
    }

    /// Values of the tensor, or of the part of a tensor, that `key` names, in row-major order.
    ///
    /// # Errors
    /// As [`Checkpoint::f32`].
    pub fn values_at(&self, key: &str) -> Result<Vec<f32>, CheckpointError> {
        match Part::named(key) {
            Some(part) if self.shape(key).is_none() => {
                let mut values = self.f32(part.whole)?;
                let size = values.len() / part.of;
                values.truncate(size * (part.index + 1));
                Ok(values.split_off(size * part.index))
            }
            _ => self.f32(key),
        }
    }

    /// Name of the tensor that a key leads to.
    pub(crate) fn name_at<'a>(&self, key: &'a str) -> &'a str {
        match Part::named(key) {
            Some(part) if self.shape(key).is_none() => part.whole,
            _ => key,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::checkpoint::write;

    fn tensor(name: &str, shape: &[usize], values: &[f32]) -> (String, Vec<usize>, Vec<f32>) {
        (name.to_string(), shape.to_vec(), values.to_vec())
    }

    #[test]
    fn a_key_names_a_tensor_or_a_part_of_it() {
        let part = Part::named("qkv.weight[1/3]").unwrap();
        assert_eq!((part.whole, part.index, part.of), ("qkv.weight", 1, 3));
        for whole in ["weight", "a[3/3]", "a[1]", "a[x/2]", "a[0/2].weight"] {
            assert_eq!(Part::named(whole), None, "{whole}");
        }
    }

    #[test]
    fn parts_are_written_as_one_tensor_and_read_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        // In the order of a module, which is not that of the parts.
        let tensors = [
            tensor("qkv[0/3]", &[1, 2], &[1.0, 2.0]),
            tensor("bias[0/3]", &[1], &[7.0]),
            tensor("qkv[2/3]", &[1, 2], &[5.0, 6.0]),
            tensor("bias[1/3]", &[1], &[8.0]),
            tensor("qkv[1/3]", &[1, 2], &[3.0, 4.0]),
            tensor("bias[2/3]", &[1], &[9.0]),
            tensor("other", &[1], &[0.5]),
        ];
        write(&path, &tensors, &[]).unwrap();
        let file = Checkpoint::open(&path).unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["bias", "other", "qkv"]);
        assert_eq!(file.f32("qkv").unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(file.f32("bias").unwrap(), [7.0, 8.0, 9.0]);
        for (name, shape, values) in &tensors {
            assert_eq!(file.shape_at(name).as_ref(), Some(shape), "{name}");
            assert_eq!(file.values_at(name).unwrap(), *values, "{name}");
        }
        assert_eq!(file.name_at("qkv[1/3]"), "qkv");
        // Two rows are no three parts, and what is not there has none.
        assert_eq!(file.shape_at("qkv[0/2]"), None);
        assert_eq!(file.shape_at("none[0/3]"), None);
    }

    #[test]
    fn parts_that_make_no_whole_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        for (tensors, said) in [
            (vec![tensor("a[0/2]", &[1], &[1.0])], "no `a[1/2]`"),
            (vec![tensor("a[1/2]", &[1], &[1.0])], "`a[1/2]` is a part"),
            (
                vec![
                    tensor("a[0/2]", &[1], &[1.0]),
                    tensor("a[1/2]", &[2], &[1.0, 2.0]),
                ],
                "no `a[1/2]` of shape [1]",
            ),
            (
                vec![tensor("a", &[1], &[1.0]), tensor("a[0/1]", &[1], &[1.0])],
                "the name `a` is taken",
            ),
        ] {
            let error = write(&path, &tensors, &[]).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
            assert!(!path.exists());
        }
    }
}

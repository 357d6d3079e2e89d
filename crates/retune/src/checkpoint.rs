//! The tensors of a pre-trained model on disk: safetensors files and those of PyTorch, read through a memory map
//! when asked for. Nothing in them is ever run: see [`pickle`].

pub(crate) mod files;
mod header;
pub(crate) mod index;
pub(crate) mod parts;
mod pickle;
mod write;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use retune_kernels::mapped::MappedFile;
use safetensors::Dtype;
use sha2::{Digest, Sha256};

use files::Files;
use header::Entry;
pub use write::{write, write_each};

/// What is wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The folder holds no weights.
    #[error(
        "{folder} has no weights (looked for model.safetensors, pytorch_model.bin, the index of either, and files that end in .safetensors, .pth, .pt or .bin); give the folder of a downloaded model",
        folder = .folder.display()
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder holds several files and nothing says which is meant.
    #[error(
        "{folder} has {count} .{ending} files and no index that says which are meant; name one of them, or fetch the index",
        folder = .folder.display()
    )]
    Ambiguous {
        /// The folder.
        folder: PathBuf,
        /// Number of files.
        count: usize,
        /// Their ending.
        ending: String,
    },
    /// A file could not be read or written.
    #[error("cannot {what} {path}: {source}", path = .path.display())]
    Io {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is damaged: {what}; fetch or write it again", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// No tensor has that name.
    #[error("{path} has no tensor `{name}`", path = .path.display())]
    NoTensor {
        /// The file or folder.
        path: PathBuf,
        /// Name asked for.
        name: String,
    },
    /// A tensor's values cannot be used as weights.
    #[error("tensor `{name}` in {path} {what}", path = .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong and what to do.
        what: String,
    },
    /// What was to be written makes no file.
    #[error("cannot write {path}: {what}", path = .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl CheckpointError {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            what,
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn damaged(path: &Path, what: String) -> Self {
        Self::Damaged {
            path: path.to_path_buf(),
            what,
        }
    }
}

/// The tensors of one model, by name. Opening reads the headers; values are read when asked for.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<(PathBuf, MappedFile)>,
    tensors: BTreeMap<String, Held>,
}

/// Where a tensor's values are.
#[derive(Debug)]
enum Held {
    /// In the file of this number, at this entry.
    File(usize, Entry),
    /// In memory, in place of what the files say: shape and values.
    Memory(Vec<usize>, Vec<f32>),
}

impl Checkpoint {
    /// Opens a folder's `model.safetensors`, or the shards that `model.safetensors.index.json` names, or
    /// its only `.safetensors` file; where there is none, those of PyTorch (`pytorch_model.bin` and the like); or
    /// one such file given by its own path.
    ///
    /// # Errors
    /// A [`CheckpointError`] when nothing is there, or when a header does not fit its file: cut short,
    /// overlapping or out of range offsets, sizes that overflow, a name twice, a shard missing or outside
    /// the folder. Sizes that a header names are checked before anything is allocated.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let mut checkpoint = Self {
            path: path.to_path_buf(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
        };
        let files = Files::of(path)?;
        for file in files.tensors {
            checkpoint.add(file)?;
        }
        if let Some(list) = files.index {
            checkpoint.compare(&list)?;
        }
        Ok(checkpoint)
    }

    fn add(&mut self, path: PathBuf) -> Result<(), CheckpointError> {
        let file = MappedFile::open(&path).map_err(|e| CheckpointError::io("read", &path, e))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let entries = if pickle::is_name(&name) {
            pickle::parse(&file)
        } else {
            header::parse(&file)
        };
        let entries = entries.map_err(|what| CheckpointError::damaged(&path, what))?;
        let at = self.files.len();
        for (name, entry) in entries {
            if let Some(Held::File(other, _)) = self.tensors.get(&name) {
                let other = self.files[*other].0.display();
                let what = format!("tensor `{name}` is also in {other}");
                return Err(CheckpointError::damaged(&path, what));
            }
            self.tensors.insert(name, Held::File(at, entry));
        }
        self.files.push((path, file));
        Ok(())
    }

    /// Every tensor that the index names must be in the shard that it names.
    fn compare(&self, list: &Path) -> Result<(), CheckpointError> {
        for (name, shard) in index::read(list)? {
            let path = self.path.join(shard);
            let there = match self.tensors.get(&name) {
                Some(Held::File(file, _)) => Some(&self.files[*file].0),
                _ => None,
            };
            if there != Some(&path) {
                let list = list.file_name().unwrap_or_default().display();
                let what = format!("{list} says that tensor `{name}` is in it");
                return Err(CheckpointError::damaged(&path, what));
            }
        }
        Ok(())
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Shape of a tensor, outermost axis first.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|held| match held {
            Held::File(_, entry) => &entry.shape[..],
            Held::Memory(shape, _) => &shape[..],
        })
    }

    /// Number type of a tensor.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).map(|held| match held {
            Held::File(_, entry) => entry.dtype,
            Held::Memory(..) => Dtype::F32,
        })
    }

    /// Puts tensors, each a name, a shape and values that fill it, in place of those of the same name or beside the
    /// others; the files stay as they are.
    pub(crate) fn lay_over(&mut self, tensors: Vec<(String, Vec<usize>, Vec<f32>)>) {
        let held = |(name, shape, values)| (name, Held::Memory(shape, values));
        self.tensors.extend(tensors.into_iter().map(held));
    }

    /// Whether the tensor was laid over those of the files.
    pub(crate) fn laid_over(&self, name: &str) -> bool {
        matches!(self.tensors.get(name), Some(Held::Memory(..)))
    }

    /// Values of a tensor in row-major order, converted from f16, bf16, f32 or f64.
    ///
    /// # Errors
    /// [`CheckpointError::NoTensor`]; [`CheckpointError::Unusable`] for integers, for a tensor without
    /// values, and for values that are not finite (their number is given).
    pub fn f32(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let (file, entry) = match self.tensors.get(name) {
            Some(Held::File(file, entry)) => (file, entry),
            Some(Held::Memory(_, values)) => return Ok(values.clone()),
            None => {
                return Err(CheckpointError::NoTensor {
                    path: self.path.clone(),
                    name: name.to_string(),
                });
            }
        };
        let (path, file) = &self.files[*file];
        let unusable = |what: String| CheckpointError::Unusable {
            path: path.clone(),
            name: name.to_string(),
            what,
        };
        let bytes = &file[entry.bytes.clone()];
        if bytes.is_empty() {
            return Err(unusable(format!(
                "has the shape {:?} and thus no values; fetch the model again or choose another",
                entry.shape
            )));
        }
        let values = convert(bytes, entry.dtype).ok_or_else(|| {
            unusable(format!(
                "holds {} numbers; weights must be F32, F16, BF16 or F64: write the model unquantised",
                entry.dtype
            ))
        })?;
        // The values are a copy: the file need not stay in memory beside them.
        file.let_go(entry.bytes.clone());
        let values = match &entry.strides {
            None => values,
            Some(strides) => gathered(&values, &entry.shape, strides),
        };
        let bad = values.iter().filter(|value| !value.is_finite()).count();
        if bad > 0 {
            return Err(unusable(format!(
                "has {bad} of {} values that are NaN or infinite in f32; fetch the model again or choose another",
                values.len()
            )));
        }
        Ok(values)
    }

    /// SHA-256 of the file in hexadecimal digits; of several shards, that of the lines
    /// `HASH  NAME` (as `sha256sum` prints them) in order of their names.
    pub fn sha256(&self) -> String {
        if let [(_, file)] = &self.files[..] {
            return hex(&Sha256::digest(&file[..]));
        }
        let mut lines = String::new();
        for (path, file) in &self.files {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{}  {name}", hex(&Sha256::digest(&file[..])));
        }
        hex(&Sha256::digest(lines))
    }
}

/// Hexadecimal digits of a hash.
pub(crate) fn hex(hash: &[u8]) -> String {
    hash.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The values of a view in row-major order.
fn gathered(values: &[f32], shape: &[usize], strides: &[usize]) -> Vec<f32> {
    let Some(((last, outer), (step, steps))) = shape.split_last().zip(strides.split_last()) else {
        return values.to_vec();
    };
    let rows = outer.iter().product::<usize>();
    let mut out = Vec::with_capacity(rows * last);
    let mut place = vec![0; outer.len()];
    for _ in 0..rows {
        let at: usize = place.iter().zip(steps).map(|(i, stride)| i * stride).sum();
        out.extend((0..*last).map(|i| values[at + i * step]));
        for (i, size) in place.iter_mut().zip(outer).rev() {
            *i += 1;
            if *i < *size {
                break;
            }
            *i = 0;
        }
    }
    out
}

/// Little-endian numbers as f32; `None` for types that are no plain floats.
fn convert(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    let (fours, _) = bytes.as_chunks::<4>();
    let (twos, _) = bytes.as_chunks::<2>();
    let (eights, _) = bytes.as_chunks::<8>();
    Some(match dtype {
        Dtype::F32 => fours.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => twos
            .iter()
            .map(|b| f16::from_le_bytes(*b).to_f32())
            .collect(),
        Dtype::BF16 => twos
            .iter()
            .map(|b| bf16::from_le_bytes(*b).to_f32())
            .collect(),
        Dtype::F64 => eights
            .iter()
            .map(|b| f64::from_le_bytes(*b) as f32)
            .collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;

//! The vectors that a head reads, one per sequence, computed once for a backbone that stays as it is, and kept on disk under a
//! name that says everything it depends on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use retune_data::batch::{HostBatch, Views};
use retune_data::{Example, Processor};
use retune_eval::Matrix;
use sha2::{Digest as _, Sha256};

use crate::checkpoint::{self, Checkpoint, hex};
use crate::error::Result;
use crate::model::{Inputs, Model, Pass};
use crate::ops::{self, Lengths};
use crate::scoring::{self, to_host};

/// Name of the tensor in a file of features.
const TENSOR: &str = "features";

/// One vector per sequence.
pub struct SequenceVectors {
    places: HashMap<u64, usize>,
    width: usize,
    values: Vec<f32>,
}

impl SequenceVectors {
    /// Of every sequence of `rows`, read from the file of this content in `cache` or computed and kept there.
    /// `base` is what the backbone depends on. `on` is told how many rows are done.
    ///
    /// # Errors
    /// The cache cannot be written; a picture cannot be read any more.
    pub fn of(
        model: &Model,
        processor: &Processor,
        rows: &[Example],
        (cache, base): (&Path, &str),
        on: &mut dyn FnMut(usize),
    ) -> Result<Self> {
        let path = cache_path(cache, base, rows);
        if let Some(found) = read(&path, rows) {
            on(rows.len());
            return Ok(found);
        }
        let found = Self::computed(model, processor, rows, on)?;
        found.keep(&path, rows)?;
        Ok(found)
    }

    /// Of every sequence of `rows`, in memory only. `on` is told how many rows are done.
    ///
    /// # Errors
    /// A picture that cannot be read any more.
    pub fn computed(
        model: &Model,
        processor: &Processor,
        rows: &[Example],
        on: &mut dyn FnMut(usize),
    ) -> Result<Self> {
        let mut found = Self {
            places: HashMap::new(),
            width: 0,
            values: Vec::new(),
        };
        let pass = Pass::over_many();
        let mut done = 0;
        for batch in scoring::batches(processor, rows, Views::Plain) {
            let (indices, host) = batch?;
            let inputs = Inputs::new(&host);
            let hidden = model.hidden(&inputs, &pass);
            let vectors = model.head.pooling.of(&hidden);
            let [_, width] = vectors.dims(); // [sequences, width]
            found.width = width;
            for key in &host.keys {
                let next = found.places.len();
                found.places.insert(*key, next);
            }
            found.values.extend(to_host(vectors));
            done += indices.len();
            on(done);
        }
        Ok(found)
    }

    /// What the head of `model` answers to the rows of a batch, `[rows, outputs]`, outside the gradient graph.
    pub fn outputs(&self, model: &Model, batch: &HostBatch) -> Tensor<2> {
        let inputs = Inputs::new(batch);
        model.output_from(self.batch(batch, false), &inputs, &Pass::default())
    }

    /// One vector per row, averaged over the chunks of a long text: `[rows, width]`.
    ///
    /// # Errors
    /// None: pictures are not read.
    pub fn of_rows(&self, processor: &Processor, rows: &[Example]) -> Result<Matrix> {
        let pooled = |host: &HostBatch| {
            let chunks = Lengths::new(host.chunks.clone());
            ops::segment_mean(self.batch(host, false), &chunks)
        };
        scoring::outputs_of(&pooled, processor, (rows, Views::Known))
    }

    /// Writes them in the order of `rows`.
    fn keep(&self, path: &Path, rows: &[Example]) -> Result<()> {
        let (width, values) = self.sequences_of(rows);
        let tensor = (TENSOR.to_string(), vec![keys(rows).len(), width], values);
        if let Some(folder) = path.parent() {
            let made = std::fs::create_dir_all(folder);
            made.map_err(|e| crate::error::Error::io("create", folder, e))?;
        }
        Ok(checkpoint::write(path, &[tensor], &[])?)
    }

    /// The vectors of the sequences of `rows`, in order: their width and their values.
    pub fn sequences_of(&self, rows: &[Example]) -> (usize, Vec<f32>) {
        let keys = keys(rows);
        let mut values = Vec::with_capacity(keys.len() * self.width);
        for key in &keys {
            let at = self.places[key] * self.width;
            values.extend_from_slice(&self.values[at..at + self.width]);
        }
        (self.width, values)
    }

    /// The vectors of a batch's sequences, `[sequences, width]`, in the gradient graph or outside.
    pub fn batch(&self, batch: &HostBatch, train: bool) -> Tensor<2> {
        let mut values = Vec::with_capacity(batch.keys.len() * self.width);
        for key in &batch.keys {
            let at = self.places[key] * self.width;
            values.extend_from_slice(&self.values[at..at + self.width]);
        }
        let data = TensorData::new(values, [batch.keys.len(), self.width]);
        Tensor::from_data(data, &scoring::cpu(train))
    }
}

/// Keys of all sequences of `rows`, in order.
fn keys(rows: &[Example]) -> Vec<u64> {
    let sequences = |row: &Example| {
        let sequences = row.sequences().len().max(1) as u64;
        let row = row.meta.row;
        (0..sequences).map(move |chunk| retune_data::batch::key(row, chunk))
    };
    rows.iter().flat_map(sequences).collect()
}

/// `HASH.safetensors`: of the base model and of every token or pixel.
fn cache_path(cache: &Path, base: &str, rows: &[Example]) -> PathBuf {
    let mut hash = Sha256::new();
    hash.update(base.as_bytes());
    for row in rows {
        if let Some(framed) = row.picture() {
            hash.update(framed.digest);
        }
        let sequences = row.sequences();
        hash.update((sequences.len() as u64).to_le_bytes());
        for sequence in sequences {
            hash.update((sequence.ids.len() as u64).to_le_bytes());
            for id in &sequence.ids {
                hash.update(id.to_le_bytes());
            }
            hash.update(&sequence.types);
        }
    }
    cache.join(format!("{}.safetensors", hex(&hash.finalize())))
}

/// A file of features, when it is there and whole.
fn read(path: &Path, rows: &[Example]) -> Option<SequenceVectors> {
    if !path.is_file() {
        return None;
    }
    let checkpoint = Checkpoint::open(path).ok()?;
    let &[n, width] = checkpoint.shape(TENSOR)? else {
        return None;
    };
    let keys = keys(rows);
    if n != keys.len() {
        return None;
    }
    Some(SequenceVectors {
        places: keys
            .into_iter()
            .enumerate()
            .map(|(i, key)| (key, i))
            .collect(),
        width,
        values: checkpoint.f32(TENSOR).ok()?,
    })
}

//! Lengths of packed sequences, and the index tensors that lead from the packed layout to the padded
//! one and back.

use std::sync::{Arc, OnceLock};

use burn::tensor::{Device, Int, Tensor, TensorData};

/// Lengths of the sequences of a packed batch; row `r` of the packed tensor belongs to the sequence
/// whose cumulative lengths enclose `r`.
#[derive(Debug, Clone)]
pub struct Lengths(Arc<Packed>);

#[derive(Debug)]
struct Packed {
    lengths: Vec<u32>,
    places: Vec<(u32, u32)>,
    starts: Vec<usize>,
    padded: OnceLock<Padded>,
}

/// Index tensors between packed `[tokens]` and padded `[sequences, longest]`.
#[derive(Debug, Clone)]
pub struct Padded {
    /// Longest sequence.
    pub longest: usize,
    /// Packed row of each padded slot, `[sequences * longest]`; slots beyond a sequence's end point to
    /// any token and are masked.
    pub gather: Tensor<1, Int>,
    /// Padded slot of each packed row, `[tokens]`.
    pub scatter: Tensor<1, Int>,
    /// Added to attention scores, `[sequences, 1, 1, longest]`: 0, or minus infinity beyond the end.
    pub mask: Tensor<4>,
}

impl Lengths {
    /// Of sequences in packed order. Zero lengths are allowed.
    pub fn new(lengths: Vec<u32>) -> Self {
        let places = lengths
            .iter()
            .enumerate()
            .flat_map(|(sequence, length)| (0..*length).map(move |p| (sequence as u32, p)))
            .collect();
        let mut starts = vec![0];
        starts.extend(lengths.iter().scan(0, |sum, length| {
            *sum += *length as usize;
            Some(*sum)
        }));
        Self(Arc::new(Packed {
            lengths,
            places,
            starts,
            padded: OnceLock::new(),
        }))
    }

    /// The lengths, `[sequences]`.
    pub fn host(&self) -> &[u32] {
        &self.0.lengths
    }

    /// Number of packed rows.
    pub fn total(&self) -> usize {
        self.0.places.len()
    }

    /// Sequence and place in it of each packed row, `[tokens]`.
    pub fn places(&self) -> &[(u32, u32)] {
        &self.0.places
    }

    /// Packed row at which each sequence starts, and the number of rows: `[sequences + 1]`.
    pub fn starts(&self) -> &[usize] {
        &self.0.starts
    }

    /// Packed row of the first token of each sequence, `[sequences]`.
    pub fn first_rows(&self, device: &Device) -> Tensor<1, Int> {
        let firsts: Vec<i64> = self.starts().iter().map(|start| *start as i64).collect();
        let firsts = firsts[..self.host().len()].to_vec();
        let n = firsts.len();
        Tensor::from_data(TensorData::new(firsts, [n]), device)
    }

    /// Averaging matrix `[sequences, tokens]`: row `s` holds `1 / (length - front)` at the tokens of `s` but for its first
    /// `front` ones, where it holds 0.
    pub fn averaging(&self, front: usize, device: &Device) -> Tensor<2> {
        let (rows, cols) = (self.host().len(), self.total());
        let mut data = vec![0f32; rows * cols];
        for (token, (sequence, place)) in self.places().iter().enumerate() {
            let s = *sequence as usize;
            if *place as usize >= front {
                data[s * cols + token] = 1.0 / (self.host()[s] as usize - front) as f32;
            }
        }
        upload(data, [rows, cols], device)
    }

    /// The padded layout, made on first use and kept for the batch.
    pub fn padded(&self, device: &Device) -> &Padded {
        self.0.padded.get_or_init(|| self.pad(device))
    }

    fn pad(&self, device: &Device) -> Padded {
        let sequences = self.host().len();
        let longest = self.host().iter().max().map_or(0, |m| *m as usize);
        let slots = sequences * longest;
        let (mut gather, mut mask) = (vec![0i64; slots], vec![0f32; slots]);
        let mut scatter = Vec::with_capacity(self.total());
        let mut first = 0usize;
        for (s, length) in self.host().iter().map(|l| *l as usize).enumerate() {
            for slot in 0..longest {
                let inside = slot < length;
                // Beyond the end any row does. An empty sequence leaves its first slot open: a row of
                // scores without any would be divided by 0.
                let row = if inside {
                    first + slot
                } else {
                    first.min(self.total() - 1)
                };
                gather[s * longest + slot] = row as i64;
                if !inside && (slot > 0 || length > 0) {
                    mask[s * longest + slot] = f32::NEG_INFINITY;
                }
            }
            scatter.extend((0..length).map(|slot| (s * longest + slot) as i64));
            first += length;
        }
        let tokens = scatter.len();
        Padded {
            longest,
            gather: Tensor::from_data(TensorData::new(gather, [slots]), device),
            scatter: Tensor::from_data(TensorData::new(scatter, [tokens]), device),
            mask: upload(mask, [sequences, 1, 1, longest], device),
        }
    }
}

/// A tensor of host values.
pub fn upload<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Rows as a tensor of indices, `[rows]`.
pub fn indices(rows: &[u32], device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i64> = rows.iter().map(|row| i64::from(*row)).collect();
    let n = rows.len();
    Tensor::from_data(TensorData::new(rows, [n]), device)
}

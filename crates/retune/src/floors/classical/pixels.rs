//! Pictures as rows of numbers: the colours of a coarse grid, and where edges run in it, as histograms of oriented
//! gradients have it (Dalal & Triggs, CVPR 2005).

use rayon::prelude::*;
use retune_data::example::Framed;
use retune_data::picture::{Filter, Pixels, resize};
use retune_data::processor::ImageProcessor;
use retune_eval::Matrix;

use super::sparse::Sparse;
use crate::error::Result;

/// Cells along each side of the grid of colours.
const COLOURS: usize = 12;
/// Pixels along each side of the picture whose edges are found.
const SIDE: usize = 48;
/// Pixels along each side of a cell of edges.
const CELL: usize = 6;
/// Directions of edges.
const DIRECTIONS: usize = 8;

/// Numbers of a picture.
pub const FEATURES: usize = 3 * COLOURS * COLOURS + (SIDE / CELL) * (SIDE / CELL) * DIRECTIONS;
/// Rows in hand at a time as lists of columns and values.
const BLOCK: usize = 1_024;

/// Means and deviations of features over the training rows.
pub struct Scaled {
    mean: Vec<f32>,
    by: Vec<f32>,
}

impl Scaled {
    /// Learned from the training rows alone.
    pub fn learn(rows: &[Vec<f32>]) -> Self {
        let width = rows.first().map_or(0, Vec::len);
        let n = rows.len().max(1) as f64;
        let over = |f: &dyn Fn(&[f32], usize) -> f64| -> Vec<f64> {
            (0..width)
                .map(|i| rows.iter().map(|row| f(row, i)).sum::<f64>() / n)
                .collect()
        };
        let mean = over(&|row, i| f64::from(row[i]));
        let square = over(&|row, i| (f64::from(row[i]) - mean[i]).powi(2));
        // Rows of about unit length, as TF-IDF rows are: the penalties tried suit both.
        let shrink = 1.0 / (width.max(1) as f64).sqrt();
        let by = square
            .iter()
            .map(|v| if *v > 1e-8 { shrink / v.sqrt() } else { 0.0 });
        Self {
            by: by.map(|v| v as f32).collect(),
            mean: mean.iter().map(|v| *v as f32).collect(),
        }
    }

    /// Rows in these units, `[rows, features]`.
    pub fn dense(&self, rows: &[Vec<f32>]) -> Matrix {
        let one = |row: &Vec<f32>| -> Vec<f32> {
            let scaled = row.iter().zip(&self.mean).zip(&self.by);
            scaled
                .map(|((value, mean), by)| (value - mean) * by)
                .collect()
        };
        Matrix {
            rows: rows.len(),
            cols: self.mean.len(),
            data: rows.iter().flat_map(one).collect(),
        }
    }

    /// Rows in these units.
    pub fn rows(&self, rows: &[Vec<f32>]) -> Sparse {
        let one = |row: &Vec<f32>| -> Vec<(u32, f32)> {
            let scaled = row.iter().zip(&self.mean).zip(&self.by);
            let scaled = scaled.map(|((value, mean), by)| (value - mean) * by);
            (0..)
                .zip(scaled)
                .filter(|(_, value)| *value != 0.0)
                .collect()
        };
        let mut found = Sparse::with_room(self.mean.len(), rows.len() * self.mean.len());
        for block in rows.chunks(BLOCK) {
            let block: Vec<_> = block.par_iter().map(one).collect();
            for row in block {
                found.push(row);
            }
        }
        found
    }
}

/// The features of pictures, one row each.
///
/// # Errors
/// A picture that cannot be read any more.
pub fn features(processor: &ImageProcessor, pictures: &[&Framed]) -> Result<Vec<Vec<f32>>> {
    let one = |framed: &&Framed| Ok(row(&*processor.pixels(framed)?));
    let all: Vec<Result<Vec<f32>>> = pictures.par_iter().map(one).collect();
    all.into_iter().collect()
}

fn row(pixels: &Pixels) -> Vec<f32> {
    let coarse = resize(pixels, COLOURS, COLOURS, Filter::Box);
    let mut found: Vec<f32> = coarse.rgb().iter().map(|v| f32::from(*v) / 255.0).collect();
    let fine = resize(pixels, SIDE, SIDE, Filter::Bilinear);
    let grey: Vec<f32> = fine
        .rgb()
        .chunks_exact(3)
        .map(|c| {
            (0.299 * f32::from(c[0]) + 0.587 * f32::from(c[1]) + 0.114 * f32::from(c[2])) / 255.0
        })
        .collect();
    let cells = SIDE / CELL;
    let mut edges = vec![0f32; cells * cells * DIRECTIONS];
    for y in 1..SIDE - 1 {
        for x in 1..SIDE - 1 {
            let at = y * SIDE + x;
            let (dx, dy) = (
                grey[at + 1] - grey[at - 1],
                grey[at + SIDE] - grey[at - SIDE],
            );
            let turn = dy.atan2(dx) / std::f32::consts::PI + 1.0; // 0 to 2, edges have no sign
            let direction = ((turn % 1.0) * DIRECTIONS as f32) as usize % DIRECTIONS;
            let cell = y / CELL * cells + x / CELL;
            edges[cell * DIRECTIONS + direction] += dx.hypot(dy);
        }
    }
    for cell in edges.chunks_exact_mut(DIRECTIONS) {
        let norm = cell.iter().map(|v| v * v).sum::<f32>().sqrt() + 0.1;
        for value in cell {
            *value /= norm;
        }
    }
    found.extend(edges);
    found
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Stripes along one side.
    fn stripes(upright: bool) -> Pixels {
        let rgb = (0..64 * 64).flat_map(|i| {
            let along = if upright { i % 64 } else { i / 64 };
            [if along / 4 % 2 == 0 { 255 } else { 0 }; 3]
        });
        Pixels::new(64, 64, rgb.collect()).unwrap()
    }

    #[test]
    fn directions_of_edges_differ() {
        let (a, b) = (stripes(true), stripes(false));
        let rows = [row(&a), row(&b)];
        let edges = |row: &[f32]| -> Vec<f32> {
            let cells = row[3 * COLOURS * COLOURS..].chunks(DIRECTIONS);
            cells.fold(vec![0.0; DIRECTIONS], |mut sum, cell| {
                for (sum, v) in sum.iter_mut().zip(cell) {
                    *sum += v;
                }
                sum
            })
        };
        let (a, b) = (edges(&rows[0]), edges(&rows[1]));
        let largest = |v: &[f32]| {
            (0..DIRECTIONS)
                .max_by(|i, j| v[*i].total_cmp(&v[*j]))
                .unwrap()
        };
        assert_ne!(largest(&a), largest(&b), "{a:?} {b:?}");
    }

    #[test]
    fn scaled_features_have_the_mean_0_over_the_training_rows() {
        let rows = vec![vec![1.0, 5.0, 2.0], vec![3.0, 5.0, 4.0]];
        let scaled = Scaled::learn(&rows).rows(&rows);
        assert_eq!(scaled.rows(), 2);
        let first: Vec<u32> = scaled.row(0).iter().map(|(i, _)| *i).collect();
        // A feature that never changes says nothing.
        assert_eq!(first, [0, 2]);
        let sum: f32 = [0, 1].iter().map(|i| scaled.row(*i)[0].1).sum();
        assert!(sum.abs() < 1e-6);
    }
}

//! Heat maps of what speaks for an output: Grad-CAM (Selvaraju et al., arXiv:1610.02391).
//!
//! `map = max(0, Σ_c w_c A_c)` with `w_c` the mean over places of `∂ output / ∂ A_c`; A, `[places, width]`, is the last
//! map of a convolutional backbone. Of a vision transformer it is what goes into the last layer, without the tokens before
//! the patches: behind that layer, a head that reads the class token sees no patch.

use burn::module::Module as _;
use burn::tensor::{Tensor, TensorData};
use retune_eval::metrics::rank_correlation;

use crate::model::{Inputs, Model, Pass, Pooling};
use crate::ops::Lens;
use crate::scoring::to_host;

/// Fewest places that make a map.
const FEWEST: usize = 4;

/// Where a picture speaks for an output, and how strongly.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Places from top to bottom and from left to right.
    pub grid: [usize; 2],
    /// Row by row, `grid[0] * grid[1]` values of 0 or more.
    pub values: Vec<f32>,
}

/// One map for each picture of `x`, of the output that `outputs` names for it.
///
/// `None` where the backbone has no map, the head reads only the first of its places, or it has fewer than four.
///
/// # Panics
/// When `outputs` does not name an output of the model for every picture.
pub fn heat_maps(model: &Model, x: &Inputs, outputs: &[usize]) -> Option<Vec<HeatMap>> {
    let pass = Pass {
        lens: Lens::open(),
        ..Pass::default()
    };
    let model = model.clone().train().no_grad();
    let hidden = model.hidden(x, &pass);
    let seen = pass.lens.seen()?;
    let (grid, front) = (seen.grid, seen.front);
    let places = grid[0] * grid[1];
    let first = model.head.pooling == Pooling::First && front == 0;
    if first || places < FEWEST {
        return None;
    }
    let logits = model.head.forward(&hidden, x, &pass); // [pictures, outputs]
    let chosen = logits.clone() * chosen(outputs, logits.dims()[1], &logits);
    let gradient = seen.tokens.grad(&chosen.sum().backward())?; // [pictures * (front + places), width]
    let width = seen.tokens.dims()[1];
    let (tokens, gradient) = (to_host(seen.tokens), to_host(gradient));
    let picture = (front + places) * width;
    let pairs = tokens.chunks(picture).zip(gradient.chunks(picture));
    let map = |(map, gradient): (&[f32], &[f32])| HeatMap {
        grid,
        values: weighed(&map[front * width..], &gradient[front * width..], width),
    };
    Some(pairs.map(map).collect())
}

/// 1 at the output of each row, 0 elsewhere: `[rows, all]`.
fn chosen(outputs: &[usize], all: usize, like: &Tensor<2>) -> Tensor<2> {
    let mut values = vec![0.0_f32; outputs.len() * all];
    for (row, output) in values.chunks_mut(all).zip(outputs) {
        row[*output] = 1.0;
    }
    let data = TensorData::new(values, [outputs.len(), all]);
    Tensor::from_data(data, &like.device())
}

/// The map of one picture, `[places]`, from its channels and their gradients, `[places, width]`.
fn weighed(map: &[f32], gradient: &[f32], width: usize) -> Vec<f32> {
    let places = (gradient.len() / width) as f32;
    let mut weights = vec![0.0_f32; width];
    for place in gradient.chunks(width) {
        for (weight, slope) in weights.iter_mut().zip(place) {
            *weight += slope / places;
        }
    }
    let value = |place: &[f32]| {
        let sum: f32 = place.iter().zip(&weights).map(|(a, w)| a * w).sum();
        sum.max(0.0)
    };
    map.chunks(width).map(value).collect()
}

/// Mean rank correlation of the maps of two models for the same pictures, -1 to 1: the sanity check of Adebayo et al.
/// (arXiv:1810.03292), where one of the models has random weights. A map that is the same everywhere is like no other: 0.
/// `None` without maps.
pub fn likeness(a: &[HeatMap], b: &[HeatMap]) -> Option<f64> {
    let each = a.iter().zip(b).map(|(a, b)| {
        let found = rank_correlation(&a.values, &b.values);
        if found.is_finite() { found } else { 0.0 }
    });
    let all: Vec<f64> = each.collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: &[f32]) -> HeatMap {
        HeatMap {
            grid: [1, values.len()],
            values: values.to_vec(),
        }
    }

    #[test]
    fn channels_are_weighed_by_their_mean_gradient_and_what_speaks_against_is_cut() {
        // Two places of two channels; mean gradients 2 and -1.
        let found = weighed(&[1.0, 1.0, 0.5, 3.0], &[3.0, -2.0, 1.0, 0.0], 2);
        assert_eq!(found, [1.0, 0.0]);
    }

    #[test]
    fn flat_maps_are_like_no_others() {
        let rising = map(&[0.0, 1.0, 2.0]);
        let falling = map(&[9.0, 5.0, 0.0]);
        let flat = map(&[0.0; 3]);
        let of = |a: &[&HeatMap], b: &[&HeatMap]| {
            let owned = |maps: &[&HeatMap]| maps.iter().map(|m| (*m).clone()).collect::<Vec<_>>();
            // Rounded: correlations are quotients of roots.
            likeness(&owned(a), &owned(b)).map(|found| (found * 1e9).round() / 1e9)
        };
        assert_eq!(of(&[&rising], &[&falling]), Some(-1.0));
        assert_eq!(of(&[&rising, &rising], &[&rising, &flat]), Some(0.5));
        assert_eq!(of(&[], &[]), None);
    }
}

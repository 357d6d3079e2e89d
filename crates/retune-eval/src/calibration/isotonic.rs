//! Isotonic regression: the rising steps that fit the share of positive rows best.

use serde::{Deserialize, Serialize};

use super::platt::Unfit;

/// Probabilities that rise with the score and otherwise have no form (Zadrozny & Elkan 2002), by pooling neighbours
/// that violate the order (Ayer et al. 1955). Between two known scores it goes straight, outside it stays, as in
/// scikit-learn's `IsotonicRegression` with `out_of_bounds="clip"`. It needs hundreds of positive rows: with few it
/// learns their noise, and Platt scaling is the safer choice. Scores that were apart can become equal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Isotonic {
    /// Rising scores.
    scores: Vec<f32>,
    /// The probability at each of them.
    probabilities: Vec<f64>,
}

/// Rows that share a probability.
#[derive(Clone, Copy)]
struct Pool {
    low: f32,
    high: f32,
    weight: f64,
    positive: f64,
}

impl Pool {
    fn share(&self) -> f64 {
        self.positive / self.weight
    }
}

impl Isotonic {
    /// Fits `scores` (`[rows]`, in any unit) to `truth`. Weights stand for how many rows a row is; rows without weight
    /// are left out.
    ///
    /// # Errors
    /// Rows of one kind, and values that are not finite.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn fit(scores: &[f32], truth: &[bool], weights: Option<&[f64]>) -> Result<Self, Unfit> {
        super::both_kinds(scores, truth, weights)?;
        let weight = |row: usize| weights.map_or(1.0, |w| w[row]);
        let mut order: Vec<usize> = (0..scores.len()).filter(|r| weight(*r) > 0.0).collect();
        order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        let mut pools: Vec<Pool> = Vec::new();
        for tied in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
            let positive = tied.iter().filter(|r| truth[**r]);
            let mut pool = Pool {
                low: scores[tied[0]],
                high: scores[tied[0]],
                weight: tied.iter().map(|r| weight(*r)).sum(),
                positive: positive.map(|r| weight(*r)).sum(),
            };
            while let Some(before) = pools.pop_if(|p| p.share() >= pool.share()) {
                pool.low = before.low;
                pool.weight += before.weight;
                pool.positive += before.positive;
            }
            pools.push(pool);
        }
        let (mut at, mut probabilities) = (Vec::new(), Vec::new());
        for pool in pools {
            let ends = if pool.low < pool.high { 2 } else { 1 };
            at.extend(&[pool.low, pool.high][..ends]);
            probabilities.extend(vec![pool.share(); ends]);
        }
        Ok(Self {
            scores: at,
            probabilities,
        })
    }

    /// Probability that a row is positive, from its score; not a number for a score that is none.
    pub fn probability(&self, score: f32) -> f64 {
        if score.is_nan() {
            return f64::NAN;
        }
        let (x, y) = (&self.scores, &self.probabilities);
        let above = x.partition_point(|s| *s <= score);
        match (above.checked_sub(1), x.get(above)) {
            (None, _) => y[0],
            (Some(below), None) => y[below],
            (Some(below), Some(high)) => {
                let low = f64::from(x[below]);
                let part = (f64::from(score) - low) / (f64::from(*high) - low);
                y[below] + part * (y[above] - y[below])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn neighbours_out_of_order_are_pooled() {
        let truth = [false, true, false, true, true];
        let fitted = Isotonic::fit(&[0.1, 0.2, 0.3, 0.6, 0.7], &truth, None).unwrap();
        let at = |score| fitted.probability(score);
        assert_eq!([at(0.0), at(0.1), at(0.2), at(0.25)], [0.0, 0.0, 0.5, 0.5]);
        assert_eq!([at(0.3), at(0.6), at(9.0)], [0.5, 1.0, 1.0]);
        assert!((at(0.45) - 0.75).abs() < 1e-6 && at(f32::NAN).is_nan());
    }

    #[test]
    fn what_falls_everywhere_becomes_one_share() {
        let fitted = Isotonic::fit(&[0.1, 0.9], &[true, false], Some(&[1.0, 3.0])).unwrap();
        assert_eq!([0.0, 0.5, 1.0].map(|s| fitted.probability(s)), [0.25; 3]);
        let none = Isotonic::fit(&[0.1, 0.9], &[true, false], Some(&[0.0, 3.0]));
        assert_eq!(none, Err(Unfit::OneKind));
        let broken = Isotonic::fit(&[0.1, f32::INFINITY], &[true, false], None);
        assert_eq!(broken, Err(Unfit::NotFinite));
    }
}

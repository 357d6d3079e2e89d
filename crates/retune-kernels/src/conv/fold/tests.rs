//! Folding against the convolution and the norm one after the other.

use super::*;
use crate::trial;

/// Channel, taps of it.
const SIZE: (usize, usize) = (5, 4);

/// `w x` of each channel, normed: what the fold must give. x is `[taps]`.
fn plain(weight: &[f64], gamma: &[f64], beta: &[f64], frozen: &Frozen<'_>, x: &[f64]) -> Vec<f64> {
    let (channels, taps) = SIZE;
    let one = |c: usize| {
        let z: f64 = (0..taps).map(|t| weight[c * taps + t] * x[t]).sum();
        let std = (f64::from(frozen.var[c]) + f64::from(frozen.eps)).sqrt();
        (z - f64::from(frozen.mean[c])) / std * gamma[c] + beta[c]
    };
    (0..channels).map(one).collect()
}

/// Everything that goes in, the weight as [`Channel::First`].
struct Case {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    mean: Vec<f32>,
    var: Vec<f32>,
    weight: Vec<f32>,
    x: Vec<f64>,
    dy: Vec<f64>,
}

impl Case {
    fn new() -> Self {
        let (channels, taps) = SIZE;
        Self {
            gamma: trial::numbers(channels, 1),
            beta: trial::numbers(channels, 2),
            mean: trial::numbers(channels, 3),
            var: vec![0.1, 1.0, 0.0, 3.0, 0.5],
            weight: trial::numbers(channels * taps, 4),
            x: trial::wide(&trial::numbers(taps, 5)),
            dy: trial::wide(&trial::numbers(channels, 6)),
        }
    }

    fn frozen(&self) -> Frozen<'_> {
        Frozen {
            gamma: &self.gamma,
            beta: &self.beta,
            mean: &self.mean,
            var: &self.var,
            eps: 1e-2,
        }
    }

    /// The result by definition.
    fn exact(&self, weight: &[f64], gamma: &[f64]) -> Vec<f64> {
        plain(
            weight,
            gamma,
            &trial::wide(&self.beta),
            &self.frozen(),
            &self.x,
        )
    }
}

/// Where value `tap` of a channel is.
fn place(channel: Channel, c: usize, tap: usize) -> usize {
    let (channels, taps) = SIZE;
    match channel {
        Channel::First => c * taps + tap,
        Channel::Last => tap * channels + c,
    }
}

/// A weight as [`Channel::First`] in another order.
fn ordered(channel: Channel, weight: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; weight.len()];
    for (i, value) in weight.iter().enumerate() {
        out[place(channel, i / SIZE.1, i % SIZE.1)] = *value;
    }
    out
}

#[test]
fn the_folded_weight_gives_what_norm_after_convolution_gives() {
    let (case, (channels, taps)) = (Case::new(), SIZE);
    let want = case.exact(&trial::wide(&case.weight), &trial::wide(&case.gamma));
    for channel in [Channel::First, Channel::Last] {
        let given = ordered(channel, &case.weight);
        let (mut folded, mut bias) = (vec![7e7; given.len()], vec![7e7; channels]);
        case.frozen().fold(channel, &given, &mut folded, &mut bias);
        let one = |c: usize| {
            let product = |tap| f64::from(folded[place(channel, c, tap)]) * case.x[tap];
            (0..taps).map(product).sum::<f64>() + f64::from(bias[c])
        };
        let found: Vec<f64> = (0..channels).map(one).collect();
        trial::near(&found, &want, 1e-5);
    }
}

#[test]
fn gradients_of_the_folded_weight_are_those_of_weight_and_gamma() {
    let (case, (channels, taps)) = (Case::new(), SIZE);
    let (weight, gamma) = (trial::wide(&case.weight), trial::wide(&case.gamma));
    let loss = |weight: &[f64], gamma: &[f64]| -> f64 {
        let y = case.exact(weight, gamma);
        y.iter().zip(&case.dy).map(|(y, dy)| y * dy).sum()
    };
    for channel in [Channel::First, Channel::Last] {
        // The gradient of the folded weight is dy x, that of the bias dy.
        let product = |i: usize| (case.dy[i / taps] * case.x[i % taps]) as f32;
        let first: Vec<f32> = (0..weight.len()).map(product).collect();
        let mut dweight = ordered(channel, &first);
        let dbias: Vec<f32> = case.dy.iter().map(|v| *v as f32).collect();
        let mut dgamma = vec![7e7; channels];
        let given = ordered(channel, &case.weight);
        case.frozen()
            .unfold(channel, &given, &mut dweight, &dbias, &mut dgamma);
        let back: Vec<f64> = (0..weight.len())
            .map(|i| f64::from(dweight[place(channel, i / taps, i % taps)]))
            .collect();
        trial::is_gradient(&weight, &back, |weight| loss(weight, &gamma));
        trial::is_gradient(&gamma, &trial::wide(&dgamma), |gamma| loss(&weight, gamma));
    }
}

#[test]
#[should_panic(expected = "the variance has 2 values, expected 3")]
fn lengths_are_checked() {
    let frozen = Frozen {
        gamma: &[1.0; 3],
        beta: &[0.0; 3],
        mean: &[0.0; 3],
        var: &[1.0; 2],
        eps: 1e-5,
    };
    frozen.scale_and_shift(&mut [0.0; 3], &mut [0.0; 3]);
}

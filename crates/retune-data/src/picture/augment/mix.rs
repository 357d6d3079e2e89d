//! Mixing two pictures of one batch, and how much of each: mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019).
//!
//! The targets are mixed in the same shares: `share` of the first picture's, `1 - share` of the second's.

use super::super::{Part, Size};
use super::draws::Draws;

/// The share of the first picture: Beta(alpha, alpha). Small `alpha` give shares near 0 and 1, 1 is uniform.
///
/// `alpha` must be positive. Two gamma variates by Marsaglia and Tsang (2000), in logarithms, so that tiny `alpha`
/// do not underflow.
pub fn mix_share(alpha: f64, key: u64) -> f64 {
    let mut draws = Draws::new(key);
    let (a, b) = (
        log_gamma_variate(alpha, &mut draws),
        log_gamma_variate(alpha, &mut draws),
    );
    1.0 / (1.0 + (b - a).exp())
}

/// The logarithm of a Gamma(alpha, 1) variate.
fn log_gamma_variate(alpha: f64, draws: &mut Draws) -> f64 {
    // A variate of alpha + 1 times u^(1 / alpha) is one of alpha.
    let boost = (1.0 - draws.unit()).ln() / alpha;
    let d = alpha + 1.0 - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = draws.normal();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - draws.unit()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return (d * v).ln() + boost;
        }
    }
}

/// `share * first + (1 - share) * second`, into `first`. Both are `[height, width, 3]`.
///
/// Lengths that differ are a mistake of the caller and panic.
pub fn mixup(first: &mut [f32], second: &[f32], share: f32) {
    assert_eq!(
        first.len(),
        second.len(),
        "pictures of different sizes cannot be mixed"
    );
    for (a, &b) in first.iter_mut().zip(second) {
        *a = share * *a + (1.0 - share) * b;
    }
}

/// Pastes a random rectangle of `second` over `first`, about `1 - share` of the area; both are `[height, width, 3]`.
///
/// Returns the true share of `first`, which is larger where the rectangle leaves the picture. Lengths that are not
/// those of `size` are a mistake of the caller and panic.
pub fn cutmix(first: &mut [f32], second: &[f32], size: Size, share: f64, key: u64) -> f64 {
    let all = size.height * size.width;
    assert_eq!(
        (first.len(), second.len()),
        (all * 3, all * 3),
        "pictures are not {size:?}"
    );
    let part = paste(size, share, &mut Draws::new(key));
    for y in part.top..part.top + part.height {
        let row = (y * size.width + part.left) * 3..(y * size.width + part.left + part.width) * 3;
        first[row.clone()].copy_from_slice(&second[row]);
    }
    1.0 - (part.width * part.height) as f64 / all as f64
}

/// The rectangle, as torchvision places it: about a uniform centre, cut at the borders.
fn paste(size: Size, share: f64, draws: &mut Draws) -> Part {
    let half = 0.5 * (1.0 - share.clamp(0.0, 1.0)).sqrt();
    let mut axis = |n: usize| {
        let centre = draws.below(n);
        let reach = (half * n as f64) as usize;
        (centre.saturating_sub(reach), (centre + reach).min(n))
    };
    let (left, right) = axis(size.width);
    let (top, bottom) = axis(size.height);
    Part {
        left,
        top,
        width: right - left,
        height: bottom - top,
    }
}

//! AdamW in one pass over a parameter (Loshchilov & Hutter, "Decoupled Weight Decay
//! Regularization", arXiv:1711.05101; same arithmetic as `torch.optim.AdamW`).

use rayon::prelude::*;

/// What AdamW needs besides the slices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate of the step.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay; 0 for biases and norms.
    pub weight_decay: f64,
    /// 1-based step, for bias correction.
    pub step: u64,
    /// The gradient is multiplied by this first: clipping and averaging.
    pub grad_scale: f64,
}

const BLOCK: usize = 1 << 14;

/// One step: `param`, `m` and `v` are updated in place. All slices have the same length.
///
/// ```text
/// g = grad_scale * grad;  p -= lr * weight_decay * p
/// m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g²
/// p -= lr / (1 - beta1^step) * m / (sqrt(v) / sqrt(1 - beta2^step) + eps)
/// ```
///
/// # Panics
/// When the slices differ in length.
pub fn adamw(param: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32], c: &AdamW) {
    assert!(
        param.len() == grad.len() && param.len() == m.len() && param.len() == v.len(),
        "adamw: slices of different length"
    );
    let correction1 = 1.0 - c.beta1.powf(c.step as f64);
    let correction2 = (1.0 - c.beta2.powf(c.step as f64)).sqrt();
    let size = (c.lr / correction1) as f32;
    let inv_correction2 = (1.0 / correction2) as f32;
    let keep = (1.0 - c.lr * c.weight_decay) as f32;
    let (b1, b2, eps, scale) = (
        c.beta1 as f32,
        c.beta2 as f32,
        c.eps as f32,
        c.grad_scale as f32,
    );
    let (a1, a2) = ((1.0 - c.beta1) as f32, (1.0 - c.beta2) as f32);
    param
        .par_chunks_mut(BLOCK)
        .zip(grad.par_chunks(BLOCK))
        .zip(m.par_chunks_mut(BLOCK))
        .zip(v.par_chunks_mut(BLOCK))
        .for_each(|(((param, grad), m), v)| {
            for (((p, g), m), v) in param.iter_mut().zip(grad).zip(m).zip(v) {
                let g = g * scale;
                *m = b1 * *m + a1 * g;
                *v = b2 * *v + a2 * g * g;
                *p = *p * keep - size * *m / (v.sqrt() * inv_correction2 + eps);
            }
        });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula in f64, as `torch.optim.AdamW` documents it.
    fn plain(p: f64, grads: &[f64], c: &AdamW) -> f64 {
        let (mut p, mut m, mut v) = (p, 0.0, 0.0);
        for (i, g) in grads.iter().enumerate() {
            let step = (i + 1) as f64;
            p -= c.lr * c.weight_decay * p;
            m = c.beta1 * m + (1.0 - c.beta1) * g;
            v = c.beta2 * v + (1.0 - c.beta2) * g * g;
            let mh = m / (1.0 - c.beta1.powf(step));
            let vh = v / (1.0 - c.beta2.powf(step));
            p -= c.lr * mh / (vh.sqrt() + c.eps);
        }
        p
    }

    #[test]
    fn follows_the_formula_over_several_steps() {
        for n in [0, 1, 17, BLOCK + 3] {
            let start: Vec<f32> = (0..n).map(|i| (i as f32 * 0.7).sin()).collect();
            let grad = |i: usize, step: usize| ((i + 3 * step) as f32 * 0.31).cos();
            let mut c = AdamW {
                lr: 1e-2,
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay: 0.01,
                step: 0,
                grad_scale: 0.5,
            };
            let (mut p, mut m, mut v) = (start.clone(), vec![0.0; n], vec![0.0; n]);
            for step in 1..=4 {
                c.step = step as u64;
                let g: Vec<f32> = (0..n).map(|i| grad(i, step)).collect();
                adamw(&mut p, &g, &mut m, &mut v, &c);
            }
            for i in 0..n {
                let grads: Vec<f64> = (1..=4).map(|s| 0.5 * f64::from(grad(i, s))).collect();
                let want = plain(f64::from(start[i]), &grads, &c);
                assert!(
                    (f64::from(p[i]) - want).abs() < 2e-6,
                    "{i}: {} {want}",
                    p[i]
                );
            }
        }
    }
}

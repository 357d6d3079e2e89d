//! Limited-memory BFGS with a backtracking line search (Nocedal and Wright, Numerical Optimization, 2nd edition,
//! algorithms 7.4, 7.5 and 3.1), for smooth convex functions.

use std::collections::VecDeque;

/// Earlier steps that shape the next one.
const MEMORY: usize = 6;
/// Steps after which the search ends wherever it is.
const MOST_STEPS: usize = 300;
/// The search ends where no part of the gradient is larger.
const TOLERANCE: f64 = 1e-5;
/// Share of the decrease that the slope promises which a step has to bring.
const SUFFICIENT: f64 = 1e-4;
/// Halvings of a step before it is given up.
const HALVINGS: usize = 40;

/// A step, the change of the gradient along it, and the inverse of their product.
struct Curvature {
    step: Vec<f64>,
    change: Vec<f64>,
    inverse: f64,
}

/// The place where `f` is smallest, searched from `x`. `f` returns its value at a place and fills in its gradient.
pub fn minimise(f: &dyn Fn(&[f64], &mut [f64]) -> f64, mut x: Vec<f64>) -> Vec<f64> {
    let mut gradient = vec![0.0; x.len()];
    let mut value = f(&x, &mut gradient);
    let mut memory: VecDeque<Curvature> = VecDeque::with_capacity(MEMORY);
    for _ in 0..MOST_STEPS {
        if gradient.iter().all(|g| g.abs() <= TOLERANCE) {
            break;
        }
        let direction = direction(&gradient, &memory);
        // Without a past the length of a step is unknown; one unit is safe.
        let first = if memory.is_empty() {
            dot(&gradient, &gradient).sqrt().recip().min(1.0)
        } else {
            1.0
        };
        let slope = dot(&gradient, &direction);
        let tried = (0..HALVINGS).find_map(|halvings| {
            let length = first * 0.5f64.powi(halvings as i32);
            let there = sum(&x, length, &direction);
            let mut new = vec![0.0; x.len()];
            let found = f(&there, &mut new);
            (found <= value + SUFFICIENT * length * slope).then_some((found, there, new))
        });
        let Some((found, there, new)) = tried else {
            // Rounding hides what is left to gain.
            break;
        };
        if memory.len() == MEMORY {
            memory.pop_front();
        }
        memory.extend(curvature(sum(&there, -1.0, &x), sum(&new, -1.0, &gradient)));
        (value, x, gradient) = (found, there, new);
    }
    x
}

/// A pair without curvature would spoil the estimate and is left out.
fn curvature(step: Vec<f64>, change: Vec<f64>) -> Option<Curvature> {
    let product = dot(&step, &change);
    (product > f64::EPSILON * dot(&change, &change)).then(|| Curvature {
        inverse: product.recip(),
        step,
        change,
    })
}

/// Minus the inverse Hessian, as the memory tells it, times the gradient: the two-loop recursion.
fn direction(gradient: &[f64], memory: &VecDeque<Curvature>) -> Vec<f64> {
    let mut d: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(MEMORY);
    for past in memory.iter().rev() {
        let alpha = past.inverse * dot(&past.step, &d);
        add(&mut d, -alpha, &past.change);
        alphas.push(alpha);
    }
    if let Some(last) = memory.back() {
        let scale = (last.inverse * dot(&last.change, &last.change)).recip();
        for v in &mut d {
            *v *= scale;
        }
    }
    for (past, alpha) in memory.iter().zip(alphas.into_iter().rev()) {
        let beta = past.inverse * dot(&past.change, &d);
        add(&mut d, alpha - beta, &past.step);
    }
    d
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(a: &mut [f64], factor: f64, b: &[f64]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += factor * b;
    }
}

fn sum(a: &[f64], factor: f64, b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + factor * b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uneven_bowl_is_descended_to_its_bottom() {
        let f = |x: &[f64], g: &mut [f64]| {
            let mut value = 0.0;
            for (i, (x, g)) in x.iter().zip(g).enumerate() {
                let (scale, off) = (10f64.powi(i as i32 - 2), x - i as f64);
                *g = scale * off;
                value += scale * off * off / 2.0;
            }
            value
        };
        for (i, x) in minimise(&f, vec![9.0; 5]).iter().enumerate() {
            assert!((x - i as f64).abs() < 2e-3, "{i}: {x}");
        }
    }

    #[test]
    fn the_bent_valley_of_rosenbrock_is_followed() {
        let f = |x: &[f64], g: &mut [f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            g[0] = -2.0 * a - 400.0 * x[0] * b;
            g[1] = 200.0 * b;
            a * a + 100.0 * b * b
        };
        let found = minimise(&f, vec![-1.2, 1.0]);
        assert!(found.iter().all(|x| (x - 1.0).abs() < 1e-4), "{found:?}");
    }
}

//! Rates of matrix products of a model's shapes.

use half::bf16;
use retune_kernels::element::Element;
use retune_kernels::gemm::{Aligned, Packed, Side, Stored, View, multiply, outer};
use retune_kernels::isa::Isa;
use serde::Serialize;

use super::{best_of, pool};
use crate::error::Result;
use crate::families::Facts;
use crate::ops::Precision;

/// Runs of each product, of which the best counts.
const RUNS: usize = 12;
/// Rows of a product: 16 sequences of 128 tokens.
const TOKENS: usize = 2048;

/// The rate of one product, in 10⁹ operations per second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rate {
    /// Rows of the left operand.
    pub m: usize,
    /// Columns of the right operand.
    pub n: usize,
    /// Depth.
    pub k: usize,
    /// Of `x Wᵀ` with the weight packed.
    pub forward: f64,
    /// Of the gradient of the weight.
    pub gradient: f64,
}

/// Rates of products 384 and 768 wide.
///
/// # Errors
/// So many threads cannot be started.
pub fn rates(precision: Precision, threads: Option<usize>) -> Result<Vec<Rate>> {
    let shapes = [
        (384, 384),
        (1152, 384),
        (1536, 384),
        (384, 1536),
        (3072, 768),
        (768, 3072),
    ];
    let each = || {
        shapes
            .into_iter()
            .map(|(n, k)| rate_in(precision, n, k))
            .collect()
    };
    Ok(pool(threads)?.install(each))
}

/// Operations per second of the products of a small layer and a small batch: what a forecast needs, in a few
/// milliseconds.
pub fn rate_of_a_layer(precision: Precision) -> f64 {
    let shape = Product {
        m: 512,
        n: 1536,
        k: 384,
        runs: 4,
    };
    1e9 * match precision {
        Precision::F32 => rate::<f32>(shape).forward,
        Precision::Bf16 => rate::<bf16>(shape).forward,
    }
}

/// The best rate among the products of a model.
pub(super) fn peak(facts: &Facts, precision: Precision) -> f64 {
    let width = facts.width;
    let shapes = [(3 * width, width), (4 * width, width), (width, 4 * width)];
    let rate = |(n, k)| {
        let rate = rate_in(precision, n, k);
        rate.forward.max(rate.gradient)
    };
    shapes.into_iter().map(rate).fold(0.0, f64::max)
}

fn rate_in(precision: Precision, n: usize, k: usize) -> Rate {
    let shape = Product {
        m: TOKENS,
        n,
        k,
        runs: RUNS,
    };
    match precision {
        Precision::F32 => rate::<f32>(shape),
        Precision::Bf16 => rate::<bf16>(shape),
    }
}

/// A product to measure.
#[derive(Clone, Copy)]
struct Product {
    m: usize,
    n: usize,
    k: usize,
    runs: usize,
}

fn rate<E: Element>(Product { m, n, k, runs }: Product) -> Rate {
    let isa = Isa::current();
    // Results of layers begin at cache lines, and these are such.
    let mut x = Aligned::<E>::new(m * k);
    x.fill(E::narrow(0.5));
    let w = vec![0.25f32; n * k];
    let mut panels = Aligned::<E>::new(Packed::<E>::len(isa, k, n));
    let weight = View::new(&w, n, k);
    let w = Packed::pack(isa, &[weight], Stored::Transposed, Side::N, &mut panels);
    let mut y = Aligned::<E>::new(m * n);
    let forward = best_of(runs, || {
        multiply(
            View::new(&x, m, k),
            &w,
            &mut y,
            &mut [(); 0],
            |spot, y, _| {
                spot.store(isa, n, y);
            },
        );
    });
    let (mut dw, mut db) = (vec![0f32; n * k], vec![0f32; n]);
    let gradient = best_of(runs, || {
        outer(
            isa,
            View::new(&y, m, n),
            View::new(&x, m, k),
            &mut dw,
            &mut db,
        );
    });
    let work = 2.0 * (m * n * k) as f64 / 1e9;
    Rate {
        m,
        n,
        k,
        forward: work / forward,
        gradient: work / gradient,
    }
}

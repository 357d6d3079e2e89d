//! The optimiser step and the gradient norm on the CPU, in place.

use burn::backend::Flex;
use burn::tensor::Tensor;
use retune_kernels::isa::Isa;
use retune_kernels::{optimizer, pointwise, sum};

use super::{contiguous, values};
use crate::ops::clock::Span;
use crate::ops::{AdamW, Gradient, Moments, TWINS_ONLY};

/// See [`crate::ops::sum_of_squares`]; `None` when the tensor is not for the kernels.
pub fn sum_of_squares(x: Tensor<1>) -> Option<f64> {
    let _time = Span::of("gradient norm");
    if TWINS_ONLY.get() {
        return None;
    }
    let x = x.try_into_primitive::<Flex>().ok()?;
    Some(sum::sum_of_squares(values(&contiguous(&x))))
}

/// See [`crate::ops::lerp`]; gives `a` back when the tensors are not for the kernels.
pub fn lerp(a: Tensor<1>, b: &Tensor<1>, share: f64) -> Result<Tensor<1>, Box<Tensor<1>>> {
    if TWINS_ONLY.get() {
        return Err(Box::new(a));
    }
    let plain = |x: &Tensor<1>| x.clone().try_into_primitive::<Flex>().ok();
    let (Some(mut to), Some(from)) = (plain(&a), plain(b)) else {
        return Err(Box::new(a));
    };
    // The only other handle must go for the values to change in place.
    drop(a);
    let from = contiguous(&from);
    pointwise::lerp(
        Isa::current(),
        to.storage_mut(),
        values(&from),
        share as f32,
    );
    Ok(Tensor::from_primitive::<Flex>(to))
}

type Given = (Tensor<1>, Gradient, Moments);

/// See [`crate::ops::adamw`]; gives everything back when the tensors are not for the kernels.
pub fn adamw(
    value: Tensor<1>,
    gradient: Gradient,
    moments: Moments,
    c: &AdamW,
) -> Result<(Tensor<1>, Moments), Box<Given>> {
    let _time = Span::of("optimizer");
    let on_cpu = value.clone().try_into_primitive::<Flex>().is_ok();
    if !on_cpu || TWINS_ONLY.get() {
        return Err(Box::new((value, gradient, moments)));
    }
    let flat = |x: Tensor<1>| match x.try_into_primitive::<Flex>() {
        Ok(x) => x,
        Err(_) => unreachable!("all tensors of one parameter live on one back-end"),
    };
    let mut p = flat(value);
    let (mut m, mut v) = (flat(moments.first), flat(moments.second));
    let (param, first, second) = (p.storage_mut(), m.storage_mut(), v.storage_mut());
    let mut seen = moments.seen;
    match gradient {
        Gradient::Dense(gradient) => {
            let g = contiguous(&flat(gradient));
            optimizer::adamw(param, values(&g), first, second, c);
            seen = None;
        }
        Gradient::Rows { rows, of } => {
            let seen = seen.get_or_insert_with(|| vec![true; of[0]]);
            let table = optimizer::Rows {
                param,
                m: first,
                v: second,
                seen,
            };
            optimizer::adamw_rows(table, &rows, c);
        }
    }
    let wrap = |x| Tensor::from_primitive::<Flex>(x);
    let moments = Moments {
        first: wrap(m),
        second: wrap(v),
        seen,
    };
    Ok((wrap(p), moments))
}

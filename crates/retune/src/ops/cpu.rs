//! The hot operations on Burn's CPU back-end, over plain slices in place.

use burn::backend::Flex;
use burn::tensor::Tensor;
use retune_kernels::{optimizer, sum};

use super::{AdamW, Moments};

/// See [`super::sum_of_squares`]; `None` when the tensor is not on the CPU back-end.
pub fn sum_of_squares(x: Tensor<1>) -> Option<f64> {
    let x = x.try_into_primitive::<Flex>().ok()?;
    let x = x.to_contiguous();
    x.as_slice::<f32>().map(sum::sum_of_squares)
}

type Given = (Tensor<1>, Tensor<1>, Moments);

/// See [`super::adamw`]; gives everything back when the tensors are not on the CPU back-end.
pub fn adamw(
    value: Tensor<1>,
    grad: Tensor<1>,
    moments: Moments,
    c: &AdamW,
) -> Result<(Tensor<1>, Moments), Box<Given>> {
    let on_cpu = value.clone().try_into_primitive::<Flex>().is_ok();
    if !on_cpu {
        return Err(Box::new((value, grad, moments)));
    }
    let flat = |x: Tensor<1>| x.try_into_primitive::<Flex>().ok();
    let (Some(mut p), Some(g), Some(mut m), Some(mut v)) = (
        flat(value),
        flat(grad),
        flat(moments.first),
        flat(moments.second),
    ) else {
        unreachable!("all tensors of one parameter live on one back-end");
    };
    let g = g.to_contiguous();
    if let Some(g) = g.as_slice::<f32>() {
        optimizer::adamw(p.storage_mut(), g, m.storage_mut(), v.storage_mut(), c);
    }
    let wrap = |x| Tensor::from_primitive::<Flex>(x);
    let moments = Moments {
        first: wrap(m),
        second: wrap(v),
    };
    Ok((wrap(p), moments))
}

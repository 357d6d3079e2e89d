//! The order of a convolution's weights: that of PyTorch and that of images with channels last.

use super::check;

/// `[outputs, inputs, kh, kw]`, as PyTorch stores it, to `[outputs, kh, kw, inputs]`, the rows that [`super::Conv`]
/// multiplies by. `shape` is `[outputs, inputs, kh, kw]`; `inputs` are those of a group.
///
/// For a depthwise convolution, `[channels, 1, kh, kw]` to the `[kh, kw, channels]` of [`super::Depthwise`], take
/// `[1, channels, kh, kw]`.
///
/// # Panics
/// When a length is wrong.
pub fn from_torch(shape: [usize; 4], torch: &[f32], out: &mut [f32]) {
    permute(shape, torch, out, |to, from| (from, to));
}

/// The inverse of [`from_torch`], with the same `shape`: `[outputs, kh, kw, inputs]` to `[outputs, inputs, kh, kw]`.
///
/// # Panics
/// When a length is wrong.
pub fn to_torch(shape: [usize; 4], last: &[f32], out: &mut [f32]) {
    permute(shape, last, out, |to, from| (to, from));
}

/// Copies value by value; `order` turns the places (channels last, PyTorch) into those to read and to write.
fn permute(
    [outputs, inputs, height, width]: [usize; 4],
    from: &[f32],
    to: &mut [f32],
    order: impl Fn(usize, usize) -> (usize, usize),
) {
    let area = height * width;
    check("the weight", from.len(), outputs * inputs * area);
    check("the permuted weight", to.len(), from.len());
    for output in 0..outputs {
        for tap in 0..area {
            for input in 0..inputs {
                let last = (output * area + tap) * inputs + input;
                let torch = (output * inputs + input) * area + tap;
                let (read, write) = order(last, torch);
                to[write] = from[read];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_come_last_and_back() {
        let torch: Vec<f32> = (0..2 * 3 * 4).map(|i| i as f32).collect();
        let mut last = vec![0.0; torch.len()];
        from_torch([2, 3, 2, 2], &torch, &mut last);
        assert_eq!(last[..6], [0.0, 4.0, 8.0, 1.0, 5.0, 9.0]);
        assert_eq!(last[12..15], [12.0, 16.0, 20.0]);
        let mut back = vec![0.0; torch.len()];
        to_torch([2, 3, 2, 2], &last, &mut back);
        assert_eq!(back, torch);
    }

    #[test]
    #[should_panic(expected = "the weight has 5 values, expected 6")]
    fn lengths_are_checked() {
        from_torch([1, 3, 1, 2], &[0.0; 5], &mut [0.0; 6]);
    }
}

//! What networks that share their layers have of their own (TabM-mini, Gorishniy et al., arXiv:2410.24210): factors of the
//! inputs of a shared layer, and an output layer each.
//!
//! ```text
//! scale:    out[m, o, i] = scale[m, i] weight[o, i]
//! outputs:  out[r, m, o] = bias[m, o] + Σ_w x[r, m, w] weight[m, w, o]
//! ```

use crate::blocks;
use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::parallel::{self, Spread};
use crate::sum;

/// The weights of a shared layer for each member: weight `[outputs, width]`, scales `[members, width]`, out
/// `[members, outputs, width]`.
///
/// # Panics
/// When a length is wrong.
pub fn scale(isa: Isa, weight: &[f32], scales: &[f32], width: usize, out: &mut [f32]) {
    let members = members(weight.len(), scales.len(), width, out.len());
    if members == 0 || weight.is_empty() {
        return;
    }
    let block = blocks::rows(width) * width;
    let each = out.chunks_mut(weight.len()).zip(scales.chunks(width));
    let blocks = each.flat_map(|(out, scales)| {
        let blocks = out.chunks_mut(block).zip(weight.chunks(block));
        blocks.map(move |(out, weight)| (out, weight, scales))
    });
    blocks.spread(|(out, weight, scales)| scale_rows(isa, weight, scales, out));
}

/// The gradients of [`scale`] from that of its result, `[members, outputs, width]`: of the weight, `[outputs, width]`, and
/// of the scales, `[members, width]`.
///
/// # Panics
/// When a length is wrong.
pub fn scale_backward(
    isa: Isa,
    dout: &[f32],
    (weight, scales): (&[f32], &[f32]),
    width: usize,
    (dweight, dscales): (&mut [f32], &mut [f32]),
) {
    let members = members(weight.len(), scales.len(), width, dout.len());
    assert!(dweight.len() == weight.len() && dscales.len() == scales.len());
    dweight.fill(0.0);
    dscales.fill(0.0);
    if members == 0 || weight.is_empty() {
        return;
    }
    let block = blocks::rows(width) * width;
    dweight
        .chunks_mut(block)
        .enumerate()
        .spread(|(i, dweight)| {
            let rows = i * block..i * block + dweight.len();
            let each = dout.chunks(weight.len()).zip(scales.chunks(width));
            for (dout, scales) in each {
                add_scaled_rows(isa, &dout[rows.clone()], scales, dweight);
            }
        });
    let each = dscales.chunks_mut(width).zip(dout.chunks(weight.len()));
    each.spread(|(dscales, dout)| add_products_of_rows(isa, dout, weight, dscales));
}

/// Checks the lengths; gives the number of members.
fn members(weight: usize, scales: usize, width: usize, out: usize) -> usize {
    let members = scales / width.max(1);
    assert!(
        members * width == scales && weight.is_multiple_of(width.max(1)) && members * weight == out,
        "members: {weight} weights and {scales} scales of rows of {width} make {out}"
    );
    members
}

/// Sizes of the output layers of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Networks.
    pub members: usize,
    /// Values that each reads.
    pub width: usize,
    /// Values that each answers with.
    pub outputs: usize,
}

impl Shape {
    /// Checks the lengths; gives the number of rows.
    fn rows(self, x: usize, weight: usize, out: usize) -> usize {
        let Self {
            members,
            width,
            outputs,
        } = self;
        let rows = out / (members * outputs).max(1);
        assert!(
            weight == members * width * outputs
                && x == rows * members * width
                && out == rows * members * outputs,
            "output layers of {self:?}: {x} inputs and {weight} weights make {out}"
        );
        rows
    }

    /// Rows of a task.
    fn block(self) -> usize {
        blocks::rows((self.members * self.width).max(1))
    }

    /// From `[members, width, outputs]` to `[members, outputs, width]`.
    fn turned(self, weight: &[f32]) -> Vec<f32> {
        let mut turned = vec![0f32; weight.len()];
        let size = (self.width * self.outputs).max(1);
        for (to, from) in turned.chunks_mut(size).zip(weight.chunks(size)) {
            for (w, values) in from.chunks(self.outputs).enumerate() {
                for (o, value) in values.iter().enumerate() {
                    to[o * self.width + w] = *value;
                }
            }
        }
        turned
    }
}

/// What the output layers of members make: x `[rows, members, width]`, weight `[members, width, outputs]`, bias
/// `[members, outputs]`, out `[rows, members, outputs]`.
///
/// # Panics
/// When a length is wrong.
pub fn outputs<E: Element>(
    isa: Isa,
    shape: Shape,
    x: &[E],
    (weight, bias): (&[f32], &[f32]),
    out: &mut [f32],
) {
    let rows = shape.rows(x.len(), weight.len(), out.len());
    assert!(bias.len() == shape.members * shape.outputs);
    if rows == 0 || out.is_empty() {
        return;
    }
    let weight = shape.turned(weight);
    let (inside, outside) = (shape.members * shape.width, shape.members * shape.outputs);
    let block = shape.block();
    out.chunks_mut(block * outside)
        .enumerate()
        .spread(|(i, out)| {
            let first = i * block * inside;
            let x = &x[first..first + out.len() / outside * inside];
            outputs_of_rows(isa, shape, x, (&weight, bias), out);
        });
}

/// Gradients of [`outputs`], to be filled.
#[derive(Debug)]
pub struct Back<'a, E> {
    /// Of x, `[rows, members, width]`.
    pub dx: &'a mut [E],
    /// Of the weight, `[members, width, outputs]`.
    pub dweight: &'a mut [f32],
    /// Of the bias, `[members, outputs]`.
    pub dbias: &'a mut [f32],
}

/// The gradients of [`outputs`] from that of its result, `[rows, members, outputs]`. Sums over rows are taken in their order.
///
/// # Panics
/// When a length is wrong.
pub fn outputs_backward<E: Element>(
    isa: Isa,
    shape: Shape,
    dout: &[f32],
    (x, weight): (&[E], &[f32]),
    back: Back<'_, E>,
) {
    let rows = shape.rows(x.len(), weight.len(), dout.len());
    let Back { dx, dweight, dbias } = back;
    assert!(dx.len() == x.len() && dweight.len() == weight.len());
    assert!(dbias.len() == shape.members * shape.outputs);
    dweight.fill(0.0);
    dbias.fill(0.0);
    if rows == 0 || dout.is_empty() || x.is_empty() {
        return;
    }
    let turned = shape.turned(weight);
    let (inside, outside) = (shape.members * shape.width, shape.members * shape.outputs);
    let block = shape.block();
    let blocks = dx.chunks_mut(block * inside);
    blocks
        .zip(dout.chunks(block * outside))
        .spread(|(dx, dout)| inputs_of_rows(isa, shape, dout, &turned, dx));
    let size = shape.width * shape.outputs;
    let each = dweight
        .chunks_mut(size)
        .zip(dbias.chunks_mut(shape.outputs));
    parallel::each(each.enumerate().collect(), |(member, (dweight, dbias))| {
        let mut turned = vec![0f32; size];
        sums_of_member(isa, shape, member, (dout, x), (&mut turned, dbias));
        for (w, values) in dweight.chunks_mut(shape.outputs).enumerate() {
            for (o, value) in values.iter_mut().enumerate() {
                *value = turned[o * shape.width + w];
            }
        }
    });
}

vectorized! {
    /// `out = rows * scales`.
    fn scale_rows(rows: &[f32], scales: &[f32], out: &mut [f32]) {
        let width = scales.len();
        for (out, row) in out.chunks_exact_mut(width).zip(rows.chunks_exact(width)) {
            for ((out, x), scale) in out.iter_mut().zip(row).zip(scales) {
                *out = x * scale;
            }
        }
    }

    /// `out += rows * scales`.
    fn add_scaled_rows(rows: &[f32], scales: &[f32], out: &mut [f32]) {
        let width = scales.len();
        for (out, row) in out.chunks_exact_mut(width).zip(rows.chunks_exact(width)) {
            for ((out, x), scale) in out.iter_mut().zip(row).zip(scales) {
                *out += x * scale;
            }
        }
    }

    /// `out += a * b`, summed over rows.
    fn add_products_of_rows(a: &[f32], b: &[f32], out: &mut [f32]) {
        let width = out.len();
        for (a, b) in a.chunks_exact(width).zip(b.chunks_exact(width)) {
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out += a * b;
            }
        }
    }

    /// Some rows of [`outputs`], with weights `[members, outputs, width]`.
    fn outputs_of_rows[E: Element](
        shape: Shape,
        x: &[E],
        parameters: (&[f32], &[f32]),
        out: &mut [f32],
    ) {
        let (weight, bias) = parameters;
        let Shape { members, width, outputs } = shape;
        for (i, out) in out.chunks_exact_mut(outputs).enumerate() {
            let (member, x) = (i % members, &x[i * width..(i + 1) * width]);
            for (o, out) in out.iter_mut().enumerate() {
                let at = member * outputs + o;
                let weight = &weight[at * width..(at + 1) * width];
                *out = sum::of_products(weight, x) + bias[at];
            }
        }
    }

    /// Some rows of the gradient of x, with weights `[members, outputs, width]`.
    fn inputs_of_rows[E: Element](shape: Shape, dout: &[f32], weight: &[f32], dx: &mut [E]) {
        let Shape { members, width, outputs } = shape;
        let mut sums = vec![0f32; width];
        let each = dx.chunks_exact_mut(width).zip(dout.chunks_exact(outputs));
        for (i, (dx, dout)) in each.enumerate() {
            sums.fill(0.0);
            for (o, slope) in dout.iter().enumerate() {
                let at = (i % members * outputs + o) * width;
                for (sum, weight) in sums.iter_mut().zip(&weight[at..at + width]) {
                    *sum += slope * weight;
                }
            }
            for (dx, sum) in dx.iter_mut().zip(&sums) {
                *dx = E::narrow(*sum);
            }
        }
    }

    /// Gradients of one member's weight, `[outputs, width]`, and bias, `[outputs]`, added up over rows.
    fn sums_of_member[E: Element](
        shape: Shape,
        member: usize,
        given: (&[f32], &[E]),
        sums: (&mut [f32], &mut [f32]),
    ) {
        let Shape { members, width, outputs } = shape;
        let ((dout, x), (dweight, dbias)) = (given, sums);
        for row in 0..dout.len() / (members * outputs) {
            let at = row * members + member;
            let (dout, x) = (&dout[at * outputs..(at + 1) * outputs], &x[at * width..(at + 1) * width]);
            let each = dweight.chunks_exact_mut(width).zip(dbias.iter_mut()).zip(dout);
            for ((dweight, dbias), slope) in each {
                *dbias += slope;
                for (sum, x) in dweight.iter_mut().zip(x) {
                    *sum += slope * x.wide();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial;
    use half::bf16;

    #[test]
    fn weights_are_scaled_for_each_member_and_gradients_are_summed() {
        for (members, rows, width) in [(1, 1, 1), (3, 5, 17), (4, 300, 70), (2, 0, 9), (0, 4, 9)] {
            let weight = trial::numbers(rows * width, 1);
            let scales = trial::numbers(members * width, 2);
            let dout = trial::numbers(members * rows * width, 3);
            let at = |m: usize, o: usize, i: usize| (m * rows + o) * width + i;
            let found = trial::same_everywhere(|isa| {
                let mut out = vec![f32::NAN; dout.len()];
                scale(isa, &weight, &scales, width, &mut out);
                let mut back = (vec![f32::NAN; weight.len()], vec![f32::NAN; scales.len()]);
                let given = (&weight[..], &scales[..]);
                let to = (&mut back.0[..], &mut back.1[..]);
                scale_backward(isa, &dout, given, width, to);
                (out, back.0, back.1)
            });
            let (mut dweight, mut dscales) = (vec![0f64; weight.len()], vec![0f64; scales.len()]);
            for (m, o, i) in triples(members, rows, width) {
                let (w, s) = (weight[o * width + i], scales[m * width + i]);
                assert_eq!(found.0[at(m, o, i)], w * s);
                let slope = f64::from(dout[at(m, o, i)]);
                dweight[o * width + i] += slope * f64::from(s);
                dscales[m * width + i] += slope * f64::from(w);
            }
            trial::near(&trial::wide(&found.1), &dweight, 1e-4);
            trial::near(&trial::wide(&found.2), &dscales, 1e-4);
        }
    }

    fn triples(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..a * b * c).map(move |i| (i / (b * c), i / c % b, i % c))
    }

    fn output_layers<E: Element + PartialEq>(rows: usize, shape: Shape, tolerance: f64) {
        let Shape {
            members,
            width,
            outputs: outside,
        } = shape;
        let x: Vec<E> = trial::elements(rows * members * width, 4);
        let weight = trial::numbers(members * width * outside, 5);
        let bias = trial::numbers(members * outside, 6);
        let dout = trial::numbers(rows * members * outside, 7);
        let found = trial::same_everywhere(|isa| {
            let mut out = vec![f32::NAN; dout.len()];
            outputs(isa, shape, &x, (&weight, &bias), &mut out);
            let mut dx = vec![E::narrow(f32::NAN); x.len()];
            let (mut dweight, mut dbias) =
                (vec![f32::NAN; weight.len()], vec![f32::NAN; bias.len()]);
            let back = Back {
                dx: &mut dx,
                dweight: &mut dweight,
                dbias: &mut dbias,
            };
            outputs_backward(isa, shape, &dout, (&x, &weight), back);
            [out, dx.iter().map(|v| v.wide()).collect(), dweight, dbias]
        });
        let mut want = [
            vec![0f64; dout.len()],
            vec![0f64; x.len()],
            vec![0f64; weight.len()],
            vec![0f64; bias.len()],
        ];
        for (row, m, o) in triples(rows, members, outside) {
            let at = (row * members + m) * outside + o;
            let slope = f64::from(dout[at]);
            want[0][at] = f64::from(bias[m * outside + o]);
            want[3][m * outside + o] += slope;
            for w in 0..width {
                let (i, j) = (
                    (row * members + m) * width + w,
                    (m * width + w) * outside + o,
                );
                let (x, weight) = (f64::from(x[i].wide()), f64::from(weight[j]));
                want[0][at] += x * weight;
                want[1][i] += slope * weight;
                want[2][j] += slope * x;
            }
        }
        for (found, want) in found.iter().zip(&want) {
            trial::near(&trial::wide(found), want, tolerance);
        }
    }

    #[test]
    fn output_layers_are_products_of_each_member_with_its_own_rows() {
        for (rows, members, width, outputs) in [
            (1, 1, 1, 1),
            (7, 3, 20, 2),
            (70, 5, 64, 1),
            (40, 2, 33, 7),
            (0, 2, 8, 2),
        ] {
            let shape = Shape {
                members,
                width,
                outputs,
            };
            output_layers::<f32>(rows, shape, 1e-4);
            output_layers::<bf16>(rows, shape, 1e-2);
        }
    }

    #[test]
    #[should_panic(expected = "6 weights and 4 scales of rows of 3 make 12")]
    fn lengths_that_do_not_fit_are_refused() {
        scale(Isa::Portable, &[1.0; 6], &[1.0; 4], 3, &mut [0.0; 12]);
    }
}

//! Activations: in the last step of a product, and gated (GLU).

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

use crate::blocks;
use crate::element::Element;
use crate::isa::{Isa, vectorized};
use crate::math;
use crate::parallel::Spread;

/// A function applied to every value of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x`.
    None,
    /// `x Φ(x)`: [`math::gelu`].
    Gelu,
    /// The tanh form of GELU: [`math::gelu_tanh`].
    GeluTanh,
    /// `max(x, 0)`; its slope at 0 is 0.
    Relu,
    /// `min(max(x, 0), 6)`; its slope is 0 outside (0, 6).
    Relu6,
    /// `tanh(x)`.
    Tanh,
    /// `σ(x) = 1 / (1 + e^-x)`.
    Sigmoid,
    /// `x σ(x)`: [`math::silu`].
    Silu,
}

/// An activation as a type, so that loops are compiled for each. Closures and function pointers would
/// not be inlined for certain.
trait Curve {
    /// Value and slope at `x`.
    fn at(x: f32) -> (f32, f32);
}

macro_rules! curves {
    ($($name:ident: $x:ident => $value:expr;)+) => {$(
        struct $name;
        impl Curve for $name {
            #[inline(always)]
            fn at($x: f32) -> (f32, f32) {
                $value
            }
        }
    )+};
}

curves! {
    Identity: x => (x, 1.0);
    Gelu: x => math::gelu(x);
    GeluTanh: x => math::gelu_tanh(x);
    // Written so that NaN stays NaN.
    Relu: x => if x <= 0.0 { (0.0, 0.0) } else { (x, 1.0) };
    Relu6: x => if x <= 0.0 {
        (0.0, 0.0)
    } else if x >= 6.0 {
        (6.0, 0.0)
    } else {
        (x, 1.0)
    };
    Tanh: x => {
        let t = math::tanh(x);
        (t, 1.0 - t * t)
    };
    Sigmoid: x => {
        let s = math::sigmoid(x);
        (s, s * (1.0 - s))
    };
    Silu: x => math::silu(x);
}

/// Evaluates an expression with `$curve` standing for the type of the activation.
macro_rules! with_curve {
    ($activation:expr, $curve:ident => $e:expr) => {
        match $activation {
            Activation::None => with_curve!(@ $curve Identity $e),
            Activation::Gelu => with_curve!(@ $curve Gelu $e),
            Activation::GeluTanh => with_curve!(@ $curve GeluTanh $e),
            Activation::Relu => with_curve!(@ $curve Relu $e),
            Activation::Relu6 => with_curve!(@ $curve Relu6 $e),
            Activation::Tanh => with_curve!(@ $curve Tanh $e),
            Activation::Sigmoid => with_curve!(@ $curve Sigmoid $e),
            Activation::Silu => with_curve!(@ $curve Silu $e),
        }
    };
    (@ $curve:ident $type:ident $e:expr) => {{
        type $curve = $type;
        $e
    }};
}

impl Activation {
    /// Value and slope at `x`. Loops choose once instead: see [`row`].
    #[inline(always)]
    pub fn value_and_slope(self, x: f32) -> (f32, f32) {
        with_curve!(self, C => C::at(x))
    }
}

/// `y = f(z + bias)` and `slope = f'(z + bias)`, each value on its own; to be inlined into code compiled
/// for the instructions found.
///
/// # Panics
/// When the slices differ in length.
#[inline(always)]
pub fn row<E: Element>(
    activation: Activation,
    z: &[f32],
    bias: &[f32],
    y: &mut [E],
    slope: Option<&mut [E]>,
) {
    let n = z.len();
    let slopes = slope.as_ref().map_or(n, |s| s.len());
    assert!(
        bias.len() == n && y.len() == n && slopes == n,
        "activation: slices of different length"
    );
    with_curve!(activation, C => curve_row::<E, C>(z, bias, y, slope));
}

/// Replaces each z by `f(z)`, and writes `f'(z)` to `slope`; to be inlined as [`row`].
///
/// # Panics
/// When the slices differ in length.
#[inline(always)]
pub(crate) fn in_place(activation: Activation, z: &mut [f32], slope: Option<&mut [f32]>) {
    let slopes = slope.as_ref().map_or(z.len(), |s| s.len());
    assert!(slopes == z.len(), "activation: slices of different length");
    with_curve!(activation, C => curve_in_place::<C>(z, slope));
}

#[inline(always)]
fn curve_in_place<C: Curve>(z: &mut [f32], slope: Option<&mut [f32]>) {
    match slope {
        None => {
            for z in z {
                *z = C::at(*z).0;
            }
        }
        Some(slope) => {
            for (z, slope) in z.iter_mut().zip(slope) {
                (*z, *slope) = C::at(*z);
            }
        }
    }
}

#[inline(always)]
fn curve_row<E: Element, C: Curve>(z: &[f32], bias: &[f32], y: &mut [E], slope: Option<&mut [E]>) {
    match slope {
        None => {
            for ((z, bias), y) in z.iter().zip(bias).zip(y) {
                *y = E::narrow(C::at(z + bias).0);
            }
        }
        Some(slope) => {
            for (((z, bias), y), slope) in z.iter().zip(bias).zip(y).zip(slope) {
                let (value, rise) = C::at(z + bias);
                *y = E::narrow(value);
                *slope = E::narrow(rise);
            }
        }
    }
}

/// Gated linear unit (Shazeer, arXiv:2002.05202): `out = f(gate) * up`.
///
/// Each row of `x`, `[rows, 2 * width]`, is the gate followed by what it lets through; `out` is
/// `[rows, width]`. SwiGLU is [`Activation::Silu`], GEGLU [`Activation::Gelu`].
///
/// # Panics
/// When a length is wrong.
pub fn glu_forward<E: Element>(x: &[E], width: usize, activation: Activation, out: &mut [E]) {
    glu_forward_on(Isa::current(), x, width, activation, out);
}

/// [`glu_forward`] with these instructions.
pub(crate) fn glu_forward_on<E: Element>(
    isa: Isa,
    x: &[E],
    width: usize,
    activation: Activation,
    out: &mut [E],
) {
    check_glu(x.len(), out.len(), width);
    if out.is_empty() {
        return;
    }
    let many = blocks::rows(width) * width;
    out.chunks_mut(many)
        .zip(x.chunks(2 * many))
        .spread(|(out, x)| {
            with_curve!(activation, C => glu_rows::<E, C>(isa, x, width, out));
        });
}

fn check_glu(x: usize, out: usize, width: usize) {
    assert!(
        x == 2 * out && out.is_multiple_of(width.max(1)),
        "glu: {x} values for {out} outputs in rows of {width}, expected twice as many and whole rows"
    );
}

vectorized! {
    fn glu_rows[E: Element, C: Curve](x: &[E], width: usize, out: &mut [E]) {
        for (x, out) in x.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
            let (gate, up) = x.split_at(width);
            for ((gate, up), out) in gate.iter().zip(up).zip(out) {
                *out = E::narrow(C::at(gate.wide()).0 * up.wide());
            }
        }
    }

    fn glu_backward_rows[E: Element, C: Curve](x: &[E], dy: &[E], width: usize, dx: &mut [E]) {
        let rows = x.chunks_exact(2 * width).zip(dx.chunks_exact_mut(2 * width));
        for ((x, dx), dy) in rows.zip(dy.chunks_exact(width)) {
            let ((gate, up), (dgate, dup)) = (x.split_at(width), dx.split_at_mut(width));
            let inputs = gate.iter().zip(up).zip(dy);
            for (((gate, up), dy), (dgate, dup)) in inputs.zip(dgate.iter_mut().zip(dup)) {
                let (value, slope) = C::at(gate.wide());
                let dy = dy.wide();
                *dgate = E::narrow(dy * up.wide() * slope);
                *dup = E::narrow(dy * value);
            }
        }
    }
}

/// The gradient of [`glu_forward`]: `dx` (`[rows, 2 * width]`) from `x` and the gradient `dy` of its
/// result (`[rows, width]`): `dy * up * f'(gate)` and `dy * f(gate)`.
///
/// # Panics
/// When a length is wrong.
pub fn glu_backward<E: Element>(
    x: &[E],
    dy: &[E],
    width: usize,
    activation: Activation,
    dx: &mut [E],
) {
    glu_backward_on(Isa::current(), x, dy, width, activation, dx);
}

/// [`glu_backward`] with these instructions.
pub(crate) fn glu_backward_on<E: Element>(
    isa: Isa,
    x: &[E],
    dy: &[E],
    width: usize,
    activation: Activation,
    dx: &mut [E],
) {
    check_glu(x.len(), dy.len(), width);
    check_glu(dx.len(), dy.len(), width);
    if dy.is_empty() {
        return;
    }
    let many = blocks::rows(width) * width;
    dx.chunks_mut(2 * many)
        .zip(x.chunks(2 * many))
        .zip(dy.chunks(many))
        .spread(|((dx, x), dy)| {
            with_curve!(activation, C => glu_backward_rows::<E, C>(isa, x, dy, width, dx));
        });
}

#[cfg(test)]
mod tests;

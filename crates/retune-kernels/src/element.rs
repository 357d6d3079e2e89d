//! The two number formats that activations are kept in.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the instructions found"
)]

use half::bf16;

use crate::gemm::Kind;

/// A stored number: `f32` or `bf16`. Arithmetic is always f32.
pub trait Element: bytemuck::Pod + Default + std::fmt::Debug + Send + Sync + Kind {
    /// Bytes of one.
    const BYTES: usize = size_of::<Self>();

    /// Widened; exact.
    fn wide(self) -> f32;

    /// Rounded to nearest, ties to even; NaN stays NaN.
    fn narrow(x: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(x: f32) -> Self {
        x
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    // Branch-free, unlike `bf16::from_f32`, so that loops over it become vector code.
    #[inline(always)]
    fn narrow(x: f32) -> Self {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let quiet = (bits >> 16) | 0x40;
        let nan = bits & 0x7fff_ffff > 0x7f80_0000;
        bf16::from_bits(if nan { quiet } else { rounded } as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrowing_rounds_as_half_does() {
        let special = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            1e-40,
        ];
        let many = (0..200_000u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b1)));
        for x in special.into_iter().chain(many) {
            let (ours, theirs) = (bf16::narrow(x), bf16::from_f32(x));
            assert!(
                ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()),
                "{x:e}: {ours:?} and {theirs:?}"
            );
            assert!(ours.is_nan() || ours.wide() == ours.to_f32());
        }
    }
}

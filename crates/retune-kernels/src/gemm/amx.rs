//! The register tile of x86-64 with matrix instructions (AMX): Sapphire Rapids and later Xeons.
//!
//! Source: Intel, "Architecture Instruction Set Extensions Programming Reference" (319433), chapter on AMX.

#![expect(unsafe_code, reason = "matrix instructions")]

use std::arch::asm;
use std::cell::Cell;

use half::bf16;

use super::View;
use super::tile::{Product, Target, Tile};
use super::x86;
use crate::element::Element;
use crate::scratch;

/// bf16 with products of 16 x 32 by 32 x 16 (`tdpbf16ps`), 32 x 32.
///
/// Left panels lie as [`Tile`] says: 32 values of k of a row together. In right ones pairs along k lie together, as
/// the instruction wants them: value `(p * 32 + d, c)` at `(p * 16 + d / 2) * 64 + 2 * c + d % 2`.
pub struct AmxBf16;

/// Values of k in one step.
const DEPTH: usize = 32;
/// Rows and columns of the tile: two by two registers of 16 x 16 sums.
const SIDE: usize = 32;
/// Bytes from one row of a packed operand to the next: left ones, right ones.
const APART: (usize, usize) = (DEPTH * 2, SIDE * 4);

impl Tile for AmxBf16 {
    type Elem = bf16;
    const ROWS: usize = SIDE;
    const COLS: usize = SIDE;
    const DEPTH: usize = DEPTH;

    // SAFETY: the contract of each function is the trait's.
    unsafe fn packed(product: Product<bf16>, c: Target) {
        // SAFETY: the caller keeps it; a step of a packed operand is 32 rows of 64 bytes.
        unsafe { multiply(product, (APART.0, SIDE * APART.0), c) }
    }

    unsafe fn in_place(product: Product<bf16>, lda: usize, c: Target) {
        // SAFETY: the caller's contract is the same; the next step lies 64 bytes on in each row.
        unsafe { multiply(product, (2 * lda, APART.0), c) }
    }

    fn pack_rows<const W: usize, S: Element>(src: View<'_, S>, panel: &mut [bf16]) {
        end_with_zeros::<W>(src.cols, panel);
        <x86::Avx512Bf16 as Tile>::pack_rows::<W, S>(src, panel);
    }

    fn pack_cols<const W: usize, S: Element>(src: View<'_, S>, panel: &mut [bf16]) {
        end_with_zeros::<W>(src.rows, panel);
        <x86::Avx512Bf16 as Tile>::pack_cols::<W, S>(src, panel);
    }

    fn pack_left_rows<const W: usize, S: Element>(src: View<'_, S>, panel: &mut [bf16]) {
        assert!(src.rows <= W && panel.len() >= src.cols.next_multiple_of(DEPTH) * W);
        // SAFETY: the view holds what it says, the panel was just measured, and a tile of this kind is only chosen
        // where the machine has these instructions.
        unsafe { x86::copy_rows_bf16::<W, S>(src, panel.as_mut_ptr()) }
    }

    fn pack_left_cols<const W: usize, S: Element>(src: View<'_, S>, panel: &mut [bf16]) {
        assert!(src.cols <= W && W.is_multiple_of(16));
        assert!(panel.len() >= src.rows.next_multiple_of(DEPTH) * W);
        // SAFETY: as above.
        unsafe { x86::turn_cols_bf16::<W, S>(src, panel.as_mut_ptr()) }
    }
}

/// Zeros for the last step of a right panel of width `W`, unless its pairs fill it.
fn end_with_zeros<const W: usize>(k: usize, panel: &mut [bf16]) {
    if !k.is_multiple_of(DEPTH) {
        panel[k / DEPTH * DEPTH * W..][..DEPTH * W].fill(bf16::ZERO);
    }
}

/// The shapes of the eight registers: all of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIG: Config = Config {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Sets the shapes of the registers, once per thread: nothing else in the process uses them.
///
/// # Safety
/// The machine has the instructions.
#[inline]
unsafe fn configure() {
    thread_local! {
        static DONE: Cell<bool> = const { Cell::new(false) };
    }
    if !DONE.replace(true) {
        // SAFETY: reads the 64 bytes of the configuration.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG, options(nostack, readonly)) };
    }
}

/// `c = a b` or `c += a b`; `apart` are the bytes between rows and between steps of a.
///
/// # Safety
/// As [`Tile::in_place`], with these distances.
#[inline]
unsafe fn multiply(product: Product<bf16>, apart: (usize, usize), c: Target) {
    // SAFETY: the machine has the instructions, by the caller's promise.
    unsafe { configure() };
    if c.rows == SIDE {
        // SAFETY: all rows of c are writable, by the caller's promise.
        return unsafe { sums(product, apart, c) };
    }
    scratch::with::<f32, _>(SIDE * SIDE, |tile| {
        let whole = Target {
            c: tile.as_mut_ptr(),
            stride: SIDE,
            rows: SIDE,
            add: false,
        };
        // SAFETY: as above, the sums go into `tile` first.
        unsafe { sums(product, apart, whole) };
        for (i, row) in tile.chunks_exact(SIDE).take(c.rows).enumerate() {
            // SAFETY: i < rows of c.
            let to = unsafe { std::slice::from_raw_parts_mut(c.c.add(i * c.stride), SIDE) };
            for (to, sum) in to.iter_mut().zip(row) {
                *to = if c.add { *to + sum } else { *sum };
            }
        }
    });
}

/// [`multiply`] of a whole tile. The panel of b serves many tiles one after the other and stays in the first cache,
/// which is too small for both: a is read past it (`tileloaddt1`).
///
/// # Safety
/// As [`multiply`], with the registers configured and all rows of c writable.
#[inline]
unsafe fn sums(product: Product<bf16>, (row, step): (usize, usize), c: Target) {
    let stride = 4 * c.stride;
    let (low, high) = (c.c, c.c.wrapping_byte_add(16 * stride));
    // SAFETY: reads `steps` steps of both operands, each of 32 rows of 64 bytes of a and 16 of 128 bytes of b, and
    // reads and writes 32 rows of 128 bytes of c: the caller vouches for them.
    unsafe {
        if c.add {
            asm!(
                "tileloadd tmm0, [{low} + {stride}*1]",
                "tileloadd tmm1, [{low} + {stride}*1 + 64]",
                "tileloadd tmm2, [{high} + {stride}*1]",
                "tileloadd tmm3, [{high} + {stride}*1 + 64]",
                low = in(reg) low, high = in(reg) high, stride = in(reg) stride,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                options(nostack, readonly, preserves_flags),
            );
        } else {
            asm!(
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                options(nostack, nomem, preserves_flags),
            );
        }
        asm!(
            "test {steps}, {steps}",
            "jz 3f",
            "2:",
            "tileloaddt1 tmm4, [{low} + {row}*1]",
            "tileloadd tmm6, [{b} + {width}*1]",
            "tileloadd tmm7, [{b} + {width}*1 + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloaddt1 tmm5, [{high} + {row}*1]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "add {low}, {step}",
            "add {high}, {step}",
            "add {b}, {panel}",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "dec {steps}",
            "jnz 2b",
            "3:",
            "tilestored [{c} + {stride}*1], tmm0",
            "tilestored [{c} + {stride}*1 + 64], tmm1",
            "tilestored [{c2} + {stride}*1], tmm2",
            "tilestored [{c2} + {stride}*1 + 64], tmm3",
            steps = inout(reg) product.steps => _,
            low = inout(reg) product.a => _,
            high = inout(reg) product.a.wrapping_byte_add(16 * row) => _,
            b = inout(reg) product.b => _,
            row = in(reg) row,
            step = in(reg) step, width = in(reg) APART.1,
            panel = const DEPTH * SIDE * 2,
            c = in(reg) low, c2 = in(reg) high, stride = in(reg) stride,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

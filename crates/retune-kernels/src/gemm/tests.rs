//! Products of every shape, format and instruction set against plain loops in f64.

use half::bf16;
use proptest::prelude::*;

use super::pack::shape;
use super::*;
use crate::dropout::mix;
use crate::isa::Isa;
use crate::trial::numbers;

/// Values in [-2, 2), of few enough bits that bf16 holds them.
fn draw<E: Element>(n: usize, salt: u64) -> Vec<E> {
    let value = |i| (mix(salt << 32 | i) >> 57) as f32 / 32.0 - 2.0;
    (0..n as u64).map(|i| E::narrow(value(i))).collect()
}

/// `a b` for a `[m, k]`, b `[k, n]`.
fn plain<E: Element>(a: &[E], b: &[E], (m, k, n): (usize, usize, usize)) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            let term = |p: usize| f64::from(a[i * k + p].wide()) * f64::from(b[p * n + j].wide());
            c[i * n + j] = (0..k).map(term).sum();
        }
    }
    c
}

fn transposed<E: Element>(x: &[E], rows: usize, cols: usize) -> Vec<E> {
    (0..rows * cols)
        .map(|i| x[i % rows * cols + i / rows])
        .collect()
}

fn near(got: &[f32], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let allowed = 1e-5 * w.abs().max(10.0);
        assert!(
            (f64::from(*g) - w).abs() <= allowed,
            "{what}, {i}: {g} and {w}"
        );
    }
}

const SHAPES: &[(usize, usize, usize)] = &[
    (0, 3, 5),
    (3, 0, 5),
    (3, 5, 0),
    (1, 1, 1),
    (1, 2, 31),
    (2, 3, 33),
    (5, 7, 9),
    (12, 16, 32),
    (13, 31, 37),
    (97, 64, 65),
    (101, 130, 127),
    // 2,048 bytes from row to row in bf16 and in f32: read by packing.
    (25, 1024, 40),
    (24, 512, 40),
];

fn product<E: Element>(
    isa: Isa,
    a: View<'_, E>,
    sources: &[View<'_, E>],
    (stored, side): (Stored, Side),
) -> Vec<f32> {
    let (k, n) = shape(sources, stored, side);
    let mut panels = vec![E::default(); Packed::<E>::len(isa, k, n)];
    let b = Packed::pack(isa, sources, stored, side, &mut panels);
    let mut out = vec![f32::NAN; a.rows() * n];
    multiply(a, &b, &mut out, &mut [(); 0], |spot, out, _| {
        for i in 0..spot.rows {
            out[(spot.block_row + i) * n + spot.col..][..spot.cols].copy_from_slice(spot.values(i));
        }
    });
    out
}

fn products_of<E: Element>() {
    for isa in Isa::available() {
        for (salt, (m, k, n)) in SHAPES.iter().copied().enumerate() {
            let salt = salt as u64;
            let (a, b) = (draw::<E>(m * k, salt), draw::<E>(k * n, salt + 100));
            let want = plain(&a, &b, (m, k, n));
            let what = format!("{} {m} x {k} x {n}", isa.name());
            let a = View::new(&a, m, k);
            let got = product(isa, a, &[View::new(&b, k, n)], (Stored::Plain, Side::N));
            near(&got, &want, &what);
            let bt = transposed(&b, k, n);
            let got = product(
                isa,
                a,
                &[View::new(&bt, n, k)],
                (Stored::Transposed, Side::N),
            );
            near(&got, &want, &what);
        }
    }
}

/// `a b + c d` in one pass.
fn sums_of<E: Element>() {
    for isa in Isa::available() {
        for (salt, (m, k, n)) in SHAPES.iter().copied().enumerate() {
            for depth in [0, 1, 8, 17] {
                let salt = salt as u64;
                let (a, b) = (draw::<E>(m * k, salt), draw::<E>(k * n, salt + 100));
                let (c, d) = (
                    draw::<E>(m * depth, salt + 7),
                    draw::<E>(depth * n, salt + 107),
                );
                let mut want = plain(&a, &b, (m, k, n));
                let more = plain(&c, &d, (m, depth, n));
                want.iter_mut().zip(&more).for_each(|(w, more)| *w += more);
                let mut panels = vec![E::default(); Packed::<E>::len(isa, k, n)];
                let b = [View::new(&b, k, n)];
                let b = Packed::pack(isa, &b, Stored::Plain, Side::N, &mut panels);
                let mut panels = vec![E::default(); Packed::<E>::len(isa, depth, n)];
                let d = [View::new(&d, depth, n)];
                let d = Packed::pack(isa, &d, Stored::Plain, Side::N, &mut panels);
                let (a, c) = (View::new(&a, m, k), View::new(&c, m, depth));
                let mut out = vec![f32::NAN; m * n];
                multiply_sum(
                    (a, &b),
                    Some((c, &d)),
                    &mut out,
                    &mut [(); 0],
                    |spot, out, _| {
                        for i in 0..spot.rows {
                            out[(spot.block_row + i) * n + spot.col..][..spot.cols]
                                .copy_from_slice(spot.values(i));
                        }
                    },
                );
                near(
                    &out,
                    &want,
                    &format!("{} {m} x {k} + {depth} x {n}", isa.name()),
                );
            }
        }
    }
}

#[test]
fn sums_of_products_equal_plain_loops() {
    sums_of::<f32>();
    sums_of::<bf16>();
}

#[test]
fn products_equal_plain_loops_in_f32() {
    products_of::<f32>();
}

#[test]
fn products_equal_plain_loops_in_bf16() {
    products_of::<bf16>();
}

fn gradients_of<E: Element>() {
    for isa in Isa::available() {
        // More tokens than one pass takes, and a gradient that is written past the caches.
        let long = [(5000, 3, 34), (2049, 13, 5), (67, 301, 240)];
        for (tokens, out, input) in SHAPES.iter().copied().chain(long) {
            let (dy, x) = (draw::<E>(tokens * out, 3), draw::<E>(tokens * input, 4));
            let want = plain(&transposed(&dy, tokens, out), &x, (out, tokens, input));
            let (mut dw, mut db) = (Aligned::<f32>::new(out * input), vec![f32::NAN; out]);
            dw.fill(f32::NAN);
            let (dy_view, x_view) = (View::new(&dy, tokens, out), View::new(&x, tokens, input));
            outer(isa, dy_view, x_view, &mut dw, &mut db);
            let what = format!("{} {tokens} x {out} x {input}", isa.name());
            near(&dw, &want, &what);
            if input > 0 {
                let ones = vec![E::narrow(1.0); tokens];
                near(
                    &db,
                    &plain(&transposed(&dy, tokens, out), &ones, (out, tokens, 1)),
                    &what,
                );
            }
        }
    }
}

#[test]
fn gradients_of_weights_equal_plain_loops_in_f32() {
    gradients_of::<f32>();
}

#[test]
fn gradients_of_weights_equal_plain_loops_in_bf16() {
    gradients_of::<bf16>();
}

#[test]
fn gradients_by_parts_of_the_tokens_add_up() {
    for isa in Isa::available() {
        let (tokens, out, input) = (75, 13, 37);
        let (dy, x) = (
            draw::<bf16>(tokens * out, 3),
            draw::<bf16>(tokens * input, 4),
        );
        let (dy, x) = (View::new(&dy, tokens, out), View::new(&x, tokens, input));
        let (mut dw, mut db) = (vec![f32::NAN; out * input], vec![f32::NAN; out]);
        outer(isa, dy, x, &mut dw, &mut db);
        let (mut parts, mut sums) = (vec![f32::NAN; out * input], vec![f32::NAN; out]);
        for (first, rows) in [(0, 40), (40, 0), (40, 35)] {
            let rows = (first, rows);
            let part = (dy.part(rows, (0, out)), x.part(rows, (0, input)));
            let add = if first == 0 { outer } else { add_outer };
            add(isa, part.0, part.1, &mut parts, &mut sums);
        }
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        near(&parts, &wide(&dw), isa.name());
        near(&sums, &wide(&db), isa.name());
    }
}

#[test]
fn several_weights_make_one_operand_along_either_side() {
    for isa in Isa::available() {
        let (m, k) = (29, 64);
        let x = draw::<bf16>(m * k, 1);
        let w: Vec<Vec<bf16>> = (2..5).map(|salt| draw(32 * k, salt)).collect();
        let views: Vec<View<'_, bf16>> = w.iter().map(|w| View::new(w, 32, k)).collect();
        let got = product(
            isa,
            View::new(&x, m, k),
            &views,
            (Stored::Transposed, Side::N),
        );
        let all = transposed(&w.concat(), 96, k);
        near(&got, &plain(&x, &all, (m, k, 96)), isa.name());
        // Back: dy [m, 96] times the weights [96, k].
        let dy = draw::<bf16>(m * 96, 9);
        let got = product(isa, View::new(&dy, m, 96), &views, (Stored::Plain, Side::K));
        near(&got, &plain(&dy, &w.concat(), (m, 96, k)), isa.name());
    }
}

/// Weights are f32 and multiplied in bf16: their last values, of rows that end inside a vector, are read as the rest.
#[test]
fn weights_in_f32_are_packed_as_if_rounded_before() {
    for isa in Isa::available() {
        for (rows, cols) in [(1, 1), (3, 5), (33, 31), (17, 40), (64, 47), (40, 64)] {
            let wide = numbers(rows * cols, 5);
            let narrow: Vec<bf16> = wide.iter().map(|v| bf16::from_f32(*v)).collect();
            for stored in [Stored::Plain, Stored::Transposed] {
                let (k, n) = match stored {
                    Stored::Plain => (rows, cols),
                    Stored::Transposed => (cols, rows),
                };
                let mut panels =
                    [bf16::MAX, bf16::MIN].map(|v| vec![v; Packed::<bf16>::len(isa, k, n)]);
                let [from_wide, from_narrow] = &mut panels;
                let wide = [View::new(&wide, rows, cols)];
                Packed::pack(isa, &wide, stored, Side::N, from_wide);
                let narrow = [View::new(&narrow, rows, cols)];
                Packed::pack(isa, &narrow, stored, Side::N, from_narrow);
                assert!(
                    from_wide == from_narrow,
                    "{} {rows} x {cols} {stored:?}",
                    isa.name()
                );
            }
        }
    }
}

#[test]
fn parts_of_a_matrix_are_read_with_their_stride() {
    for isa in Isa::available() {
        let whole = draw::<bf16>(40 * 70, 1);
        let part = View::new(&whole, 40, 70).part((3, 30), (5, 50));
        let copied: Vec<bf16> = (3..33)
            .flat_map(|r| whole[r * 70 + 5..][..50].to_vec())
            .collect();
        let b = draw::<bf16>(50 * 33, 2);
        let got = product(
            isa,
            part,
            &[View::new(&b, 50, 33)],
            (Stored::Plain, Side::N),
        );
        near(&got, &plain(&copied, &b, (30, 50, 33)), isa.name());
    }
}

#[test]
fn values_that_are_not_finite_reach_the_rows_they_belong_to() {
    for isa in Isa::available() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut a = draw::<bf16>(20 * 34, 1);
            a[7 * 34 + 33] = bf16::narrow(bad);
            let b = vec![bf16::narrow(1.0); 34 * 33];
            let view = View::new(&a, 20, 34);
            let got = product(
                isa,
                view,
                &[View::new(&b, 34, 33)],
                (Stored::Plain, Side::N),
            );
            for (i, value) in got.iter().enumerate() {
                assert_eq!(value.is_finite(), i / 33 != 7, "{} {bad}", isa.name());
            }
        }
    }
}

#[test]
fn results_are_the_same_bits_on_any_number_of_threads() {
    let (m, k, n) = (700, 96, 200);
    let (a, b) = (draw::<bf16>(m * k, 1), draw::<bf16>(k * n, 2));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map(|pool| {
            pool.install(|| {
                let isa = Isa::best();
                let c = product(
                    isa,
                    View::new(&a, m, k),
                    &[View::new(&b, k, n)],
                    (Stored::Plain, Side::N),
                );
                let (mut dw, mut db) = (vec![0.0; k * n], vec![0.0; k]);
                let c16: Vec<bf16> = c.iter().map(|v| bf16::narrow(*v)).collect();
                outer(
                    isa,
                    View::new(&a, m, k),
                    View::new(&c16, m, n),
                    &mut dw,
                    &mut db,
                );
                let all = c.into_iter().chain(dw).chain(db);
                all.map(f32::to_bits).collect::<Vec<u32>>()
            })
        })
        .ok()
    };
    assert_eq!(on(1), on(2));
    assert_eq!(on(1), on(5));
}

#[test]
#[should_panic(expected = "a product of depth 3 and 4")]
fn shapes_that_do_not_fit_are_refused() {
    let (a, b) = (draw::<f32>(6, 1), draw::<f32>(8, 2));
    product(
        Isa::Portable,
        View::new(&a, 2, 3),
        &[View::new(&b, 4, 2)],
        (Stored::Plain, Side::N),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_part_of_a_matrix_times_any_other_equals_the_plain_loop(
        (m, k, n) in (0usize..60, 0usize..150, 0usize..80),
        (above, left, right) in (0usize..3, 0usize..40, 0usize..40),
        salt in 0u64..1000,
    ) {
        let (rows, cols) = (above + m, left + k + right);
        let whole = draw::<bf16>(rows * cols, salt);
        let part = View::new(&whole, rows, cols).part((above, m), (left, k));
        let copied: Vec<bf16> = (0..m).flat_map(|i| part.row(i).to_vec()).collect();
        let b = draw::<bf16>(k * n, salt + 1);
        let want = plain(&copied, &b, (m, k, n));
        for isa in Isa::available() {
            let got = product(isa, part, &[View::new(&b, k, n)], (Stored::Plain, Side::N));
            near(&got, &want, isa.name());
            let dy = draw::<bf16>(m * n, salt + 2);
            let (mut dw, mut db) = (vec![f32::NAN; n * k], vec![f32::NAN; n]);
            outer(isa, View::new(&dy, m, n), part, &mut dw, &mut db);
            near(&dw, &plain(&transposed(&dy, m, n), &copied, (n, m, k)), isa.name());
        }
    }
}

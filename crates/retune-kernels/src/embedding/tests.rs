//! Gathering and scattering rows against plain loops.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::trial;

fn ids(n: usize, rows: usize) -> Vec<u32> {
    (0..n)
        .map(|i| ((i * i * 31 + 7 * i) % rows) as u32)
        .collect()
}

#[test]
fn gathers_the_sum_of_rows_everywhere() {
    for (tokens, width) in [(0, 3), (1, 1), (5, 17), (77, 384), (300, 64)] {
        let words = (trial::numbers(50 * width, 1), ids(tokens, 50));
        let places = (
            trial::numbers(512 * width, 2),
            (0..tokens as u32).collect::<Vec<_>>(),
        );
        let types = (trial::numbers(2 * width, 3), vec![1; tokens]);
        let all = [&words, &places, &types].map(|(table, ids)| (&table[..], &ids[..]));
        for used in 1..=3 {
            let tables = &all[..used];
            let want: Vec<f32> = (0..tokens * width)
                .map(|i| {
                    let value = |(table, ids): &(&[f32], &[u32])| {
                        table[ids[i / width] as usize * width + i % width]
                    };
                    tables.iter().map(value).reduce(|a, b| a + b).unwrap()
                })
                .collect();
            trial::same_everywhere(|isa| {
                let mut out = vec![7f32; tokens * width];
                gather_sum_on(isa, tables, width, &mut out);
                assert_eq!(out, want);
            });
        }
    }
}

#[test]
#[should_panic(expected = "token 1 asks table 1 for row 3, expected one of 3 rows from 0")]
fn rows_outside_are_named() {
    let table = [0f32; 6];
    gather_sum(&[(&table, &[0, 1]), (&table, &[2, 3])], 2, &mut [0.0; 4]);
}

#[test]
#[should_panic(expected = "gather: table 0 has 5 values and 1 ids, expected rows of 2")]
fn lengths_of_tables_are_checked() {
    gather_sum(&[(&[0f32; 5], &[0])], 2, &mut [0.0; 2]);
}

#[test]
fn scatters_sums_in_the_order_of_tokens() {
    for (tokens, width, rows) in [
        (0, 4, 9),
        (1, 1, 1),
        (40, 3, 7),
        (900, 65, 3001),
        (700, 48, 2),
    ] {
        let (ids, dy) = (ids(tokens, rows), trial::numbers(tokens * width, 4));
        let mut dense = vec![0f32; rows * width];
        for (token, id) in ids.iter().enumerate() {
            for column in 0..width {
                dense[*id as usize * width + column] += dy[token * width + column];
            }
        }
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        // The last but one has several tasks of rows.
        assert!(rows < 3001 || unique.len() > 2 * blocks::rows(width));
        trial::same_everywhere(|isa| {
            let found = scatter_on(isa, &ids, &dy, width);
            assert_eq!(found.rows, unique);
            assert_eq!(found.dense(rows), dense);
        });
    }
}

#[test]
fn sums_of_gradients_are_those_of_the_tables() {
    let width = 3;
    let parts: [&[u32]; 5] = [&[], &[2], &[0, 4, 8], &[4, 5, 9], &[9, 9, 0, 1]];
    for a in parts {
        for b in parts {
            let of =
                |ids: &[u32], salt| scatter(ids, &trial::numbers(ids.len() * width, salt), width);
            let (a, b) = (of(a, 5), of(b, 6));
            let sum = a.add(&b);
            let want: Vec<f32> = a
                .dense(10)
                .iter()
                .zip(b.dense(10))
                .map(|(a, b)| a + b)
                .collect();
            assert_eq!(sum.dense(10), want);
        }
    }
    // The greatest row number is a row like any other.
    let last = scatter(&[u32::MAX], &[1.0], 1);
    assert_eq!(last.add(&scatter(&[u32::MAX], &[2.0], 1)).values, [3.0]);
    assert_eq!(last.add(&scatter(&[], &[], 1)), last);
    assert_eq!(scatter(&[], &[], 1).add(&last), last);
}

#[test]
#[should_panic(expected = "a row gradient up to row 4 of a table of 4 rows")]
fn rows_beyond_the_table_are_named() {
    scatter(&[4, 0], &[1.0, 2.0], 1).dense(4);
}

#[test]
#[should_panic(expected = "a row gradient whose rows do not ascend")]
fn rows_have_to_ascend() {
    let gradient = RowGradient {
        rows: vec![1, 1],
        values: vec![0.0; 2],
        width: 1,
    };
    gradient.dense(2);
}

#[test]
fn what_is_not_finite_shows() {
    let found = scatter(&[1, 0, 1], &[1.0, 2.0, f32::NAN], 1);
    assert!(found.values[0] == 2.0 && found.values[1].is_nan());
}

//! How long the ten best of a million items take for one user, next to one streaming read of the item matrix.
//! `cargo run --release -p retune-kernels --example top_items [ITEMS] [WIDTH]`
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::hint::black_box;
use std::time::Instant;

use retune_kernels::dropout::mix;
use retune_kernels::gemm::View;
use retune_kernels::isa::Isa;
use retune_kernels::topk::{Search, best};

fn main() {
    let given = |at, usual| {
        let text = std::env::args().nth(at);
        text.and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let (items, width): (usize, usize) = (given(1, 1_000_000), given(2, 64));
    let value = |i: u64| (mix(i) >> 40) as f32 / (1 << 23) as f32 - 1.0;
    let matrix: Vec<f32> = (0..(items * width) as u64).map(value).collect();
    let user: Vec<f32> = (0..width as u64).map(|i| value(u64::MAX - i)).collect();
    let search = Search {
        users: View::new(&user, 1, width),
        items: View::new(&matrix, items, width),
        exclude: &[],
        allow: None,
    };
    let (mut searched, mut read) = (Vec::new(), Vec::new());
    for _ in 0..15 {
        let clock = Instant::now();
        black_box(best(Isa::current(), black_box(&search), 10));
        searched.push(clock.elapsed().as_secs_f64() * 1e3);
        let clock = Instant::now();
        black_box(streamed(black_box(&matrix)));
        read.push(clock.elapsed().as_secs_f64() * 1e3);
    }
    let (searched, read) = (median(searched), median(read));
    println!(
        "{items} x {width}: ten best {searched:.2} ms, one read {read:.2} ms, {:.2} times",
        searched / read
    );
}

/// Reads all values on every thread, as fast as memory gives them: eight sums of sixteen lanes hide the additions.
fn streamed(values: &[f32]) -> f32 {
    const LANES: usize = 128;
    let threads = rayon::current_num_threads();
    let share = values.len().div_ceil(threads).next_multiple_of(LANES);
    let mut sums = vec![0f32; threads];
    rayon::scope(|scope| {
        for (sum, part) in sums.iter_mut().zip(values.chunks(share)) {
            scope.spawn(move |_| {
                let mut lanes = [0f32; LANES];
                for block in part.chunks_exact(LANES) {
                    for (lane, value) in lanes.iter_mut().zip(block) {
                        *lane += value;
                    }
                }
                *sum = lanes.iter().sum();
            });
        }
    });
    sums.iter().sum()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

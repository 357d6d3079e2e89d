//! Pools against plain loops in f64.

use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::conv::twin;
use crate::trial;

/// The pixels under each place of one image, and where the place is.
fn windows(pool: &Pool) -> Vec<Vec<usize>> {
    let (window, input) = (pool.window, pool.input);
    let [height, width] = window.output(input.height, input.width);
    let on = |axis: usize, place: usize, tap: usize, size: usize| {
        let at = (place * window.stride[axis] + tap) as isize - window.padding[axis][0] as isize;
        usize::try_from(at).ok().filter(|at| *at < size)
    };
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
    let pixels = places.map(|(y, x)| {
        let rows = (0..window.kernel[0]).filter_map(|tap| on(0, y, tap, input.height));
        let columns: Vec<usize> = (0..window.kernel[1])
            .filter_map(|tap| on(1, x, tap, input.width))
            .collect();
        let row = |row: usize| {
            columns
                .iter()
                .map(move |c| row * input.width + c)
                .collect::<Vec<_>>()
        };
        rows.flat_map(row).collect()
    });
    pixels.collect()
}

/// `[max, mean of the window, mean of the image]` of each place, and their gradients on the image.
fn exact(pool: &Pool, x: &[f64], dy: &[f64]) -> ([Vec<f64>; 3], [Vec<f64>; 3]) {
    let (input, channels) = (pool.input, pool.input.channels);
    let windows = windows(pool);
    let mut y = [0, 1, 2].map(|_| vec![0.0; dy.len()]);
    let mut dx = [0, 1, 2].map(|_| vec![0.0; x.len()]);
    for at in 0..dy.len() {
        let (place, channel) = (at / channels, at % channels);
        let (image, place) = (place / windows.len(), place % windows.len());
        let pixels = &windows[place];
        let from = |pixel: usize| (image * input.height * input.width + pixel) * channels + channel;
        let mut best = pixels[0];
        for pixel in pixels {
            if x[from(*pixel)] > x[from(best)] {
                best = *pixel;
            }
        }
        y[0][at] = x[from(best)];
        dx[0][from(best)] += dy[at];
        let sum: f64 = pixels.iter().map(|p| x[from(*p)]).sum();
        let area = (pool.window.kernel[0] * pool.window.kernel[1]) as f64;
        for (which, count) in [(1, area), (2, pixels.len() as f64)] {
            y[which][at] = sum / count;
            for pixel in pixels {
                dx[which][from(*pixel)] += dy[at] / count;
            }
        }
    }
    (y, dx)
}

fn check<E: Element>(
    window: Window,
    [height, width]: [usize; 2],
    (images, channels): (usize, usize),
    salt: u64,
) {
    let input = Extent {
        images,
        height,
        width,
        channels,
    };
    let pool = Pool { window, input };
    let x: Vec<E> = trial::elements(input.values(), salt);
    let n = pool.output().values();
    let dy: Vec<E> = trial::elements(n, salt + 1);
    let (want_y, want_dx) = exact(&pool, &trial::wide(&x), &trial::wide(&dy));
    let most = |values: &[f64]| vec![100.0; values.len()];
    let run = |isa: Isa| {
        let mut y = [0, 1, 2].map(|_| vec![E::narrow(7e7); n]);
        let mut dx = [0, 1, 2].map(|_| vec![E::narrow(7e7); x.len()]);
        let mut pixels = vec![u32::MAX; n];
        pool.max(isa, &x, &mut y[1], &mut []);
        pool.max(isa, &x, &mut y[0], &mut pixels);
        assert_eq!(trial::bits(&y[0]), trial::bits(&y[1]));
        pool.max_backward(isa, &pixels, &dy, &mut dx[0]);
        for (which, count) in [(1, Count::Window), (2, Count::Image)] {
            pool.average(isa, count, &x, &mut y[which]);
            pool.average_backward(isa, count, &dy, &mut dx[which]);
        }
        for which in 0..3 {
            let size = if which == 0 {
                vec![0.0; n]
            } else {
                most(&want_y[which])
            };
            twin::near_sums(&y[which], &want_y[which], &size);
            twin::near_sums(&dx[which], &want_dx[which], &most(&want_dx[which]));
        }
        (y.map(|v| trial::bits(&v)), dx.map(|v| trial::bits(&v)))
    };
    trial::same_everywhere(run);
}

#[test]
fn every_window_gives_what_plain_loops_give() {
    let padded = Window {
        kernel: [3, 2],
        stride: [2, 1],
        padding: [[0, 2], [1, 0]],
    };
    let places = [
        (Window::new([3, 3], [2, 2], [1, 1]), [9, 12]),
        (Window::new([3, 3], [2, 2], [1, 1]), [1, 1]),
        (Window::new([2, 2], [2, 2], [0, 0]), [7, 6]),
        (Window::new([1, 1], [3, 3], [0, 0]), [7, 6]),
        (Window::new([5, 5], [1, 1], [2, 2]), [2, 3]),
        (Window::new([5, 5], [1, 1], [0, 0]), [3, 6]),
        (padded, [6, 5]),
    ];
    for (window, size) in places {
        for counts in [(2, 3), (1, 1), (0, 4), (3, 17), (1, 33)] {
            check::<f32>(window, size, counts, 1);
            check::<bf16>(window, size, counts, 1);
        }
    }
}

#[test]
fn the_first_of_equal_values_is_taken_and_nan_wins() {
    let input = Extent {
        images: 1,
        height: 1,
        width: 4,
        channels: 1,
    };
    let pool = Pool {
        window: Window::new([1, 2], [1, 2], [0, 0]),
        input,
    };
    for isa in Isa::available() {
        let (mut y, mut pixels) = ([0f32; 2], [9; 2]);
        pool.max(isa, &[3.0, 3.0, f32::NAN, 5.0], &mut y, &mut pixels);
        assert!(y[0] == 3.0 && y[1].is_nan());
        assert_eq!(pixels, [0, 2]);
        pool.max(isa, &[f32::NEG_INFINITY; 4], &mut y, &mut pixels);
        assert_eq!((y, pixels), ([f32::NEG_INFINITY; 2], [0, 2]));
        pool.average(isa, Count::Window, &[1.0, 2.0, f32::INFINITY, 0.0], &mut y);
        assert_eq!(y, [1.5, f32::INFINITY]);
    }
}

fn check_global<E: Element>(images: usize, pixels: usize, channels: usize) {
    let input = Extent {
        images,
        height: pixels,
        width: 2,
        channels,
    };
    let x: Vec<E> = trial::elements(input.values(), 1);
    let dy: Vec<E> = trial::elements(images * channels, 2);
    let count = 2.0 * pixels as f64;
    let mut y = vec![0.0; dy.len()];
    let mut dx = vec![0.0; x.len()];
    for (i, x) in trial::wide(&x).iter().enumerate() {
        let at = i / channels / (2 * pixels) * channels + i % channels;
        y[at] += x / count;
        dx[i] = f64::from(dy[at].wide()) / count;
    }
    trial::same_everywhere(|isa| {
        let mut found = vec![E::narrow(7e7); y.len()];
        global_average(isa, input, &x, &mut found);
        twin::near_sums(&found, &y, &vec![4.0; y.len()]);
        let mut back = vec![E::narrow(7e7); x.len()];
        global_average_backward(isa, input, &dy, &mut back);
        twin::near_sums(&back, &dx, &vec![4.0; x.len()]);
        (trial::bits(&found), trial::bits(&back))
    });
}

#[test]
fn the_mean_of_an_image_is_that_of_its_pixels() {
    for (images, pixels, channels) in [(0, 1, 3), (1, 1, 1), (3, 25, 17), (2, 9, 33)] {
        check_global::<f32>(images, pixels, channels);
        check_global::<bf16>(images, pixels, channels);
    }
}

#[test]
#[should_panic(expected = "a pool of [2, 2] pixels with a padding of [[0, 0], [2, 2]]")]
fn windows_see_a_pixel_at_every_place() {
    let input = Extent {
        images: 1,
        height: 4,
        width: 4,
        channels: 1,
    };
    Pool {
        window: Window::new([2, 2], [1, 1], [0, 2]),
        input,
    }
    .output();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_shape_gives_what_plain_loops_give(
        kernel in [1usize..6, 1usize..6],
        stride in [1usize..4, 1usize..4],
        padding in [[0usize..5, 0usize..5], [0usize..5, 0usize..5]],
        size in [1usize..9, 1usize..9],
        counts in (0usize..3, 1usize..20),
        salt in 0u64..1000,
    ) {
        let padding = [0, 1].map(|axis| padding[axis].map(|p| p % kernel[axis]));
        let window = Window { kernel, stride, padding };
        check::<f32>(window, size, counts, salt);
        check::<bf16>(window, size, counts, salt);
    }
}

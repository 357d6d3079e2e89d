//! Patches by hand.

use super::*;

#[test]
fn a_patch_holds_its_pixels_and_zeros_outside() {
    let input = Extent {
        images: 2,
        height: 2,
        width: 3,
        channels: 2,
    };
    let x: Vec<f32> = (1..=24).map(|i| i as f32).collect();
    let window = Window::new([2, 2], [1, 2], [0, 1]);
    assert_eq!(window.output(2, 3), [1, 2]);
    let mut out = vec![f32::NAN; 2 * 2 * 8];
    patches(window, input, &x, 0..2, &mut out);
    #[rustfmt::skip]
    let want = [
        0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 7.0, 8.0,
        3.0, 4.0, 5.0, 6.0, 9.0, 10.0, 11.0, 12.0,
        0.0, 0.0, 13.0, 14.0, 0.0, 0.0, 19.0, 20.0,
        15.0, 16.0, 17.0, 18.0, 21.0, 22.0, 23.0, 24.0,
    ];
    assert_eq!(out, want);
    let mut second = vec![f32::NAN; 16];
    patches(window, input, &x, 1..2, &mut second);
    assert_eq!(second, want[16..]);
    let mut dx = vec![f32::NAN; 24];
    add_patches(Isa::current(), window, input, &out, &mut dx);
    assert_eq!(dx, x, "each pixel is in one patch");
}

#[test]
fn strips_know_the_places_that_reach_them() {
    for (window, [height, width]) in crate::conv::twin::places() {
        let input = Extent {
            images: 1,
            height,
            width,
            channels: 1,
        };
        let all = window.output(height, width)[0];
        for first in 0..height {
            for end in first + 1..=height {
                let strip = Strip::new(window, input, first..end);
                for row in first..end {
                    let every = window.over(0, row, 0..all);
                    let found: Vec<_> = window.over(0, row, strip.places.clone()).collect();
                    assert_eq!(found, every.collect::<Vec<_>>(), "{window:?} {row}");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "row 3 of 2 places")]
fn rows_that_are_not_there_are_refused() {
    let input = Extent {
        images: 2,
        height: 1,
        width: 1,
        channels: 1,
    };
    let window = Window::new([1, 1], [1, 1], [0, 0]);
    patches(window, input, &[0f32; 2], 2..3, &mut [0.0]);
}

//! Same key, same picture; shares and bounds; shapes that are odd.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn noise(width: usize, height: usize, seed: u64) -> Pixels {
    Pixels::from_fn((width, height), |x, y| {
        let v = crate::random::mix(seed, (y * width + x) as u64);
        [v as u8, (v >> 8) as u8, (v >> 16) as u8]
    })
}

fn small() -> Preprocess {
    Preprocess {
        crop: Size {
            height: 12,
            width: 16,
        },
        resize: super::super::Resize::Shortest(16),
        ..Preprocess::efficientnet_lite0()
    }
}

fn all() -> Knobs {
    Knobs {
        crop_area: Some(0.2),
        flip: 0.5,
        brightness: 0.4,
        contrast: 0.4,
        saturation: 0.4,
        hue: 0.1,
        trivial: true,
        erase: 0.5,
        ..Knobs::default()
    }
}

#[test]
fn the_key_alone_decides() {
    let (p, from) = (small(), noise(40, 30, 1));
    for knobs in [Augment::Light.knobs(), Augment::Strong.knobs(), all()] {
        let run = |k| knobs.apply(&p, &from, k);
        let results: Vec<Vec<f32>> = (0..20).map(|s| run(key(7, 1, s))).collect();
        assert_eq!(results[3], run(key(7, 1, 3)));
        let distinct = results.iter().filter(|r| **r != results[0]).count();
        assert!(distinct >= 18, "{distinct} of 19 differ");
        assert!(results.iter().all(|r| r.len() == 12 * 16 * 3));
    }
    assert_ne!(key(7, 1, 3), key(7, 3, 1));
    assert_ne!(key(7, 1, 3), key(8, 1, 3));
    assert_ne!(key(7, 1, 3), key(7, 2, 3));
    assert_ne!(key(7, 1, 3), key(7, 1, 4));
}

#[test]
fn no_augmentation_is_what_prediction_sees() {
    let (p, from) = (small(), noise(40, 30, 1));
    assert_eq!(Augment::None.knobs().apply(&p, &from, 5), p.apply(&from));
}

/// Of 60 keys, how many change the picture.
fn changed(set: fn(&mut Knobs)) -> usize {
    let (p, from) = (small(), noise(40, 30, 1));
    let mut knobs = Knobs::default();
    set(&mut knobs);
    let plain = p.apply(&from);
    (0..60)
        .filter(|&k| knobs.apply(&p, &from, k) != plain)
        .count()
}

#[test]
fn each_knob_alone_changes_the_picture() {
    assert_eq!(changed(|_| {}), 0);
    assert_eq!(changed(|k| k.flip = 1.0), 60);
    assert_eq!(changed(|k| k.erase = 1.0), 60);
    assert!((15..45).contains(&changed(|k| k.flip = 0.5)));
    let sets: [fn(&mut Knobs); 6] = [
        |k| k.crop_area = Some(0.5),
        |k| k.brightness = 0.5,
        |k| k.contrast = 0.5,
        |k| k.saturation = 0.5,
        |k| k.hue = 0.3,
        |k| k.trivial = true,
    ];
    for (i, set) in sets.into_iter().enumerate() {
        assert!(changed(set) > 40, "knob {i}: {}", changed(set));
    }
}

#[test]
fn erasing_sets_a_rectangle_within_its_bounds() {
    let size = Size {
        height: 40,
        width: 30,
    };
    for k in 0..200 {
        let mut values = vec![1.0; 40 * 30 * 3];
        erase(&mut values, size, &mut Draws::new(k));
        let gone = values.iter().filter(|v| **v == 0.0).count() / 3;
        assert!((20..=420).contains(&gone), "{gone} of 1200");
    }
}

#[test]
fn crops_keep_to_their_area_and_shape() {
    let from = noise(200, 150, 1);
    let mut areas = Vec::new();
    for k in 0..300 {
        let part = random_part(&from, 0.25, &mut Draws::new(k));
        assert!(part.left + part.width <= 200 && part.top + part.height <= 150);
        let shape = part.width as f64 / part.height as f64;
        assert!((0.74..1.36).contains(&shape), "{shape}");
        areas.push((part.width * part.height) as f64 / 30_000.0);
    }
    assert!(areas.iter().all(|a| (0.24..=1.0).contains(a)));
    assert!(areas.iter().any(|a| *a < 0.3) && areas.iter().any(|a| *a > 0.8));
}

#[test]
fn shares_are_those_of_the_beta_distribution() {
    for (alpha, variance) in [(0.2, 0.178_57), (1.0, 0.083_33), (8.0, 0.014_706)] {
        let shares: Vec<f64> = (0..20_000).map(|k| mix_share(alpha, k)).collect();
        assert!(shares.iter().all(|s| (0.0..=1.0).contains(s)));
        let mean = shares.iter().sum::<f64>() / 20_000.0;
        let spread = shares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{alpha}: mean {mean}");
        // Variance 1 / (4 (2 alpha + 1)).
        assert!(
            (spread - variance).abs() < 0.03 * variance,
            "{alpha}: variance {spread}"
        );
    }
    assert!((0..1000).all(|k| mix_share(1e-3, k).is_finite()));
}

#[test]
fn mixes_hold_their_shares() {
    let mut a = vec![1.0; 6];
    mixup(&mut a, &[3.0; 6], 0.25);
    assert_eq!(a, [2.5; 6]);
    let size = Size {
        height: 20,
        width: 30,
    };
    for k in 0..100 {
        let share = mix_share(1.0, k);
        let mut a = vec![1.0; 1800];
        let kept = cutmix(&mut a, &[0.0; 1800], size, share, k);
        let ones = a.iter().filter(|v| **v == 1.0).count() as f64 / 1800.0;
        assert!(
            (kept - ones).abs() < 1e-9 && kept >= share - 1e-9,
            "{share} {kept} {ones}"
        );
    }
    let mut a = vec![1.0; 1800];
    assert_eq!(cutmix(&mut a, &[0.0; 1800], size, 1.0, 1), 1.0);
}

#[test]
fn knobs_out_of_range_are_named() {
    assert_eq!(all().problem(), None);
    let wrong = |knobs: Knobs| knobs.problem().unwrap();
    let none = Knobs::default();
    assert!(
        wrong(Knobs {
            hue: 0.6,
            ..none.clone()
        })
        .contains("`hue` is 0.6, not from 0 to 0.5")
    );
    assert!(
        wrong(Knobs {
            crop_area: Some(0.0),
            ..none.clone()
        })
        .contains("`crop_area` is 0")
    );
    assert!(
        wrong(Knobs {
            contrast: f64::NAN,
            ..none.clone()
        })
        .contains("`contrast`")
    );
    assert!(wrong(Knobs { flip: -1.0, ..none }).contains("`flip`"));
}

#[test]
fn odd_shapes_never_panic() {
    let p = small();
    for (width, height) in [(1, 1), (20_000, 2), (2, 20_000), (1, 300), (3, 3)] {
        let from = noise(width, height, 2);
        for k in 0..40 {
            for knobs in [all(), Augment::Strong.knobs()] {
                assert_eq!(knobs.apply(&p, &from, k).len(), 12 * 16 * 3);
            }
        }
    }
    let one = Preprocess {
        crop: Size::square(1),
        ..small()
    };
    for k in 0..300 {
        assert_eq!(all().apply(&one, &noise(9, 7, 1), k).len(), 3);
    }
}

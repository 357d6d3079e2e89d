//! Copies of pictures are found, and different pictures that are alike are not taken for copies.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::codecs::jpeg::JpegEncoder;
use retune_data::picture::{
    Filter, Numbers, Part, Picture, PictureLimits, Pixels, Thumbnail, idx, near, resize,
    resize_part,
};
use retune_data::read::{ReadOptions, read};
use retune_data::survey::survey;

fn photos() -> Vec<Pixels> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/photos"));
    ["china.jpg", "flower.jpg"]
        .map(|name| Picture::File(folder.join(name)))
        .map(|p| p.pixels(&PictureLimits::default()).unwrap())
        .into()
}

/// Parts of `side` pixels a side, every `step` pixels.
fn patches(side: usize, step: usize) -> Vec<Pixels> {
    let mut out = Vec::new();
    for photo in photos() {
        let size = (photo.width(), photo.height());
        for top in (0..=size.1 - side).step_by(step) {
            for left in (0..=size.0 - side).step_by(step) {
                let part = Part {
                    left,
                    top,
                    width: side,
                    height: side,
                };
                out.push(resize_part(&photo, size, part, Filter::Nearest));
            }
        }
    }
    out
}

/// The picture at 80 % of its size, saved as a JPEG of quality 60.
fn copy(of: &Pixels) -> Pixels {
    let [width, height] = [of.width(), of.height()].map(|side| (side * 4 + 2) / 5);
    let small = resize(of, width, height, Filter::Bicubic);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 60)
        .encode(
            small.rgb(),
            width as u32,
            height as u32,
            image::ExtendedColorType::Rgb8,
        )
        .unwrap();
    Picture::Bytes(bytes.into())
        .pixels(&PictureLimits::default())
        .unwrap()
}

/// Thumbnails of pictures, and then of their copies.
fn with_copies(pictures: &[Pixels]) -> Vec<Thumbnail> {
    let copies = pictures.iter().map(copy);
    let all: Vec<Pixels> = pictures.iter().cloned().chain(copies).collect();
    all.iter().map(Thumbnail::of).collect()
}

fn groups(all: &[Thumbnail]) -> Vec<Vec<usize>> {
    near::groups(&all.iter().collect::<Vec<_>>())
}

/// Pictures of the first half of `all` whose copy, in the second half, is in their group.
fn found(all: &[Thumbnail]) -> usize {
    let half = all.len() / 2;
    let together = |group: &Vec<usize>| {
        let set: HashSet<usize> = group.iter().copied().collect();
        group.iter().filter(|&&i| set.contains(&(i + half))).count()
    };
    groups(all).iter().map(together).sum()
}

/// Pictures that are in a group.
fn grouped(all: &[Thumbnail]) -> usize {
    groups(all).iter().map(Vec::len).sum()
}

#[test]
fn copies_of_photographs_are_found() {
    for (side, step) in [(128, 32), (224, 16)] {
        let pictures = patches(side, step);
        assert!(pictures.len() >= 60);
        let found = found(&with_copies(&pictures));
        assert!(
            found * 100 >= pictures.len() * 95,
            "{found} of {} at {side} pixels",
            pictures.len()
        );
    }
}

#[test]
fn different_parts_of_photographs_are_not_the_same() {
    let mut pictures = patches(32, 32);
    pictures.extend(patches(64, 64));
    let all: Vec<Thumbnail> = pictures.iter().map(Thumbnail::of).collect();
    assert!(all.len() > 200);
    let grouped = grouped(&all);
    assert!(grouped * 200 < all.len(), "{grouped} of {}", all.len());
}

/// A number below `below`, made from a seed by a linear congruential generator.
fn draw(seed: &mut u64, below: u64) -> f64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    ((*seed >> 33) % below) as f64
}

/// A shirt of 28 by 28 pixels on black: of some width at the top and another below, with stripes of its own.
fn shirt(seed: &mut u64) -> Pixels {
    let (shoulders, hem) = (5.0 + draw(seed, 8), 5.0 + draw(seed, 8));
    let (top, bottom) = (2.0 + draw(seed, 5), 20.0 + draw(seed, 7));
    let light = 120.0 + draw(seed, 130);
    let pattern: Vec<f64> = (0..14).map(|_| draw(seed, 90)).collect();
    let mut rgb = Vec::new();
    for y in 0..28 {
        let down = (f64::from(y) - top) / (bottom - top);
        let width = shoulders + (hem - shoulders) * down;
        let dark = pattern[y as usize / 2];
        for x in 0..28 {
            let inside = (0.0..1.0).contains(&down) && (f64::from(x) - 13.5).abs() < width;
            let grey = if inside { (light - dark) as u8 } else { 0 };
            rgb.extend([grey; 3]);
        }
    }
    Pixels::new(28, 28, rgb).unwrap()
}

#[test]
fn small_pictures_that_are_alike_are_not_the_same() {
    let mut seed = 1;
    let all: Vec<Thumbnail> = (0..1000)
        .map(|_| Thumbnail::of(&shirt(&mut seed)))
        .collect();
    let alike = |a: usize| {
        let others = all[a + 1..].iter();
        let near = others.filter(|b| (all[a].hash ^ b.hash).count_ones() <= 6);
        near.count()
    };
    let by_hash: usize = (0..all.len()).map(alike).sum();
    assert!(by_hash > 10_000, "{by_hash}");
    let grouped = grouped(&all);
    assert!(grouped < 5, "{grouped} of {}", all.len());
}

#[test]
fn clothes_of_fashion_mnist_are_not_the_same_where_it_is_installed() {
    let path = Path::new("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz");
    if !path.exists() {
        return;
    }
    let array = idx::read(path).unwrap();
    let Numbers::U8(pixels) = array.numbers else {
        unreachable!("bytes");
    };
    let one = |data: &[u8]| Picture::Raw {
        width: 28,
        height: 28,
        channels: 1,
        data: Arc::from(data),
    };
    let all: Vec<Thumbnail> = pixels
        .chunks_exact(28 * 28)
        .map(|data| one(data).pixels(&PictureLimits::default()).unwrap())
        .map(|pixels| Thumbnail::of(&pixels))
        .collect();
    let grouped = grouped(&all);
    // Some are copies indeed.
    assert!((2..50).contains(&grouped), "{grouped} of {}", all.len());
}

#[test]
fn a_folder_of_classes_is_surveyed() {
    let dir = tempfile::tempdir().unwrap();
    let png = |name: &str, of: &Pixels| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::save_buffer(
            path,
            of.rgb(),
            of.width() as u32,
            of.height() as u32,
            image::ExtendedColorType::Rgb8,
        )
        .unwrap();
    };
    let pictures = patches(128, 128);
    for (i, of) in pictures.iter().take(6).enumerate() {
        png(&format!("a/{i}.png"), of);
    }
    png("b/again.png", &copy(&pictures[4]));
    png("b/other.png", &pictures[9]);
    std::fs::write(dir.path().join("b/broken.png"), b"<html>").unwrap();
    let t = read(dir.path(), &ReadOptions::default()).unwrap();
    let seen = survey(&t, "image").unwrap();
    assert_eq!(seen.bad.len(), 1);
    assert!(seen.bad[0].place.ends_with("b/broken.png"));
    assert!(seen.bad[0].problem.contains("web page"));
    assert_eq!(seen.groups(), [[4, 6]]);
}

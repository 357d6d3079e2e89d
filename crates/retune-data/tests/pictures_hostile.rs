//! Broken, huge and odd pictures give a result or a message, never a panic.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ExtendedColorType, ImageEncoder as _, ImageFormat};
use proptest::prelude::*;
use retune_data::DataError;
use retune_data::picture::{
    Fault, Picture, PictureError, PictureLimits, Pixels, Preprocess, idx, npz,
};

fn decode(bytes: &[u8]) -> Result<Pixels, PictureError> {
    Picture::Bytes(bytes.into()).pixels(&PictureLimits::default())
}

fn fault(bytes: &[u8], kind: Fault, words: &str) {
    let e = decode(bytes).unwrap_err();
    let said = e.to_string();
    assert!(
        e.fault == kind && said.contains(words),
        "{:?}: {said}",
        e.fault
    );
    assert!(said.starts_with("cannot read the picture: "), "{said}");
}

fn samples() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../golden/pictures"
    ));
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| !p.extension().is_some_and(|e| e == "npz" || e == "npy"))
        .collect();
    files.sort();
    assert!(files.len() > 20);
    let named = |p: PathBuf| {
        let name = p.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(p).unwrap())
    };
    files.into_iter().map(named).collect()
}

fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

#[test]
fn what_is_no_picture_is_named() {
    fault(b"", Fault::Empty, "zero bytes");
    fault(
        b"<!DOCTYPE html><html>404</html>",
        Fault::NotAPicture,
        "a web page",
    );
    fault(b"<svg xmlns='x'>", Fault::Unsupported, "SVG");
    fault(
        b"not found\n",
        Fault::NotAPicture,
        "starts with `not found `",
    );
    fault(
        b"version https://git-lfs.github.com/spec/v1\n",
        Fault::NotAPicture,
        "git lfs pull",
    );
    fault(&[0, 1, 2, 3], Fault::NotAPicture, "bytes 00 01 02 03");
    fault(b"\0\0\0\x1cftypheic\0\0\0\0", Fault::Unsupported, "HEIC");
    fault(b"\0\0\0\x1cftypavif\0\0\0\0", Fault::Unsupported, "AVIF");
    fault(b"\0\0\0\x1cftypisom\0\0\0\0", Fault::NotAPicture, "video");
    fault(b"P6 2 2 255\n", Fault::Unsupported, "PNM");
    fault(b"%PDF-1.7", Fault::NotAPicture, "PDF");
}

#[test]
fn files_are_told_by_content_and_named_in_messages() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Picture::File(path)
    };
    let limits = PictureLimits::default();
    let png = encode(&DynamicImage::new_rgb8(3, 2), ImageFormat::Png);
    let wrong_name = write("cat.jpg", &png).pixels(&limits).unwrap();
    assert_eq!((wrong_name.width(), wrong_name.height()), (3, 2));
    let e = write("dog.jpg", b"")
        .pixels(&limits)
        .unwrap_err()
        .at("row 7 of t.csv");
    let said = e.to_string();
    assert!(
        said.contains("dog.jpg (row 7 of t.csv): it is empty"),
        "{said}"
    );
    let as_data = DataError::from(e).to_string();
    assert_eq!(as_data, said);
    let gone = Picture::File(dir.path().join("none.png"))
        .pixels(&limits)
        .unwrap_err();
    assert_eq!(gone.fault, Fault::Unreadable);
    let folder = Picture::File(dir.path().to_path_buf())
        .pixels(&limits)
        .unwrap_err();
    assert!(folder.to_string().contains("it is a folder"), "{folder}");
    let tight = PictureLimits {
        file_bytes: 10,
        ..limits
    };
    let e = write("big.png", &png).pixels(&tight).unwrap_err();
    assert_eq!(e.fault, Fault::TooLarge);
}

/// A PNG with a true header and data of one colour, `side` pixels square.
fn bomb(side: u32) -> Vec<u8> {
    let mut rows = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    // One bit a pixel: 30,000 rows pack into some 100 KB.
    let row = vec![0u8; side as usize / 8 + 2];
    for _ in 0..side {
        rows.write_all(&row).unwrap();
    }
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(data);
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(kind);
        file.extend(data);
        file.extend(crc.sum().to_be_bytes());
    };
    let mut header = [side.to_be_bytes(), side.to_be_bytes()].concat();
    header.extend([1, 0, 0, 0, 0]);
    chunk(b"IHDR", &header);
    chunk(b"IDAT", &rows.finish().unwrap());
    chunk(b"IEND", &[]);
    file
}

#[test]
fn bombs_are_refused_by_their_header() {
    assert_eq!(decode(&bomb(64)).unwrap().width(), 64);
    fault(&bomb(30_000), Fault::TooLarge, "30000 x 30000 pixels");
    // The size alone, without the data.
    for (name, bytes) in samples() {
        let Some(huge) = with_size(&name, &bytes) else {
            continue;
        };
        let e = decode(&huge).unwrap_err();
        assert_eq!(e.fault, Fault::TooLarge, "{name}: {e}");
    }
    let small = PictureLimits {
        memory: 100,
        ..PictureLimits::default()
    };
    for (name, bytes) in samples() {
        let e = Picture::Bytes(bytes.into()).pixels(&small).unwrap_err();
        assert!(matches!(e.fault, Fault::TooLarge), "{name}: {e}");
    }
}

/// The file with 60,000 by 60,000 pixels written into its header, where that is one place.
fn with_size(name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let (at, size): (usize, &[u8]) = match kind(name) {
        "jpg" => {
            let frame = |w: &[u8]| w == [0xff, 0xc0] || w == [0xff, 0xc2];
            let at = bytes.windows(2).position(frame).unwrap();
            (at + 5, &[0xea, 0x60, 0xea, 0x60])
        }
        "gif" => (6, &[0x60, 0xea, 0x60, 0xea]),
        "bmp" => (18, &[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]),
        _ => return None,
    };
    bytes[at..at + size.len()].copy_from_slice(size);
    Some(bytes)
}

/// The end of a file name.
fn kind(name: &str) -> &str {
    name.rsplit_once('.').unwrap().1
}

#[test]
fn cut_off_files_are_refused_or_give_a_picture_of_the_right_size() {
    for (name, bytes) in samples() {
        let whole = decode(&bytes).unwrap();
        for keep in 1..bytes.len() {
            match decode(&bytes[..keep]) {
                // Marks at the end, or further frames, may be missing.
                Ok(p) => assert_eq!(
                    (p.width(), p.height()),
                    (whole.width(), whole.height()),
                    "{name}"
                ),
                Err(e) => assert!(!e.problem.is_empty()),
            }
        }
        let half = decode(&bytes[..bytes.len() / 2]);
        if name.starts_with("animated") {
            continue;
        }
        let e = half.expect_err(&name);
        assert!(
            matches!(e.fault, Fault::Truncated | Fault::Broken),
            "{name}: {:?} {e}",
            e.fault
        );
        if matches!(kind(&name), "jpg" | "png") {
            assert_eq!(e.fault, Fault::Truncated, "{name}: {e}");
        }
    }
}

#[test]
fn the_end_of_a_thumbnail_is_not_the_end_of_the_picture() {
    let samples = samples();
    let (_, plain) = samples.iter().find(|(n, _)| n == "rgb.jpg").unwrap();
    // A comment that holds a whole picture, as EXIF holds a thumbnail.
    let mut file = plain[..2].to_vec();
    file.extend([0xff, 0xfe]);
    file.extend((plain.len() as u16 + 2).to_be_bytes());
    file.extend(plain);
    file.extend(&plain[2..]);
    assert_eq!(decode(&file).unwrap(), decode(plain).unwrap());
    fault(
        &file[..file.len() - 60],
        Fault::Truncated,
        "end mark is missing",
    );
    // Bytes after the end do no harm.
    file.extend([0; 9]);
    assert!(decode(&file).is_ok());
}

#[test]
fn a_chunk_that_is_longer_than_its_file_is_not_believed() {
    let (_, mut file) = samples()
        .into_iter()
        .find(|(n, _)| n == "alpha.webp")
        .unwrap();
    file.extend(b"EXIF\xfe\xff\xff\xff");
    let riff = (file.len() as u32 - 8).to_le_bytes();
    file[4..8].copy_from_slice(&riff);
    fault(&file, Fault::Truncated, "a part of 4294967294 bytes");
}

#[test]
fn odd_shapes_pass() {
    for (width, height) in [(1, 1), (20_000, 2), (2, 20_000)] {
        let png = encode(&DynamicImage::new_luma8(width, height), ImageFormat::Png);
        let p = decode(&png).unwrap();
        let lite = Preprocess::efficientnet_lite0();
        let values = lite.apply(&p);
        assert_eq!(values.len(), 224 * 224 * 3);
        assert!(values.iter().all(|v| *v == -127.0 / 128.0));
    }
}

#[test]
fn sixteen_bits_with_alpha_are_laid_over_white() {
    // Two pixels: half-transparent black, opaque 0x8080.
    let values: [u16; 8] = [0, 0, 0, 0x8000, 0x8080, 0x8080, 0x8080, 0xffff];
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
    let mut file = Vec::new();
    image::codecs::png::PngEncoder::new(&mut file)
        .write_image(&raw, 2, 1, ExtendedColorType::Rgba16)
        .unwrap();
    assert_eq!(decode(&file).unwrap().rgb(), [127, 127, 127, 128, 128, 128]);
}

#[test]
fn plain_pixels_are_checked() {
    let raw = |width, height, channels, n: usize| {
        let data = vec![9; n].into();
        let picture = Picture::Raw {
            width,
            height,
            channels,
            data,
        };
        picture.pixels(&PictureLimits::default())
    };
    assert_eq!(raw(2, 1, 1, 2).unwrap().rgb(), [9; 6]);
    assert_eq!(raw(1, 2, 3, 6).unwrap().height(), 2);
    assert_eq!(raw(0, 2, 3, 0).unwrap_err().fault, Fault::Broken);
    assert_eq!(raw(2, 2, 4, 16).unwrap_err().fault, Fault::Unsupported);
    let short = raw(2, 2, 3, 11).unwrap_err();
    assert!(
        short.to_string().contains("11 values, not the 2 x 2 x 3"),
        "{short}"
    );
    assert_eq!(
        raw(usize::MAX, usize::MAX, 3, 1).unwrap_err().fault,
        Fault::TooLarge
    );
}

fn written(name: &str, bytes: &[u8], check: impl Fn(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    check(&path);
}

/// Small files of arrays, whose bytes the property tests change.
fn arrays() -> Vec<Vec<u8>> {
    let idx = [
        &[0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3][..],
        &[1, 2, 3, 4, 5, 6],
    ]
    .concat();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&idx).unwrap();
    let text = "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 2), }\n";
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((text.len() as u16).to_le_bytes());
    npy.extend(text.as_bytes());
    npy.extend([1, 0, 2, 0, 3, 0, 4, 0]);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("x.npy", zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(&npy).unwrap();
    vec![
        idx,
        gz.finish().unwrap(),
        npy,
        zip.finish().unwrap().into_inner(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_give_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(e) = decode(&bytes) {
            prop_assert!(!e.to_string().contains('\n'));
        }
    }

    #[test]
    fn changed_files_never_panic(which in any::<prop::sample::Index>(), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let samples = samples();
        let (_, mut bytes) = samples[which.index(samples.len())].clone();
        for (at, value) in changes {
            // Headers are where it hurts: half of the changes go there.
            let range = if value % 2 == 0 { bytes.len() } else { bytes.len().min(64) };
            let at = at.index(range);
            bytes[at] = value;
        }
        let limits = PictureLimits { pixels: 1 << 22, memory: 1 << 25, ..PictureLimits::default() };
        if let Ok(p) = Picture::Bytes(bytes.into()).pixels(&limits) {
            prop_assert_eq!(p.rgb().len(), p.width() * p.height() * 3);
        }
    }

    #[test]
    fn changed_arrays_never_panic(which in 0usize..4, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = arrays()[which].clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        written("f", &bytes, |path| {
            if let Ok(a) = idx::read(path) {
                assert_eq!(a.shape.iter().product::<usize>(), a.numbers.len());
            }
            for (_, a) in npz::read(path).into_iter().flatten() {
                assert_eq!(a.shape.iter().product::<usize>(), a.numbers.len());
            }
        });
    }
}

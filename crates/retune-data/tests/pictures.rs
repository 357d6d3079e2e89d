//! Pictures against Pillow, transformers and timm: the values of `golden/pictures.json`.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;

use retune_data::picture::augment::Change;
use retune_data::picture::{
    Filter, Part, Picture, PictureLimits, Pixels, Preprocess, Resize, Size, hash, resize,
    resize_part,
};
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden"))
}

/// One section of the golden file.
fn golden(section: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder().join("pictures.json")).unwrap();
    let mut all: Value = serde_json::from_str(&text).unwrap();
    let Value::Array(cases) = all[section].take() else {
        panic!("no section {section}");
    };
    assert!(!cases.is_empty());
    cases
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap().as_bytes();
    let digit = |d: u8| (d as char).to_digit(16).unwrap() as u8;
    hex.chunks(2)
        .map(|p| digit(p[0]) * 16 + digit(p[1]))
        .collect()
}

fn size(v: &Value) -> (usize, usize) {
    (
        v[0].as_u64().unwrap() as usize,
        v[1].as_u64().unwrap() as usize,
    )
}

/// The test picture of `make_pictures.py`.
fn pattern((width, height): (usize, usize)) -> Pixels {
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let v = x * 5 * (c + 1) + y * 3 + (x * 31 + y * 17 + c * 7) % 23 * 4;
                rgb.push((v % 256) as u8);
            }
        }
    }
    Pixels::new(width, height, rgb).unwrap()
}

fn filter(v: &Value) -> Filter {
    serde_json::from_value(v.clone()).unwrap()
}

#[test]
fn resizing_equals_pillow_to_the_bit() {
    for case in golden("resize") {
        let (from, to) = (size(&case["from"]), size(&case["to"]));
        let got = resize(&pattern(from), to.0, to.1, filter(&case["filter"]));
        assert_eq!((got.width(), got.height()), to);
        assert_eq!(
            got.rgb(),
            bytes(&case["rgb"]),
            "{from:?} to {to:?} by {}",
            case["filter"]
        );
    }
}

#[test]
fn a_part_equals_the_whole_cut_afterwards() {
    let from = pattern((37, 23));
    for filter in [
        Filter::Nearest,
        Filter::Box,
        Filter::Bicubic,
        Filter::Lanczos,
    ] {
        for to in [(16, 12), (70, 90), (37, 23), (37, 5)] {
            let whole = resize(&from, to.0, to.1, filter);
            let part = Part {
                left: 3,
                top: 1,
                width: to.0 - 5,
                height: to.1 - 2,
            };
            let got = resize_part(&from, to, part, filter);
            for y in 0..part.height {
                let start = ((y + part.top) * to.0 + part.left) * 3;
                let want = &whole.rgb()[start..start + part.width * 3];
                assert_eq!(
                    &got.rgb()[y * part.width * 3..][..part.width * 3],
                    want,
                    "{filter:?} {to:?}"
                );
            }
        }
    }
}

#[test]
fn every_kind_of_file_is_decoded_as_pillow_does() {
    for case in golden("files") {
        let name = case["file"].as_str().unwrap();
        let picture = Picture::File(folder().join("pictures").join(name));
        let got = picture.pixels(&PictureLimits::default()).unwrap();
        assert_eq!(
            got.width() as u64,
            case["width"].as_u64().unwrap(),
            "{name}"
        );
        assert_eq!(
            got.height() as u64,
            case["height"].as_u64().unwrap(),
            "{name}"
        );
        let want = bytes(&case["rgb"]);
        let most = want
            .iter()
            .zip(got.rgb())
            .map(|(a, b)| a.abs_diff(*b))
            .max()
            .unwrap();
        assert!(
            u64::from(most) <= case["most"].as_u64().unwrap(),
            "{name}: off by {most}"
        );
    }
}

#[test]
fn all_eight_orientations_are_applied() {
    let plain = std::fs::read(folder().join("pictures/exif.jpg")).unwrap();
    // The entry of tag 0x0112: type 3 (short), count 1, then the value.
    let entry = [0x01, 0x12, 0x00, 0x03, 0x00, 0x00, 0x00, 0x01, 0x00];
    let at = plain.windows(entry.len()).position(|w| w == entry).unwrap() + entry.len();
    for case in golden("orientation") {
        let mut file = plain.clone();
        file[at] = case["value"].as_u64().unwrap() as u8;
        let got = Picture::Bytes(file.into())
            .pixels(&PictureLimits::default())
            .unwrap();
        assert_eq!(
            got.width() as u64,
            case["width"].as_u64().unwrap(),
            "{}",
            case["value"]
        );
        let want = bytes(&case["rgb"]);
        let most = want
            .iter()
            .zip(got.rgb())
            .map(|(a, b)| a.abs_diff(*b))
            .max()
            .unwrap();
        assert!(most <= 4, "orientation {}: off by {most}", case["value"]);
    }
}

fn read(by: &str, config: &str) -> Preprocess {
    match by {
        "timm" => Preprocess::from_timm(config, "config.json").unwrap(),
        _ => Preprocess::from_transformers(config, "preprocessor_config.json").unwrap(),
    }
}

#[test]
fn inputs_equal_those_of_transformers_and_timm() {
    for case in golden("preprocess") {
        let config = case["config"].as_str().unwrap();
        let p = read(case["by"].as_str().unwrap(), config);
        let shape = size(&case["picture"]);
        let got = p.apply(&pattern(shape));
        let want: Vec<f64> = serde_json::from_value(case["values"].clone()).unwrap();
        assert_eq!(
            (p.crop.height, p.crop.width),
            size(&case["shape"]),
            "{config}"
        );
        assert_eq!(got.len(), want.len(), "{config}");
        for (i, (&g, w)) in got.iter().zip(&want).enumerate() {
            let off = (f64::from(g) - w).abs();
            assert!(
                off <= 1e-5 * w.abs().max(1.0),
                "{shape:?} {i}: {g} not {w} by {config}"
            );
        }
    }
}

#[test]
fn what_a_file_leaves_out_is_as_in_transformers() {
    for case in golden("defaults") {
        let both = ["bare", "full"].map(|k| read("transformers", case[k].as_str().unwrap()));
        assert_eq!(both[0], both[1], "{}", case["bare"]);
    }
}

#[test]
fn changes_equal_those_of_torchvision() {
    for case in golden("changes") {
        let v = case["value"].as_f64().unwrap();
        let name = case["change"].as_str().unwrap();
        let change = match name {
            "brightness" => Change::Brightness(v),
            "contrast" => Change::Contrast(v),
            "saturation" => Change::Saturation(v),
            "sharpness" => Change::Sharpness(v),
            "hue" => Change::Hue(v),
            "posterize" => Change::Posterize(v as u8),
            "solarize" => Change::Solarize(v),
            "autocontrast" => Change::AutoContrast,
            "equalize" => Change::Equalize,
            "rotate" => Change::Rotate(v),
            "shear_x" => Change::ShearX(v),
            "shear_y" => Change::ShearY(v),
            "translate_x" => Change::TranslateX(v as i32),
            "translate_y" => Change::TranslateY(v as i32),
            other => panic!("unknown change {other}"),
        };
        let mut from = pattern(size(&case["picture"]));
        if case["narrow"] == true {
            let dull = from.rgb().iter().map(|v| 60 + v / 3).collect();
            from = Pixels::new(from.width(), from.height(), dull).unwrap();
        }
        let got = change.apply(&from);
        let want = bytes(&case["rgb"]);
        let off = got.rgb().iter().zip(&want).filter(|(a, b)| a != b).count();
        assert_eq!(off, 0, "{name} {v}: {off} of {} values differ", want.len());
    }
}

#[test]
fn hashes_equal_those_of_imagehash() {
    for case in golden("hashes") {
        let picture = pattern(size(&case["picture"]));
        let number = |key: &str| case[key].as_str().unwrap().parse::<u64>().unwrap();
        assert_eq!(
            hash::dhash(&picture),
            number("dhash"),
            "{}",
            case["picture"]
        );
        assert_eq!(
            hash::phash(&picture),
            number("phash"),
            "{}",
            case["picture"]
        );
    }
}

#[test]
fn configurations_that_cannot_be_kept_are_named() {
    let hf = |text: &str| {
        let e = Preprocess::from_transformers(text, "m/preprocessor_config.json");
        e.unwrap_err().to_string()
    };
    let timm = |text: &str| {
        Preprocess::from_timm(text, "m/config.json")
            .unwrap_err()
            .to_string()
    };
    let said = hf("{");
    assert!(
        said.starts_with("cannot read m/preprocessor_config.json: it is not JSON"),
        "{said}"
    );
    assert!(hf("[]").contains("not a JSON object"));
    let unknown = hf(r#"{"image_processor_type": "PerceiverImageProcessor"}"#);
    assert!(
        unknown.contains("`PerceiverImageProcessor`") && unknown.contains("ViT, DeiT"),
        "{unknown}"
    );
    assert!(hf(r#"{"size": 0}"#).contains("`size` is 0, not a number of pixels from 1 to 4096"));
    assert!(hf(r#"{"size": {"longest_edge": 3}}"#).contains("without `height` and `width`"));
    assert!(hf(r#"{"size": "224"}"#).contains("`size`"));
    assert!(hf(r#"{"resample": 9}"#).contains("`resample` is 9"));
    assert!(hf(r#"{"do_resize": 1}"#).contains("`do_resize` is 1, not true or false"));
    assert!(hf(r#"{"do_resize": false}"#).contains("differ in size"));
    assert!(hf(r#"{"image_mean": [0.5, 0.5]}"#).contains("three numbers"));
    assert!(hf(r#"{"image_std": [0.5, 0.0, 0.5]}"#).contains("deviation of 0"));
    assert!(hf(r#"{"do_flip_channel_order": true}"#).contains("blue-green-red"));
    assert!(hf(r#"{"rescale_factor": "a"}"#).contains("`rescale_factor`"));
    assert!(timm(r#"{"input_size": [1, 28, 28]}"#).contains("`input_size` is [1,28,28]"));
    assert!(timm(r#"{"interpolation": "random"}"#).contains("`random`, not one of nearest"));
    assert!(timm(r#"{"crop_mode": "x"}"#).contains("center, squash or border"));
    assert!(timm(r#"{"crop_pct": 0.0}"#).contains("`crop_pct` is 0"));
    assert!(timm(r#"{"pretrained_cfg": 3}"#).contains("not a JSON object"));
}

#[test]
fn old_forms_of_configurations_are_read() {
    let hf = |text: &str| Preprocess::from_transformers(text, "f").unwrap();
    let old = hf(
        r#"{"do_normalize": true, "do_resize": true, "size": 384, "resample": 2,
        "feature_extractor_type": "ViTFeatureExtractor", "crop_size": null}"#,
    );
    assert_eq!(old.resize, Resize::Exact(Size::square(384)));
    let clip =
        hf(r#"{"feature_extractor_type": "CLIPFeatureExtractor", "size": 100, "crop_size": 90}"#);
    assert_eq!(
        (clip.resize, clip.crop),
        (Resize::Shortest(100), Size::square(90))
    );
    let fast = hf(r#"{"image_processor_type": "ConvNextImageProcessorFast", "size": 384}"#);
    assert_eq!(fast.resize, Resize::Exact(Size::square(384)));
}

#[test]
fn efficientnet_lite_takes_the_middle_of_256_pixels() {
    let p = Preprocess::efficientnet_lite0();
    let from = pattern((300, 280));
    let values = p.apply(&from);
    // 300 x 280 becomes 274 x 256, of which columns 25.. and rows 16.. are kept.
    let part = Part {
        left: 25,
        top: 16,
        width: 224,
        height: 224,
    };
    let kept = resize_part(&from, (274, 256), part, Filter::Bicubic);
    assert_eq!(values.len(), kept.rgb().len());
    for (v, &b) in values.iter().zip(kept.rgb()) {
        assert_eq!(*v, (f32::from(b) - 127.0) / 128.0);
    }
    let written = serde_json::to_string(&p).unwrap();
    assert_eq!(serde_json::from_str::<Preprocess>(&written).unwrap(), p);
}

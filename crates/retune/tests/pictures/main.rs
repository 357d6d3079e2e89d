//! Families that read pictures against the reference implementation: features, logits, losses, every gradient and
//! five training steps, in f64 (`golden/make_efficientnet.py`: timm; `golden/make_convnets.py`: transformers;
//! `golden/make_vit.py`: transformers and timm).
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests read tensors")]

mod folds;
mod golden;
mod grad_cam;
mod names;
mod norms;

use std::path::Path;
use std::sync::Arc;

use retune::HubOptions;
use retune::data::batch::{HostBatch, Pictures};
use retune::data::picture::{Picture, PictureLimits};
use retune::families::{build_model, family_of};
use retune::model::{Inputs, Pass};
use retune::ops::{self, Precision};
use retune::pretrained::BaseModel;
use retune::weights::{Named, Place, params};

use golden::{Golden, NOTHING, close, distance, floats, host, norm};

#[test]
fn features_logits_loss_and_every_gradient() {
    for golden in Golden::all() {
        golden.compare(Precision::F32, (1e-4, 1e-4));
        ops::with_twins(|| golden.compare(Precision::F32, (1e-4, 1e-4)));
    }
}

/// Errors are draws of rounding, on their side too: half as much again is allowed.
#[test]
fn bf16_is_as_near_as_autocast_to_bfloat16() {
    for golden in Golden::all() {
        let (found, gradients) = golden.passes(Precision::Bf16);
        let want = floats(&golden.expected["features"]);
        let features = distance(&found[0], &want) / norm(&want);
        let wanted = golden.expected["gradients"].as_object().unwrap().iter();
        let wanted = wanted.filter(|(_, want)| floats(&want["norm"])[0] >= NOTHING);
        let errors = wanted.clone().map(|(key, want)| {
            let at = floats(&want["at"]);
            let values: Vec<f32> = at.iter().map(|i| gradients[key][*i as usize]).collect();
            distance(&values, &floats(&want["values"])) / floats(&want["norm"])[0]
        });
        let mean = errors.sum::<f32>() / wanted.count() as f32;
        for (what, ours) in [("features", features), ("gradients", mean)] {
            let theirs = floats(&golden.expected["autocast"][what])[0];
            assert!(
                ours > 0.0,
                "{what} are exact: they were not computed in bf16"
            );
            let what = format!("{}: {what}", golden.name);
            assert!(ours <= 1.5 * theirs, "{what}: {ours} and theirs {theirs}");
        }
    }
}

#[test]
fn five_steps_of_training() {
    for golden in Golden::all() {
        let model = || golden.model(Precision::F32);
        let before = params(&model());
        let (losses, trained) = golden.trained(model(), 5, None, &mut Vec::new());
        let want = floats(&golden.expected["losses"]);
        let what = format!("{}: losses", golden.name);
        close(&what, &losses, &want, (1e-4, 1.0));
        for (named, before) in params(&trained).into_iter().zip(before) {
            let (key, values) = (golden.key(&named.path), host(named.value));
            if named.path.contains("running_") {
                assert_eq!(values, host(before.value), "{key} has moved");
                continue;
            }
            let gradient = &golden.expected["gradients"][&key];
            if floats(&gradient["norm"])[0] < NOTHING {
                // AdamW makes steps of noise.
                continue;
            }
            let at = floats(&gradient["at"]);
            let values: Vec<f32> = at.iter().map(|i| values[*i as usize]).collect();
            close(
                &format!("{}: {key}", golden.name),
                &values,
                &floats(&golden.expected["final"][&key]),
                (1e-3, 1.0),
            );
        }
    }
}

#[test]
fn pictures_of_another_size_get_resampled_positions() {
    let place = Place::cpu(false, Precision::F32);
    let mut seen = 0;
    for golden in Golden::all() {
        let (family, expected) = (
            family_of(&golden.config).unwrap(),
            &golden.expected["resized"],
        );
        let Some(resized) = family.resized else {
            assert!(expected.is_null(), "{}", golden.name);
            continue;
        };
        let side = expected["side"].as_u64().unwrap() as usize;
        let config = resized(&golden.config, [side; 2]);
        let model = golden.built(&config, &place);
        let batch = Golden::batch_of(expected, &[0.0]);
        let logits = host(model.output(&Inputs::new(&batch), &Pass::default()));
        let want = floats(&expected["logits"]);
        close(golden.name, &logits, &want, (1e-4, 1.0));

        // What is saved has the new size, and is read as it is.
        let dir = tempfile::tempdir().unwrap();
        let named = |named: Named| {
            let key = (family.keys)(&config, &named.path)[0].clone();
            (key, named.shape, host(named.value))
        };
        let tensors: Vec<_> = params(&model).into_iter().map(named).collect();
        retune::checkpoint::write(&dir.path().join("model.safetensors"), &tensors, &[]).unwrap();
        let saved = Golden {
            folder: dir.path().to_path_buf(),
            ..golden
        };
        let again = saved.built(&config, &place);
        let found = host(again.output(&Inputs::new(&batch), &Pass::default()));
        assert_eq!(found, logits, "{}", saved.name);
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[expect(
    clippy::disallowed_methods,
    reason = "whether a test may be skipped depends on where it runs"
)]
fn ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// The real EfficientNet-Lite0, from a file of PyTorch whose tensors are partly views, on two photographs.
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn the_default_model_of_pictures_knows_a_palace_and_a_daisy() {
    let hub = HubOptions::from_env();
    let base = match BaseModel::resolve("efficientnet-lite0", &hub, false, &mut |_| ()) {
        Ok(base) => base.unwrap(),
        Err(error) => {
            assert!(!ci(), "the model cannot be fetched: {error}");
            return eprintln!("skipped: the model cannot be fetched: {error}");
        }
    };
    let preprocess = base.preprocess(None).unwrap();
    let photos = ["china.jpg", "flower.jpg"].map(|name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/photos");
        let pixels = Picture::File(path.join(name)).pixels(&PictureLimits::default());
        preprocess.apply(&pixels.unwrap())
    });
    let batch = HostBatch {
        pictures: Arc::new(Pictures {
            height: preprocess.crop.height,
            width: preprocess.crop.width,
            values: photos.concat(),
        }),
        lengths: vec![1; 2],
        chunks: vec![1; 2],
        keys: vec![0, 1],
        ..HostBatch::default()
    };
    for precision in [Precision::F32, Precision::Bf16] {
        let place = Place::cpu(false, precision);
        let checkpoint = Some(&base.checkpoint);
        let (model, report) = build_model(&base.config, checkpoint, 1000, &place, 0).unwrap();
        assert_eq!(
            (report.new.len(), report.unused.len()),
            (0, 0),
            "{report:?}"
        );
        let logits = host(model.output(&Inputs::new(&batch), &Pass::default()));
        let best = |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]));
        let found: Vec<_> = logits.chunks(1000).map(best).collect();
        assert_eq!(found, [Some(698), Some(985)], "{precision:?}");
    }
}

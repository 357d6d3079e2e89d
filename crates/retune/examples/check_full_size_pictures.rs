//! Loads the full-size checkpoints of `golden/full_size_pictures.py` and compares pixels and logits with timm.
//! `cargo build --workspace --example check_full_size_pictures`, then
//! `target/debug/examples/check_full_size_pictures FOLDER`
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use retune::HubOptions;
use retune::data::batch::{HostBatch, Pictures};
use retune::data::picture::{Picture, PictureLimits};
use retune::families::build_model;
use retune::model::{Inputs, Pass};
use retune::ops::Precision;
use retune::pretrained::BaseModel;
use retune::scoring;
use retune::weights::Place;
use safetensors::SafeTensors;

/// Largest difference of a logit that passes.
const TOLERANCE: f32 = 1e-3;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let root = std::env::args()
        .nth(1)
        .ok_or("name the folder that golden/full_size_pictures.py wrote")?;
    let photos = sorted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/photos"))?;
    let folders = sorted(Path::new(&root))?.into_iter();
    let mut failed = 0;
    for folder in folders.filter(|folder| folder.join("expected.safetensors").is_file()) {
        let (line, passes) = check(&folder, &photos)?;
        println!("{line}{}", if passes { "" } else { "  FAILED" });
        failed += usize::from(!passes);
    }
    if failed > 0 {
        return Err(format!("{failed} models differ from timm").into());
    }
    Ok(())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let entries = std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path()));
    let mut found = entries.collect::<Result<Vec<_>, _>>()?;
    found.sort();
    Ok(found)
}

/// One line: missing and unused tensors, and the largest differences to the reference; and whether logits from the
/// reference's own pixels are close. Pixels of JPEG files differ by the decoder.
fn check(folder: &Path, photos: &[PathBuf]) -> Result<(String, bool), Failed> {
    let bytes = std::fs::read(folder.join("expected.safetensors"))?;
    let expected = SafeTensors::deserialize(&bytes)?;
    let reference = folder.display().to_string();
    let base = BaseModel::resolve(&reference, &HubOptions::from_env(), true, &mut |_| ())?;
    let base = base.ok_or("no folder")?;
    let preprocess = base.preprocess(None).map_err(|problem| problem.text)?;
    let mut own = Vec::new();
    for photo in photos
        .iter()
        .filter(|path| path.extension() == Some("jpg".as_ref()))
    {
        let pixels = Picture::File(photo.clone()).pixels(&PictureLimits::default())?;
        own.extend(preprocess.apply(&pixels));
    }
    let pixels = floats(&expected, "pixels")?;
    let pixel_gap = largest(&own, &pixels);
    let logits = expected.tensor("logits")?;
    let [rows, outputs] = logits.shape()[..] else {
        return Err("`logits` has not two dimensions".into());
    };
    let place = Place::cpu(false, Precision::F32);
    let (model, report) = build_model(&base.config, Some(&base.checkpoint), outputs, &place, 0)?;
    let want = floats(&expected, "logits")?;
    let [gap, own_gap] = [pixels, own].map(|values| {
        let batch = HostBatch {
            pictures: Arc::new(Pictures {
                height: preprocess.crop.height,
                width: preprocess.crop.width,
                values,
            }),
            lengths: vec![1; rows],
            chunks: vec![1; rows],
            keys: vec![0; rows],
            ..HostBatch::default()
        };
        let got = scoring::to_host(model.output(&Inputs::new(&batch), &Pass::default()));
        largest(&got, &want)
    });
    let line = format!(
        "{:<16} {:>3} loaded, {} unused, {} new; largest difference of logits {gap:.1e}; decoded here: of pixels {pixel_gap:.1e}, of logits {own_gap:.1e}",
        folder.file_name().unwrap_or_default().to_string_lossy(),
        report.loaded,
        report.unused.len(),
        report.new.len(),
    );
    let passes = report.unused.is_empty() && report.new.is_empty() && gap <= TOLERANCE;
    Ok((line, passes))
}

fn largest(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    let gap = |(a, b): (&f32, &f32)| match (a - b).abs() {
        gap if gap.is_nan() => f32::INFINITY,
        gap => gap,
    };
    a.iter().zip(b).map(gap).fold(0.0, f32::max)
}

fn floats(file: &SafeTensors, name: &str) -> Result<Vec<f32>, Failed> {
    let data = file.tensor(name)?.data().to_vec();
    let values = data.as_chunks::<4>().0.iter();
    Ok(values.map(|b| f32::from_le_bytes(*b)).collect())
}

//! Loads the full-size checkpoints of `golden/full_size.py` and compares their outputs with transformers.
//! `cargo build --workspace --example check_full_size`, then `target/debug/examples/check_full_size FOLDER`
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::path::Path;

use retune::checkpoint::Checkpoint;
use retune::data::batch::HostBatch;
use retune::families::build_model;
use retune::model::{Inputs, Pass};
use retune::ops::Precision;
use retune::weights::Place;
use retune::{pretrained, scoring};
use safetensors::SafeTensors;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args()
        .nth(1)
        .ok_or("name the folder that golden/full_size.py wrote")?;
    let mut folders: Vec<_> = std::fs::read_dir(root)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    folders.sort();
    for folder in folders
        .iter()
        .filter(|f| f.join("expected.safetensors").is_file())
    {
        println!("{}", check(folder)?);
    }
    Ok(())
}

/// One line: missing and unused tensors, and the largest difference to the reference.
fn check(folder: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let bytes = std::fs::read(folder.join("expected.safetensors"))?;
    let expected = SafeTensors::deserialize(&bytes)?;
    let (rows, lengths) = (
        expected.tensor("input_ids")?.shape()[0],
        ints(&expected, "lengths")?,
    );
    let packed = |name: &str| -> Result<Vec<i64>, Box<dyn std::error::Error>> {
        let all = ints(&expected, name)?;
        let width = all.len() / rows;
        let row = |r: usize| all[r * width..r * width + lengths[r] as usize].to_vec();
        Ok((0..rows).flat_map(row).collect())
    };
    let batch = HostBatch {
        ids: packed("input_ids")?.iter().map(|id| *id as u32).collect(),
        types: packed("token_type_ids")?.iter().map(|t| *t as u8).collect(),
        lengths: lengths.iter().map(|l| *l as u32).collect(),
        chunks: vec![1; rows],
        keys: vec![0; rows],
        ..HostBatch::default()
    };
    let config = pretrained::read_config(folder)?;
    let outputs = expected.tensor("logits").map_or(2, |t| t.shape()[1]);
    let checkpoint = Checkpoint::open(folder)?;
    let place = Place::cpu(false, Precision::F32);
    let (model, report) = build_model(&config, Some(&checkpoint), outputs, &place, 0)?;
    let inputs = Inputs::new(&batch);
    let (name, got) = if expected.tensor("logits").is_ok() {
        (
            "logits",
            scoring::to_host(model.output(&inputs, &Pass::default())),
        )
    } else {
        ("first_token", {
            let hidden = model.hidden(&inputs, &Pass::default());
            scoring::to_host(retune::ops::segment_first(hidden.tokens, &inputs.lengths))
        })
    };
    let want: Vec<f32> = floats(&expected, name, &lengths)?;
    let gap = got
        .iter()
        .zip(&want)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    Ok(format!(
        "{:<24} {:>3} loaded, {} unused, new {:?}, largest difference of {name} {gap:.1e}",
        folder.file_name().unwrap_or_default().to_string_lossy(),
        report.loaded,
        report.unused.len(),
        report.new,
    ))
}

fn ints(file: &SafeTensors, name: &str) -> Result<Vec<i64>, Box<dyn std::error::Error>> {
    let data = file.tensor(name)?.data().to_vec();
    Ok(data
        .as_chunks::<8>()
        .0
        .iter()
        .map(|b| i64::from_le_bytes(*b))
        .collect())
}

/// Values by name; `first_token` is cut out of the padded `last_hidden_state`.
fn floats(
    file: &SafeTensors,
    name: &str,
    lengths: &[i64],
) -> Result<Vec<f32>, Box<dyn std::error::Error>> {
    let key = if name == "first_token" {
        "last_hidden_state"
    } else {
        name
    };
    let data = file.tensor(key)?.data().to_vec();
    let all: Vec<f32> = data
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    if name != "first_token" {
        return Ok(all);
    }
    let shape = file.tensor(key)?.shape().to_vec();
    let row = |r: usize| all[r * shape[1] * shape[2]..][..shape[2]].to_vec();
    Ok((0..lengths.len()).flat_map(row).collect())
}

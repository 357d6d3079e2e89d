//! Where a model looks: gradients against finite differences and against torch's.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Tensor;
use retune::data::batch::{HostBatch, Pictures};
use retune::families::build_model;
use retune::grad_cam::{heat_maps, likeness};
use retune::model::{Hidden, Inputs, Model, Pass, Pooling};
use retune::ops::Precision;
use retune::scoring;
use retune::weights::Place;
use serde_json::Value;

use super::golden::{Golden, close, floats, host};

/// Two pictures of 96 by 128 pixels, 3 by 4 places of the last map, put together from the golden ones.
fn wide_inputs(golden: &Golden) -> Inputs {
    let pixels = floats(&golden.expected["pictures"]);
    let values = pixels.iter().cycle().take(2 * 96 * 128 * 3).copied();
    let batch = HostBatch {
        pictures: Arc::new(Pictures {
            height: 96,
            width: 128,
            values: values.collect(),
        }),
        lengths: vec![1; 2],
        chunks: vec![1; 2],
        keys: vec![0, 1],
        ..HostBatch::default()
    };
    Inputs::new(&batch)
}

/// Grad-CAM with central differences in place of gradients: by how much an output rises when a channel of the last map
/// is raised at all its places, for each place. `[height * width]` values of one picture.
fn map_by_differences(model: &Model, x: &Inputs, picture: usize, output: usize) -> Vec<f32> {
    const STEP: f32 = 0.5;
    let hidden = model.hidden(x, &Pass::default());
    let [all, width] = hidden.tokens.dims();
    let maps = host(hidden.tokens.clone());
    let places = all / 2;
    let own = picture * places * width..(picture + 1) * places * width;
    let logit = |channel: usize, by: f32| {
        let mut raised = maps.clone();
        for place in raised[own.clone()].chunks_mut(width) {
            place[channel] += by;
        }
        let data = burn::tensor::TensorData::new(raised, [all, width]);
        let seen = Hidden {
            tokens: Tensor::from_data(data, &scoring::cpu(false)),
            ..hidden.clone()
        };
        let logits = model.head.forward(&seen, x, &Pass::default());
        host(logits)[picture * 3 + output]
    };
    let slope = |channel| (logit(channel, STEP) - logit(channel, -STEP)) / (2.0 * STEP);
    let weights: Vec<f32> = (0..width).map(|c| slope(c) / places as f32).collect();
    let value = |place: &[f32]| {
        let sum: f32 = place.iter().zip(&weights).map(|(a, w)| a * w).sum();
        sum.max(0.0)
    };
    maps[own].chunks(width).map(value).collect()
}

#[test]
fn heat_maps_are_those_of_finite_differences_and_depend_on_the_weights() {
    let golden = Golden::open("efficientnet-tiny");
    let model = scoring::plain(&golden.model(Precision::F32));
    let x = wide_inputs(&golden);
    let outputs = [2, 0];
    let found = heat_maps(&model, &x, &outputs).unwrap();
    assert_eq!(found.len(), 2);
    for (picture, map) in found.iter().enumerate() {
        assert_eq!(map.grid, [3, 4], "{}", golden.name);
        let want = map_by_differences(&model, &x, picture, outputs[picture]);
        close(golden.name, &map.values, &want, (1e-3, 0.0));
    }
    assert!(found.iter().any(|map| map.values.iter().any(|v| *v > 0.0)));
    assert!((likeness(&found, &found).unwrap() - 1.0).abs() < 1e-9);

    let place = Place::cpu(false, Precision::F32);
    let (random, _) = build_model(&golden.config, None, 3, &place, 1).unwrap();
    let random = Model {
        backbone: random.backbone,
        head: model.head.clone(),
    };
    let others = heat_maps(&random, &x, &outputs).unwrap();
    assert_ne!(found, others);
    assert!(
        likeness(&found, &others).unwrap() < 0.9,
        "{found:?} {others:?}"
    );

    let mut first = model.clone();
    first.head.pooling = Pooling::First;
    assert_eq!(heat_maps(&first, &x, &outputs), None);
}

/// Transformers look by what goes into their last layer, ConvNeXt by its last stage.
#[test]
fn heat_maps_behind_layers_are_those_of_torch_and_depend_on_class_and_weights() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/grad_cam.json");
    let text = std::fs::read_to_string(path).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let all = Golden::all();
    let behind = all.iter().filter(|g| expected.get(g.name).is_some());
    assert_eq!(behind.clone().count(), 6);
    for golden in behind {
        let (name, wanted) = (golden.name, &expected[golden.name]);
        let model = scoring::plain(&golden.model(Precision::F32));
        let x = Inputs::new(&golden.batch());
        let of = |model: &Model, output: usize| heat_maps(model, &x, &[output; 2]).unwrap();
        let maps = [0, 1, 2].map(|output| of(&model, output));
        let grid = floats(&wanted["grid"]);
        let mut found = Vec::new();
        for picture in 0..2 {
            for map in maps.iter().map(|of_output| &of_output[picture]) {
                assert_eq!(map.grid.map(|side| side as f32)[..], grid[..], "{name}");
                found.extend_from_slice(&map.values);
            }
        }
        close(name, &found, &floats(&wanted["maps"]), (1e-3, 0.0));
        assert!(maps[0] != maps[1] && maps[1] != maps[2], "{name}");

        let place = Place::cpu(false, Precision::F32);
        let (random, _) = build_model(&golden.config, None, 3, &place, 1).unwrap();
        let random = Model {
            backbone: random.backbone,
            head: model.head.clone(),
        };
        let others = of(&random, 1);
        assert_ne!(maps[1], others, "{name}");
        assert!(likeness(&maps[1], &others).unwrap() < 0.9, "{name}");
    }
}

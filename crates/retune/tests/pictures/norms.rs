//! Batch norms that follow the batch, against timm in train mode.

use retune::ops::Precision;
use retune::train::state::Snapshot;
use retune::weights::{Norms, Place, params};

use super::golden::{Golden, close, floats, host};

/// The parameters that have moved, running statistics among them.
fn weights(state: &Snapshot) -> Vec<(String, Vec<f32>)> {
    let moved = state.tensors.iter();
    let moved = moved.filter(|(name, ..)| name.starts_with("model."));
    let found: Vec<_> = moved
        .map(|(name, _, values)| (name.clone(), values.read(name).unwrap()))
        .collect();
    assert!(found.iter().any(|(name, _)| name.ends_with("running_var")));
    found
}

#[test]
fn norms_that_follow_the_batch_train_as_in_timm_and_go_on_from_a_state() {
    let golden = Golden::open("efficientnet-tiny");
    let expected = &golden.expected["by_batch"];
    let place = Place {
        norms: Norms::Batch,
        ..Place::cpu(true, Precision::F32)
    };
    let mut states = Vec::new();
    let (losses, model) = golden.trained(golden.model_at(&place), 3, None, &mut states);
    close("losses", &losses, &floats(&expected["losses"]), (1e-3, 1.0));
    let mut seen = 0;
    for named in params(&model) {
        let key = golden.key(&named.path);
        if let Some(want) = expected["running"].get(&key) {
            let (values, want) = (host(named.value), floats(want));
            let last = values.len() - 1;
            let mut at = vec![0, values.len() / 3, values.len() / 2, last];
            at.dedup();
            let got: Vec<f32> = at.into_iter().map(|i| values[i]).collect();
            close(&key, &got, &want, (1e-3, 1.0));
            seen += 1;
        }
    }
    assert_eq!(seen, expected["running"].as_object().unwrap().len());

    let mut again = Vec::new();
    let middle = Some(states[1].clone());
    golden.trained(golden.model_at(&place), 3, middle, &mut again);
    assert_eq!(again.len(), 1);
    assert_eq!(weights(&again[0]), weights(&states[2]));
}

//! Names of published models, and configurations that no family reads.

use retune::families::{ModelConfig, build_model, family_of};
use retune::ops::Precision;
use retune::weights::{Place, params};
use serde_json::{Value, json};

/// The names of a published model by timm's rules, and how many values train; those of `resnet18`, say, are listed in
/// `timm.create_model("resnet18").state_dict()`.
fn published(name: &str) -> (Vec<String>, usize) {
    let pair = |owner: String| ["weight", "bias"].map(|leaf| format!("{owner}.{leaf}"));
    let mut names = Vec::new();
    if name == "convnext_tiny" {
        for owner in ["stem.0", "stem.1", "head.norm", "head.fc"] {
            names.extend(pair(owner.to_string()));
        }
        for (stage, blocks) in [3, 3, 9, 3].into_iter().enumerate() {
            let halves = if stage > 0 { 0..2 } else { 0..0 };
            names.extend(halves.flat_map(|half| pair(format!("stages.{stage}.downsample.{half}"))));
            for block in (0..blocks).map(|block| format!("stages.{stage}.blocks.{block}")) {
                names.push(format!("{block}.gamma"));
                for part in ["conv_dw", "norm", "mlp.fc1", "mlp.fc2"] {
                    names.extend(pair(format!("{block}.{part}")));
                }
            }
        }
        return (names, 28_589_128);
    }
    let (blocks, convs, values) = match name {
        "resnet18" => ([2, 2, 2, 2], 2, 11_689_512),
        _ => ([3, 4, 6, 3], 3, 25_557_032),
    };
    let mut norms = vec!["bn1".to_string()];
    names.extend(pair("fc".to_string()));
    names.push("conv1.weight".to_string());
    for (stage, blocks) in blocks.into_iter().enumerate() {
        for block in 0..blocks {
            let at = format!("layer{}.{block}", stage + 1);
            names.extend((1..=convs).map(|n| format!("{at}.conv{n}.weight")));
            norms.extend((1..=convs).map(|n| format!("{at}.bn{n}")));
            // Bottlenecks have four times as many channels outside from the first stage on.
            if block == 0 && (stage > 0 || convs == 3) {
                names.push(format!("{at}.downsample.0.weight"));
                norms.push(format!("{at}.downsample.1"));
            }
        }
    }
    for norm in norms {
        let statistics = ["running_mean", "running_var"].map(|leaf| format!("{norm}.{leaf}"));
        names.extend(pair(norm).into_iter().chain(statistics));
    }
    (names, values)
}

#[test]
fn every_name_of_a_model_of_timm_is_used_once() {
    for name in ["resnet18", "resnet50", "convnext_tiny"] {
        let arguments = json!({"in_chans": 3, "num_classes": 1000, "global_pool": "avg"});
        let config = json!({"architecture": name, "model_args": arguments});
        let config = ModelConfig(config);
        let place = Place::cpu(false, Precision::F32);
        let (model, _) = build_model(&config, None, 1000, &place, 0).unwrap();
        let family = family_of(&config).unwrap();
        let (mut want, values) = published(name);
        let params = params(&model);
        let mut got: Vec<String> = params
            .iter()
            .map(|named| (family.keys)(&config, &named.path).swap_remove(0))
            .collect();
        got.sort();
        want.sort();
        assert_eq!(got, want, "{name}");
        let trained = params
            .iter()
            .filter(|named| !named.path.contains("running_"));
        let found: usize = trained
            .map(|named| named.shape.iter().product::<usize>())
            .sum();
        assert_eq!(found, values, "{name}");
    }
}

/// Where transformers and timm differ in one architecture, and what is refused.
#[test]
fn what_no_family_reads_is_named_with_what_it_does_read() {
    let facts = |config: Value| {
        let config = ModelConfig(config);
        family_of(&config).and_then(|family| (family.facts)(&config).map(|facts| facts.width))
    };
    let says = |config: Value, words: &[&str]| {
        let text = facts(config).unwrap_err().to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    assert_eq!(facts(json!({"model_type": "resnet"})), Ok(2048));
    assert_eq!(facts(json!({"architecture": "resnet34"})), Ok(512));
    assert_eq!(facts(json!({"model_type": "convnext"})), Ok(768));
    assert_eq!(facts(json!({"architecture": "convnext_base"})), Ok(1024));
    says(
        json!({"architecture": "resnet18d"}),
        &["resnet18d", "resnet18, "],
    );
    says(
        json!({"architecture": "resnet50", "model_args": {"stem_type": "deep"}}),
        &["model_args.stem_type", "deep", "left out"],
    );
    says(
        json!({"architecture": "resnet50", "model_args": {"global_pool": "max"}}),
        &["model_args.global_pool", "max", "avg"],
    );
    says(
        json!({"model_type": "convnext", "num_channels": 4}),
        &["num_channels", "4", "3 channels"],
    );
    says(
        json!({"model_type": "convnext", "hidden_act": "silu"}),
        &["hidden_act", "silu", "gelu"],
    );
    says(
        json!({"model_type": "resnet", "depths": [1, 0]}),
        &["depths", "[1,0]", "positive"],
    );
    for model_type in ["resnet", "convnext"] {
        says(
            json!({"model_type": model_type, "depths": [1, 2]}),
            &["hidden_sizes", "2 numbers"],
        );
    }
    says(
        json!({"model_type": "resnet", "layer_type": "deep"}),
        &["layer_type", "basic", "bottleneck"],
    );
}

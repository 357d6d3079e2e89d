//! A model that answers for ever takes no more memory for it. Alone in its program: what other tests take would be counted.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;

use retune::data::timelines::Moments;
use retune::events::EventForm;
use retune::events::batch::EventBatch;
use retune::events::bundle::fresh;
use retune::model::Pass;
use retune::ops::Precision;
use retune::scoring::to_host;
use retune::seq::SeqConfig;
use retune::weights::Place;

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    4096 * pages
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
}

#[test]
fn a_service_does_not_grow_with_its_answers() {
    let form = EventForm {
        body: SeqConfig {
            width: 16,
            layers: 2,
            heads: 2,
            inner: 32,
            max_length: 64,
            kinds: 1,
            gaps: 0,
            dropout: 0.0,
            placed: false,
        },
        sizes: vec![34, 28, 25, 8, 9],
    };
    let model = fresh(&form, &Place::cpu(false, Precision::F32), 5).unwrap();
    let batch = EventBatch::of_moments(&Moments {
        width: 5,
        codes: vec![1; 40 * 5],
        numbers: vec![0.5; 40 * 4],
    });
    let answer = || {
        let states = model.states(&batch, &Pass::default());
        to_host(model.surprises(&states, &batch, &[39]))
    };
    (0..50).for_each(|_| drop(answer()));
    let before = resident();
    (0..2000).for_each(|_| drop(answer()));
    // Steps that a gradient graph remembers would take 130 MB.
    let grown = resident().saturating_sub(before) >> 20;
    assert!(grown < 30, "{grown} MB for 2,000 answers");
}

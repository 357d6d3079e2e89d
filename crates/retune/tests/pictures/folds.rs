//! Weights that are kept with their norms folded in, from batch to batch.

use retune::data::batch::HostBatch;
use retune::model::{Inputs, Pass};
use retune::ops::Precision;
use retune::weights::Place;

use super::golden::{Golden, host};

#[test]
fn what_is_folded_once_answers_as_what_is_folded_anew_to_the_bit() {
    for golden in Golden::all() {
        let place = Place::cpu(false, Precision::best());
        let model = golden.built(&golden.config, &place);
        let pass = Pass::over_many();
        for batch in [golden.batch(), golden.batch(), reversed(&golden.batch())] {
            let inputs = Inputs::new(&batch);
            let of = |pass: &Pass| host(model.output(&inputs, pass));
            assert_eq!(of(&pass), of(&Pass::default()), "{}", golden.name);
        }
    }
}

/// The pictures with their values in another order.
fn reversed(batch: &HostBatch) -> HostBatch {
    let mut pictures = (*batch.pictures).clone();
    pictures.values.reverse();
    HostBatch {
        pictures: pictures.into(),
        ..batch.clone()
    }
}

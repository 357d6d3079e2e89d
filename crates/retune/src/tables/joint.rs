//! `events`: a network that reads what a model of events says of a card, and the model of events, which learn together.
//!
//! The state after an event, what surprises about it and the engineered features of its past go into one network (joint
//! fusion): states alone are worse than features, and both together are better than either (see docs/decisions/013).

use burn::module::Module;
use burn::tensor::Tensor;
use retune_data::fields::Cells;
use retune_eval::{Event, Matrix};

use super::history::History;
use super::inputs::Inputs;
use super::net::{self, Job, Net, Rate, Save};
use crate::error::Result;
use crate::events::EventModel;
use crate::events::batch::EventBatch;
use crate::model::Pass;
use crate::train::groups::{Group, Groups};
use crate::train::state::Snapshot;
use crate::train::{self, EpochBatches, Fitted, Flow, Parts};
use crate::weights::params;

/// Factor of the learning rate of a model of events that is gone on from.
const SLOWER: f64 = 0.3;

/// Both models.
#[derive(Module, Debug)]
pub struct Joint {
    /// Reads the events of a card.
    pub past: EventModel,
    /// Reads what it says, and the row.
    pub net: Net,
}

/// What the models learn from beside the rows of a [`Job`].
pub(super) struct Ground<'a> {
    /// The events of the table.
    pub history: &'a History,
    /// How the fields of a row become inputs, without what the model of events says.
    pub fields: &'a Inputs,
    /// Places in the table of the training rows, and of those that the best weights are selected on.
    pub at: [&'a [usize]; 2],
}

struct Lesson {
    rows: Vec<usize>,
    /// `[rows, inputs of the fields]`.
    x: Tensor<2>,
    events: EventBatch,
}

impl Ground<'_> {
    /// Trains both models and returns the best weights. `job` reads all inputs.
    ///
    /// # Errors
    /// A loss or gradient that is not finite; a state that cannot be saved.
    pub(super) fn fit(
        &self,
        job: &Job,
        joint: Joint,
        (rate, mut save, from): (Rate, Option<Save<'_>>, Option<Snapshot>),
        on: &mut dyn FnMut(&Event) -> Flow,
    ) -> Result<Fitted<Joint>> {
        let mut options = job.options();
        if self.history.goes_on() {
            let slower = Group {
                lr_scale: SLOWER,
                ..Group::default()
            };
            let own = params(&joint.past).into_iter();
            options.groups = Groups(own.map(|named| (named.id, slower)).collect());
        }
        let saves = save.is_some();
        let mut keep = |snapshot: &Snapshot| save.as_mut().map_or(Ok(()), |save| save(snapshot));
        let parts = Parts {
            batches: &mut |epoch| self.lessons(job, epoch),
            loss: &|joint: &Joint, lesson: &Lesson, pass: &Pass| {
                let told = joint
                    .past
                    .told(&lesson.events, &lesson.events.last_rows(), pass); // [rows, what it says]
                let x = Tensor::cat(vec![lesson.x.clone(), told], 1);
                let keys: Vec<u64> = lesson.rows.iter().map(|row| *row as u64).collect();
                job.penalty(joint.net.forward(x, &keys, pass), &lesson.rows)
            },
            validate: &mut |joint: &Joint| {
                let plain = joint.valid();
                Ok(rate(&self.answers(
                    job,
                    &plain,
                    (job.valid.cells, self.at[1]),
                )))
            },
            on,
            first: None,
            save: if saves { Some(&mut keep) } else { None },
        };
        train::fit(joint, parts, &options, from)
    }

    fn lessons<'b>(&'b self, job: &'b Job, epoch: u64) -> EpochBatches<'b, Lesson> {
        Box::new(job.batches(epoch).map(move |rows| {
            let n = rows.len() as u64;
            let at: Vec<usize> = rows.iter().map(|row| self.at[0][*row]).collect();
            let lesson = Lesson {
                x: net::tensor(self.fields, job.train.cells, &rows, true),
                events: self.history.batch(&at),
                rows,
            };
            Ok((lesson, n))
        }))
    }

    /// Answers of both models to rows of cells, which stand at these places of the table.
    pub(super) fn answers(
        &self,
        job: &Job,
        joint: &Joint,
        (cells, at): (&Cells, &[usize]),
    ) -> Matrix {
        let all = cells.beside(&self.history.columns(&joint.past, at));
        net::answers(
            &joint.net,
            job.inputs,
            &all,
            job.units,
            job.objective.is_some(),
        )
    }
}

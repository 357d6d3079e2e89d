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
use crate::error::{Problem, Result};
use crate::events::EventModel;
use crate::events::batch::EventBatch;
use crate::methods::{self, Method};
use crate::model::Pass;
use crate::ops::Precision;
use crate::train::groups::Groups;
use crate::train::state::Snapshot;
use crate::train::{self, EpochBatches, Fitted, Flow, Parts};
use crate::weights::{Place, params};

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

/// Layers of a model of events that get low-rank updates where the recipe names none.
const LAYERS: &str = r"past\.body\..*";

/// Where a model of events is trained by a method.
pub(super) fn place(method: &dyn Method, precision: Precision) -> Place {
    Place {
        adapters: method.adapters(&[LAYERS]),
        ..Place::cpu(true, precision)
    }
}

/// Whether there is something for a method's low-rank updates.
///
/// # Errors
/// Targets that match no layer of the model of events.
pub(super) fn check(method: &dyn Method, history: &History) -> std::result::Result<(), Problem> {
    let key = format!("method.{}.targets", method.name());
    let place = place(method, Precision::F32);
    if place.adapters.is_none() {
        return Ok(());
    }
    let model = history.begin(&place, 0);
    let model = model.map_err(|error| Problem::new(&key, error.to_string()))?;
    let all = params(&model);
    if all.iter().any(|named| named.path.contains(".adapter.")) {
        return Ok(());
    }
    let text = "matches no layer of the model of events; leave it out, or write `all-linear`";
    Err(Problem::new(&key, text))
}

/// Where a parameter stands for methods: the networks are the head of the model of events.
fn standing(path: &str, layers: usize) -> methods::Place {
    let seen = match path.strip_prefix("past.") {
        Some(rest) => format!("backbone.{}", rest.strip_prefix("body.").unwrap_or(rest)),
        None => path.replacen("net.", "head.", 1),
    };
    methods::Place::new(&seen, layers)
}

/// What the models learn from beside the rows of a [`Job`].
pub(super) struct Ground<'a> {
    /// What of the model of events trains.
    pub method: &'a dyn Method,
    /// Whether that model is gone on from, not one of random numbers.
    pub goes_on: bool,
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
        let joint = methods::prepare_at(self.method, joint, &|path| self.standing(path));
        options.groups = self.groups(&joint, options.steps);
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

    fn standing(&self, path: &str) -> methods::Place {
        standing(path, self.history.of.form.body.layers)
    }

    /// How each parameter trains: what is gone on from more slowly than what is new.
    fn groups(&self, joint: &Joint, steps: u64) -> Groups {
        let of = |path: &str| self.standing(path);
        let mut groups = methods::groups_at(self.method, joint, &of, (steps, 1.0, false));
        for named in params(joint) {
            if let Some(group) = groups.0.get_mut(&named.id)
                && self.goes_on
                && !of(&named.path).is_new()
            {
                group.lr_scale = SLOWER;
            }
        }
        groups
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

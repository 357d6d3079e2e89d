//! The gradient doctor: whether a model trains as its method says, told from its first batch.
//!
//! | check | what must hold |
//! |---|---|
//! | weights | every tensor is finite |
//! | gradients | every tensor that trains gets a finite gradient that is not zero |
//! | frozen | every other tensor keeps its bits through three steps |
//! | first loss | a fresh head begins where one that knows nothing is: at `ln k` for `k` classes |
//! | one batch | the model can learn one batch by heart: its loss falls to a fifth within 100 steps |
//!
//! A gradient may be zero for a good reason. Whether there is one is measured: where other values of the tensor leave
//! the loss as it is, the tensor is exempt and named; where they change it, its gradient has been lost on the way.

mod gradients;
mod steps;

use std::fmt;

use burn::module::Module;
use burn::tensor::Tensor;
use retune_eval::Event;
use serde::Serialize;

use crate::embedding;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::losses::{Loss, Objective};
use crate::methods;
use crate::model::{Inputs, Model, Pass};
use crate::ops;
use crate::plan::{Plan, micro_batches};
use crate::scoring;
use crate::train::Flow;
use crate::train::groups::{Group, Groups};
use crate::train::optimizer::scalar;
use crate::weights::params;
use retune_data::Example;
use retune_data::batch::{HostBatch, Views};

pub use gradients::without_gradient;

/// How far the first loss may be from its expectation, as a share of it.
const NEAR: f64 = 0.5;

/// What is examined.
pub struct Case<'a, M, B> {
    /// The model before its first step.
    pub model: M,
    /// The parameters that train at some time; all others have to stay as they are.
    pub groups: Groups,
    /// The first batch.
    pub batch: B,
    /// What training minimises.
    pub loss: &'a dyn Fn(&M, &B, &Pass) -> Loss,
    /// The loss without options, which can be brought to 0.
    pub plain: &'a dyn Fn(&M, &B, &Pass) -> Loss,
    /// Mean of `plain` for a head that knows nothing; `None` for a head that comes trained.
    pub expected: Option<f64>,
    /// Learning rate of the run.
    pub lr: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Places of the rows that it was told from.
    pub rows: Vec<String>,
    /// One finding or more per check, in the order of the checks.
    pub findings: Vec<Finding>,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// `weights`, `gradients`, `frozen`, `first loss` or `one batch`.
    pub check: &'static str,
    /// How it went.
    pub state: State,
    /// Path of the tensor, where the finding is about one.
    pub tensor: Option<String>,
    /// What was found.
    pub text: String,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Wrong.
    Problem,
    /// Not as elsewhere, for a good reason.
    Exempt,
}

impl State {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Problem => "problem",
            Self::Exempt => "exempt",
        }
    }
}

impl Finding {
    fn new(check: &'static str, state: State, text: impl Into<String>) -> Self {
        Self {
            check,
            state,
            tensor: None,
            text: text.into(),
        }
    }

    fn of(mut self, tensor: &str) -> Self {
        self.tensor = Some(tensor.to_string());
        self
    }
}

/// Examines the model and the first batch of a plan. `on` sees how far it is; nothing is written.
///
/// # Errors
/// A damaged checkpoint.
pub fn check(plan: &Plan, on: &mut dyn FnMut(&Event) -> Flow) -> Result<Report> {
    let job = Job::new(plan);
    let (model, loaded) = job.model()?;
    let (method, layers) = (plan.recipe.method.method(), plan.base.facts.layers);
    let model = methods::prepare(method, model, layers);
    let labels = plan.processor.labels();
    let objective = Objective::new(&plan.recipe.loss, labels, &plan.train);
    let objective = objective.map_err(|problem| Error::Problems(vec![problem]))?;
    let from = job.train_rows();
    let batches = micro_batches(&plan.recipe, from, 0);
    let rows: Vec<&Example> = batches
        .first()
        .into_iter()
        .flatten()
        .map(|row| from.get(*row))
        .collect();
    let batch = plan.processor.collate(&rows, Views::Plain)?;
    let loss_of = |output: Tensor<2>, batch: &HostBatch, objective: &Objective| {
        let (targets, weights) = (&batch.targets, &batch.weights);
        plan.task.loss(output, labels, targets, weights, objective)
    };
    let loss = |model: &Model, batch: &HostBatch, pass: &Pass| {
        loss_of(model.output(&Inputs::new(batch), pass), batch, &objective)
    };
    let plain = |model: &Model, batch: &HostBatch, pass: &Pass| {
        let output = model.output(&Inputs::new(batch), pass);
        loss_of(output, batch, &Objective::plain())
    };
    let expected = (loaded.head_is_new() && !embedding::rates(plan.task)).then(|| {
        let units = plan.task.units(labels);
        let size = [batch.targets.len(), labels.outputs()];
        let silent = Tensor::zeros(size, &scoring::cpu(false)) * units.scale + units.shift;
        mean(&loss_of(silent, &batch, &Objective::plain()))
    });
    let places = rows
        .iter()
        .map(|row| plan.table.place(row.meta.row as usize));
    let case = Case {
        groups: methods::groups(method, &model, layers, (0, 1.0, false)),
        model,
        batch,
        loss: &loss,
        plain: &plain,
        expected,
        lr: plan.recipe.lr(),
    };
    let report = examine(&case, on);
    ops::cpu::release();
    Ok(Report {
        rows: places.collect(),
        ..report
    })
}

/// Makes every check on a model and a batch. After a weight that is not finite no other check means anything.
pub fn examine<M, B>(case: &Case<M, B>, on: &mut dyn FnMut(&Event) -> Flow) -> Report
where
    M: Module + Clone,
    B: Clone,
{
    let mut findings = weights(&case.model);
    if findings.iter().all(|found| found.state == State::Ok) {
        findings.extend(gradients::check(case));
        findings.push(first_loss(case));
        findings.extend(steps::frozen(case));
        findings.push(steps::one_batch(case, on));
    }
    Report {
        ok: findings.iter().all(|found| found.state != State::Problem),
        rows: Vec::new(),
        findings,
    }
}

impl<M: Module + Clone, B> Case<'_, M, B> {
    /// The model with every parameter in the gradient graph that trains at some time, and how each does here: from
    /// the start and at one rate.
    fn training(&self) -> (M, Groups) {
        let all = self.groups.0.keys().map(|id| (*id, Group::default()));
        let groups = Groups(all.collect());
        (groups.unfrozen(self.model.clone(), 0), groups)
    }

    /// The mean loss outside the gradient graph, without dropout.
    fn value(&self, model: &M) -> f64 {
        mean(&(self.loss)(&model.valid(), &self.batch, &Pass::default()))
    }
}

/// The mean of a loss on the host.
fn mean(loss: &Loss) -> f64 {
    scalar(loss.sum.clone()) / loss.weight.max(f64::MIN_POSITIVE)
}

fn weights<M: Module>(model: &M) -> Vec<Finding> {
    const CHECK: &str = "weights";
    let all = params(model);
    let broken = all
        .iter()
        .filter(|named| !ops::sum_of_squares(named.value.clone()).is_finite())
        .map(|named| {
            let text = "holds values that are not finite; fetch the model again";
            Finding::new(CHECK, State::Problem, text).of(&named.path)
        });
    let mut found: Vec<Finding> = broken.collect();
    if found.is_empty() {
        let text = format!("{} tensors, all finite", all.len());
        found.push(Finding::new(CHECK, State::Ok, text));
    }
    found
}

fn first_loss<M: Module + Clone, B>(case: &Case<M, B>) -> Finding {
    const CHECK: &str = "first loss";
    let found = mean(&(case.plain)(
        &case.model.valid(),
        &case.batch,
        &Pass::default(),
    ));
    let Some(wanted) = case.expected else {
        let text = format!("{found:.4}; the head comes trained, so nothing is expected of it");
        return Finding::new(CHECK, State::Exempt, text);
    };
    let near = (found - wanted).abs() <= NEAR * wanted.abs();
    let state = if near { State::Ok } else { State::Problem };
    let text = format!("{found:.4}, and {wanted:.4} for a head that knows nothing");
    Finding::new(CHECK, state, text)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(first), n) = (self.rows.first(), self.rows.len()) {
            writeln!(
                f,
                "told from the first batch: {n} rows, {first} the first of them\n"
            )?;
        }
        writeln!(f, "{:<12} {:<8} what was found", "check", "state")?;
        for found in &self.findings {
            write!(f, "{:<12} {:<8} ", found.check, found.state.name())?;
            if let Some(tensor) = &found.tensor {
                write!(f, "{tensor}: ")?;
            }
            writeln!(f, "{}", found.text)?;
        }
        let wrong = self
            .findings
            .iter()
            .filter(|found| found.state == State::Problem);
        match wrong.count() {
            0 => writeln!(f, "\nnothing is wrong"),
            1 => writeln!(f, "\n1 thing is wrong"),
            n => writeln!(f, "\n{n} things are wrong"),
        }
    }
}

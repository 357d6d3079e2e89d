//! From a model and encoded rows to predictions: batches, outputs, scores on the host.

use std::borrow::Cow;

use burn::module::Module as _;
use burn::tensor::{Device, Tensor};
use retune_data::batch::{BatchOptions, HostBatch, Order, Views, plan_batches};
use retune_data::picture::Tta;
use retune_data::{Example, Processor, Table, Target};
use retune_eval::{Matrix, Slice};

use crate::error::Result;
use crate::losses::Objective;
use crate::model::{Inputs, Model, Pass, Pooling};
use crate::tasks::Task;

/// Rows of text per batch outside training.
pub(crate) const ROWS: usize = 64;
/// Pictures per batch outside training: more of them do not fit into the caches between two layers.
pub(crate) const PICTURES: usize = 8;
/// Tokens per batch outside training.
pub(crate) const TOKENS: usize = 8192;

/// The device of every model on the CPU; `train` puts the model in the gradient graph.
pub fn cpu(train: bool) -> Device {
    // Burn's default device prefers a GPU merely because it is compiled in.
    let device = Device::flex();
    if train { device.autodiff() } else { device }
}

/// Batches of similar length over `examples`, with the indices of their rows; `views` says whether pictures are in them.
///
/// # Errors
/// Of an item: a picture that cannot be read any more.
pub fn batches<'a>(
    processor: &'a Processor,
    examples: &'a [Example],
    views: Views<'a>,
) -> impl Iterator<Item = Result<(Vec<usize>, HostBatch)>> + 'a {
    let lengths: Vec<usize> = examples.iter().map(Example::tokens).collect();
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.sort_by_key(|i| lengths[*i]);
    let sorted: Vec<usize> = order.iter().map(|i| lengths[*i]).collect();
    let options = BatchOptions {
        rows: match (processor, views) {
            (Processor::Text(_), _) | (_, Views::Known) => ROWS,
            (Processor::Image(_), _) => PICTURES,
        },
        max_tokens: TOKENS,
        order: Order::File,
        seed: 0,
    };
    plan_batches(&sorted, &options, 0)
        .into_iter()
        .map(move |batch| {
            let rows: Vec<usize> = batch.into_iter().map(|i| order[i]).collect();
            let refs: Vec<&Example> = rows.iter().map(|i| &examples[*i]).collect();
            let host = processor.collate(&refs, views)?;
            Ok((rows, host))
        })
}

/// A matrix of `cols` values per row, filled batch by batch.
fn gather(
    processor: &Processor,
    (examples, views): (&[Example], Views),
    on: &mut dyn FnMut(usize),
    mut compute: impl FnMut(&HostBatch) -> Tensor<2>,
) -> Result<Matrix> {
    let mut out = Matrix {
        rows: examples.len(),
        ..Matrix::default()
    };
    let mut done = 0;
    for batch in batches(processor, examples, views) {
        let (rows, host) = batch?;
        let result = compute(&host);
        let [_, cols] = result.dims();
        if out.cols == 0 {
            out.cols = cols;
            out.data = vec![0.0; out.rows * cols];
        }
        let values = to_host(result);
        for (i, row) in rows.iter().enumerate() {
            out.data[row * cols..(row + 1) * cols]
                .copy_from_slice(&values[i * cols..(i + 1) * cols]);
        }
        done += rows.len();
        on(done);
    }
    Ok(out)
}

/// Values of a matrix on the host, row-major.
#[expect(
    clippy::disallowed_methods,
    reason = "scores are read once per batch, outside training steps"
)]
pub fn to_host(x: Tensor<2>) -> Vec<f32> {
    x.into_data()
        .convert::<f32>()
        .try_to_vec()
        .unwrap_or_default()
}

/// What a model makes of a batch, `[rows, outputs]`.
pub type Outputs<'a> = &'a dyn Fn(&HostBatch) -> Tensor<2>;

/// Scores of every example, `[rows, outputs]`, and the mean plain loss over those that have a target.
///
/// # Errors
/// A picture that cannot be read any more.
pub fn scores(
    model: &Model,
    task: &dyn Task,
    processor: &Processor,
    examples: &[Example],
    on: &mut dyn FnMut(usize),
) -> Result<(Matrix, f64)> {
    let pass = Pass::over_many();
    let outputs = |host: &HostBatch| model.output(&Inputs::new(host), &pass);
    scores_of(&outputs, task, processor, (examples, Views::Plain), on)
}

/// The same for outputs that come from elsewhere than a whole model.
///
/// # Errors
/// As [`scores`].
pub fn scores_of(
    outputs: Outputs<'_>,
    task: &dyn Task,
    processor: &Processor,
    (examples, views): (&[Example], Views),
    on: &mut dyn FnMut(usize),
) -> Result<(Matrix, f64)> {
    let (mut sum, mut weight) = (0.0, 0.0);
    let matrix = gather(processor, (examples, views), on, |host| {
        let output = outputs(host);
        if host.targets.iter().all(|t| *t != Target::None) {
            let loss = task.loss(
                output.clone(),
                processor.labels(),
                &host.targets,
                &host.weights,
                &Objective::plain(),
            );
            sum += crate::train::optimizer::scalar(loss.sum);
            weight += loss.weight;
        }
        task.scores(output, processor.labels())
    })?;
    Ok((matrix, if weight > 0.0 { sum / weight } else { 0.0 }))
}

/// Scores of every example averaged over the views that `tta` has of a picture, from those of the first one.
///
/// # Errors
/// As [`scores`].
pub fn over_views(
    mut first: Matrix,
    (model, task): (&Model, &dyn Task),
    processor: &Processor,
    (examples, tta): (&[Example], Tta),
) -> Result<Matrix> {
    let pass = Pass::over_many();
    let outputs = |host: &HostBatch| model.output(&Inputs::new(host), &pass);
    for view in 1..tta.views() {
        let given = (examples, Views::Turned(tta, view));
        let (scores, _) = scores_of(&outputs, task, processor, given, &mut |_| ())?;
        let sums = first.data.iter_mut().zip(&scores.data);
        sums.for_each(|(sum, score)| *sum += score);
    }
    let views = tta.views() as f32;
    if tta != Tta::None {
        first.data.iter_mut().for_each(|sum| *sum /= views);
    }
    Ok(first)
}

/// Raw outputs of every example, `[rows, outputs]`.
///
/// # Errors
/// As [`scores`].
pub fn outputs(model: &Model, processor: &Processor, examples: &[Example]) -> Result<Matrix> {
    let pass = Pass::over_many();
    outputs_of(
        &|host| model.output(&Inputs::new(host), &pass),
        processor,
        (examples, Views::Plain),
    )
}

/// The same for outputs that come from elsewhere than a whole model.
///
/// # Errors
/// As [`scores`].
pub fn outputs_of(
    outputs: Outputs<'_>,
    processor: &Processor,
    given: (&[Example], Views),
) -> Result<Matrix> {
    gather(processor, given, &mut |_| (), outputs)
}

/// Pooled backbone features of every example, `[rows, width]`.
///
/// # Errors
/// As [`scores`].
pub fn features(
    model: &Model,
    pooling: Pooling,
    processor: &Processor,
    examples: &[Example],
    on: &mut dyn FnMut(usize),
) -> Result<Matrix> {
    let pass = Pass::over_many();
    gather(processor, (examples, Views::Plain), on, |host| {
        model.pooled(&Inputs::new(host), pooling, &pass)
    })
}

/// A column of `table` as a slice of `rows`.
///
/// # Errors
/// There is no such column.
pub fn slice(table: &Table, column: &str, rows: &[usize]) -> retune_data::Result<Slice> {
    let found = table.column(column)?;
    let value = |row: &usize| found.text(*row).map(Cow::into_owned);
    Ok(Slice {
        column: column.to_string(),
        values: rows
            .iter()
            .map(|row| value(row).unwrap_or("(empty)".to_string()))
            .collect(),
    })
}

/// The model outside the gradient graph.
pub fn plain(model: &Model) -> Model {
    model.valid()
}

//! Peak memory of a run: the largest of its phases, each a sum of what is alive in it.
//!
//! Per token and layer of a post-norm encoder of width `w` and inner width `i`, the forward pass keeps for the backward
//! pass, in the format of the products (`e` bytes): the input of queries, keys and values `w`, these `3 w`, the
//! attention's result `w`, two normalised sums `2 w`, the input of the inner part `w`, its result `i` and the slope of its
//! activation `i`: `e (8 w + 2 i)`. Of pictures the family says what each pixel costs.

use retune_data::picture::Picture;
use retune_data::{Column, Example, Table, Values};

use super::work::{Part, Sizes, Work};
use crate::floors::classical::PICTURE_FEATURES;
use crate::methods::Method;
use crate::methods::full::Full;
use crate::recipe::VerdictLevel;

/// The program itself, its threads and libraries.
const PROGRAM: f64 = 30e6;
/// Bytes in memory per byte of `tokenizer.json`: maps from token to id and back, and what was encoded last.
const TOKENIZER: f64 = 30.0;
/// Bytes of an f32.
const F32: f64 = 4.0;

/// Bytes at the peak of the run.
pub(super) fn peak(work: &Work) -> f64 {
    let resident = PROGRAM + TOKENIZER * work.tokenizer_bytes + work.data_bytes;
    let phases = [
        before(work),
        tuning(work),
        finish(work),
        floors(work),
        again(work),
    ];
    resident + phases.into_iter().fold(0.0, f64::max)
}

/// Weights of the whole model.
fn weights(sizes: &Sizes) -> f64 {
    F32 * sizes.all as f64
}

/// Every matrix packed for products in one direction.
fn packed(work: &Work, sizes: &Sizes) -> f64 {
    work.element() * sizes.matrices as f64
}

/// Values of the largest tensor that `method` trains: what is read or written of it is in memory a second time.
fn passing(work: &Work, method: &dyn Method) -> f64 {
    let parts = work.model.iter();
    let parts = parts.filter(|part| method.start(&part.place).is_some());
    let size = |part: &Part| part.shape.iter().product::<usize>();
    F32 * parts.map(size).max().unwrap_or(0) as f64
}

/// Results that are in use at a time outside training, on validation and test rows and on `more`: the residual sum, what
/// goes into the inner part and what comes out of it. As much again lies idle, in sizes of other forms.
fn pass(work: &Work, more: &[Example]) -> f64 {
    let (width, inner) = (work.facts.width as f64, work.inner() as f64);
    let each = match work.facts.picture {
        Some(cost) => work.pixels as f64 * (2.0 * 3.0 * F32 + work.element() * cost.working),
        None => F32 * width + work.element() * (width + inner),
    };
    let [valid, test] = work.others;
    let largest = [valid, test, more].map(|rows| work.largest_pass(rows));
    largest.into_iter().max().unwrap_or(0) as f64 * each
}

/// The model is built and passes over rows: features of a frozen backbone, the floors before tuning, the test.
fn before(work: &Work) -> f64 {
    let sizes = work.sizes(work.method());
    let measured = work.recipe.verdict != VerdictLevel::Off;
    let train = if measured || work.method().frozen_backbone() {
        work.rows.train
    } else {
        &[]
    };
    let rows = train.len() + work.others[0].len() + work.others[1].len();
    // Vectors of every row, and the same standardised.
    let vectors = 2.0 * F32 * (rows * work.facts.width) as f64;
    let passes = packed(work, &sizes) + 2.0 * pass(work, train) + vectors;
    weights(&sizes) + passes.max(passing(work, &Full::default()))
}

/// Tuning as the recipe says, and saving where it stands, tensor by tensor.
fn tuning(work: &Work) -> f64 {
    let train = &work.recipe.train;
    let average = f64::from(u8::from(train.ema.is_some()));
    let start = f64::from(u8::from(train.l2sp > 0.0));
    let copies = best(work) + average + start;
    training(work, work.method(), copies) + passing(work, work.method())
}

/// Copies that the best weights so far take: none where the run ends with its first validation.
fn best(work: &Work) -> f64 {
    let (steps, epoch) = work.steps;
    let first = epoch / work.recipe.train.evals_per_epoch.max(1) as u64;
    if steps > first { 1.0 } else { 0.0 }
}

/// Training by a method, with so many copies of what trains beside the weights in use.
fn training(work: &Work, method: &dyn Method, copies: f64) -> f64 {
    let sizes = work.sizes(method);
    let trained = F32 * sizes.trained as f64;
    // Gradients of tables hold the rows that occur. Where batches add up to a step, their sum is beside the newest.
    let held = if work.recipe.train.accumulate > 1 {
        2.0
    } else {
        1.0
    };
    let gradients = held * F32 * (sizes.trained - sizes.trained_tables) as f64;
    // A validation packs every matrix once; frozen ones stay packed, the other way round too.
    let packs = packed(work, &sizes) + work.element() * sizes.passed as f64;
    let results = if method.frozen_backbone() {
        2.0 * pass(work, work.rows.train)
    } else {
        // What is idle from the largest step stays while a validation needs other sizes.
        activations(work, &sizes) + gradients + pass(work, &[])
    };
    weights(&sizes) + (2.0 + copies) * trained + packs + results
}

/// Results of operations when a batch has come to its loss.
fn activations(work: &Work, sizes: &Sizes) -> f64 {
    let batch = work.largest_batch();
    if let Some(cost) = work.facts.picture {
        // Of the layer at work: gradients of what it kept.
        let each = 2.0 * 3.0 * F32 + work.element() * (cost.kept + 2.0 * cost.working);
        return (batch.rows * work.pixels) as f64 * each;
    }
    let (width, inner) = (work.facts.width as f64, work.inner() as f64);
    let element = work.element();
    let layers = sizes.depth.min(work.facts.layers) as f64;
    let layer = element * (8.0 * width + 2.0 * inner);
    // Of the layer at work: sums in f32, gradients of what it kept.
    let working = 3.0 * F32 * width + element * (2.0 * width + 2.0 * inner);
    let embedding = 2.0 * F32 * width;
    batch.tokens as f64 * (layers * layer + working + embedding)
}

/// The tuned model on its way to its file. Where updates are added or old weights mixed in, it is built anew beside its
/// values first.
fn finish(work: &Work) -> f64 {
    let sizes = work.sizes(work.method());
    let low_rank = work.method().adapters(work.adapted).is_some();
    let more = if low_rank || work.recipe.train.wise_ft.is_some() {
        weights(&sizes) + work.element() * sizes.passed as f64
    } else {
        // What the backbone makes of the rows that are measured on.
        let rows = work.others[0].len() + work.others[1].len();
        2.0 * pass(work, &[]) + F32 * (rows * work.facts.width) as f64
    };
    weights(&sizes) + packed(work, &sizes) + passing(work, &Full::default()) + more
}

/// The floors that are measured after tuning, beside the tuned model.
fn floors(work: &Work) -> f64 {
    let scratch = training(work, &Full::default(), best(work));
    let floor = match work.recipe.verdict {
        VerdictLevel::Off => return 0.0,
        _ if work.pixels > 0 => scratch.max(edges(work)),
        VerdictLevel::Fast => scratch.max(classical(work, 1.0 / 3.0)),
        VerdictLevel::Full => scratch.max(classical(work, 2.0)),
    };
    let sizes = work.sizes(work.method());
    weights(&sizes) + packed(work, &sizes) + floor
}

/// Texts as n-grams, of which each byte of text gives so many: two for each word of six bytes, or, of runs of two to five
/// characters, those that a row has not had yet. Each is counted, and lies in a matrix and its transpose.
fn classical(work: &Work, grams_per_byte: f64) -> f64 {
    const GRAM: f64 = 24.0;
    const MOST_GRAMS: f64 = 32e6;
    let grams = (work.text_bytes * grams_per_byte).min(MOST_GRAMS);
    2.0 * work.text_bytes + GRAM * grams
}

/// Pictures as colours and edges, which are a matrix without gaps: column and value of each number, of all rows and once
/// more of the training rows, the other way round. Outputs of the training rows, and their slopes, are f64.
fn edges(work: &Work) -> f64 {
    const ENTRY: f64 = 8.0;
    let train = work.rows.train.len() as f64;
    let others = work.others.map(|rows| rows.len() as f64);
    let bias = |part: &&Part| part.place.path == "head.out.bias";
    let outputs = work.model.iter().find(bias).map_or(1, |part| part.shape[0]);
    let matrices = ENTRY * PICTURE_FEATURES as f64 * (2.0 * train + others[0] + others[1]);
    matrices + 2.0 * 8.0 * train * outputs as f64
}

/// Trainings like the first one, beside the tuned model: other seeds, and all rows.
fn again(work: &Work) -> f64 {
    if work.recipe.verdict != VerdictLevel::Full && work.recipe.refit.is_none() {
        return 0.0;
    }
    let sizes = work.sizes(work.method());
    weights(&sizes) + packed(work, &sizes) + tuning(work)
}

/// Bytes of rows as read and as encoded.
pub(super) fn data_bytes(table: &Table, examples: &[&[Example]]) -> f64 {
    let texts: usize = table.columns.iter().map(column_bytes).sum();
    let each = |row: &Example| {
        let tokens = |s: &retune_data::example::TokenSequence| 5 * s.ids.len() + 2 * HEAP;
        row.sequences().iter().map(tokens).sum::<usize>() + size_of::<Example>() + HEAP
    };
    let encoded: usize = examples.iter().flat_map(|rows| rows.iter()).map(each).sum();
    // Pictures are shared by the copies of their rows.
    let pixels = |row: &Example| {
        let cut = row.picture().and_then(|framed| framed.cut.as_ref());
        cut.map_or(0, |cut| cut.rgb().len())
    };
    let pictures: usize = examples
        .iter()
        .flat_map(|rows| rows.iter())
        .map(pixels)
        .sum();
    // The rows of an epoch are a copy.
    (texts + 2 * encoded + pictures) as f64
}

/// What an allocation costs besides its content.
const HEAP: usize = 16;

fn column_bytes(column: &Column) -> usize {
    let text = |s: &String| s.len() + HEAP;
    match &column.values {
        Values::Text(values) => {
            let content: usize = values.iter().flatten().map(text).sum();
            content + values.len() * size_of::<Option<String>>()
        }
        Values::Number(values) => values.len() * size_of::<Option<f64>>(),
        Values::Bool(values) => values.len(),
        Values::List(values) => {
            let words = values.iter().flatten().flatten();
            let content: usize = words.map(|s| text(s) + size_of::<String>()).sum();
            content + values.len() * size_of::<Option<Vec<String>>>()
        }
        Values::Picture(values) => {
            let raw = |picture: &Picture| match picture {
                Picture::File(path) => path.as_os_str().len() + HEAP,
                Picture::Bytes(data) | Picture::Raw { data, .. } => data.len() + HEAP,
            };
            let content: usize = values.iter().flatten().map(raw).sum();
            content + values.len() * size_of::<Option<Picture>>()
        }
    }
}

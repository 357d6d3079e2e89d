//! Which parameters get a gradient, and why others do not.

use std::collections::HashMap;

use burn::module::{Module, ParamId};
use retune_kernels::dropout::mix;

use super::{Case, Finding, State, mean};
use crate::model::Pass;
use crate::ops::Gradient;
use crate::train::optimizer::Gradients;
use crate::weights::{Named, host, params, with_values};

const CHECK: &str = "gradients";
/// Bias of the keys of attention: it adds the same to all scores of a query, which the softmax takes away again, so
/// that its gradient is rounding noise.
const KEY_BIAS: &str = ".key.bias";
/// The factors of a low-rank update: no gradient reaches the first while the second is zero.
const FACTORS: [&str; 2] = [".adapter.down", ".adapter.up"];
/// What cancels, cancels up to rounding: the loss then changes by less than this share of itself. What nothing reads
/// changes it by no bit.
const CANCELS: f64 = 0.01;

/// A sentence for each kind of trained parameter that gets no gradient on the first batch without a good reason.
/// Costs one look at the gradients.
pub fn without_gradient<M: Module>(model: &M, gradients: &Gradients) -> Vec<String> {
    let all = params(model);
    let of = by_id(gradients);
    let silent: Vec<&Named> = all
        .iter()
        .filter(|named| named.trained && is_zero(of.get(&named.id).copied()))
        .filter(|named| known_reason(named, &all).is_none())
        .collect();
    let Some(first) = silent.first() else {
        return Vec::new();
    };
    let others = match silent.len() {
        1 => "gets".to_string(),
        n => format!("and {} more get", n - 1),
    };
    vec![format!(
        "{} {others} no gradient although it should train; `retune doctor` says more",
        first.path
    )]
}

fn by_id(gradients: &Gradients) -> HashMap<ParamId, &Gradient> {
    gradients
        .found
        .iter()
        .map(|(id, found)| (*id, found))
        .collect()
}

fn is_zero(gradient: Option<&Gradient>) -> bool {
    gradient.is_none_or(|gradient| gradient.sum_of_squares() == 0.0)
}

/// Why the gradient of a parameter is zero whatever the batch.
fn known_reason(named: &Named, all: &[Named]) -> Option<&'static str> {
    if named.path.ends_with(KEY_BIAS) {
        return Some(
            "a shift of every key cancels in the softmax, so its gradient is rounding noise",
        );
    }
    let [first, second] = FACTORS;
    let layer = named.path.strip_suffix(first)?;
    let second = all
        .iter()
        .find(|other| other.path == format!("{layer}{second}"))?;
    let zero = host(second.value.clone()).iter().all(|v| *v == 0.0);
    zero.then_some("no gradient passes its `up`, which is still zero")
}

/// Every parameter that trains has a finite gradient that is not zero, or a reason.
pub(super) fn check<M: Module + Clone, B>(case: &Case<M, B>) -> Vec<Finding> {
    let (model, groups) = case.training();
    let pass = Pass::default();
    let loss = (case.loss)(&model, &case.batch, &pass);
    let start = mean(&loss);
    if !start.is_finite() {
        let text = "the loss of the first batch is not finite";
        return vec![Finding::new(CHECK, State::Problem, text)];
    }
    let mut gradients = Gradients::default();
    gradients.add(&model, loss.sum.backward(), &pass.rows);
    let of = by_id(&gradients);
    let all = params(&model);
    let trained: Vec<&Named> = all
        .iter()
        .filter(|n| groups.0.contains_key(&n.id))
        .collect();
    let mut found: Vec<Finding> = Vec::new();
    let mut live = 0;
    for named in &trained {
        let gradient = of.get(&named.id).copied();
        let known = known_reason(named, &all);
        if gradient.is_some_and(|gradient| !gradient.sum_of_squares().is_finite()) {
            let text = "its gradient is not finite";
            found.push(Finding::new(CHECK, State::Problem, text).of(&named.path));
        } else if known.is_some() || is_zero(gradient) {
            let tolerance = known.map_or(0.0, |_| CANCELS * start.abs());
            let moves = depends(case, &model, &named.path, (start, tolerance));
            found.push(silent(moves, known).of(&named.path));
        } else {
            live += 1;
            found.extend(rows_left_out(gradient).map(|finding| finding.of(&named.path)));
        }
    }
    let text = format!(
        "{live} of {} tensors that train get a finite gradient that is not zero",
        trained.len()
    );
    let wrong = found.iter().any(|found| found.state == State::Problem);
    let state = if wrong { State::Problem } else { State::Ok };
    found.insert(0, Finding::new(CHECK, state, text));
    found
}

/// Of a parameter without a gradient: whether the loss depends on it, and the reason that is known.
fn silent(depends: bool, known: Option<&'static str>) -> Finding {
    if depends {
        let text = "the loss depends on it, yet it gets no gradient";
        return Finding::new(CHECK, State::Problem, text);
    }
    let unread = "nothing reads it: the loss is the same whatever it holds";
    Finding::new(CHECK, State::Exempt, known.unwrap_or(unread))
}

/// Of a table of which the batch used some rows only.
fn rows_left_out(gradient: Option<&Gradient>) -> Option<Finding> {
    let Some(Gradient::Rows { rows, of: [all, _] }) = gradient else {
        return None;
    };
    let unused = all - rows.rows.len();
    let text = format!("{unused} of its {all} rows are not in this batch");
    (unused > 0).then(|| Finding::new(CHECK, State::Exempt, text))
}

/// Whether the loss of the batch, which is `start`, changes by more than `tolerance` when 1 is added to or taken from
/// each value of a parameter.
fn depends<M: Module + Clone, B>(
    case: &Case<M, B>,
    model: &M,
    path: &str,
    (start, tolerance): (f64, f64),
) -> bool {
    let all = params(model);
    let named = all.into_iter().find(|named| named.path == path);
    let Some(mut values) = named.map(|named| host(named.value)) else {
        return false;
    };
    for (i, value) in values.iter_mut().enumerate() {
        *value += if mix(i as u64) & 1 == 0 { 1.0 } else { -1.0 };
    }
    let other = with_values(model.clone(), &|at| (at == path).then(|| values.clone()));
    // A loss that is no longer a number is another one.
    let change = (case.value(&other) - start).abs();
    change.is_nan() || change > tolerance
}

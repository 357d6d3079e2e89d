//! From predictions to the content of `metrics.json`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::classification::{f1, precision, recall};
use super::decided::decided;
use super::sample::{Counts, Facts, Sample};
use super::{Kind, METRICS, Metric, metric};
use crate::bootstrap::{Draws, interval, resample};
use crate::predictions::{Predictions, Targets};
use crate::records::{Evaluated, Evaluation, Interval, Metrics, PerClass, SliceMetrics};

/// Values of one slice column that are rated; the most frequent ones are kept.
const SLICE_VALUES: usize = 50;

/// Below this many rows a percentile interval is known to be too narrow.
const FEW_ROWS: usize = 100;

/// Rates a split: every metric of `e` with a 95 % interval from 1000 resamples, slices, per-class figures and the
/// confusion matrix. They are those of the answers that `p` decides for, and beside them stand the figures of the usual
/// ones. Baselines stay empty: see [`Evaluated::compare`].
///
/// Every number in the answer is finite. A metric that is undefined on these rows is left out, and a note says why.
///
/// # Panics
/// When the parts of `p` do not fit each other: lengths differ, or a class index has no score column.
pub fn evaluate(p: &Predictions, e: &Evaluation, split: &str, seed: u64) -> Evaluated {
    let facts = Arc::new(Facts::new(p));
    let mut notes = Vec::new();
    let chosen = choose(e, facts.kind(), &mut notes);
    let mut out = Evaluated::empty(split, p.scores.rows, &e.primary);
    if let Some(reason) = unrateable(p) {
        notes.push(reason);
        out.notes = notes;
        return out;
    }
    out.metrics = measure(&facts, &chosen, seed);
    out.per_class = per_class(&facts, &e.classes, seed);
    out.confusion = confusion(&facts);
    out.decision = decided(p, (&chosen, e), &out.per_class, seed);
    for m in chosen.iter().filter(|m| !out.metrics.contains_key(m.name)) {
        notes.push(format!(
            "{} is left out: it is undefined on these rows ({})",
            m.name,
            undefined_because(m)
        ));
    }
    notes.extend(cautions(p, &facts, e, &out));
    for slice in &p.slices {
        let values = slices(p, &slice.values, &chosen, seed);
        let distinct = values.1;
        if distinct > values.0.len() {
            notes.push(format!(
                "column `{}` has {distinct} values: only the {SLICE_VALUES} most frequent ones are rated",
                slice.column
            ));
        }
        out.slices.insert(slice.column.clone(), values.0);
    }
    out.notes = notes;
    out
}

/// The metrics of `e` on all rows, without intervals, for validation while training. Undefined ones are left out.
///
/// # Panics
/// As [`evaluate`].
pub fn point(p: &Predictions, e: &Evaluation) -> BTreeMap<String, f64> {
    if unrateable(p).is_some() {
        return BTreeMap::new();
    }
    let sample = Sample::new(p);
    let chosen = choose(e, sample.kind(), &mut Vec::new());
    let values = chosen
        .iter()
        .map(|m| (m.name.to_owned(), (m.compute)(&sample)));
    values.filter(|(_, v)| v.is_finite()).collect()
}

/// The figures, on the rows of `p`, of a floor that never looks at its input: see [`majority_predictions`].
///
/// # Panics
/// As [`majority_predictions`].
pub fn majority(train: &Targets, p: &Predictions, e: &Evaluation, seed: u64) -> Metrics {
    figures(&majority_predictions(train, p), e, seed)
}

/// The rows of `p` answered with the class shares of the training rows (with labels: each label's share among its
/// known flags; for numbers: the training mean). Vectors are rated as if they said nothing: see
/// [`Retrieved::by_chance`](crate::Retrieved::by_chance).
///
/// # Panics
/// When `train` and the targets of `p` are of different kinds.
pub fn majority_predictions(train: &Targets, p: &Predictions) -> Predictions {
    if let (Targets::Class(train), Targets::Vectors(found)) = (train, &p.targets) {
        return Predictions {
            targets: Targets::Vectors(found.by_chance(train)),
            ..p.clone()
        };
    }
    let width = p.scores.cols;
    let scores: Vec<f32> = match (train, &p.targets) {
        (Targets::Class(train), Targets::Class(_)) => {
            let mut rows = vec![0_u64; width];
            for &class in train {
                rows[class as usize] += 1;
            }
            let share = |&n: &u64| {
                if train.is_empty() {
                    1.0 / width as f64
                } else {
                    n as f64 / train.len() as f64
                }
            };
            rows.iter().map(|n| share(n) as f32).collect()
        }
        (Targets::Labels(train), Targets::Labels(_)) => (0..width)
            .map(|label| {
                let known: Vec<bool> = train
                    .iter()
                    .skip(label)
                    .step_by(width)
                    .copied()
                    .flatten()
                    .collect();
                let yes = known.iter().filter(|&&flag| flag).count();
                if known.is_empty() {
                    0.5
                } else {
                    yes as f32 / known.len() as f32
                }
            })
            .collect(),
        (Targets::Value(train), Targets::Value(_)) => {
            let mean = train.iter().map(|&v| f64::from(v)).sum::<f64>() / train.len().max(1) as f64;
            vec![mean as f32]
        }
        _ => panic!("training and rated targets are of one kind"),
    };
    p.with_constant_scores(&scores)
}

/// How much better `tuned` is than `floor` in one metric, in the metric's units: positive is better, whichever way the
/// metric points. Both are rated on the same resamples, so the interval is that of the difference. Of both the usual
/// answers count: a threshold that one side alone has chosen would compare goals and not models.
///
/// `None` when the metric is unknown or undefined on these rows.
///
/// # Panics
/// When the two have different numbers of rows.
pub fn gain(tuned: &Predictions, floor: &Predictions, name: &str, seed: u64) -> Option<Interval> {
    assert_eq!(
        tuned.scores.rows, floor.scores.rows,
        "both models answer the same rows"
    );
    let m = metric(name)?;
    if unrateable(tuned).or_else(|| unrateable(floor)).is_some() {
        return None;
    }
    let models = [tuned, floor].map(|p| Arc::new(Facts::usual(p)));
    let by = |of: &[Sample]| m.sign() * ((m.compute)(&of[0]) - (m.compute)(&of[1]));
    let differences =
        resample(&models, Draws::usual(seed), 1, &|of, out| out[0] = by(of)).remove(0);
    interval(by(&models.map(Sample::of)), &differences)
}

impl Evaluated {
    /// Without any figure.
    pub fn empty(split: &str, n: usize, primary: &str) -> Self {
        Self {
            split: split.to_owned(),
            n,
            primary: primary.to_owned(),
            metrics: Metrics::new(),
            baselines: BTreeMap::new(),
            gains: BTreeMap::new(),
            slices: BTreeMap::new(),
            per_class: Vec::new(),
            confusion: Vec::new(),
            verdict: None,
            calibration: None,
            decision: None,
            parent_test: None,
            notes: Vec::new(),
        }
    }

    /// Writes a floor's figures under `baselines.NAME` and how much better the model is in the primary metric under
    /// `gains.NAME`. `tuned` and `floor` answer the same rows; `seed` is that of [`evaluate`].
    ///
    /// # Panics
    /// When the two have different numbers of rows.
    pub fn compare(
        &mut self,
        name: &str,
        (tuned, floor): (&Predictions, &Predictions),
        e: &Evaluation,
        seed: u64,
    ) {
        let figures = figures(floor, e, seed);
        self.baselines.insert(name.to_owned(), figures);
        if let Some(by) = gain(tuned, floor, &e.primary, seed) {
            self.gains.insert(name.to_owned(), by);
        }
    }
}

/// Rows worth reading, at most `limit`: wrong answers from the most to the least confident; for numbers, rows from the
/// largest to the smallest error.
pub fn mistakes(p: &Predictions, limit: usize) -> Vec<usize> {
    let mut wrong: Vec<(usize, f64)> = (0..p.scores.rows)
        .filter_map(|r| Some((r, wrongness(p, r)?)))
        .collect();
    wrong.sort_by(|a, b| b.1.total_cmp(&a.1));
    wrong.into_iter().take(limit).map(|(row, _)| row).collect()
}

/// Rows that were answered right, at most `each` of every class, spread evenly from the surest to the least sure; of
/// labels and numbers none.
pub fn right(p: &Predictions, each: usize) -> Vec<Vec<usize>> {
    let Targets::Class(truth) = &p.targets else {
        return Vec::new();
    };
    let mut classes = vec![Vec::new(); p.scores.cols];
    for (row, &class) in truth.iter().enumerate() {
        if p.class(row) == class as usize {
            classes[class as usize].push(row);
        }
    }
    let spread = |(class, mut rows): (usize, Vec<usize>)| {
        rows.sort_by(|a, b| p.scores.row(*b)[class].total_cmp(&p.scores.row(*a)[class]));
        let last = rows.len().saturating_sub(1);
        let taken = rows.len().min(each);
        // The first and the last row are among them where there are more than are taken.
        let at = |i: usize| rows[i * last / taken.saturating_sub(1).max(1)];
        (0..taken).map(at).collect()
    };
    classes.into_iter().enumerate().map(spread).collect()
}

/// Confidence in a wrong answer, or the absolute error; `None` where the answer is right or is not a number.
fn wrongness(p: &Predictions, row: usize) -> Option<f64> {
    let scores = p.scores.row(row);
    let wrong = match &p.targets {
        Targets::Class(truth) => {
            let answer = p.class(row);
            (answer != truth[row] as usize).then(|| f64::from(scores[answer]))
        }
        Targets::Labels(truth) => {
            let flags = &truth[row * p.scores.cols..(row + 1) * p.scores.cols];
            let wrong = scores
                .iter()
                .zip(flags)
                .enumerate()
                .filter_map(|(l, (&s, &t))| {
                    let flag = p.flag(l, s);
                    let confidence = if flag { s } else { 1.0 - s };
                    t.is_some_and(|t| t != flag).then(|| f64::from(confidence))
                });
            wrong.max_by(f64::total_cmp)
        }
        Targets::Value(truth) => {
            Some((f64::from(scores[0]) - f64::from(truth[row])).abs()).filter(|&e| e > 0.0)
        }
        Targets::Vectors(found) => {
            let answer = found.answers[row].filter(|near| near.group != found.groups[row]);
            answer.map(|near| f64::from(near.cosine))
        }
    };
    wrong.filter(|w| w.is_finite())
}

/// The metrics of `e` that fit the targets, in its order, the primary one always among them.
fn choose(e: &Evaluation, kind: Kind, notes: &mut Vec<String>) -> Vec<&'static Metric> {
    let mut chosen: Vec<&'static Metric> = Vec::new();
    for name in e.metrics.iter().chain([&e.primary]) {
        match metric(name) {
            Some(m) if chosen.iter().any(|c| c.name == m.name) => {}
            Some(m) if m.kinds.contains(&kind) => chosen.push(m),
            Some(m) => notes.push(format!(
                "{} is left out: it is not defined for {}",
                m.name,
                plural(kind)
            )),
            None => {
                let known: Vec<&str> = METRICS
                    .iter()
                    .filter(|m| m.kinds.contains(&kind))
                    .map(|m| m.name)
                    .collect();
                notes.push(format!(
                    "`{name}` is left out: it is not a metric; use one of {}",
                    known.join(", ")
                ));
            }
        }
    }
    chosen
}

/// The metrics of `e` of the usual answers, with intervals; none when the scores cannot be rated.
fn figures(p: &Predictions, e: &Evaluation, seed: u64) -> Metrics {
    if unrateable(p).is_some() {
        return Metrics::new();
    }
    let facts = Arc::new(Facts::usual(p));
    let chosen = choose(e, facts.kind(), &mut Vec::new());
    measure(&facts, &chosen, seed)
}

pub(super) fn measure(facts: &Arc<Facts>, chosen: &[&Metric], seed: u64) -> Metrics {
    let whole = Sample::of(Arc::clone(facts));
    let models = std::slice::from_ref(facts);
    let figures = resample(models, Draws::usual(seed), chosen.len(), &|of, out| {
        out.iter_mut()
            .zip(chosen)
            .for_each(|(v, m)| *v = (m.compute)(&of[0]));
    });
    let rated = chosen.iter().zip(&figures);
    rated
        .filter_map(|(m, f)| Some((m.name.to_owned(), interval((m.compute)(&whole), f)?)))
        .collect()
}

pub(super) fn per_class(facts: &Arc<Facts>, names: &[String], seed: u64) -> Vec<PerClass> {
    let whole = Sample::of(Arc::clone(facts));
    let counts = whole.counts();
    let width = counts.hit.len();
    let three = |c: &Counts, k: usize| [precision(c, k), recall(c, k), f1(c, k)];
    let models = std::slice::from_ref(facts);
    let figures = resample(models, Draws::usual(seed), 3 * width, &|of, out| {
        let counts = of[0].counts();
        out.chunks_mut(3)
            .enumerate()
            .for_each(|(k, v)| v.copy_from_slice(&three(counts, k)));
    });
    (0..width)
        .filter_map(|k| {
            let values = three(counts, k);
            let at = |i: usize| interval(values[i], &figures[3 * k + i]);
            let class = names.get(k).cloned().unwrap_or_else(|| k.to_string());
            Some(PerClass {
                class,
                support: counts.truth[k],
                precision: at(0)?,
                recall: at(1)?,
                f1: at(2)?,
            })
        })
        .collect()
}

/// `[truth][predicted]`; empty unless each row has one class.
fn confusion(facts: &Facts) -> Vec<Vec<u64>> {
    let Facts::Classes(f) = facts else {
        return Vec::new();
    };
    let mut rows = vec![vec![0; f.classes]; f.classes];
    f.truth
        .iter()
        .zip(&f.predicted)
        .for_each(|(&t, &p)| rows[t as usize][p as usize] += 1);
    rows
}

/// Figures by value of a column, and the number of distinct values.
fn slices(
    p: &Predictions,
    values: &[String],
    chosen: &[&Metric],
    seed: u64,
) -> (BTreeMap<String, SliceMetrics>, usize) {
    let mut rows_of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, value) in values.iter().enumerate() {
        rows_of.entry(value).or_default().push(row);
    }
    let distinct = rows_of.len();
    let mut largest: Vec<(&str, Vec<usize>)> = rows_of.into_iter().collect();
    largest.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
    largest.truncate(SLICE_VALUES);
    let rate = |rows: &[usize]| {
        let facts = Arc::new(Facts::new(&p.subset(rows)));
        SliceMetrics {
            n: rows.len(),
            metrics: measure(&facts, chosen, seed),
        }
    };
    (
        largest
            .into_iter()
            .map(|(value, rows)| (value.to_owned(), rate(&rows)))
            .collect(),
        distinct,
    )
}

/// Why no figure can be computed at all.
pub(crate) fn unrateable(p: &Predictions) -> Option<String> {
    let targets: &[f32] = if let Targets::Value(v) = &p.targets {
        v
    } else {
        &[]
    };
    let broken = p
        .scores
        .data
        .iter()
        .chain(targets)
        .filter(|v| !v.is_finite())
        .count();
    match (p.scores.rows, broken) {
        (0, _) => Some("no figures: there are no rows".to_owned()),
        (_, 0) => None,
        (_, n) => Some(format!(
            "no figures: {n} scores or targets are not finite numbers; the model has diverged, lower the learning rate"
        )),
    }
}

fn undefined_because(m: &Metric) -> &'static str {
    match m.kinds {
        [Kind::Value] => "it needs values that differ",
        [Kind::Vectors] => {
            "it needs another row of the same label, or for knn@k a training or validation row of it"
        }
        _ => "it needs rows inside and outside of at least one class",
    }
}

/// What the figures cannot say.
fn cautions(p: &Predictions, facts: &Facts, e: &Evaluation, out: &Evaluated) -> Vec<String> {
    let mut notes = Vec::new();
    let n = p.scores.rows;
    if n < FEW_ROWS {
        notes.push(format!(
            "{n} rows are few: the true intervals are wider than the ones shown"
        ));
    }
    if matches!(facts, Facts::Classes(_))
        && out.metrics.get("accuracy").is_some_and(|a| a.value == 1.0)
    {
        let floor = (1.0 - 3.0 / n as f64).max(0.0);
        notes.push(format!(
            "every row is answered right, so the interval has no width; {n} rows without an error are still \
             compatible with a true accuracy of {floor:.3}"
        ));
    }
    let absent: Vec<String> = out
        .per_class
        .iter()
        .filter(|c| c.support == 0)
        .map(|c| format!("`{}`", c.class))
        .collect();
    if !absent.is_empty() {
        let shown = absent
            .iter()
            .take(5)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let more = if absent.len() > 5 { ", …" } else { "" };
        notes.push(format!(
            "{} of {} classes have no rows here ({shown}{more}): auroc and average_precision are averages over the others",
            absent.len(),
            out.per_class.len().max(e.classes.len()),
        ));
    }
    notes
}

fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Classes => "classes",
        Kind::Labels => "labels",
        Kind::Value => "numbers",
        Kind::Vectors => "vectors",
    }
}

//! Predictions of the tuned model and of its floors, on the same rows, to a [`Verdict`].
//!
//! Every resample draws rows once for all models. Per floor the statistic is `mean over seeds of the tuned models -
//! mean over seeds of the floor's`, in the primary metric. Where a side has several seeds, they are resampled with
//! replacement too, each side on its own. The mean of `K` drawn seeds spreads `sqrt((K - 1) / K)` as far as the mean
//! of `K` new seeds would, and a few seeds say little about that spread: deviations of the drawn seeds from the side's
//! own mean are widened by `sqrt(K / (K - 1)) t / z`, with Student's `t` for the degrees of freedom of both sides.
//!
//! Intervals are percentiles; p-values are `2 min(1 + #{d <= 0}, 1 + #{d >= 0}) / (1 + R)`. Floors are corrected after
//! Holm: the floor with the `i`-th smallest p-value of `m` gets the level `1 - 0.05 / (m - i)`, and from the first
//! floor on whose interval holds 0 the level stays.

use std::sync::Arc;

use crate::bootstrap::{Draws, Random, interval_at, resample};
use crate::metrics::{Facts, Metric, Sample, metric, unrateable};
use crate::predictions::{Predictions, Targets, top};
use crate::records::{Evaluation, FloorVerdict, Interval, Verdict, Word};
use crate::significance::{ascending, deviation, holm, mcnemar, student_t};

/// Number of resamples behind a verdict: the corrected intervals need the far ends of the distribution.
pub(crate) const RESAMPLES: usize = 5000;

/// Share of intervals, over all floors together, that may miss the true difference.
const ALPHA: f64 = 0.05;

/// Fewer rows than this can all favour one model by chance while the bootstrap shows no spread.
const FEWEST_ROWS: usize = 20;

/// 97.5 % point of the normal distribution, and its sum with the 80 % point: a difference of that many standard errors
/// is found in four of five test sets.
const Z: f64 = 1.96;
const POWER: f64 = 1.96 + 0.84;

/// Floors that answer "did tuning help?" and those that answer "is it worth shipping?".
pub(crate) const TUNING: [&str; 5] = [
    "base_model",
    "frozen",
    "scratch",
    "scratch_ids",
    "scratch_texts",
];
pub(crate) const SHIPPING: [&str; 11] = [
    "classical",
    "linear",
    "gbdt",
    "network",
    "majority",
    "prior",
    "popularity",
    "popularity_7_days",
    "markov",
    "item_knn",
    "ease",
];

/// The models of one side, one per seed.
struct Side {
    models: Vec<Arc<Facts>>,
    /// The metric, averaged over the models.
    value: f64,
}

/// One side on every resample.
struct Resampled {
    /// Mean over its models.
    mean: Vec<f64>,
    /// How far the mean over its drawn models lies from it; zeros for a single model.
    deviation: Vec<f64>,
}

/// One side that was rated: its name, how many models it has, one per seed, and their mean figure.
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) models: usize,
    pub(crate) value: f64,
}

/// The difference to one floor before any correction.
pub(crate) struct Estimate {
    name: String,
    difference: f64,
    /// The difference on each resample, undefined ones left out.
    resampled: Vec<f64>,
    mcnemar: Option<f64>,
}

/// What could be estimated of the floors.
#[derive(Default)]
pub(crate) struct Estimated {
    pub(crate) estimates: Vec<Estimate>,
    /// Floors that could not be rated and count as no evidence.
    pub(crate) unknown: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// Judges the tuned model, or one model per seed, against each floor (likewise) in the primary metric of `evaluation`.
/// All of them answer the same rows in the same order; `seed` picks the resamples. Of every model the usual answers
/// count, as in [`crate::gain`].
///
/// Never fails on what it is given to judge. Where nothing can be compared (no rows, scores that are not finite, a
/// metric that is undefined) the word is [`Word::NoEvidence`] and a note says why. A floor whose own answers leave the
/// metric undefined, as constant answers do for correlations, is left out with a note.
///
/// # Panics
/// When two models answer different numbers of rows.
pub fn judge(
    tuned: &[&Predictions],
    floors: &[(&str, Vec<&Predictions>)],
    evaluation: &Evaluation,
    seed: u64,
) -> Verdict {
    let all = || tuned.iter().chain(floors.iter().flat_map(|f| &f.1));
    let rows = all().next().map_or(0, |p| p.scores.rows);
    assert!(
        all().all(|p| p.scores.rows == rows),
        "every model answers the same rows"
    );
    let estimated = match metric(&evaluation.primary) {
        Some(m) => estimate(tuned, floors, m, seed),
        None => Estimated::not_a_metric(&evaluation.primary),
    };
    conclude(estimated, &evaluation.primary, (tuned.len(), rows))
}

impl Estimated {
    /// Nothing, because the metric is not known.
    pub(crate) fn not_a_metric(name: &str) -> Self {
        Self {
            notes: vec![format!("`{name}` is not a metric")],
            ..Self::default()
        }
    }
}

/// The verdict of what was estimated of the floors, over `(seeds, rows)`.
pub(crate) fn conclude(
    estimated: Estimated,
    metric: &str,
    (seeds, rows): (usize, usize),
) -> Verdict {
    let mut verdict = Verdict {
        word: Word::NoEvidence,
        helped: Word::NoEvidence,
        worth_shipping: Word::NoEvidence,
        scope: scope(seeds, rows),
        detectable: detectable(&estimated.estimates),
        rows,
        seeds,
        floors: [].into(),
        notes: estimated.notes,
    };
    correct(&estimated.estimates, metric, &mut verdict);
    answer(&mut verdict, &estimated.unknown);
    verdict
}

fn scope(seeds: usize, rows: usize) -> String {
    if seeds > 1 {
        format!("the recipe over {seeds} seeds on these {rows} rows")
    } else {
        format!("this one model on these {rows} rows; another seed may differ")
    }
}

/// The three words; floors that could not be rated count as no evidence.
fn answer(v: &mut Verdict, unknown: &[String]) {
    let over = |wanted: &dyn Fn(&str) -> bool| {
        let rated = v.floors.iter().map(|(name, f)| (name.as_str(), f.word));
        let unrated = unknown.iter().map(|n| (n.as_str(), Word::NoEvidence));
        let all = rated.chain(unrated).filter(|(name, _)| wanted(name));
        Word::weakest(all.map(|(_, word)| word))
    };
    let words = [
        over(&|_| true),
        over(&|name| TUNING.contains(&name)),
        over(&|name| SHIPPING.contains(&name)),
    ];
    [v.word, v.helped, v.worth_shipping] = words;
}

/// The difference to every floor that can be rated.
fn estimate(
    tuned: &[&Predictions],
    floors: &[(&str, Vec<&Predictions>)],
    m: &Metric,
    seed: u64,
) -> Estimated {
    let mut out = Estimated::default();
    let own = match side(tuned, m) {
        Ok(own) => own,
        Err((reason, _)) => {
            out.notes.push(format!("the tuned model: {reason}"));
            return out;
        }
    };
    let mut sides = Vec::new();
    for (name, models) in floors {
        match side(models, m) {
            Ok(floor) => sides.push((*name, models, floor)),
            Err((reason, left_out)) => {
                out.notes.push(format!("{name}: {reason}"));
                out.unknown.extend((!left_out).then(|| (*name).to_owned()));
            }
        }
    }
    let models: Vec<Arc<Facts>> = std::iter::once(&own)
        .chain(sides.iter().map(|s| &s.2))
        .flat_map(|s| s.models.iter().cloned())
        .collect();
    let draws = Draws {
        seed,
        count: RESAMPLES,
    };
    let figures = resample(&models, draws, models.len(), &|of, out| {
        (out.iter_mut().zip(of)).for_each(|(v, sample)| *v = (m.compute)(sample));
    });
    let measured = |name: &str, side: &Side| Measured {
        name: name.to_owned(),
        models: side.models.len(),
        value: side.value,
    };
    let others: Vec<Measured> = sides.iter().map(|s| measured(s.0, &s.2)).collect();
    out.estimates = contrast((&measured("", &own), &others), &figures, m.sign(), seed);
    for (estimate, (_, models, _)) in out.estimates.iter_mut().zip(&sides) {
        estimate.mcnemar = exact(tuned, models, m);
    }
    out
}

/// The difference between the tuned models and each other side. `figures` is `[models][RESAMPLES]`, those of the tuned
/// ones first and then those of each side in turn; `sign` makes a larger figure the better one.
pub(crate) fn contrast(
    (own, sides): (&Measured, &[Measured]),
    figures: &[Vec<f64>],
    sign: f64,
    seed: u64,
) -> Vec<Estimate> {
    // Streams up to the number of resamples draw the rows.
    let (mut rest, mut stream) = (figures, RESAMPLES as u64);
    let mut next = |side: &Measured| {
        let (figures, after) = rest.split_at(side.models);
        (rest, stream) = (after, stream + 1);
        resampled(figures, &mut Random::new(seed, stream))
    };
    let of_tuned = next(own);
    let estimate = |side: &Measured| Estimate {
        name: side.name.clone(),
        difference: sign * (own.value - side.value),
        resampled: differences((&of_tuned, &next(side)), own.models + side.models - 2, sign),
        mcnemar: None,
    };
    sides.iter().map(estimate).collect()
}

/// The models of a side, or why it cannot be rated and whether that leaves it out of the words.
fn side(models: &[&Predictions], m: &Metric) -> Result<Side, (String, bool)> {
    if models.is_empty() {
        return Err(("no predictions".to_owned(), true));
    }
    if let Some(reason) = models.iter().find_map(|p| unrateable(p)) {
        return Err((reason, false));
    }
    let models: Vec<Arc<Facts>> = models.iter().map(|p| Arc::new(Facts::usual(p))).collect();
    let values = models
        .iter()
        .map(|f| (m.compute)(&Sample::of(Arc::clone(f))));
    let value = values.sum::<f64>() / models.len() as f64;
    if value.is_finite() {
        Ok(Side { models, value })
    } else {
        Err((format!("{} is undefined on these rows", m.name), true))
    }
}

/// `figures` is `[models][resamples]`.
fn resampled(figures: &[Vec<f64>], random: &mut Random) -> Resampled {
    let k = figures.len();
    let widen = if k > 1 {
        (k as f64 / (k as f64 - 1.0)).sqrt()
    } else {
        0.0
    };
    let mean = |r: usize| figures.iter().map(|f| f[r]).sum::<f64>() / k as f64;
    let means: Vec<f64> = (0..RESAMPLES).map(mean).collect();
    let deviation = (0..RESAMPLES)
        .map(|r| {
            let drawn = (0..k).map(|_| figures[random.below(k)][r]).sum::<f64>() / k as f64;
            widen * (drawn - means[r])
        })
        .collect();
    Resampled {
        mean: means,
        deviation,
    }
}

/// The finite differences of the two sides, positive when the first is better.
fn differences((of, from): (&Resampled, &Resampled), freedom: usize, sign: f64) -> Vec<f64> {
    let widen = if freedom > 0 {
        student_t(freedom) / Z
    } else {
        0.0
    };
    (0..RESAMPLES)
        .map(|r| {
            let seeds = widen * (of.deviation[r] - from.deviation[r]);
            sign * (of.mean[r] - from.mean[r] + seeds)
        })
        .filter(|d| d.is_finite())
        .collect()
}

/// McNemar's exact test for the accuracy of two models.
fn exact(tuned: &[&Predictions], floor: &[&Predictions], m: &Metric) -> Option<f64> {
    let ([tuned], [floor], "accuracy") = (tuned, floor, m.name) else {
        return None;
    };
    let Targets::Class(truth) = &tuned.targets else {
        return None;
    };
    let right = |p: &Predictions, row: usize| top(p.scores.row(row)) == truth[row] as usize;
    let (mut won, mut lost) = (0, 0);
    for row in 0..truth.len() {
        match (right(tuned, row), right(floor, row)) {
            (true, false) => won += 1,
            (false, true) => lost += 1,
            _ => {}
        }
    }
    Some(mcnemar(won, lost))
}

/// Two-sided p-value of the bootstrap against a difference of 0.
fn p_value(differences: &[f64]) -> f64 {
    let count = |side: &dyn Fn(f64) -> bool| differences.iter().filter(|d| side(**d)).count();
    let tail = count(&|d| d <= 0.0).min(count(&|d| d >= 0.0));
    (2.0 * (1.0 + tail as f64) / (1.0 + differences.len() as f64)).min(1.0)
}

/// Corrects the intervals and p-values over the floors and finds the words.
fn correct(estimates: &[Estimate], metric: &str, verdict: &mut Verdict) {
    let p: Vec<f64> = estimates.iter().map(|e| p_value(&e.resampled)).collect();
    let adjusted = holm(&p);
    // Floors without the exact test count as certain: they rank first and leave the others' factors as they are.
    let exact = |e: &Estimate| e.mcnemar.unwrap_or(0.0);
    let exact = holm(&estimates.iter().map(exact).collect::<Vec<_>>());
    let mut tests = estimates.len();
    for at in ascending(&p) {
        let e = &estimates[at];
        let Some(by) = interval_at(e.difference, &e.resampled, ALPHA / tests as f64) else {
            continue;
        };
        let mcnemar = e.mcnemar.map(|_| exact[at]);
        let (word, caution) = word(&by, verdict.rows, mcnemar);
        if word != Word::NoEvidence {
            tests -= 1;
        }
        verdict
            .notes
            .extend(caution.map(|c| format!("{}: {c}", e.name)));
        let floor = FloorVerdict {
            metric: metric.to_owned(),
            difference: by.value,
            low: by.low,
            high: by.high,
            word,
            p: Some(adjusted[at]),
            mcnemar,
        };
        verdict.floors.insert(e.name.clone(), floor);
    }
}

/// What the interval says, and why the word is weaker than the interval where it is.
fn word(by: &Interval, rows: usize, mcnemar: Option<f64>) -> (Word, Option<String>) {
    let word = Word::of(by);
    if word == Word::NoEvidence {
        return (word, None);
    }
    if rows < FEWEST_ROWS {
        let reason = format!("{rows} rows are too few for a verdict, whatever the interval says");
        return (Word::NoEvidence, Some(reason));
    }
    match mcnemar {
        Some(p) if p > ALPHA => {
            let reason = format!(
                "too few rows tell the two apart for the interval to be trusted: McNemar's exact test gives {p:.2}"
            );
            (Word::NoEvidence, Some(reason))
        }
        _ => (word, None),
    }
}

/// See [`Verdict::detectable`].
fn detectable(estimates: &[Estimate]) -> Option<f64> {
    let strongest = estimates
        .iter()
        .min_by(|a, b| a.difference.total_cmp(&b.difference))?;
    Some(POWER * deviation(&strongest.resampled)).filter(|d| d.is_finite() && *d > 0.0)
}

//! How the run went: loss, validation metric and learning rate over the steps.

use super::chart::{Axis, Chart};
use super::html::{count, hint, text, words};
use super::series::class;
use crate::records::{Event, RunRecord};
use crate::table::number;

/// Points of a line at most; longer runs show the mean of neighbouring steps.
const POINTS: usize = 240;

/// What the charts need of the events.
#[derive(Default)]
struct Curves {
    /// `(step, training loss)`
    loss: Vec<(f64, f64)>,
    /// `(step, learning rate)`
    rate: Vec<(f64, f64)>,
    /// `(step, validation loss)`
    valid_loss: Vec<(f64, f64)>,
    /// `(step, primary metric)`
    valid_metric: Vec<(f64, f64)>,
    best: Option<u64>,
    last: u64,
    /// Losses that are not finite, which no chart can show.
    broken: usize,
    end: String,
}

fn gather(r: &RunRecord) -> Curves {
    let mut c = Curves::default();
    for event in &r.events {
        match event {
            Event::Step { step, loss, lr, .. } => {
                c.loss.push((*step as f64, *loss));
                c.rate.push((*step as f64, *lr));
                c.last = c.last.max(*step);
            }
            Event::Validated {
                step,
                loss,
                metrics,
                best,
            } => {
                c.valid_loss.push((*step as f64, *loss));
                if let Some(&value) = metrics.get(&r.evaluated.primary) {
                    c.valid_metric.push((*step as f64, value));
                }
                if *best {
                    c.best = Some(*step);
                }
                c.last = c.last.max(*step);
            }
            Event::Stopped {
                step,
                reason,
                best_step,
            } => {
                c.best = Some(*best_step);
                let reason = text(&reason.replace('_', " "));
                c.end = format!(
                    "Stopped at step {step} ({reason}); the weights of step {best_step} are kept."
                );
            }
            Event::Stage { .. }
            | Event::Progress { .. }
            | Event::Saved { .. }
            | Event::Note { .. } => {}
        }
    }
    for line in [&mut c.loss, &mut c.valid_loss] {
        let all = line.len();
        line.retain(|p| p.1.is_finite());
        c.broken += all - line.len();
    }
    c.valid_metric.retain(|p| p.1.is_finite());
    c
}

/// Charts of the run, or a sentence when no step was recorded.
pub(super) fn curves(r: &RunRecord) -> String {
    let c = gather(r);
    if c.last == 0 {
        return hint("No training steps were recorded.");
    }
    let end = if c.end.is_empty() {
        String::new()
    } else {
        hint(&c.end)
    };
    let broken = match c.broken {
        0 => String::new(),
        n => hint(&format!(
            "The loss of {} was not a finite number: the run diverged there.",
            count(n, "step")
        )),
    };
    let charts = [loss(&c), metric(r, &c), rate(&c)].concat();
    format!("{end}{broken}<div class=\"charts\">{charts}</div>\n")
}

/// Training loss and validation metric of several runs in one chart each.
pub(super) fn overlay(runs: &[RunRecord]) -> String {
    let all: Vec<(&RunRecord, Curves)> = runs
        .iter()
        .map(|r| (r, gather(r)))
        .filter(|(_, c)| c.last > 0)
        .collect();
    let Some((first, _)) = all.first() else {
        return hint("No training steps were recorded.");
    };
    let primary = &first.evaluated.primary;
    let alike = |r: &RunRecord| &r.evaluated.primary == primary;
    let loss = |(r, c): &(&RunRecord, Curves)| (words(&r.title), smoothed(&thin(&c.loss, POINTS)));
    let metric = |(r, c): &(&RunRecord, Curves)| (words(&r.title), c.valid_metric.clone());
    let last = all.iter().map(|(_, c)| c.last).max().unwrap_or(0);
    let rated = all.iter().filter(|(r, _)| alike(r));
    let charts = [
        together(
            "loss",
            "Training loss",
            last,
            &all.iter().map(loss).collect::<Vec<_>>(),
        ),
        together(
            "metric",
            &format!("Validation {}", text(primary)),
            last,
            &rated.map(metric).collect::<Vec<_>>(),
        ),
    ];
    format!("<div class=\"charts\">{}</div>\n", charts.concat())
}

/// Lines of several runs over the steps; nothing when all of them are empty.
fn together(
    id: &'static str,
    title: &str,
    last: u64,
    lines: &[(String, Vec<(f64, f64)>)],
) -> String {
    if lines.iter().all(|(_, line)| line.is_empty()) {
        return String::new();
    }
    let y = Axis::around(title, lines.iter().flat_map(|(_, l)| l).map(|p| p.1));
    let description = format!("{title} of {} over the steps.", count(lines.len(), "run"));
    let axes = (Axis::counts("optimiser step", last), y);
    let mut chart = Chart::new(id, title, &description, axes);
    for (i, (name, line)) in lines.iter().enumerate() {
        chart.line(class(i), line);
        chart.name(class(i), name);
    }
    chart.finish()
}

fn loss(c: &Curves) -> String {
    let shown = thin(&c.loss, POINTS);
    let smooth = smoothed(&shown);
    let y = Axis::around("mean loss", shown.iter().chain(&c.valid_loss).map(|p| p.1));
    let ends = |p: &[(f64, f64)]| match (p.first(), p.last()) {
        (Some(a), Some(b)) => format!("from {} to {}", number(a.1), number(b.1)),
        _ => "not recorded".to_owned(),
    };
    let description = format!(
        "Training loss {}; validation loss {}.",
        ends(&smooth),
        ends(&c.valid_loss)
    );
    let mut chart = Chart::new(
        "loss",
        "Loss",
        &description,
        (Axis::counts("optimiser step", c.last), y),
    );
    chart.line("a faint", &shown);
    chart.line("a", &smooth);
    chart.name("a no-dot", "training");
    if !c.valid_loss.is_empty() {
        passes(&mut chart, c, &c.valid_loss);
        chart.name("b", "validation");
    }
    chart.finish()
}

fn metric(r: &RunRecord, c: &Curves) -> String {
    if c.valid_metric.is_empty() {
        return String::new();
    }
    let name = text(&r.evaluated.primary);
    let y = Axis::around(&name, c.valid_metric.iter().map(|p| p.1));
    let best = c
        .best
        .and_then(|b| c.valid_metric.iter().find(|p| p.0 == b as f64));
    let at_best = best.map_or(String::new(), |p| {
        format!(" The kept weights, of step {}, have {}.", p.0, number(p.1))
    });
    let description = format!(
        "{name} over {}.{at_best}",
        count(c.valid_metric.len(), "validation")
    );
    let title = format!("Validation {name}");
    let mut chart = Chart::new(
        "metric",
        &title,
        &description,
        (Axis::counts("optimiser step", c.last), y),
    );
    passes(&mut chart, c, &c.valid_metric);
    chart.name("b", "validation");
    chart.finish()
}

fn rate(c: &Curves) -> String {
    if c.rate.is_empty() {
        return String::new();
    }
    let shown = thin(&c.rate, POINTS);
    let highest = shown.iter().map(|p| p.1).fold(0.0, f64::max);
    let y = Axis::around("learning rate", shown.iter().map(|p| p.1).chain([0.0]));
    let description = format!("The learning rate peaks at {highest:.2e}.");
    let mut chart = Chart::new(
        "rate",
        "Learning rate",
        &description,
        (Axis::counts("optimiser step", c.last), y),
    );
    chart.line("a", &shown);
    chart.name("a no-dot", "learning rate");
    chart.finish()
}

/// Validation passes as a line with dots, and the step whose weights are kept.
fn passes(chart: &mut Chart, c: &Curves, points: &[(f64, f64)]) {
    if let Some(best) = c.best {
        chart.upright("kept", best as f64);
        chart.name("kept no-dot", "weights kept");
    }
    chart.line("b", points);
    for p in points {
        chart.dot("b", *p, 3.0, &format!("step {}: {}", p.0, number(p.1)));
    }
}

/// Means of runs of neighbouring points, at most `limit` of them.
fn thin(points: &[(f64, f64)], limit: usize) -> Vec<(f64, f64)> {
    let mean = |part: &[(f64, f64)]| {
        let n = part.len() as f64;
        (
            part.iter().map(|p| p.0).sum::<f64>() / n,
            part.iter().map(|p| p.1).sum::<f64>() / n,
        )
    };
    points
        .chunks(points.len().div_ceil(limit).max(1))
        .map(mean)
        .collect()
}

/// Mean over a window of a tenth of the run, centred, so that the trend shows through the noise of single steps.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let half = points.len() / 20;
    (0..points.len())
        .map(|i| {
            // The window shrinks on both sides alike near the ends: a lopsided mean would bend the curve there.
            let half = half.min(i).min(points.len() - 1 - i);
            let window = &points[i - half..=i + half];
            (
                points[i].0,
                window.iter().map(|p| p.1).sum::<f64>() / window.len() as f64,
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_are_thinned_to_means() {
        let points: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(i), 1.0)).collect();
        let shown = thin(&points, 240);
        assert_eq!((shown.len(), shown[0]), (200, (2.0, 1.0)));
        assert!(thin(&[], 240).is_empty());
    }

    #[test]
    fn smoothing_keeps_a_straight_line() {
        let points: Vec<(f64, f64)> = (0..100).map(|i| (f64::from(i), f64::from(2 * i))).collect();
        assert_eq!(smoothed(&points), points);
        assert!(smoothed(&[]).is_empty());
    }
}

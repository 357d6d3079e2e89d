//! A search over candidates: which went on, what the validation rows said of each, and what to type next.

use std::fmt::Write;

use super::chart::{Axis, Chart};
use super::html::{count, heads, hint, section, table, text, words};
use super::series::class;
use crate::halving::{Search, Trial};
use crate::table::{lower_is_better, number};

/// Candidates of the last rung that have a line of their own: as many as there are looks of lines.
const NAMED: usize = 6;

/// The search as a part of the page; empty where nothing was measured. `command` trains the best candidate.
pub(super) fn candidates(search: &Search, command: &str) -> String {
    if search.trainings() == 0 {
        return String::new();
    }
    let body = [
        conclusion(search, command),
        format!("<div class=\"charts\">{}</div>\n", picture(search)),
        scores(search),
        failed(search),
        hint(
            "Successive halving (Jamieson &amp; Talwalkar, arXiv:1502.07943): every rung trains its candidates from the \
             pre-trained model with a whole schedule of its own, and the best go on to the next. The share is that of \
             each candidate's own steps. Test rows take no part.",
        ),
    ];
    section("candidates", "Candidates", &body.concat())
}

fn conclusion(search: &Search, command: &str) -> String {
    let Some((best, rung)) = search.best() else {
        return "<p>No training gave a score.</p>\n".to_owned();
    };
    let found = &search.candidates[best];
    let score = found.trials[rung].score.unwrap_or(f64::NAN);
    format!(
        "<p class=\"big\"><b>{}</b> {} on {}</p>\n<p>Best of {} in {}: {}.</p>\n\
         <p>This figure is too good on average: it is the best of many on the same validation rows. The figure to trust \
         is the test figure of the run itself:</p>\n<pre tabindex=\"0\"><code>{}</code></pre>\n",
        number(score),
        text(&search.metric),
        count(search.rows, "validation row"),
        count(search.candidates.len(), "candidate"),
        count(search.trainings(), "training"),
        words(&found.name),
        text(command)
    )
}

fn picture(search: &Search) -> String {
    let line = |i: usize| -> Vec<(f64, f64)> {
        let trials = search.candidates[i].trials.iter();
        trials
            .filter_map(|trial| Some((trial.steps as f64, trial.score?)))
            .collect()
    };
    let all: Vec<(f64, f64)> = (0..search.candidates.len()).flat_map(line).collect();
    let label = format!("validation {}", text(&search.metric));
    let y = Axis::around(&label, all.iter().map(|p| p.1));
    let x = Axis::log("optimiser steps", all.iter().map(|p| p.0));
    let description = format!(
        "Validation {} over the steps of {}.",
        text(&search.metric),
        count(search.candidates.len(), "candidate")
    );
    let mut chart = Chart::new("candidates-chart", "Score by steps", &description, (x, y));
    let order = search.order();
    let last = order.first().map_or(0, |(_, reached)| *reached);
    let named = |at: usize, reached: usize| reached == last && at < NAMED;
    // Those that went furthest are drawn last, above the others.
    for (at, (i, reached)) in order.iter().enumerate().rev() {
        let (points, look) = (line(*i), class(at));
        let candidate = &search.candidates[*i];
        let (look, faint) = if named(at, *reached) {
            (look, look.to_owned())
        } else {
            ("c", "c faint".to_owned())
        };
        chart.line(&faint, &points);
        for point in &points {
            let said = format!(
                "{}, {} steps: {}",
                text(&candidate.name),
                point.0,
                number(point.1)
            );
            chart.dot(look, *point, 3.0, &said);
        }
    }
    let shown = order.iter().enumerate().filter(|(at, of)| named(*at, of.1));
    let shown: Vec<_> = shown.collect();
    for (at, (i, _)) in &shown {
        chart.name(class(*at), &words(&search.candidates[*i].name));
    }
    if shown.len() < order.len() {
        chart.name("c", "the others");
    }
    chart.finish()
}

/// One row per candidate, one column per rung.
fn scores(search: &Search) -> String {
    let mut head = heads(&["candidate"]);
    head.extend(search.rungs.iter().map(|rung| {
        let share = (1e3 * rung.share).round() / 10.0;
        format!("{share} % of the steps")
    }));
    head.push("steps in all".to_owned());
    let cell = |trial: Option<&Trial>| match trial {
        None => "–".to_owned(),
        Some(Trial {
            score: Some(score), ..
        }) => format!("<b>{}</b>", number(*score)),
        Some(_) => "failed".to_owned(),
    };
    let row = |(i, _): &(usize, usize)| {
        let candidate = &search.candidates[*i];
        let mut row = vec![words(&candidate.name)];
        row.extend((0..search.rungs.len()).map(|rung| cell(candidate.trials.get(rung))));
        let steps: u64 = candidate.trials.iter().map(|trial| trial.steps).sum();
        row.push(steps.to_string());
        row
    };
    let rows: Vec<Vec<String>> = search.order().iter().map(row).collect();
    let arrow = if lower_is_better(&search.metric) {
        " (lower is better)"
    } else {
        ""
    };
    let title = format!("{}{arrow} on the validation rows", text(&search.metric));
    table(&title, "figures", &head, &rows)
}

/// Why trainings gave no score.
fn failed(search: &Search) -> String {
    let mut list = String::new();
    for candidate in &search.candidates {
        for note in candidate.trials.iter().filter_map(|t| t.note.as_deref()) {
            let _ = write!(list, "<li>{}: {}</li>", words(&candidate.name), words(note));
        }
    }
    if list.is_empty() {
        return list;
    }
    format!("<ul>{list}</ul>\n")
}

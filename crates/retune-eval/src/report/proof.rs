//! Did it help, and what did it cost: the one sentence on top, the verdict over the floors, the table of costs.

use std::fmt::Write;

use super::headline::{floor_name, floor_title};
use super::html::{badge, count, duration, figure, heads, hint, range, section, table, text};
use super::whiskers::{Whisker, short, whiskers};
use crate::records::{Cost, FloorVerdict, RunRecord, Verdict, Word};
use crate::table::{floors, in_order, number};
use crate::verdict::{SHIPPING, TUNING};

/// The run in one sentence (HTML text without tags): from the score of frozen features (else of the first floor there
/// is) to that of the tuned model, the interval of the difference, the time, and how many labels would have done.
/// Empty where the primary metric could not be computed. It is about the usual answers, as the floors are.
pub(super) fn sentence(r: &RunRecord) -> String {
    let e = &r.evaluated;
    let Some(own) = e.usual().get(&e.primary) else {
        return String::new();
    };
    let name = text(&e.primary);
    let known = |floor: &&str| e.baselines[*floor].contains_key(&e.primary);
    let usual = ["frozen", "base_model"].into_iter();
    let floor = usual
        .filter(|f| e.baselines.contains_key(*f))
        .chain(floors(e))
        .find(known);
    let mut out = match floor {
        Some(floor) => {
            let before = e.baselines[floor][&e.primary].value;
            let verdict = e.verdict.as_ref().and_then(|v| v.floors.get(floor));
            let by = verdict.map(FloorVerdict::interval);
            let by = by.or_else(|| e.gains.get(floor).copied());
            let certain = by.map_or(String::new(), |by| {
                format!(
                    " (better by {}, 95 % interval {})",
                    number(by.value),
                    range(&by)
                )
            });
            format!(
                "{name} {} with {} → {} after tuning{certain}",
                number(before),
                floor_name(floor),
                number(own.value)
            )
        }
        None => format!(
            "{name} {} after tuning (95 % interval {})",
            number(own.value),
            range(own)
        ),
    };
    if let Some(time) = time(r) {
        let _ = write!(out, ", in {time}");
    }
    out.push_str(&labels(r));
    out + "."
}

/// Wall time of tuning, else of the run.
fn time(r: &RunRecord) -> Option<String> {
    let tuned = r.costs.get("tuned").map(|c| duration(c.seconds));
    let wall = || r.machine.iter().find(|(name, _)| name == "wall time");
    tuned.or_else(|| Some(text(&wall()?.1)))
}

fn labels(r: &RunRecord) -> String {
    let Some(curve) = &r.curve else {
        return String::new();
    };
    let rows = curve.bands("tuned").last().map_or(0, |b| b.rows);
    match curve.sufficed() {
        Some(fewer) => format!("; {fewer} of the {rows} labels would have sufficed"),
        None => String::new(),
    }
}

/// The verdict: two answers, the floors as table and picture, and what all that does not show.
pub(super) fn verdict(r: &RunRecord) -> String {
    let verdict = r.evaluated.verdict.as_ref();
    verdict.map_or_else(String::new, |v| verdict_of(v, &r.evaluated.primary, "row"))
}

/// The same of a verdict by itself: about a metric, over what `unit` names one of.
pub(super) fn verdict_of(v: &Verdict, primary: &str, unit: &str) -> String {
    let mut body = String::from("<ul class=\"floors\">");
    for (question, word, keys) in [
        ("Did tuning help?", v.helped, &TUNING[..]),
        ("Is it worth shipping?", v.worth_shipping, &SHIPPING[..]),
    ] {
        let answer = answer(v, word, keys);
        let _ = write!(body, "<li><b>{question}</b> {answer}</li>");
    }
    body.push_str("</ul>\n");
    let known: Vec<(&str, &FloorVerdict)> = in_order(v.floors.keys().map(String::as_str))
        .into_iter()
        .map(|name| (name, &v.floors[name]))
        .collect();
    let rows = known.iter().map(|&(name, f)| (floor_title(name), f));
    body.push_str(&differences(
        "The tuned model against each floor",
        rows.collect(),
    ));
    body.push_str(&unsaid(v, &text(primary), unit));
    section("verdict", "Did it help?", &body)
}

/// The answer to one question from the floors that speak to it.
fn answer(v: &Verdict, word: Word, keys: &[&str]) -> String {
    let there: Vec<String> = keys
        .iter()
        .filter(|k| v.floors.contains_key(**k))
        .map(|k| floor_name(k))
        .collect();
    let named = there.join(", ");
    let rated = keys.iter().filter_map(|k| v.floors.get(*k));
    let shown = Word::weakest(rated.map(|f| f.word)) == Word::Improved;
    match word {
        _ if there.is_empty() => {
            format!(
                "{} None of the floors that could tell was rated.",
                badge(word)
            )
        }
        Word::Improved => format!(
            "{} Yes: it is better than each of these: {named}.",
            badge(word)
        ),
        Word::NoEvidence if shown => format!(
            "{} Not shown: better than what could be rated, but not everything could be (see below).",
            badge(word)
        ),
        Word::NoEvidence => format!(
            "{} Not shown: chance can explain the difference to at least one of these: {named}.",
            badge(word)
        ),
        Word::Worse => format!(
            "{} No: it is worse than at least one of these: {named}.",
            badge(word)
        ),
    }
}

/// Differences as a table and a picture; names are HTML.
pub(super) fn differences(title: &str, floors: Vec<(String, &FloorVerdict)>) -> String {
    if floors.is_empty() {
        return String::new();
    }
    let p = |p: Option<f64>| p.map_or("–".to_owned(), small);
    let row = |(name, f): &(String, &FloorVerdict)| {
        vec![
            name.clone(),
            format!(
                "{} <small>{}</small>",
                figure(&f.interval()),
                text(&f.metric)
            ),
            badge(f.word),
            p(f.p),
            p(f.mcnemar),
        ]
    };
    let rows: Vec<Vec<String>> = floors.iter().map(row).collect();
    let head = heads(&["against", "better by", "", "p", "McNemar's p"]);
    let whisker = |(name, f): &(String, &FloorVerdict)| Whisker {
        name: short(name),
        figure: f.interval(),
        class: if f.word == Word::NoEvidence { "c" } else { "a" },
    };
    let picture = whiskers(
        &floors.iter().map(whisker).collect::<Vec<_>>(),
        Some(0.0),
        &format!("{title}: differences with simultaneous 95 % intervals"),
        "← worse · no difference · better →",
    );
    format!("{}{picture}\n", table(title, "figures", &head, &rows))
}

/// A p-value in a cell.
fn small(p: f64) -> String {
    if p < 0.001 {
        "&lt; 0.001".to_owned()
    } else {
        format!("{p:.3}")
    }
}

/// What the verdict does not show.
fn unsaid(v: &Verdict, metric: &str, unit: &str) -> String {
    let mut items = vec![
        format!("It is about {}.", text(&v.scope)),
        "The test rows come from where the training rows come from: on rows from elsewhere, or from later, the \
         difference may be another one."
            .to_owned(),
    ];
    if let Some(d) = v.detectable {
        items.push(format!(
            "“No evidence” does not say that two models are alike. {} show a difference of {} in {metric} four times \
             in five; most smaller ones stay hidden.",
            count(v.rows, unit),
            number(d)
        ));
    }
    if v.floors.len() > 1 {
        items.push(format!(
            "Intervals and p-values are corrected for {} floors (Holm): all of them hold together with 95 %.",
            v.floors.len()
        ));
    }
    items.extend(v.notes.iter().map(|n| text(n)));
    format!(
        "<p><b>What this does not show</b></p>\n<ul><li>{}</li></ul>\n",
        items.join("</li><li>")
    )
}

/// A column of the table of costs: its head, and what it says of a model.
type Column<'a> = (&'static str, &'a dyn Fn(&Cost) -> Option<String>);

/// What the model and each floor cost; columns that nothing is known of are left out.
pub(super) fn costs(r: &RunRecord) -> String {
    let mut names = vec!["tuned"];
    let floors = r.costs.keys().map(String::as_str).filter(|n| *n != "tuned");
    names.extend(in_order(floors));
    let all: Vec<(&str, &Cost)> = names
        .into_iter()
        .filter_map(|n| Some((n, r.costs.get(n)?)))
        .collect();
    let seconds = |s: Option<f64>| s.map(duration);
    let columns: [Column; 6] = [
        ("wall time", &|c| Some(duration(c.seconds))),
        ("CPU time", &|c| seconds(c.cpu_seconds)),
        ("energy", &|c| c.energy_joules.map(energy)),
        ("peak memory", &|c| {
            c.peak_rss_bytes
                .map(|b| format!("{:.2} GB", b as f64 / 1e9))
        }),
        ("trained parameters", &|c| {
            c.trained_parameters.map(parameters)
        }),
        ("as good as from scratch after", &|c| {
            seconds(c.seconds_to_scratch_best)
        }),
    ];
    let shown: Vec<_> = columns
        .iter()
        .filter(|(_, of)| all.iter().any(|(_, c)| of(c).is_some()))
        .collect();
    let row = |&(name, cost): &(&str, &Cost)| {
        let cells = shown
            .iter()
            .map(|(_, of)| of(cost).unwrap_or("–".to_owned()));
        std::iter::once(floor_title(name)).chain(cells).collect()
    };
    let mut head = heads(&["model"]);
    head.extend(shown.iter().map(|(name, _)| (*name).to_owned()));
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let table = table(
        "Cost of the model and of its floors",
        "figures",
        &head,
        &rows,
    );
    section("cost", "What it cost", &table)
}

fn energy(joules: f64) -> String {
    if joules < 3600.0 {
        format!("{joules:.0} J")
    } else {
        format!("{:.1} Wh", joules / 3600.0)
    }
}

fn parameters(n: u64) -> String {
    match n {
        0..1_000_000 => n.to_string(),
        _ => format!("{:.1} million", n as f64 / 1e6),
    }
}

/// Temperature scaling before and after, on rows that took no part in the fit.
pub(super) fn temperature(r: &RunRecord) -> String {
    let Some(c) = &r.evaluated.calibration else {
        return String::new();
    };
    let row =
        |name: &str, before: f64, after: f64| vec![name.to_owned(), number(before), number(after)];
    let rows = [
        row("expected calibration error", c.ece_before, c.ece_after),
        row("log loss", c.log_loss_before, c.log_loss_after),
    ];
    let sentence = format!(
        "Temperature {}, fitted on the validation rows: logits are divided by it. It changes no answer, only how sure \
         the model says it is. The smaller the figures below, the better.",
        number(c.temperature)
    );
    let head = heads(&["test rows", "before", "after"]);
    hint(&sentence) + &table("Temperature scaling", "figures", &head, &rows)
}

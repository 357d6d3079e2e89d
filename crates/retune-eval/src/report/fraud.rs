//! The page of a model of fraud: figures beside the floors, the queue, days, patterns and segments.

use std::fmt::Write;

use super::chart::{Axis, Chart};
use super::headline::floor_title;
use super::html::{count, figure, heads, hint, section, table, text, words};
use super::proof::verdict_of;
use super::series::class;
use crate::fraud::{
    AlertThreshold, CostPoint, DayAlerts, DayScores, FraudCurves, FraudEvaluated, FraudPart,
    PAIRED, RecallPoint,
};
use crate::records::{Interval, Metrics};
use crate::table::{in_order, number};

/// Figures in the order in which they are shown, by what stands before the `@` of their keys, and what they mean.
const MEANINGS: &[(&str, &str)] = &[
    (
        "average_precision",
        "Precision averaged over recall: what an alert is worth over the whole queue. Chance gives the share of fraud.",
    ),
    (
        "auroc",
        "Probability that a fraud scores higher than a legitimate event. Nearly 1 can still mean mostly false alarms \
         where fraud is rare.",
    ),
    (
        "recall",
        "Share of the fraud that is found: at most that share of the legitimate events being false alarms (fpr), at \
         that precision or more, or that share of all events being alerts.",
    ),
    (
        "precision",
        "Share of fraud among the first k events of the whole queue, or among the alerts.",
    ),
    (
        "card_precision",
        "Each day the k cards with the highest scores are called, cards found before left out: the share that is being \
         used for fraud, in the mean over days.",
    ),
    (
        "amount_recall",
        "Share of the money in fraud that is found.",
    ),
    (
        "predicted",
        "Mean predicted probability of fraud among the alerts; the precision at the same place is what was seen.",
    ),
    (
        "brier",
        "Mean squared error of the probability; no better than chance is about the share of fraud.",
    ),
    (
        "ece",
        "Expected calibration error: how far probabilities are from shares seen, over 15 bins.",
    ),
    (
        "fpr",
        "Share of the legitimate events that are false alarms.",
    ),
    ("alerts_per_day", "Alerts in the mean over days."),
    (
        "cost",
        "Mean cost of an event: reviews of alerts and amounts of missed fraud.",
    ),
    (
        "savings",
        "One minus the cost over that of the better of no alert at all and an alert for every event.",
    ),
];

/// What stands before the `@` of a key.
fn stem(key: &str) -> &str {
    key.split('@').next().unwrap_or(key)
}

/// Figures at a fixed threshold come last, the others in the order of their meanings, then by what is held fixed and
/// at which number.
fn place(key: &str) -> (bool, usize, &str, u64) {
    let at = MEANINGS.iter().position(|m| m.0 == stem(key));
    let point = key.split_once('@').map_or("", |parts| parts.1);
    let digits = point.trim_end_matches(|c: char| !c.is_ascii_digit());
    let thousandths = digits.parse::<f64>().map_or(0, |n| (n * 1000.0) as u64);
    let (fixed, unit) = (point == "threshold", &point[digits.len()..]);
    (fixed, at.unwrap_or(MEANINGS.len()), unit, thousandths)
}

/// The parts of the page.
pub(super) fn body(e: &FraudEvaluated) -> String {
    let unit = e.model.cards.map_or("event", |_| "card");
    let verdict = e.verdict.as_ref();
    let threshold = e.chosen.as_ref().map_or_else(String::new, chosen);
    let (queue, days) = match &e.curves {
        Some(curves) => (queue(curves), days(curves)),
        None => Default::default(),
    };
    [
        verdict.map_or_else(String::new, |v| verdict_of(v, PAIRED[0], unit)),
        notes(&e.model.notes),
        section("metrics", "Figures", &figures(e)),
        section("differences", "Paired differences", &gains(e)),
        section("threshold", "The threshold", &threshold),
        section("queue", "The queue", &queue),
        section("days", "Day by day", &days),
        patterns(&e.model.patterns),
        segments(&e.model.segments),
    ]
    .concat()
}

/// One line under the title.
pub(super) fn facts(e: &FraudEvaluated) -> String {
    let m = &e.model;
    let mut facts = vec![count(m.n, "event"), format!("{} of them fraud", m.fraud)];
    facts.extend(m.cards.map(|n| count(n, "card")));
    facts.extend(m.days.map(|n| count(n, "day")));
    format!("{}: {}", words(&e.split), facts.join(" · "))
}

fn notes(notes: &[String]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let items: Vec<String> = notes.iter().map(|n| text(n)).collect();
    let list = format!("<ul><li>{}</li></ul>\n", items.join("</li><li>"));
    section("notes", "What these figures cannot say", &list)
}

fn figures(e: &FraudEvaluated) -> String {
    let floors = in_order(e.baselines.keys().map(String::as_str));
    let mut head = heads(&["figure", "tuned"]);
    head.extend(floors.iter().map(|f| floor_title(f)));
    let mut keys: Vec<&String> = e.model.metrics.keys().collect();
    keys.sort_by_key(|k| place(k));
    let row = |key: &&String| {
        let lower = ["brier", "ece", "fpr", "cost"].contains(&stem(key));
        let arrow = if lower {
            " <small>lower is better</small>"
        } else {
            ""
        };
        let cell = |m: &Metrics| m.get(*key).map_or("–".to_owned(), figure);
        let mut row = vec![format!("{}{arrow}", text(key)), cell(&e.model.metrics)];
        row.extend(floors.iter().map(|f| cell(&e.baselines[*f].metrics)));
        row
    };
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    let mut body = table(
        "Figures with 95 % bootstrap intervals",
        "figures",
        &head,
        &rows,
    );
    let shown = |m: &&(&str, &str)| keys.iter().any(|k| stem(k) == m.0);
    let mut meanings = String::new();
    for (name, said) in MEANINGS.iter().filter(shown) {
        let _ = write!(meanings, "<dt>{name}</dt><dd>{said}</dd>");
    }
    if !meanings.is_empty() {
        let _ = writeln!(
            body,
            "<details><summary>What the figures mean</summary><dl>{meanings}</dl></details>"
        );
    }
    body
}

fn gains(e: &FraudEvaluated) -> String {
    let floors = in_order(e.gains.keys().map(String::as_str));
    let cell = |floor: &str, key: &str| {
        let gain = e.gains[floor].get(key);
        gain.map_or("–".to_owned(), figure)
    };
    let row = |floor: &&str| {
        let figures = PAIRED.iter().map(|key| cell(floor, key));
        std::iter::once(floor_title(floor)).chain(figures).collect()
    };
    let rows: Vec<Vec<String>> = floors.iter().map(row).collect();
    let mut head = heads(&["tuned over"]);
    head.extend(heads(&PAIRED));
    let caption = "How much higher the tuned model is, on the same resamples";
    table(caption, "figures", &head, &rows)
}

fn chosen(t: &AlertThreshold) -> String {
    let unmet = if t.met {
        ""
    } else {
        " <b>No threshold reached it there</b>: the nearest one was taken."
    };
    let figures = [
        ("threshold", Some(&t.threshold)),
        ("precision", t.precision.as_ref()),
        ("recall", t.recall.as_ref()),
        ("alerts a day", t.alerts_per_day.as_ref()),
        ("mean cost of an event", t.cost.as_ref()),
    ];
    let rows = figures.into_iter();
    let rows = rows.filter_map(|(name, i)| Some(vec![name.to_owned(), figure(i?)]));
    let rows: Vec<Vec<String>> = rows.collect();
    let head = heads(&["figure", "where it was chosen"]);
    let caption = "The threshold with 95 % bootstrap intervals";
    format!(
        "<p>An alert is raised from a score of {} on, chosen for this goal: {}.{unmet}</p>\n{}{}",
        number(t.threshold.value),
        text(&t.goal.to_string()),
        table(caption, "figures", &head, &rows),
        hint(&format!(
            "Some threshold reaches the goal in {:.0} % of the resamples. Figures where a threshold was chosen flatter \
             it a little; those of these events are above, as @threshold.",
            100.0 * t.met_share
        ))
    )
}

fn queue(c: &FraudCurves) -> String {
    let mut charts = String::new();
    if !c.model.is_empty() {
        charts.push_str(&recall(c));
    }
    charts.push_str(&cost(c));
    if charts.is_empty() {
        return charts;
    }
    format!("<div class=\"charts\">{charts}</div>\n")
}

fn recall(c: &FraudCurves) -> String {
    let axis = |label| Axis::over(label, 0.0, 1.0);
    let mut chart = Chart::new(
        "recall-chart",
        "Precision and recall",
        &format!(
            "Precision over recall of the tuned model and {}; chance has precision {}.",
            count(c.floors.len(), "floor"),
            number(c.share)
        ),
        (axis("recall: share of fraud found"), axis("precision")),
    );
    let points = |curve: &[RecallPoint]| -> Vec<(f64, f64)> {
        curve.iter().map(|p| (p.recall, p.precision)).collect()
    };
    chart.line("even", &[(0.0, c.share), (1.0, c.share)]);
    for (i, floor) in in_order(c.floors.keys().map(String::as_str))
        .into_iter()
        .enumerate()
    {
        chart.line(class(i + 1), &points(&c.floors[floor]));
        chart.name(class(i + 1), &floor_title(floor));
    }
    chart.line("a", &points(&c.model));
    chart.name("a", "tuned");
    chart.name("even no-dot", "chance");
    chart.finish()
}

fn cost(c: &FraudCurves) -> String {
    let Some(costs) = c.cost.as_ref().filter(|costs| !costs.points.is_empty()) else {
        return String::new();
    };
    let points: Vec<(f64, f64)> = costs.points.iter().map(|p| (p.alerts, p.cost)).collect();
    let all = points.iter().map(|p| p.1);
    let y = Axis::around("cost", all.chain([costs.none, 0.0]));
    let x = Axis::log("alerts", points.iter().map(|p| p.0));
    let said = |p: &CostPoint| {
        format!(
            "{} alerts from {} on: {}",
            p.alerts.round(),
            number(p.threshold),
            number(p.cost)
        )
    };
    let description = match &costs.cheapest {
        Some(p) => format!("Cost over the number of alerts; cheapest: {}.", said(p)),
        None => "Cost over the number of alerts; no alert at all is cheapest.".to_owned(),
    };
    let title = format!("Cost at {} per review", number(costs.of.review));
    let mut chart = Chart::new("cost-chart", &title, &description, (x, y));
    let ends = [points.first(), points.last()].map(|p| p.map_or(0.0, |p| p.0));
    chart.line("even", &ends.map(|x| (x, costs.none)));
    chart.line("a", &points);
    chart.name("a no-dot", "tuned");
    chart.name("even no-dot", "no alerts");
    let chosen = c.threshold.and_then(|at| {
        let points = costs.points.iter().rev();
        points.into_iter().find(|p| p.threshold >= at)
    });
    if let Some(point) = chosen {
        chart.upright("kept", point.alerts);
        chart.name("kept no-dot", "threshold in use");
    }
    if let Some(point) = &costs.cheapest {
        chart.dot("b", (point.alerts, point.cost), 4.0, &said(point));
        chart.name("b", "cheapest");
    }
    chart.finish()
}

fn days(c: &FraudCurves) -> String {
    let mut charts = String::new();
    if !c.alerts.is_empty() {
        charts.push_str(&alerts(&c.alerts));
    }
    if !c.scores.is_empty() {
        charts.push_str(&scores(&c.scores));
    }
    if charts.is_empty() {
        return charts;
    }
    let sentence = "Days count from the first one. Scores that drift without more fraud, or alerts that rise while \
                    what they find does not, say that the stream has changed.";
    format!("<div class=\"charts\">{charts}</div>\n{}", hint(sentence))
}

fn alerts(days: &[DayAlerts]) -> String {
    let first = days[0].day;
    let line = |of: fn(&DayAlerts) -> u64| -> Vec<(f64, f64)> {
        let point = |d: &DayAlerts| ((d.day - first) as f64, of(d) as f64);
        days.iter().map(point).collect()
    };
    let (raised, fraud, found) = (line(|d| d.alerts), line(|d| d.fraud), line(|d| d.found));
    let all = raised.iter().chain(&fraud).map(|p| p.1);
    let y = Axis::around("events a day", all.chain([0.0]));
    let sum = |line: &[(f64, f64)]| line.iter().map(|p| p.1).sum::<f64>();
    let description = format!(
        "Alerts by day: {} in all, which find {} of {} frauds.",
        sum(&raised),
        sum(&found),
        sum(&fraud)
    );
    let mut chart = Chart::new(
        "alerts-chart",
        "Alerts and what they find",
        &description,
        (day_axis(first, days[days.len() - 1].day), y),
    );
    for (class, name, points) in [
        ("a", "alerts", &raised),
        ("c", "fraud", &fraud),
        ("b", "fraud found", &found),
    ] {
        chart.line(class, points);
        for point in points {
            let said = format!("day {}: {} {name}", point.0, point.1);
            chart.dot(class, *point, 2.0, &said);
        }
        chart.name(class, name);
    }
    chart.finish()
}

fn scores(days: &[DayScores]) -> String {
    let first = days[0].day;
    let sides = [
        ("c", "legitimate", days.iter().map(|d| d.legit).collect()),
        ("b", "fraud", days.iter().map(|d| d.fraud).collect()),
    ];
    let all = sides
        .iter()
        .flat_map(|s: &(_, _, Vec<Option<[f64; 3]>>)| &s.2);
    let y = Axis::around("score", all.flatten().flatten().copied());
    let description = format!(
        "Scores of legitimate events and of fraud over {}: 5 to 95 % and the middle.",
        count(days.len(), "day")
    );
    let mut chart = Chart::new(
        "scores-chart",
        "Scores over time",
        &description,
        (day_axis(first, days[days.len() - 1].day), y),
    );
    for (class, name, values) in &sides {
        let line = |i: usize| -> Vec<(f64, f64)> {
            let each = days.iter().zip(values);
            each.filter_map(|(d, v)| Some(((d.day - first) as f64, v.as_ref()?[i])))
                .collect()
        };
        chart.band(class, &line(0), &line(2));
        chart.line(class, &line(1));
        for point in line(1) {
            let said = format!("day {}, {name}: {}", point.0, number(point.1));
            chart.dot(class, point, 2.0, &said);
        }
        chart.name(class, name);
    }
    chart.finish()
}

fn day_axis(first: i64, last: i64) -> Axis {
    Axis::counts("day", last.abs_diff(first))
}

fn patterns(parts: &[FraudPart]) -> String {
    let body = parts_table("Recall by pattern of fraud", "recall", parts, |_| "");
    let said = hint(
        "Share of each pattern that is found while the share of the figures above is reviewed.",
    );
    let body = if body.is_empty() { body } else { said + &body };
    section("patterns", "Patterns", &body)
}

fn segments(parts: &[FraudPart]) -> String {
    let mark = |i: &Interval| {
        if i.low > 1.0 {
            " <span class=\"worse\" title=\"more false alarms than elsewhere\">▼</span>"
        } else if i.high < 1.0 {
            " <span class=\"better\" title=\"fewer false alarms than elsewhere\">▲</span>"
        } else {
            ""
        }
    };
    let body = parts_table(
        "False alarms by segment",
        "false-positive rate over all",
        parts,
        mark,
    );
    let said = hint(
        "False-positive rate of each segment over that of all events: 1 is equal, 2 means that honest customers of the \
         segment are stopped twice as often. ▲ and ▼ mark whole intervals below or above 1.",
    );
    let body = if body.is_empty() { body } else { said + &body };
    section("segments", "Segments", &body)
}

fn parts_table(
    caption: &str,
    figured: &str,
    parts: &[FraudPart],
    mark: impl Fn(&Interval) -> &'static str,
) -> String {
    let row = |p: &FraudPart| {
        vec![
            words(&p.name),
            p.n.to_string(),
            format!("{}{}", figure(&p.figure), mark(&p.figure)),
        ]
    };
    let rows: Vec<Vec<String>> = parts.iter().map(row).collect();
    table(
        caption,
        "figures",
        &heads(&["name", "events", figured]),
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_by_meaning_then_by_number() {
        let mut keys = [
            "recall@threshold",
            "brier",
            "recall@10%fpr",
            "precision@1000",
            "recall@1%alerts",
            "recall@0.1%fpr",
            "precision@100",
            "recall@5%fpr",
            "auroc",
            "unheard@3",
            "precision@1%alerts",
        ];
        keys.sort_by_key(|k| place(k));
        let wanted = [
            "auroc",
            "recall@1%alerts",
            "recall@0.1%fpr",
            "recall@5%fpr",
            "recall@10%fpr",
            "precision@100",
            "precision@1000",
            "precision@1%alerts",
            "brier",
            "unheard@3",
            "recall@threshold",
        ];
        assert_eq!(keys, wanted);
    }
}

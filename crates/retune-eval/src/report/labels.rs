//! The label-efficiency curve: what fewer labels would have given, and what more are expected to give.

use super::chart::{Axis, Chart};
use super::headline::floor_title;
use super::html::{count, figure, heads, hint, section, table, text};
use super::series::class;
use crate::curve::{Band, LabelCurve};
use crate::table::number;

/// The curve as a part of the page; empty without points.
pub(super) fn labels(curve: &LabelCurve) -> String {
    if curve.points.is_empty() {
        return String::new();
    }
    let body = [
        conclusion(curve),
        format!("<div class=\"charts\">{}</div>\n", picture(curve)),
        scores(curve),
        hint(
            "Bands and intervals are 95 % over seeds (Student's t); each seed draws its own rows, and a smaller share \
             is part of every larger one. A single seed has no band.",
        ),
    ];
    section("labels", "With fewer labels", &body.concat())
}

/// What the curve says in words.
fn conclusion(curve: &LabelCurve) -> String {
    let mut sentences = Vec::new();
    if let Some(last) = curve.bands("tuned").last() {
        sentences.push(match curve.sufficed() {
            Some(rows) => format!(
                "{rows} of {} would have sufficed: from there on the mean score lies within the interval of the score with all of them.",
                count(last.rows, "label")
            ),
            None => format!(
                "No smaller share is shown to do as well as all {}.",
                count(last.rows, "label")
            ),
        });
    }
    let apart = curve.gaps.iter().filter(|g| g.score.low > 0.0);
    if let Some(gap) = apart.max_by(|a, b| a.score.value.total_cmp(&b.score.value)) {
        sentences.push(format!(
            "Starting from the pre-trained model gains most with {}: {} over the same model from random \
             initialisation (95 % interval {} to {}).",
            count(gap.rows, "label"),
            number(gap.score.value),
            number(gap.score.low),
            number(gap.score.high)
        ));
    }
    if let Some(f) = curve.forecast {
        sentences.push(format!(
            "With {} the curve leads to {} (95 % interval for one run {} to {}).",
            count(f.at_rows, "label"),
            number(f.value),
            number(f.low),
            number(f.high)
        ));
    }
    format!("<p>{}</p>\n", sentences.join(" "))
}

fn picture(curve: &LabelCurve) -> String {
    let models: Vec<(&str, Vec<Band>)> = curve
        .models()
        .into_iter()
        .map(|m| (m, curve.bands(m)))
        .collect();
    let ends = models
        .iter()
        .flat_map(|(_, bands)| bands)
        .flat_map(|b| [b.score.low, b.score.high]);
    let ahead = curve.forecast.map(|f| [f.low, f.high]);
    let y = Axis::around(
        &text(&curve.metric),
        ends.chain(ahead.into_iter().flatten()),
    );
    let sizes = curve.points.iter().map(|p| p.rows as f64);
    let x = Axis::log(
        "labels",
        sizes.chain(curve.forecast.map(|f| f.at_rows as f64)),
    );
    let description = format!(
        "{} over the number of labels for {}.",
        text(&curve.metric),
        count(models.len(), "model")
    );
    let mut chart = Chart::new(
        "labels-chart",
        "Score by number of labels",
        &description,
        (x, y),
    );
    for (i, (model, bands)) in models.iter().enumerate() {
        let line = |of: fn(&Band) -> f64| -> Vec<(f64, f64)> {
            bands.iter().map(|b| (b.rows as f64, of(b))).collect()
        };
        let (class, means) = (class(i), line(|b| b.score.value));
        chart.band(class, &line(|b| b.score.low), &line(|b| b.score.high));
        chart.line(class, &means);
        for (point, band) in means.iter().zip(bands) {
            let said = format!("{} labels: {}", band.rows, number(band.score.value));
            chart.dot(class, *point, 3.0, &said);
        }
        chart.name(class, &floor_title(model));
    }
    if let Some(f) = curve.forecast {
        let at = f.at_rows as f64;
        chart.line("even", &[(at, f.low), (at, f.high)]);
        chart.dot(
            "c",
            (at, f.value),
            2.5,
            &format!("forecast: {}", number(f.value)),
        );
        chart.name("even no-dot", "forecast");
    }
    chart.finish()
}

/// Scores by number of labels, and the gap to the model from random initialisation.
fn scores(curve: &LabelCurve) -> String {
    let models = curve.models();
    let of: Vec<Vec<Band>> = models.iter().map(|m| curve.bands(m)).collect();
    let mut sizes: Vec<(usize, f64)> = of.iter().flatten().map(|b| (b.rows, b.share)).collect();
    sizes.sort_by_key(|s| s.0);
    sizes.dedup_by_key(|s| s.0);
    let cell = |bands: &[Band], rows: usize| {
        let band = bands.iter().find(|b| b.rows == rows);
        band.map_or("–".to_owned(), |b| figure(&b.score))
    };
    let row = |&(rows, share): &(usize, f64)| {
        let percent = (1e4 * share).round() / 100.0;
        let mut row = vec![rows.to_string(), format!("{percent} %")];
        row.extend(of.iter().map(|bands| cell(bands, rows)));
        if !curve.gaps.is_empty() {
            row.push(cell(&curve.gaps, rows));
        }
        row
    };
    let mut head = heads(&["labels", "share"]);
    head.extend(models.iter().map(|m| floor_title(m)));
    if !curve.gaps.is_empty() {
        head.push("tuned better than from scratch by".to_owned());
    }
    let rows: Vec<Vec<String>> = sizes.iter().map(row).collect();
    let title = format!("{} by number of labels", text(&curve.metric));
    table(&title, "figures", &head, &rows)
}

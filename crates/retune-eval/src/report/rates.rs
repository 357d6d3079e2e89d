//! The learning-rate range test: loss over the rate, and where the suggestion comes from.

use super::chart::{Axis, Chart};
use super::html::{heads, hint, section, table, text};
use crate::range_test::{CERTAIN, RangeTest, TestEnd};
use crate::table::number;

/// Losses above so many times the first level are drawn at the upper edge, where the fall would not be seen otherwise.
const SHOWN: f64 = 1.5;

/// The test as a part of the page; empty without steps.
pub(super) fn rates(test: &RangeTest) -> String {
    if test.points.is_empty() {
        return String::new();
    }
    let body = [
        conclusion(test),
        format!("<div class=\"charts\">{}</div>\n", picture(test)),
        figures(test),
        hint(&format!(
            "Each step had a larger rate than the one before, by equal factors, on a model that was thrown away (Smith, \
             arXiv:1506.01186). A level is the mean loss of {} neighbouring steps. A rate is suggested only where the \
             levels fall by more than {CERTAIN} standard errors of the noise of single batches. Losses far above the first ones \
             lie on the upper edge of the picture. A short test at rising \
             rates is a hint, not a measurement of trained models: <code>retune tune</code> compares rates on the validation rows.",
            test.stretch
        )),
    ];
    section("rates", "Loss by learning rate", &body.concat())
}

fn conclusion(test: &RangeTest) -> String {
    let lead = match test.suggestion {
        Some(lr) => format!("<p class=\"big\"><b>{lr:.1e}</b> suggested learning rate</p>\n"),
        None => String::new(),
    };
    let end = match test.end {
        TestEnd::Finished => "",
        TestEnd::Rose => " The test ended early: the loss had risen to four times its least level.",
        TestEnd::Diverged => {
            " The test ended early: the loss or the gradient was no longer a finite number."
        }
    };
    format!("{lead}<p>{}.{end}</p>\n", sentence(test))
}

/// The sentence of the test with a capital letter, as HTML.
fn sentence(test: &RangeTest) -> String {
    let said = text(&test.sentence());
    let mut letters = said.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn picture(test: &RangeTest) -> String {
    let points: Vec<(f64, f64)> = test.points.iter().map(|p| (p.lr, p.loss)).collect();
    let levels: Vec<(f64, f64)> = test
        .points
        .iter()
        .filter_map(|p| Some((p.lr, p.level?)))
        .collect();
    let first = levels.first().or(points.first()).map_or(0.0, |p| p.1);
    let shown = |loss: f64| loss.min(SHOWN * first);
    let y = Axis::around("mean loss", points.iter().map(|p| shown(p.1)));
    let x = Axis::log("learning rate", points.iter().map(|p| p.0));
    let description = match test.suggestion {
        Some(lr) => format!("Training loss over the learning rate; {lr:.1e} is suggested."),
        None => "Training loss over the learning rate.".to_owned(),
    };
    let mut chart = Chart::new("rates-chart", "Loss by learning rate", &description, (x, y));
    chart.line("a faint", &points);
    chart.line("a", &levels);
    chart.name("a no-dot", "level");
    if let Some(lr) = test.suggestion {
        chart.upright("kept", lr);
        chart.name("kept no-dot", "suggestion");
    }
    for point in &levels {
        let said = format!("{:.1e}: {}", point.0, number(point.1));
        chart.dot("a", *point, 1.5, &said);
    }
    chart.finish()
}

fn figures(test: &RangeTest) -> String {
    let Some(fall) = test.fall else {
        return String::new();
    };
    let mut rows = vec![
        vec!["first level".to_owned(), number(fall.from)],
        vec!["least level".to_owned(), number(fall.to)],
        vec![
            "standard error of their difference".to_owned(),
            number(fall.standard_error),
        ],
        vec![
            "rate of the steepest fall".to_owned(),
            format!("{:.1e}", fall.steepest),
        ],
        vec![
            "rate of the least level".to_owned(),
            format!("{:.1e}", fall.least),
        ],
    ];
    if let Some(lr) = test.suggestion {
        rows.push(vec!["suggestion".to_owned(), format!("{lr:.1e}")]);
    }
    let head = heads(&["figure", "value"]);
    table("Figures of the test", "figures", &head, &rows)
}

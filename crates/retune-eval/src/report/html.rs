//! Escaped text, tables and sections: every string of a record enters the page through [`text`].

use std::fmt::Write;

use crate::records::{Interval, Word};
use crate::table::number;

/// Class of tables of people's texts: on narrow screens their rows become blocks, and each cell names its column.
pub(super) const TEXTS: &str = "texts";

/// Text that is safe inside an element and inside a quoted attribute. Control characters, which HTML forbids, and the
/// invisible ones that reorder text, which could make an answer read as another, become U+FFFD.
pub(super) fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Someone's own words: isolated, so that right-to-left text does not reorder what stands around it.
pub(super) fn words(raw: &str) -> String {
    if raw.trim().is_empty() {
        return "<i class=\"quiet\">(empty)</i>".to_owned();
    }
    format!("<bdi>{}</bdi>", text(raw))
}

/// A figure with its interval in small print beside it.
pub(super) fn figure(i: &Interval) -> String {
    format!("<b>{}</b> <small>{}</small>", number(i.value), range(i))
}

/// A word as a badge, with a sign, so that it does not rest on colour.
pub(super) fn badge(word: Word) -> String {
    let (class, sign) = match word {
        Word::Improved => ("better", '▲'),
        Word::NoEvidence => ("unclear", '≈'),
        Word::Worse => ("worse", '▼'),
    };
    format!("<span class=\"badge {class}\">{sign} {word}</span>")
}

/// Seconds as people say them: `4.2 s`, `38 s`, `2 min 5 s`, `1 h 3 min`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `low to high`.
pub(super) fn range(i: &Interval) -> String {
    format!("{} to {}", number(i.low), number(i.high))
}

/// A titled part of the page; nothing when the body is empty.
pub(super) fn section(id: &str, title: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\"><h2 id=\"{id}-title\">{title}</h2>\n{body}</section>\n"
    )
}

/// A paragraph of explanation under a title.
pub(super) fn hint(sentence: &str) -> String {
    format!("<p class=\"quiet\">{sentence}</p>\n")
}

/// A table of cells that are HTML already; the first cell of a row heads it. Nothing when there are no rows.
/// The heads of a [`TEXTS`] table are plain text.
pub(super) fn table(caption: &str, class: &str, heads: &[String], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "<div class=\"scroll\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\"><table class=\"{class}\">\
         <caption>{caption}</caption>\n<thead><tr>"
    );
    for head in heads {
        let _ = write!(out, "<th scope=\"col\">{head}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (i, (cell, head)) in row.iter().zip(heads).enumerate() {
            let _ = match (i, class) {
                (0, _) => write!(out, "<th scope=\"row\">{cell}</th>"),
                (_, TEXTS) => write!(out, "<td data-head=\"{head}\">{cell}</td>"),
                _ => write!(out, "<td>{cell}</td>"),
            };
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// Heads of a table that are not anyone's words.
pub(super) fn heads(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

/// `n` and its noun: `1 row`, `2 rows`.
pub(super) fn count(n: usize, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_leaves_no_markup_and_no_control_characters() {
        assert_eq!(
            text("</script><a b='\"&\0\u{202e}\n"),
            "&lt;/script&gt;&lt;a b=&#39;&quot;&amp;\u{fffd}\u{fffd}\n"
        );
    }

    #[test]
    fn times_are_said_in_the_unit_that_fits() {
        let said = [0.04, 9.4, 59.6, 125.0, 3780.0].map(duration);
        assert_eq!(
            said,
            ["0.0 s", "9.4 s", "1 min 0 s", "2 min 5 s", "1 h 3 min"]
        );
    }

    #[test]
    fn empty_parts_leave_no_trace() {
        assert_eq!(section("a", "A", ""), "");
        assert_eq!(table("a", "", &heads(&["x"]), &[]), "");
        assert!(words(" \n").contains("(empty)"));
    }
}

//! Pictures on the page: rows as small pictures, heat maps of what speaks for an answer, and a contact sheet of what
//! training sees.
//!
//! They are part of the page, as data URIs; the page's policy lets no others in.

use std::fmt::Write;

use super::html::{count, hint, section, text, words};
use crate::records::{
    ContactSheet, Gallery, HeatMaps, InlinePicture, PictureFormat, RunRecord, Shown,
};
use crate::table::number;

/// Mean rank correlation with the maps of random weights from which on maps say nothing of what was learned.
const SAME: f64 = 0.5;

/// Sides up to which pixels are shown as squares.
const TINY: u32 = 48;

/// What a row holds: the word for the heads of tables.
pub(super) fn noun(r: &RunRecord) -> &'static str {
    if r.task.starts_with("image") {
        "picture"
    } else {
        "text"
    }
}

/// A picture; `alt` says in words what it is, `title` appears over it. Both are HTML already.
fn image(picture: &InlinePicture, alt: &str, title: &str) -> String {
    let kind = match picture.format {
        PictureFormat::Png => "png",
        PictureFormat::Jpeg => "jpeg",
    };
    let class = if picture.width.max(picture.height) <= TINY {
        " class=\"tiny\""
    } else {
        ""
    };
    format!(
        "<img{class} src=\"data:image/{kind};base64,{}\" width=\"{}\" height=\"{}\" alt=\"{alt}\" title=\"{title}\" \
         loading=\"lazy\" />",
        text(&picture.base64),
        picture.width,
        picture.height
    )
}

/// Where a row comes from, for the eye: its file, or else its place.
fn name(row: &Shown) -> String {
    match row.text.trim() {
        "" => text(&row.id),
        file => text(file),
    }
}

/// The row's picture with its name over it; nothing where it has none.
pub(super) fn thumbnail(row: &Shown) -> String {
    let name = name(row);
    row.picture
        .as_ref()
        .map_or_else(String::new, |picture| image(picture, &name, &name))
}

/// Right answer, model's answer and a figure under a picture; `sign` follows them.
fn caption(row: &Shown, sign: &str) -> String {
    format!(
        "<span class=\"truth\"><small>truth</small> {}</span> <span><small>answer</small> {} <small>{}</small>{sign}</span>",
        words(&row.truth),
        words(&row.predicted),
        number(row.confidence)
    )
}

fn list(items: impl Iterator<Item = String>, class: &str) -> String {
    let mut inner = String::new();
    for item in items {
        let _ = writeln!(inner, "<li>{item}</li>");
    }
    if inner.is_empty() {
        return inner;
    }
    format!("<ul class=\"{class}\">\n{inner}</ul>\n")
}

/// Rows as pictures with both answers; nothing unless every row has a picture.
pub(super) fn grid(rows: &[Shown]) -> String {
    if rows.iter().any(|row| row.picture.is_none()) {
        return String::new();
    }
    let items = rows.iter().map(|row| thumbnail(row) + &caption(row, ""));
    list(items, "shots")
}

/// Maps, galleries and the contact sheet.
pub(super) fn pictures(r: &RunRecord) -> String {
    let Some(pictures) = &r.pictures else {
        return String::new();
    };
    let maps = pictures.maps.as_ref().map_or_else(String::new, maps);
    let training = pictures.training.as_ref();
    maps + &galleries(&pictures.right) + &training.map_or_else(String::new, contact_sheet)
}

fn maps(maps: &HeatMaps) -> String {
    if maps.rows.is_empty() {
        return String::new();
    }
    let item = |(row, map): &(Shown, InlinePicture)| {
        let name = name(row);
        let alt = format!("heat map over {name}");
        let sign = if row.truth == row.predicted {
            " <b class=\"better\" title=\"right\">✓</b>"
        } else {
            " <b class=\"worse\" title=\"wrong\">✗</b>"
        };
        let seen = thumbnail(row) + &image(map, &alt, &name);
        format!("<div class=\"pair\">{seen}</div>{}", caption(row, sign))
    };
    let [height, width] = maps.grid;
    let mut body = hint(&format!(
        "What speaks for the model's answer, by Grad-CAM (Selvaraju et al., arXiv:1610.02391): the warmer a place, the \
         more. A map has only {height} × {width} places: its edges are not those of things."
    ));
    body.push_str(&sanity(maps.correlation));
    body.push_str(&list(maps.rows.iter().map(item), "shots wide"));
    section("maps", "Where the model looks", &body)
}

/// Whether the maps depend on what was learned (Adebayo et al., arXiv:1810.03292).
fn sanity(correlation: Option<f64>) -> String {
    let source = "Adebayo et al., arXiv:1810.03292";
    match correlation {
        None => String::new(),
        Some(same) if same > SAME => format!(
            "<p><b>Do not read these maps as what was learned</b>: they hardly change when the backbone's weights are \
             random (mean rank correlation {}; {source}).</p>\n",
            number(same)
        ),
        Some(same) => format!(
            "<p>The maps change when the backbone's weights are random (mean rank correlation {}): they depend on what \
             was learned ({source}).</p>\n",
            number(same)
        ),
    }
}

fn galleries(all: &[Gallery]) -> String {
    let mut body = String::new();
    for gallery in all.iter().filter(|gallery| !gallery.rows.is_empty()) {
        let item = |row: &Shown| {
            format!(
                "{}<small>{}</small>",
                thumbnail(row),
                number(row.confidence)
            )
        };
        let _ = write!(
            body,
            "<h3>{}</h3>\n{}",
            words(&gallery.class),
            list(gallery.rows.iter().map(item), "shots few")
        );
    }
    if body.is_empty() {
        return body;
    }
    let sentence = "Test rows that were answered right, from the surest to the least sure, with the confidence.";
    section("right", "Answered right", &(hint(sentence) + &body))
}

fn contact_sheet(training: &ContactSheet) -> String {
    let sentence = if training.changes.is_empty() {
        "Training pictures as the model sees them, cut to its size; nothing about them is changed at random.".to_owned()
    } else {
        format!(
            "One training picture a row: as at prediction, then {} as training draws them at random: {}.",
            count(training.draws, "time"),
            text(&training.changes.join(", "))
        )
    };
    let alt = count(training.rows.len(), "training picture");
    let mut rows = String::new();
    for row in &training.rows {
        let _ = write!(
            rows,
            "<li><small class=\"place\">{}</small></li>",
            text(row)
        );
    }
    let body = format!(
        "{}<p class=\"sheet\">{}</p>\n<details><summary>Which pictures these are</summary><ol>{rows}</ol></details>\n",
        hint(&sentence),
        image(&training.sheet, &alt, &alt)
    );
    section(
        "training-pictures",
        "What the model sees in training",
        &body,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sample;

    #[test]
    fn rows_become_pictures_only_where_every_row_has_one() {
        let mut rows = vec![sample::picture_record().mistakes[0].clone(); 2];
        let page = grid(&rows);
        let start = "<li><img class=\"tiny\" src=\"data:image/png;base64,AQEBAQEB\" width=\"8\" height=\"6\" \
                     alt=\"a/17.png\" title=\"a/17.png\" loading=\"lazy\" />";
        assert_eq!(page.matches(start).count(), 2, "{page}");
        assert!(page.contains("<small>truth</small> <bdi>positive</bdi>"));
        rows[1].picture = None;
        assert_eq!(grid(&rows), "");
        assert_eq!(grid(&[]), "");
    }

    #[test]
    fn hostile_names_and_pictures_stay_within_their_attributes() {
        let mut row = sample::picture_record().mistakes[0].clone();
        "\"><script>alert(1)</script>.png".clone_into(&mut row.text);
        if let Some(picture) = &mut row.picture {
            "\" onerror=\"alert(1)".clone_into(&mut picture.base64);
            (picture.format, picture.width) = (PictureFormat::Jpeg, 96);
        }
        let page = grid(&[row.clone()]);
        assert_eq!(page.matches('<').count(), page.matches('>').count());
        assert!(
            !page.contains("<script") && !page.contains("onerror=\""),
            "{page}"
        );
        assert!(page.contains("<img src=\"data:image/jpeg;base64,&quot; onerror=&quot;alert(1)\""));
        row.text.clear();
        assert!(grid(&[row]).contains("title=\"reviews.csv:17\""));
    }

    #[test]
    fn maps_that_do_not_depend_on_the_weights_are_not_to_be_read() {
        let mut r = sample::picture_record();
        let page = pictures(&r);
        for expected in [
            "7 × 5 places",
            "(mean rank correlation 0.100): they depend on what was learned",
            "alt=\"heat map over a/17.png\"",
            "title=\"wrong\"",
            "<h3><bdi>negative</bdi></h3>",
            "then 6 times as training draws them at random: flipped.",
            "<li><small class=\"place\">a/3.png</small></li>",
        ] {
            assert!(page.contains(expected), "{expected} is missing in\n{page}");
        }
        if let Some(maps) = r.pictures.as_mut().and_then(|p| p.maps.as_mut()) {
            maps.correlation = Some(0.7);
        }
        assert!(pictures(&r).contains("<b>Do not read these maps as what was learned</b>"));
        r.pictures = None;
        assert_eq!(pictures(&r), "");
    }
}

//! Which columns of a catalogue are the id, the text and the categories; each with its reason.
//!
//! The id is the column that holds the items of the events. Texts and categories are told by the last telling word of
//! their names, and columns of sentences are taken whatever their name is.

use std::collections::HashSet;

use super::CatalogueRequest;
use crate::error::{DataError, Result};
use crate::interactions::columns::ITEMS;
use crate::interactions::source::Source;
use crate::processor::SEPARATORS;
use crate::profile::{Kind, Profile, profile};
use crate::roles::Reason;
use crate::roles::names::plain;
use crate::table::{Column, Table, Values};

/// What a cell with several values has between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    /// The cell is one value.
    None,
    /// White space, as in columns of type `token_seq`.
    Spaces,
    /// A mark, or the elements of a list.
    Mark(char),
}

/// A column that is part of the text, or one of categories.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) separator: Separator,
}

/// The columns of a catalogue.
pub(super) struct Chosen {
    pub(super) id: String,
    pub(super) texts: Vec<Part>,
    pub(super) categories: Vec<Part>,
    pub(super) reasons: Vec<Reason>,
}

/// What a column says about an item, in the order of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    Title,
    Category,
    Maker,
    Description,
}

const TITLES: &[&str] = &["title", "name", "headline"];
const CATEGORIES: &[&str] = &[
    "category",
    "categories",
    "genre",
    "genres",
    "class",
    "classes",
    "department",
    "section",
    "tag",
    "tags",
    "type",
    "group",
    "topic",
    "topics",
    "subcategory",
    "kategorie",
];
const MAKERS: &[&str] = &[
    "brand",
    "store",
    "artist",
    "author",
    "authors",
    "director",
    "publisher",
    "manufacturer",
    "maker",
];
const DESCRIPTIONS: &[&str] = &[
    "description",
    "desc",
    "abstract",
    "overview",
    "summary",
    "plot",
    "synopsis",
    "body",
    "text",
    "features",
    "content",
    "subtitle",
    "beschreibung",
];

/// Decides which column is what; `seen` are the ids that interactions name.
pub(super) fn choose(
    source: &Source,
    t: &Table,
    request: &CatalogueRequest,
    seen: &HashSet<&str>,
) -> Result<Chosen> {
    for name in request
        .id
        .iter()
        .chain(&request.text)
        .chain(&request.categories)
    {
        t.column(name)?;
    }
    let profiles: Vec<Profile> = t.columns.iter().map(|c| profile(c, t.rows())).collect();
    let (id, why) = id_column(t, &profiles, request, seen)?;
    let mut out = Chosen {
        id: id.clone(),
        texts: Vec::new(),
        categories: Vec::new(),
        reasons: Vec::new(),
    };
    out.because(&id, "item id", why);
    let category = |p: &Profile| -> Result<Part> {
        Ok(Part {
            name: p.name.clone(),
            separator: separator(source, t.column(&p.name)?, p),
        })
    };
    let of = |name: &String| profiles.iter().find(|p| p.name == *name);
    for p in request.categories.iter().filter_map(of) {
        out.categories.push(category(p)?);
        out.because(&p.name, "category", "named by you".to_string());
    }
    for p in request.text.iter().filter_map(of) {
        out.texts.push(text_part(category(p)?, t, p));
        out.because(&p.name, "text", "named by you".to_string());
    }
    out.take_said(t, &profiles, request, &category)?;
    if out.texts.is_empty() {
        return Err(no_text(t, &profiles));
    }
    Ok(out)
}

/// A column as part of the text: only categories and lists are cut into values.
fn text_part(mut part: Part, t: &Table, p: &Profile) -> Part {
    let list = t
        .column(&p.name)
        .is_ok_and(|c| matches!(c.values, Values::List(_)));
    let category = says(p).is_some_and(|(what, _)| what == Says::Category);
    if !list && !category {
        part.separator = Separator::None;
    }
    part
}

impl Chosen {
    /// Takes the columns that say something about an item, where the user names none.
    fn take_said(
        &mut self,
        t: &Table,
        profiles: &[Profile],
        request: &CatalogueRequest,
        category: &dyn Fn(&Profile) -> Result<Part>,
    ) -> Result<()> {
        let mut said: Vec<(Says, &Profile, String)> = profiles
            .iter()
            .filter(|p| p.name != self.id)
            .filter_map(|p| says(p).map(|(what, why)| (what, p, why)))
            .collect();
        said.sort_by_key(|(what, ..)| *what);
        for (what, p, why) in said {
            let part = category(p)?;
            // A category has several items, or an item several of them; `distinct` counts cells.
            let shared =
                part.separator != Separator::None || p.distinct * 2 <= p.filled || t.rows() < 20;
            if request.text.is_empty() {
                self.texts.push(text_part(part.clone(), t, p));
                self.because(&p.name, "text", why.clone());
            }
            if request.categories.is_empty() && what == Says::Category && shared {
                self.categories.push(part);
                self.because(&p.name, "category", why);
            }
        }
        Ok(())
    }

    fn because(&mut self, column: &str, role: &str, why: String) {
        self.reasons.push(Reason {
            column: column.to_string(),
            role: role.to_string(),
            why,
        });
    }
}

/// The column of ids and why: the one that holds the most items of the events, or else the one with the best name.
fn id_column(
    t: &Table,
    profiles: &[Profile],
    request: &CatalogueRequest,
    seen: &HashSet<&str>,
) -> Result<(String, String)> {
    let found = |name: &str| -> usize {
        let Ok(column) = t.column(name) else { return 0 };
        let mut there = HashSet::new();
        for row in 0..t.rows() {
            let text = column.text(row).unwrap_or_default();
            there.extend(seen.get(text.trim()).copied());
        }
        there.len()
    };
    let by_name = |p: &&Profile| {
        let name = plain(&p.name);
        ITEMS.iter().chain(&["id"]).position(|n| *n == name)
    };
    let named = profiles
        .iter()
        .filter(|p| by_name(p).is_some())
        .min_by_key(by_name);
    if let Some(id) = &request.id {
        if !seen.is_empty() && found(id) == 0 {
            return Err(strangers(t, id, seen));
        }
        return Ok((id.clone(), "named by you".to_string()));
    }
    if seen.is_empty() {
        return match named {
            Some(p) => Ok((p.name.clone(), format!("its name, and {}", p.describe()))),
            None => Err(no_id(t, profiles)),
        };
    }
    // The first of several that hold as many.
    let best = profiles
        .iter()
        .rev()
        .map(|p| (found(&p.name), p))
        .max_by_key(|(n, _)| *n);
    match (best, named) {
        (Some((n, p)), _) if n > 0 => Ok((
            p.name.clone(),
            format!("it holds {n} of the {} items of the events", seen.len()),
        )),
        (_, Some(p)) => Err(strangers(t, &p.name, seen)),
        _ => Err(no_id(t, profiles)),
    }
}

/// No id of the column is that of an item of the events.
fn strangers(t: &Table, name: &str, seen: &HashSet<&str>) -> DataError {
    let here = t
        .column(name)
        .ok()
        .and_then(|c| Some(c.text(0)?.into_owned()));
    let there = seen.iter().min().copied().unwrap_or_default();
    DataError::Column {
        column: name.to_string(),
        file: t.file(),
        problem: format!(
            "none of its values is an item of the events: here `{}`, there `{there}`",
            here.unwrap_or_default()
        ),
        cure: "name the column of ids with --item-id COLUMN, or the items of the events with --item COLUMN".to_string(),
    }
}

fn list(profiles: &[Profile]) -> String {
    let shown = profiles.iter().take(12);
    let each: Vec<String> = shown
        .map(|p| format!("`{}` ({})", p.name, p.describe()))
        .collect();
    each.join(", ")
}

fn no_id(t: &Table, profiles: &[Profile]) -> DataError {
    DataError::Ambiguous {
        file: t.file(),
        role: "id of the items".to_string(),
        candidates: format!("no column is called like one; it has {}", list(profiles)),
        flag: "--item-id COLUMN".to_string(),
    }
}

fn no_text(t: &Table, profiles: &[Profile]) -> DataError {
    DataError::Ambiguous {
        file: t.file(),
        role: "text of the items".to_string(),
        candidates: format!(
            "no column looks like a title or a description; it has {}",
            list(profiles)
        ),
        flag: "--item-text COLUMN, several times if need be".to_string(),
    }
}

/// What a column says about an item, and why that is thought.
fn says(p: &Profile) -> Option<(Says, String)> {
    if !matches!(
        p.kind,
        Kind::Text | Kind::Names | Kind::Words | Kind::List | Kind::Constant
    ) {
        return None;
    }
    let name = plain(&p.name);
    let telling = name.split('_').rev().find_map(|word| {
        let kinds = [
            (Says::Category, CATEGORIES),
            (Says::Maker, MAKERS),
            (Says::Description, DESCRIPTIONS),
        ];
        kinds
            .iter()
            .find(|(_, words)| words.contains(&word))
            .map(|(what, _)| *what)
    });
    let title = || {
        name.rsplit('_')
            .next()
            .is_some_and(|last| TITLES.contains(&last))
    };
    let what = telling.or_else(|| title().then_some(Says::Title));
    match what {
        Some(what) => Some((what, format!("its name, and {}", p.describe()))),
        None if p.kind == Kind::Text => Some((Says::Description, p.describe())),
        None => None,
    }
}

/// Whether the cells of a column are many combinations of few words.
fn few_words(column: &Column) -> bool {
    let (mut cells, mut words) = (HashSet::new(), HashSet::new());
    for row in 0..column.len() {
        let text = column.text(row).unwrap_or_default();
        words.extend(text.split_whitespace().map(str::to_string));
        cells.insert(text);
    }
    words.len() * 4 <= cells.len()
}

/// What the cells of a column have between their values.
fn separator(source: &Source, column: &Column, p: &Profile) -> Separator {
    match source.type_of(&p.name) {
        Some("token_seq") => return Separator::Spaces,
        // Files exist that write several genres into a column of type `token`.
        Some("token") if few_words(column) => return Separator::Spaces,
        Some(_) => return Separator::None,
        None => {}
    }
    let holds =
        |mark: char| (0..column.len()).any(|r| column.text(r).is_some_and(|v| v.contains(mark)));
    if matches!(column.values, Values::List(_)) || holds('|') {
        return Separator::Mark('|');
    }
    let mark = SEPARATORS
        .into_iter()
        .find(|&mark| p.kind == Kind::List && holds(mark));
    mark.map_or(Separator::None, Separator::Mark)
}

//! The catalogue: the items that can be recommended, with a text to know them by and columns of categories.
//!
//! The text of an item joins columns by full stops: titles first, then categories, makers and descriptions.

mod columns;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::Codes;
use super::source::Source;
use crate::error::{DataError, Result};
use crate::processor::parts;
use crate::read::ReadOptions;
use crate::roles::Reason;
use crate::table::{Column, Table};
use columns::{Chosen, Separator, choose};

/// Names shown where several items are meant.
const SHOWN: usize = 3;

/// What the user says about a file of items.
#[derive(Debug, Clone, Default)]
pub struct CatalogueRequest {
    /// The column of the ids that interactions name.
    pub id: Option<String>,
    /// The columns that make the text, in this order; chosen by name and content where empty.
    pub text: Vec<String>,
    /// The columns of categories; chosen by name and content where empty.
    pub categories: Vec<String>,
    /// Delimiter and encoding.
    pub read: ReadOptions,
}

/// Items. All lists have one entry per item.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// The id of each item.
    pub ids: Vec<String>,
    /// `title. category. maker. description`, single spaces between words; empty where the file has none of them.
    pub texts: Vec<String>,
    /// The columns of categories.
    pub categories: Vec<Category>,
    /// The columns that the text is made of, in order.
    pub text_columns: Vec<String>,
    /// Why each column got its role.
    pub reasons: Vec<Reason>,
    /// What was decided, missing or odd, one sentence each.
    pub notes: Vec<String>,
}

/// A column of categories, of which an item may have none or several.
#[derive(Debug, Clone, Default)]
pub struct Category {
    /// The name of the column.
    pub name: String,
    /// The categories.
    pub values: Vec<String>,
    /// Numbers of categories of all items, one item after the other.
    codes: Vec<u32>,
    /// Where the codes of each item end.
    ends: Vec<usize>,
}

impl Category {
    /// The categories of an item, as numbers of `values`, in the order of the file.
    pub fn of(&self, item: usize) -> &[u32] {
        let start = if item == 0 { 0 } else { self.ends[item - 1] };
        &self.codes[start..self.ends[item]]
    }

    /// Adds the items of another column of this name, or `items` items without categories.
    fn append(&mut self, other: Option<&Self>, items: usize) {
        let Some(other) = other else {
            for _ in 0..items {
                self.push(&[]);
            }
            return;
        };
        let mut code_of: HashMap<String, u32> = self.values.iter().cloned().zip(0..).collect();
        let codes = other.values.iter().map(|value| {
            *code_of.entry(value.clone()).or_insert_with(|| {
                self.values.push(value.clone());
                self.values.len() as u32 - 1
            })
        });
        let codes: Vec<u32> = codes.collect();
        for item in 0..items {
            let own: Vec<u32> = other.of(item).iter().map(|c| codes[*c as usize]).collect();
            self.push(&own);
        }
    }

    fn push(&mut self, codes: &[u32]) {
        self.codes.extend_from_slice(codes);
        self.ends.push(self.codes.len());
    }
}

impl Catalogue {
    /// Reads a file of items. `seen` are the ids that interactions name, by which the column of ids is found; without
    /// them its name decides.
    ///
    /// # Errors
    /// A file that cannot be read; a column that cannot be told or is not there; two rows of one item that differ, with both places;
    /// ids of which no interaction names one.
    pub fn read(path: &Path, request: &CatalogueRequest, seen: &[String]) -> Result<Self> {
        let source = Source::open(path, &request.read)?;
        let t = source.table(usize::MAX)?;
        let seen: HashSet<&str> = seen.iter().map(String::as_str).collect();
        let chosen = choose(&source, &t, request, &seen)?;
        let mut out = Self {
            text_columns: chosen.texts.iter().map(|c| c.name.clone()).collect(),
            reasons: chosen.reasons.clone(),
            notes: t.notes.clone(),
            ..Self::default()
        };
        let rows = out.take_ids(&t, &chosen)?;
        for category in &chosen.categories {
            out.categories.push(category_of(&t, category, &rows)?);
        }
        out.take_texts(&t, &chosen, &rows)?;
        Ok(out)
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Adds the items of another catalogue behind these, whose ids are other ones.
    pub(super) fn append(&mut self, other: Self) {
        let (before, more) = (self.len(), other.len());
        for category in &other.categories {
            if !self.categories.iter().any(|own| own.name == category.name) {
                let mut new = Category {
                    name: category.name.clone(),
                    ..Category::default()
                };
                new.append(None, before);
                self.categories.push(new);
            }
        }
        for own in &mut self.categories {
            let same = other.categories.iter().find(|c| c.name == own.name);
            own.append(same, more);
        }
        self.ids.extend(other.ids);
        self.texts.extend(other.texts);
        self.reasons.extend(other.reasons);
        self.notes.extend(other.notes);
    }

    /// The same items in the order of `items`, so that the numbers of interactions index them; items that `items` lacks
    /// follow. Items that are not in the catalogue get no text and no category; notes count both kinds.
    #[must_use]
    pub fn align(&self, items: &[String]) -> Self {
        let row: HashMap<&str, usize> = self
            .ids
            .iter()
            .enumerate()
            .map(|(i, id)| (id.as_str(), i))
            .collect();
        let named: HashSet<&str> = items.iter().map(String::as_str).collect();
        let unseen: Vec<usize> = (0..self.len())
            .filter(|&i| !named.contains(self.ids[i].as_str()))
            .collect();
        let order: Vec<Option<usize>> = items
            .iter()
            .map(|id| row.get(id.as_str()).copied())
            .chain(unseen.iter().map(|&i| Some(i)))
            .collect();
        let mut out = Self {
            ids: items
                .iter()
                .chain(unseen.iter().map(|&i| &self.ids[i]))
                .cloned()
                .collect(),
            texts: order
                .iter()
                .map(|i| i.map_or_else(String::new, |i| self.texts[i].clone()))
                .collect(),
            categories: Vec::new(),
            ..self.clone()
        };
        for category in &self.categories {
            let mut ordered = Category {
                name: category.name.clone(),
                values: category.values.clone(),
                ..Category::default()
            };
            for i in &order {
                ordered.push(i.map_or(&[], |i| category.of(i)));
            }
            out.categories.push(ordered);
        }
        out.note_strangers(items, &row, (&unseen, self));
        out
    }

    /// Notes items of the events that the catalogue lacks, and items of the catalogue without events.
    fn note_strangers(
        &mut self,
        items: &[String],
        row: &HashMap<&str, usize>,
        (unseen, catalogue): (&[usize], &Self),
    ) {
        let lost: Vec<&str> = items
            .iter()
            .map(String::as_str)
            .filter(|id| !row.contains_key(id))
            .collect();
        if !lost.is_empty() {
            self.notes.push(format!(
                "{} of {} items of the events are not in the catalogue ({}): they have no text",
                lost.len(),
                items.len(),
                some(&lost)
            ));
        }
        if !unseen.is_empty() {
            let unseen: Vec<&str> = unseen.iter().map(|&i| catalogue.ids[i].as_str()).collect();
            self.notes.push(format!(
                "{} of {} items of the catalogue have no event ({}): only their text tells anything about them",
                unseen.len(),
                catalogue.len(),
                some(&unseen)
            ));
        }
    }

    /// The ids; returns the rows they are in. Rows without an id are left out, with a note.
    fn take_ids(&mut self, t: &Table, chosen: &Chosen) -> Result<Vec<usize>> {
        let column = t.column(&chosen.id)?;
        let mut first: HashMap<String, usize> = HashMap::with_capacity(t.rows());
        let mut rows = Vec::with_capacity(t.rows());
        let (mut without, mut again) = (Vec::new(), 0_usize);
        for row in 0..t.rows() {
            let id = column
                .text(row)
                .map(|id| id.trim().to_string())
                .unwrap_or_default();
            if id.is_empty() {
                without.push(row);
                continue;
            }
            if let Some(&before) = first.get(&id) {
                let same = |c: &Column| c.text(row) == c.text(before);
                if t.columns.iter().all(same) {
                    again += 1;
                    continue;
                }
                return Err(DataError::Cell {
                    column: chosen.id.clone(),
                    place: t.place(row),
                    problem: format!(
                        "item `{id}` is also in {}, with other values",
                        t.place(before)
                    ),
                    cure: "keep one row for each item, or name another column with --item-id"
                        .to_string(),
                });
            }
            first.insert(id.clone(), row);
            self.ids.push(id);
            rows.push(row);
        }
        if let Some(&row) = without.first() {
            let problem = format!(
                "{} rows have no id, the first in {}",
                without.len(),
                t.place(row)
            );
            if rows.is_empty() {
                return Err(DataError::Column {
                    column: chosen.id.clone(),
                    file: t.file(),
                    problem,
                    cure: "name another column with --item-id".to_string(),
                });
            }
            self.notes.push(format!("{problem}: left out"));
        }
        if again > 0 {
            let note = format!("{again} rows repeat a row in every value: left out");
            self.notes.push(note);
        }
        Ok(rows)
    }

    fn take_texts(&mut self, t: &Table, chosen: &Chosen, rows: &[usize]) -> Result<()> {
        let mut columns = Vec::new();
        for text in &chosen.texts {
            columns.push((t.column(&text.name)?, text.separator));
        }
        for &row in rows {
            let mut text = String::new();
            for &(column, separator) in &columns {
                let part = match separator {
                    Separator::None => column.text(row).unwrap_or_default().into_owned(),
                    _ => split(column, row, separator).join(", "),
                };
                add(&mut text, &part);
            }
            self.texts.push(text);
        }
        let without: Vec<&str> = (0..self.len())
            .filter(|&i| self.texts[i].is_empty())
            .map(|i| self.ids[i].as_str())
            .collect();
        if !without.is_empty() {
            self.notes.push(format!(
                "{} of {} items have no text ({})",
                without.len(),
                self.len(),
                some(&without)
            ));
        }
        Ok(())
    }
}

/// Adds a part to a text, with single spaces between words and a full stop before it.
fn add(text: &mut String, part: &str) {
    let mut words = part.split_whitespace().peekable();
    if words.peek().is_none() {
        return;
    }
    if !text.is_empty() {
        let ends = text.ends_with(['.', '!', '?', '…', '。']);
        text.push_str(if ends { " " } else { ". " });
    }
    let mut first = true;
    for word in words {
        if !first {
            text.push(' ');
        }
        first = false;
        text.push_str(word);
    }
}

/// The first few of some ids, in back-ticks.
fn some(ids: &[&str]) -> String {
    let shown: Vec<String> = ids.iter().take(SHOWN).map(|id| format!("`{id}`")).collect();
    let more = if ids.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn category_of(t: &Table, chosen: &columns::Part, rows: &[usize]) -> Result<Category> {
    let column = t.column(&chosen.name)?;
    let mut out = Category {
        name: chosen.name.clone(),
        ..Category::default()
    };
    let mut codes = Codes::default();
    for &row in rows {
        let own: Vec<u32> = split(column, row, chosen.separator)
            .iter()
            .map(|value| codes.of(value))
            .collect();
        out.push(&own);
    }
    out.values = codes.into_names();
    Ok(out)
}

/// The values of a cell.
fn split(column: &Column, row: usize, separator: Separator) -> Vec<String> {
    match separator {
        Separator::Spaces => {
            let text = column.text(row).unwrap_or_default();
            text.split_whitespace().map(str::to_string).collect()
        }
        Separator::Mark(mark) => parts(column, row, Some(mark)),
        Separator::None => {
            let text = column.text(row).unwrap_or_default();
            let text = text.trim();
            let value = (!text.is_empty()).then(|| text.to_string());
            value.into_iter().collect()
        }
    }
}

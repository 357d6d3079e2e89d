//! A recommender in use: what to show a user next, and why.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use retune_data::interactions::SECOND;
use retune_data::interactions::catalogue::{Catalogue, CatalogueRequest};
use retune_data::read::ReadOptions;
use retune_data::{Column, RowOrigin, Table, Values};
use retune_kernels::gemm::View;
use retune_kernels::isa::Isa;
use retune_kernels::topk::{Search, best};
use serde::Serialize;

use super::bundle::{KIND, RecommenderBundle, column, items_table};
use super::plan::catalogue_request;
use super::rank::last_states;
use super::recommender::Known;
use super::sequences::History;
use super::texts::TextEncoder;
use crate::error::{Error, Result};
use crate::hub::{self, HubOptions};
use crate::plan::unknown;
use crate::pretrained::BaseModel;
use crate::scoring::{cpu, to_host};

/// Users at a time.
const AT_ONCE: usize = 256;
/// Separates the categories of an item in its column.
const BETWEEN: char = '|';

/// A recommender, its items and its users.
pub struct Shelf {
    bundle: RecommenderBundle,
    ids: Vec<String>,
    texts: Vec<String>,
    rows: HashMap<String, u32>,
    users: Vec<User>,
    user_rows: HashMap<String, usize>,
}

/// A user, and what was taken.
#[derive(Debug, Clone, Default)]
pub struct User {
    /// Their id.
    pub id: String,
    /// Rows of items, oldest first.
    pub items: Vec<u32>,
    /// When each was taken, in nanoseconds; empty where that is not known.
    pub times: Vec<i64>,
    /// What was done, by number of the model's kinds; empty where that is not known, which counts as the most frequent.
    pub kinds: Vec<u32>,
}

impl User {
    /// Somebody of whom nothing but the items is known.
    pub fn of(items: Vec<u32>) -> Self {
        Self {
            items,
            ..Self::default()
        }
    }

    /// As models read it; `unknown` are times to take where none are known, at least as many as there are items.
    fn history<'a>(&'a self, unknown: &'a [i64]) -> History<'a> {
        let known = self.times.len() == self.items.len();
        History {
            items: &self.items,
            times: if known {
                &self.times
            } else {
                &unknown[..self.items.len()]
            },
            kinds: &self.kinds,
        }
    }
}

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Items per user.
    pub k: usize,
    /// Whether items of the history are shown, where the bundle's usual answer is not wanted.
    pub show_seen: Option<bool>,
    /// Columns of the items and the values that they must have.
    pub having: Vec<(String, String)>,
    /// Whether to tell which item of the history each item is most like.
    pub because: bool,
}

/// A recommended item.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pick {
    /// Its id.
    pub item: String,
    /// What it is; empty where nothing is known.
    pub text: String,
    /// How well it suits, on the model's scale: only the order matters.
    pub score: f32,
    /// The item of the history that it is most like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

impl Shelf {
    /// The recommender in `folder`.
    ///
    /// # Errors
    /// A folder without a whole recommender.
    pub fn open(folder: &Path) -> Result<Self> {
        let bundle = RecommenderBundle::open(folder)?;
        let (ids, texts) = (
            column(&bundle.items, "item")?,
            column(&bundle.items, "text")?,
        );
        let rows: HashMap<String, u32> = ids.iter().cloned().zip(0..).collect();
        let (names, items) = (
            column(&bundle.events, "user")?,
            column(&bundle.events, "item")?,
        );
        let times = bundle.events.column("seconds")?;
        let kinds = bundle.events.column(KIND).ok();
        let mut users: Vec<User> = Vec::new();
        let mut user_rows = HashMap::new();
        for (event, (id, item)) in names.into_iter().zip(items).enumerate() {
            let row = *user_rows.entry(id.clone()).or_insert(users.len());
            if row == users.len() {
                users.push(User {
                    id,
                    ..User::default()
                });
            }
            if let Some(item) = rows.get(&item) {
                users[row].items.push(*item);
                let seconds = times.number(event).unwrap_or_default();
                users[row].times.push(seconds as i64 * SECOND);
                if let Some(kinds) = kinds {
                    let name = kinds.text(event).unwrap_or_default();
                    let place = bundle.config.kinds.iter().position(|kind| *kind == name);
                    users[row].kinds.push(place.unwrap_or(0) as u32);
                }
            }
        }
        Ok(Self {
            bundle,
            ids,
            texts,
            rows,
            users,
            user_rows,
        })
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.ids.len()
    }

    /// Every user.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// The user of this id.
    ///
    /// # Errors
    /// A user that the model does not know.
    pub fn user(&self, user: &str) -> Result<&User> {
        match self.user_rows.get(user) {
            Some(row) => Ok(&self.users[*row]),
            None => Err(Error::User(format!(
                "user `{user}` is not among the {} users of {}; name one of these (such as `{}`), or give what was \
                 taken with --history ITEM,ITEM",
                self.users.len(),
                self.bundle.folder.display(),
                self.users.first().map_or("", |user| &user.id),
            ))),
        }
    }

    /// The items of these ids; one text may name several, with commas between.
    ///
    /// # Errors
    /// An id that no item has.
    pub fn named(&self, ids: &[String]) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        for text in ids {
            // An id may hold a comma itself.
            if let Some(row) = self.rows.get(text.trim()) {
                found.push(*row);
                continue;
            }
            for id in text.split(',').map(str::trim).filter(|id| !id.is_empty()) {
                let row = self.rows.get(id);
                found.push(*row.ok_or_else(|| self.no_item(id))?);
            }
        }
        Ok(found)
    }

    fn no_item(&self, id: &str) -> Error {
        let like = |other: &&String| strsim::jaro_winkler(other, id) > 0.85;
        let near = self.ids.iter().find(like).or(self.ids.first());
        Error::User(format!(
            "`{id}` is not among the {} items; did you mean `{}`? The ids are in {}",
            self.ids.len(),
            near.map_or("", |near| near),
            self.bundle.folder.join("items.parquet").display()
        ))
    }

    /// How a file of new items is read: with the columns that the user named when the model was trained.
    pub fn request(&self, read: ReadOptions) -> CatalogueRequest {
        catalogue_request(&self.bundle.recipe, read)
    }

    /// Adds items that are known by their texts alone, in the text encoder that the model was trained with.
    ///
    /// # Errors
    /// A model that knows items by their ids alone; an id that is taken; a text encoder that cannot be had.
    pub fn add(
        &mut self,
        items: &Catalogue,
        hub: &HubOptions,
        on: &mut dyn FnMut(hub::Progress),
    ) -> Result<()> {
        let (Some(encoder), Some(whitening)) =
            (&self.bundle.config.encoder, &self.bundle.whitening)
        else {
            return Err(Error::User(
                "this recommender knows items by their ids alone: new ones need a model trained with --items".to_string(),
            ));
        };
        if let Some(id) = items.ids.iter().find(|id| self.rows.contains_key(*id)) {
            return Err(Error::User(format!(
                "item `{id}` is there already; leave it out of the new items"
            )));
        }
        let base = BaseModel::resolve(&encoder.reference, hub, false, on)?;
        let base = base
            .filter(|base| base.files == encoder.files)
            .ok_or_else(|| {
                Error::User(format!(
                    "{} has other files than the text encoder of this recommender",
                    encoder.reference
                ))
            })?;
        let encoder = TextEncoder::open(&base, self.bundle.precision)?;
        let vectors = encoder.vectors(&items.texts, &hub.home.join("features"), &mut |_| ())?;
        let config = &self.bundle.config;
        let categories = config.categories.shares(items, false);
        let popularity = Tensor::full([items.len(), 1], config.new, &cpu(false));
        let known = Known {
            texts: Some(whitening.of(&vectors, false)),
            categories: Some(categories),
            popularity: Some(popularity),
        };
        let vectors = self.bundle.model.told(&known.of(&config.form));
        self.bundle.vectors.extend(to_host(vectors));
        let first = self.ids.len() as u32;
        self.rows.extend(items.ids.iter().cloned().zip(first..));
        self.ids.extend_from_slice(&items.ids);
        self.texts.extend_from_slice(&items.texts);
        let new = items_table(items);
        for column in &mut self.bundle.items.columns {
            let Values::Text(values) = &mut column.values else {
                continue;
            };
            let added = new.column(&column.name).ok();
            let cell = |row| {
                added
                    .and_then(|column| column.text(row))
                    .map(Cow::into_owned)
            };
            values.extend((0..items.len()).map(cell));
        }
        Ok(())
    }

    /// The best items for each of these users.
    ///
    /// # Errors
    /// A condition on a column that items do not have, or that no item meets.
    pub fn recommend(&self, users: &[&User], wanted: &Wanted) -> Result<Vec<Vec<Pick>>> {
        let allow = self.allowed(&wanted.having)?;
        let hide = !wanted.show_seen.unwrap_or(self.bundle.config.show_seen);
        let width = self.width();
        let items = self.item_tensor();
        let mut all = Vec::with_capacity(users.len());
        for some in users.chunks(AT_ONCE) {
            let states = self.states(some, &items);
            let mut seen: Vec<Vec<u32>> = some.iter().map(|user| user.items.clone()).collect();
            for seen in &mut seen {
                seen.sort_unstable();
                seen.dedup();
            }
            let exclude: Vec<&[u32]> = seen.iter().map(Vec::as_slice).collect();
            let search = Search {
                users: View::new(&states, some.len(), width),
                items: View::new(&self.bundle.vectors, self.items(), width),
                exclude: if hide { &exclude } else { &[] },
                allow: allow.as_deref(),
            };
            let found = best(Isa::current(), &search, wanted.k);
            for (user, found) in some.iter().zip(found) {
                let pick = |(id, score)| self.pick(id, score, &user.items, wanted.because);
                all.push(
                    found
                        .into_iter()
                        .map(|one| pick((one.id, one.score)))
                        .collect(),
                );
            }
        }
        Ok(all)
    }

    fn pick(&self, id: u32, score: f32, history: &[u32], because: bool) -> Pick {
        let row = id as usize;
        let nearest = || {
            history
                .iter()
                .max_by(|a, b| self.alike(**a, id).total_cmp(&self.alike(**b, id)))
        };
        let because = because.then(nearest).flatten().map(|near| {
            let text = &self.texts[*near as usize];
            if text.is_empty() {
                self.ids[*near as usize].clone()
            } else {
                text.clone()
            }
        });
        Pick {
            item: self.ids[row].clone(),
            text: self.texts[row].clone(),
            score,
            because,
        }
    }

    /// Width of the vectors of items and of states.
    fn width(&self) -> usize {
        self.bundle.config.form.vector_width()
    }

    /// Cosine of two items, whatever their popularity.
    fn alike(&self, a: u32, b: u32) -> f32 {
        let vector = |item: u32| {
            let what = self.bundle.config.form.body.width;
            &self.bundle.vectors[item as usize * self.width()..][..what]
        };
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let (a, b) = (vector(a), vector(b));
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f32::MIN_POSITIVE)
    }

    /// Vectors of the items, `[items, vector width]`.
    fn item_tensor(&self) -> Tensor<2> {
        let width = self.width();
        let items = TensorData::new(self.bundle.vectors.clone(), [self.items(), width]);
        Tensor::from_data(items, &cpu(false))
    }

    /// States of these users, `[users, vector width]`. One without a history has the state of nothing known.
    fn states(&self, users: &[&User], items: &Tensor<2>) -> Vec<f32> {
        let width = self.width();
        let longest = users.iter().map(|user| user.items.len()).max();
        let unknown = vec![0; longest.unwrap_or(0)];
        let there = users.iter().filter(|user| !user.items.is_empty());
        let asked: Vec<(u64, History)> = there.map(|user| (0, user.history(&unknown))).collect();
        let mut states = to_host(self.bundle.model.blank(users.len(), &cpu(false)));
        if asked.is_empty() {
            return states;
        }
        let of = (&self.bundle.config.form.body, items);
        let known = to_host(last_states(&self.bundle.model, of, &asked));
        let mut known = known.chunks_exact(width);
        for (user, state) in users.iter().zip(states.chunks_exact_mut(width)) {
            if !user.items.is_empty()
                && let Some(found) = known.next()
            {
                state.copy_from_slice(found);
            }
        }
        states
    }

    /// Bits of the items that meet all conditions; `None` for all items.
    fn allowed(&self, having: &[(String, String)]) -> Result<Option<Vec<u64>>> {
        if having.is_empty() {
            return Ok(None);
        }
        let mut allow = vec![u64::MAX; self.items().div_ceil(64)];
        for (name, value) in having {
            let columns = &self.bundle.items.columns;
            let Some(column) = columns.iter().find(|column| column.name == *name) else {
                let known = columns.iter().map(|column| column.name.as_str()).skip(2);
                return Err(Error::Problems(vec![unknown("filter", name, known)]));
            };
            let mut met = 0;
            for row in 0..self.items() {
                let text = column.text(row).unwrap_or_default();
                if text
                    .split(BETWEEN)
                    .any(|part| part.eq_ignore_ascii_case(value))
                {
                    met += 1;
                } else {
                    allow[row / 64] &= !(1 << (row % 64));
                }
            }
            if met == 0 {
                return Err(Error::User(format!(
                    "no item has `{value}` in the column `{name}`"
                )));
            }
        }
        Ok(Some(allow))
    }

    /// Users, and the best items for each, one row per item.
    ///
    /// # Errors
    /// As [`Shelf::recommend`].
    pub fn for_everyone(&self, wanted: &Wanted) -> Result<Table> {
        let everyone: Vec<&User> = self.users.iter().collect();
        let (mut users, mut ranks, mut items, mut scores) = (vec![], vec![], vec![], vec![]);
        for (user, picks) in self.users.iter().zip(self.recommend(&everyone, wanted)?) {
            for (rank, pick) in (1..).zip(picks) {
                users.push(Some(user.id.clone()));
                ranks.push(Some(f64::from(rank)));
                items.push(Some(pick.item));
                scores.push(Some(f64::from(pick.score)));
            }
        }
        Ok(made_of(vec![
            ("user", Values::Text(users)),
            ("rank", Values::Number(ranks)),
            ("item", Values::Text(items)),
            ("score", Values::Number(scores)),
        ]))
    }

    /// The vector of each item: `item`, `v0`, `v1`, …
    pub fn item_vectors(&self) -> Table {
        self.vectors("item", self.ids.clone(), &self.bundle.vectors)
    }

    /// The state of each user: `user`, `v0`, `v1`, … Its product with an item's vector is the item's score.
    pub fn user_vectors(&self) -> Table {
        let names = self.users.iter().map(|user| user.id.clone()).collect();
        let items = self.item_tensor();
        let mut states = Vec::new();
        for some in self.users.chunks(AT_ONCE) {
            states.extend(self.states(&some.iter().collect::<Vec<_>>(), &items));
        }
        self.vectors("user", names, &states)
    }

    fn vectors(&self, of: &str, names: Vec<String>, values: &[f32]) -> Table {
        let width = self.width();
        let mut columns = vec![(
            of.to_string(),
            Values::Text(names.into_iter().map(Some).collect()),
        )];
        for at in 0..width {
            let column = values
                .iter()
                .skip(at)
                .step_by(width)
                .map(|value| Some(f64::from(*value)));
            columns.push((format!("v{at}"), Values::Number(column.collect())));
        }
        made_of(
            columns
                .iter()
                .map(|(name, values)| (name.as_str(), values.clone()))
                .collect(),
        )
    }
}

/// A table of these columns.
pub(super) fn made_of(columns: Vec<(&str, Values)>) -> Table {
    let rows = columns.first().map_or(0, |(_, values)| match values {
        Values::Text(values) => values.len(),
        Values::Number(values) => values.len(),
        _ => 0,
    });
    Table {
        columns: columns
            .into_iter()
            .map(|(name, values)| Column {
                name: name.to_string(),
                values,
            })
            .collect(),
        origin: (1..=rows as u64)
            .map(|line| RowOrigin { file: 0, line })
            .collect(),
        ..Table::default()
    }
}

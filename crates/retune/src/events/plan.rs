//! From a recipe to a plan of pre-training: reads the events, finds who plays which part, and tells them as timelines.

use std::fmt;
use std::path::{Path, PathBuf};

use retune_data::fields::{Cast, Cells, Fields, cast};
use retune_data::split::is_split;
use retune_data::timelines::{TimelineSpec, Timelines, Told, moments_of};
use retune_data::windows::{Engine, EngineSpec, OfEvent};
use retune_data::{Column, DataError, Table};

use super::bundle::EventBase;
use super::model::EventForm;
use crate::error::Problem;
use crate::plan::data::tables;
use crate::plan::out_folder;
use crate::recipe::{Recipe, TablesRecipe};
use crate::seq::SeqConfig;
use crate::tables::{PATTERNS, tells_fraud};

/// Dropout where the recipe names none.
const DROPOUT: f64 = 0.1;
/// Width of an attention head.
const HEAD: usize = 16;
/// Cards with a past that a model needs to learn from some and be measured on others.
const FEWEST: usize = 20;
/// Longest timeline at once.
pub(super) const LENGTH: usize = 64;

/// Everything that a pre-training needs, decided.
pub struct Plan {
    /// The recipe.
    pub recipe: Recipe,
    /// Folder of the bundle to write.
    pub out: PathBuf,
    /// Every row read.
    pub table: Table,
    /// Who plays which part.
    pub cast: Cast,
    /// The fields of a row that events have.
    pub fields: Fields,
    /// The events.
    pub told: Told,
    /// How they became codes.
    pub spec: TimelineSpec,
    /// What the model is made of.
    pub form: EventForm,
    /// The model gone on from, and whether the fields of its events are those of these.
    pub origin: Option<(EventBase, bool)>,
    /// Sentences worth reading before the run.
    pub notes: Vec<String>,
}

fn wrong(key: &str) -> impl Fn(DataError) -> Vec<Problem> + '_ {
    move |error| vec![Problem::new(key, error.to_string())]
}

impl Plan {
    /// Decides everything; a run that was begun in `begun` goes on there.
    ///
    /// # Errors
    /// Every problem found.
    pub fn resolve(recipe: &Recipe, begun: Option<&Path>) -> Result<Self, Vec<Problem>> {
        let mut problems = recipe.problems();
        let out = match begun {
            Some(folder) => folder.to_path_buf(),
            None => out_folder(recipe, &mut problems),
        };
        let origin = match recipe
            .tables
            .event_model
            .as_deref()
            .map(EventBase::open)
            .transpose()
        {
            Ok(origin) => origin,
            Err(error) => {
                problems.push(Problem::new("tables.event_model", error.to_string()));
                None
            }
        };
        let read = tables(&recipe.data, &mut problems);
        let (Some((table, _, _)), true) = (read, problems.is_empty()) else {
            return Err(problems);
        };
        let taken = untold(&table, recipe);
        let taken: Vec<&str> = taken.iter().map(String::as_str).collect();
        let (cast, _) = cast(&table, &taken, &recipe.cast()).map_err(wrong("tables"))?;
        let mut engine = engine(&cast).map_err(|problem| vec![problem])?;
        let rows: Vec<usize> = (0..table.rows()).collect();
        let Codes { fields, spec, same } =
            Codes::of((&table, &rows), (&cast, &taken), origin.as_ref()).map_err(wrong("data"))?;
        let cells = fields.encode(&table, &rows).map_err(wrong("data"))?;
        let mut timelines = Timelines::new(spec.clone()).map_err(wrong("data"))?;
        let (_, told) =
            moments_of(&table, &mut engine, (&mut timelines, &cells)).map_err(wrong("data"))?;
        enough(&told).map_err(|problem| vec![problem])?;
        Ok(Self {
            form: form(recipe, &spec, origin.as_ref()).map_err(|problem| vec![problem])?,
            recipe: Recipe {
                out: Some(out.clone()),
                ..recipe.clone()
            },
            out,
            notes: table.notes.clone(),
            table,
            cast,
            fields,
            told,
            spec,
            origin: origin.map(|base| (base, same)),
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cast = &self.cast;
        let name = |name: &Option<String>| name.clone().unwrap_or("none".to_string());
        writeln!(f, "task       learn from events without labels")?;
        writeln!(
            f,
            "data       {} events of {} timelines: time {}, whose {}, amount {}",
            self.table.rows(),
            self.told.timelines.len(),
            name(&cast.time),
            cast.entities.join(" with "),
            name(&cast.amount)
        )?;
        writeln!(f, "events     {}", self.spec.names().join(", "))?;
        let body = &self.form.body;
        writeln!(
            f,
            "model      {} layers of width {}",
            body.layers, body.width
        )?;
        if let Some((base, _)) = &self.origin {
            writeln!(f, "going on   from {}", base.folder.display())?;
        }
        for note in &self.notes {
            writeln!(f, "note       {note}")?;
        }
        write!(f, "saves      {}", self.out.display())
    }
}

/// Whether there are cards enough to learn from some and to measure on others.
fn enough(told: &Told) -> Result<(), Problem> {
    let cards = told.timelines.iter().filter(|rows| rows.len() > 1).count();
    if cards >= FEWEST {
        return Ok(());
    }
    let text = format!(
        "{cards} have more than one event, and {FEWEST} are needed; add events, or name whom they belong to with --entity"
    );
    Err(Problem::new("tables.entities", text))
}

/// Columns that a model without labels must not see: the label, what is known with it, and sides.
fn untold(table: &Table, recipe: &Recipe) -> Vec<String> {
    let named = recipe.data.label.iter().chain(&recipe.data.ignore).cloned();
    let labels = table.columns.iter().filter(|column| {
        let name = column.name.to_lowercase();
        tells_fraud(&name)
            || name == "label"
            || PATTERNS.contains(&name.as_str())
            || is_split(column)
    });
    named
        .chain(labels.map(|column| column.name.clone()))
        .collect()
}

/// An engine that puts events in order, and makes nothing of them that costs time.
fn engine(cast: &Cast) -> Result<Engine, Problem> {
    let (Some(time), false) = (&cast.time, cast.entities.is_empty()) else {
        let text = "a model of events needs a time and whom each event belongs to; name the columns with --time and --entity";
        return Err(Problem::new("tables.entities", text));
    };
    let entities: Vec<&str> = cast.entities.iter().map(String::as_str).collect();
    let spec = EngineSpec {
        id: cast.id.clone(),
        event: vec![OfEvent::Night],
        measures: Vec::new(),
        ..EngineSpec::usual(time, &entities, cast.amount.as_deref(), None)
    };
    Engine::new(spec).map_err(|error| Problem::new("tables", error.to_string()))
}

/// How the events of a table become codes.
pub struct Codes {
    /// The fields of a row that events have.
    pub fields: Fields,
    /// How roles and fields become codes.
    pub spec: TimelineSpec,
    /// Whether the fields are those of the model gone on from.
    pub same: bool,
}

impl Codes {
    /// Of a table whose columns in `taken` are told to no model: with the fields of the model gone on from where the table has
    /// them all, and else with its own. Amounts are always compared with those of `rows`.
    ///
    /// # Errors
    /// A column that is missing.
    pub fn of(
        (table, rows): (&Table, &[usize]),
        (cast, taken): (&Cast, &[&str]),
        origin: Option<&EventBase>,
    ) -> retune_data::Result<Self> {
        let mut taken = taken.to_vec();
        taken.extend(cast.columns());
        let amount = cast
            .amount
            .as_ref()
            .map(|name| table.column(name))
            .transpose()?;
        let numbers = |column| {
            rows.iter()
                .filter_map(move |row| Column::number(column, *row))
        };
        let amounts = amount.into_iter().flat_map(numbers);
        if let Some(config) = origin
            .map(|base| &base.config)
            .filter(|own| fits(&own.fields, table, &taken))
        {
            return Ok(Self {
                fields: config.fields.clone(),
                spec: TimelineSpec {
                    extras: config.spec.extras.clone(),
                    ..TimelineSpec::fit(amounts, &[], &Cells::default())
                },
                same: true,
            });
        }
        // A table may have no columns but those of roles.
        let fields =
            Fields::fit(table, rows, &taken).map_or_else(|_| Fields::default(), |found| found.0);
        let cells = fields.encode(table, rows)?;
        Ok(Self {
            spec: TimelineSpec::fit(amounts, &fields.fields, &cells),
            fields,
            same: false,
        })
    }
}

/// Whether a table has every field of a model's events, none of which is told to no model here, as a label is.
fn fits(fields: &Fields, table: &Table, taken: &[&str]) -> bool {
    let mut names = fields.fields.iter().map(|field| field.name.as_str());
    names.all(|name| table.column(name).is_ok() && !taken.contains(&name))
}

/// What a model of these events is made of.
///
/// # Errors
/// Sizes that do not go together.
pub fn form(
    recipe: &Recipe,
    spec: &TimelineSpec,
    origin: Option<&EventBase>,
) -> Result<EventForm, Problem> {
    let TablesRecipe {
        event_width: width,
        event_layers: layers,
        ..
    } = recipe.tables;
    let dropout = recipe.train.dropout.unwrap_or(DROPOUT);
    let body = match origin {
        Some(base) => SeqConfig {
            dropout,
            ..base.config.form.body.clone()
        },
        None => SeqConfig {
            width,
            layers,
            heads: (width / HEAD).max(1),
            inner: 2 * width,
            max_length: LENGTH,
            kinds: 1,
            gaps: 0,
            dropout,
            placed: false,
        },
    };
    match body.problem() {
        Some(text) => Err(Problem::new("tables.event_width", text)),
        None => Ok(EventForm {
            body,
            sizes: spec.sizes(),
        }),
    }
}

//! From a recipe to a plan: reads events and items, divides them, settles what the model is made of, and reports every
//! problem before anything is computed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retune_data::interactions::catalogue::{Catalogue, CatalogueRequest};
use retune_data::interactions::protocol::{self, Counts, CutOff, Histories};
use retune_data::interactions::{self, Columns, Facts, Filters, Interactions, Request, Shop, join};
use retune_data::read::ReadOptions;
use retune_eval::ranking::Seen;

use super::bundle::Origin;
use super::categories::Vocabulary;
use super::job::Pace;
use super::recommender::{Form, Score};
use crate::bundle::sha256;
use crate::error::Problem;
use crate::hub::{self, HubOptions};
use crate::model::Reads;
use crate::plan::{default_model, out_folder};
use crate::pretrained::BaseModel;
use crate::recipe::{DataRecipe, Protocol, Recipe, RecommendRecipe, SeenItems};
use crate::seq::SeqConfig;

/// Name of the task in recipes.
pub const TASK: &str = "recommend";
/// What `encoder` says where items are known by their ids alone.
const NO_ENCODER: &str = "none";
/// Share of repeats from which on items of a history are ranked.
const REPEATING: f64 = 0.01;
/// Validations without improvement, learning rate and decay of averaged weights where the recipe names none.
const USUAL: (usize, f64, f64) = (10, 1e-3, 0.99);
/// Kinds of events that are read where the recipe does not say.
const MOST_KINDS: usize = 50;
/// Dropout where the recipe names none.
const DROPOUT: f64 = 0.2;

/// Everything that a run needs, decided.
pub struct Plan {
    /// The recipe with every choice filled in.
    pub recipe: Recipe,
    /// Folder of the bundle to write.
    pub out: PathBuf,
    /// Who took what, when.
    pub events: Interactions,
    /// What is learned from and what is asked.
    pub histories: Histories,
    /// What the events and the division are like.
    pub facts: (Facts, Counts),
    /// The items: those of the events first, with their numbers.
    pub catalogue: Catalogue,
    /// Whether items of a history are ranked.
    pub seen: Seen,
    /// The recommender gone on from.
    pub origin: Option<Origin>,
    /// The text encoder of the items.
    pub encoder: Option<BaseModel>,
    /// What the model is made of.
    pub form: Form,
    /// The kinds of events that it tells apart, by number; none where it reads no kinds.
    pub kinds: Vec<String>,
    /// The values of categories that it tells apart; none where it reads no categories.
    pub categories: Vocabulary,
    /// How it trains.
    pub pace: Pace,
    /// Folder in which what is computed once is kept.
    pub cache: PathBuf,
    /// Sentences worth reading before the run.
    pub notes: Vec<String>,
}

impl Plan {
    /// Decides everything; a run that was begun in `begun` goes on there. `on` is told about a model that has to be
    /// downloaded.
    ///
    /// # Errors
    /// Every problem found, not only the first.
    pub fn resolve(
        recipe: &Recipe,
        begun: Option<&Path>,
        hub: &HubOptions,
        on: &mut dyn FnMut(hub::Progress),
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = recipe.problems();
        problems.extend(unread(recipe));
        let out = match begun {
            Some(folder) => folder.to_path_buf(),
            None => out_folder(recipe, &mut problems),
        };
        let read = read(recipe).map_err(|problem| problems.push(problem));
        let origin = origin(recipe).map_err(|problem| problems.push(problem));
        let (Ok(mut read), Ok(origin)) = (read, origin) else {
            return Err(problems);
        };
        let told = told(recipe, &mut read, origin.as_ref());
        let told = told.map_err(|found| problems.extend(found));
        let texts = !read.catalogue.texts.iter().all(String::is_empty);
        let encoder = encoder(
            recipe,
            (texts, origin.as_ref()),
            (hub, !problems.is_empty()),
            on,
        )
        .map_err(|problem| problems.push(problem));
        let from = encoder.as_ref().ok().and_then(Option::as_ref);
        let counts = told.as_ref().map_or((1, 0), |(kinds, categories)| {
            (kinds.len().max(1), categories.len())
        });
        let form = form(recipe, &read, (origin.as_ref(), from), counts)
            .map_err(|problem| problems.push(problem));
        let (Ok(encoder), Ok(form), Ok((kinds, categories)), true) =
            (encoder, form, told, problems.is_empty())
        else {
            return Err(problems);
        };
        let seen = seen(recipe.recommend.seen, read.facts.0.repeats);
        Ok(Self {
            recipe: resolved(recipe, &out, encoder.as_ref()),
            out,
            seen,
            pace: pace(recipe, read.catalogue.len()),
            notes: notes(&read),
            events: read.events,
            histories: read.histories,
            facts: read.facts,
            catalogue: read.catalogue,
            origin,
            encoder,
            form,
            kinds,
            categories,
            cache: hub.home.join("features"),
        })
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.catalogue.len()
    }

    /// SHA-256 of each data file.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn data_hashes(&self) -> crate::error::Result<BTreeMap<String, String>> {
        let data = &self.recipe.data.train;
        let of = &self.recipe.recommend;
        let also = of.also.iter().flat_map(|shop| [&shop.events, &shop.items]);
        let files = data.iter().chain(&of.items).chain(also);
        files
            .map(|path| Ok((path.display().to_string(), sha256(path)?)))
            .collect()
    }
}

/// What the files hold.
struct Read {
    events: Interactions,
    histories: Histories,
    facts: (Facts, Counts),
    catalogue: Catalogue,
}

fn read(recipe: &Recipe) -> Result<Read, Problem> {
    let (data, of) = (&recipe.data, &recipe.recommend);
    let Some(path) = &data.train else {
        return Err(Problem::new(
            "data.train",
            "no data given; type `retune train FILE`",
        ));
    };
    let fail = |key: &str, error: retune_data::DataError| Problem::new(key, error.to_string());
    let first = shop(recipe, path, of.items.as_deref())?;
    let mut shops = vec![first];
    for also in &of.also {
        shops.push(shop(recipe, &also.events, Some(&also.items))?);
    }
    let Shop { events, items } = match shops.len() {
        1 => shops.remove(0),
        _ => join(shops).map_err(|error| fail("recommend.also", error))?,
    };
    let filters = Filters {
        events: Vec::new(),
        min_rating: of.min_rating.map(|rating| rating as f32),
        repeats: of.repeats,
        min_user_events: of.min_user_events,
        min_item_events: of.min_item_events,
    };
    let facts = events.facts();
    let protocol = asked(data, of).map_err(|error| fail("recommend.cut_off", error))?;
    let (events, histories) =
        protocol::divide(events, &filters, protocol).map_err(|error| fail("data.train", error))?;
    let counts = histories.counts();
    Ok(Read {
        catalogue: items.align(&events.items),
        events,
        histories,
        facts: (facts, counts),
    })
}

/// The events and items of a shop.
fn shop(recipe: &Recipe, events: &Path, items: Option<&Path>) -> Result<Shop, Problem> {
    let (data, of) = (&recipe.data, &recipe.recommend);
    let files = [events.to_path_buf()];
    let events = interactions::read(&files, &request(data, of))
        .map_err(|error| Problem::new("data.train", error.to_string()))?;
    let items = match items {
        None => Catalogue {
            ids: events.items.clone(),
            texts: vec![String::new(); events.items.len()],
            ..Catalogue::default()
        },
        Some(path) => {
            let request = catalogue_request(of, data.read_options());
            let read = Catalogue::read(path, &request, &events.items);
            read.map_err(|error| Problem::new("recommend.items", error.to_string()))?
        }
    };
    Ok(Shop { events, items })
}

/// How files of items are read, those of a training and those of items that come later.
pub(super) fn catalogue_request(of: &RecommendRecipe, read: ReadOptions) -> CatalogueRequest {
    CatalogueRequest {
        id: of.item_id.clone(),
        text: of.item_text.clone(),
        categories: of.item_category.clone(),
        read,
    }
}

fn request(data: &DataRecipe, of: &RecommendRecipe) -> Request {
    Request {
        columns: Columns {
            user: of.user.clone(),
            item: of.item.clone(),
            time: data.time.clone(),
            rating: of.rating.clone(),
            event: of.event.clone(),
            weight: None,
        },
        file_order: of.file_order,
        read: data.read_options(),
    }
}

fn asked(data: &DataRecipe, of: &RecommendRecipe) -> retune_data::Result<protocol::Protocol> {
    Ok(match (of.protocol, &of.cut_off) {
        (Protocol::Loo, _) => protocol::Protocol::LeaveOneOut,
        (Protocol::Temporal, None) => protocol::Protocol::Temporal(CutOff::Share(data.test_share)),
        (Protocol::Temporal, Some(text)) => protocol::Protocol::Temporal(CutOff::parse(text)?),
    })
}

/// Keys that are set and that a recommender does not read.
fn unread(recipe: &Recipe) -> Vec<Problem> {
    let keys = recipe.train.unread_by_recommenders();
    let text =
        "is not read by recommenders; leave it out (users per step are recommend.users_per_step)";
    keys.iter()
        .map(|key| Problem::new(&format!("train.{key}"), text))
        .collect()
}

/// The recommender that the run goes on from.
fn origin(recipe: &Recipe) -> Result<Option<Origin>, Problem> {
    let mode = recipe.recommend.mode;
    let Some(reference) = &recipe.model else {
        let text = format!(
            "{} goes on from a recommender; name its folder with --model, or make one with `retune pretrain`",
            mode.name()
        );
        return if mode.goes_on() {
            Err(Problem::new("recommend.mode", text))
        } else {
            Ok(None)
        };
    };
    let folder = Path::new(reference);
    if !folder.join("bundle.json").is_file() {
        let text = format!(
            "{reference} holds no recommender; name the folder of one (`retune pretrain` makes them). A text encoder is \
             named with --encoder"
        );
        return Err(Problem::new("model", text));
    }
    let opened = Origin::open(folder);
    opened
        .map(Some)
        .map_err(|error| Problem::new("model", error.to_string()))
}

fn encoder(
    recipe: &Recipe,
    (texts, origin): (bool, Option<&Origin>),
    (hub, local_only): (&HubOptions, bool),
    on: &mut dyn FnMut(hub::Progress),
) -> Result<Option<BaseModel>, Problem> {
    let named = recipe.recommend.encoder.as_deref();
    let usual = || default_model(Reads::Text);
    let before = origin.and_then(|origin| origin.encoder.as_deref());
    let reference = named.or(before).unwrap_or_else(usual);
    if reference == NO_ENCODER || !texts {
        let needs = origin.is_some_and(|origin| origin.form.text > 0);
        let text = "the recommender gone on from knows items by their texts; name a file of items with --items";
        return if needs {
            Err(Problem::new("recommend.items", text))
        } else {
            Ok(None)
        };
    }
    let fail = |error: crate::Error| Problem::new("recommend.encoder", error.to_string());
    let found = BaseModel::resolve(reference, hub, local_only, on).map_err(fail)?;
    let Some(found) = found else {
        return Ok(None);
    };
    if found.family.reads != Reads::Text {
        let text = format!(
            "{reference} reads pictures; name a text encoder, as in {}",
            usual()
        );
        return Err(Problem::new("recommend.encoder", text));
    }
    if let Some(origin) = origin {
        origin.check_encoder(&found)?;
    }
    Ok(Some(found))
}

/// What the model is made of: what the one gone on from is made of, and else what the recipe says.
fn form(
    recipe: &Recipe,
    read: &Read,
    (origin, encoder): (Option<&Origin>, Option<&BaseModel>),
    (kinds, categories): (usize, usize),
) -> Result<Form, Problem> {
    let of = &recipe.recommend;
    let text = encoder.map_or(0, |encoder| encoder.facts.width);
    if text == 0 && !of.mode.ids() {
        let text = format!(
            "{} knows items by their texts, and there are none; name a file of items with --items",
            of.mode.name()
        );
        return Err(Problem::new("recommend.mode", text));
    }
    let ids = if of.mode.ids() {
        read.catalogue.len()
    } else {
        0
    };
    let dropout = recipe.train.dropout.unwrap_or(DROPOUT);
    if let Some(origin) = origin {
        let body = SeqConfig {
            dropout,
            ..origin.form.body.clone()
        };
        return Ok(Form {
            body,
            ids,
            categories,
            score: same_score(of.score, origin.form.score)?,
            ..origin.form.clone()
        });
    }
    let body = SeqConfig {
        width: of.width,
        layers: of.layers,
        heads: of.heads,
        inner: 4 * of.width,
        max_length: of.history,
        kinds,
        gaps: of.gaps,
        dropout,
        placed: true,
    };
    if let Some(text) = body.problem() {
        return Err(Problem::new("recommend", text));
    }
    let usual = if text > 0 { Score::Cosine } else { Score::Dot };
    Ok(Form {
        body,
        text,
        ids,
        categories,
        score: of.score.unwrap_or(usual),
        popularity: of.popularity.unwrap_or(ids == 0),
    })
}

/// The score of the model gone on from, which is the only one that it can make.
fn same_score(asked: Option<Score>, before: Score) -> Result<Score, Problem> {
    if asked.is_some_and(|asked| asked != before) {
        let text = "is not how the recommender gone on from makes its scores; leave it out";
        return Err(Problem::new("recommend.score", text));
    }
    Ok(before)
}

/// What the model is told beside items: the kinds of events and the values of categories that it tells apart.
fn told(
    recipe: &Recipe,
    read: &mut Read,
    origin: Option<&Origin>,
) -> Result<(Vec<String>, Vocabulary), Vec<Problem>> {
    let categories = categories(recipe, read, origin);
    match (kinds(recipe, read, origin), categories) {
        (Ok(kinds), Ok(categories)) => Ok((kinds, categories)),
        (kinds, categories) => Err(kinds.err().into_iter().chain(categories.err()).collect()),
    }
}

/// The kinds of events that the model tells apart; histories get their numbers. A kind that the model gone on from does not
/// know counts as its most frequent one.
fn kinds(
    recipe: &Recipe,
    read: &mut Read,
    origin: Option<&Origin>,
) -> Result<Vec<String>, Problem> {
    let (names, _) = read.events.kinds();
    let names: Vec<String> = names.into_iter().map(str::to_string).collect();
    let asked = recipe.recommend.kinds;
    let wrong = |text: &str| Err(Problem::new("recommend.kinds", text));
    let own = match (origin.map(|origin| &origin.kinds), asked) {
        (Some(known), Some(true)) if known.is_empty() => {
            return wrong("the recommender gone on from reads no kinds of events; leave it out");
        }
        (Some(known), Some(false)) if !known.is_empty() => {
            return wrong("the recommender gone on from reads kinds of events; leave it out");
        }
        (Some(known), _) => known.clone(),
        (None, Some(true)) if names.is_empty() => {
            return wrong(
                "all events are of one kind; name the column that tells them with --event",
            );
        }
        (None, None) if names.len() > MOST_KINDS => {
            let text = format!(
                "events are of {} kinds, which are too many to be read unless asked for (--kinds true)",
                names.len()
            );
            read.histories.notes.push(text);
            Vec::new()
        }
        (None, None | Some(true)) => names.clone(),
        (None, Some(false)) => Vec::new(),
    };
    if own.is_empty() {
        read.histories.forget_kinds();
    } else {
        let number = |kind: u32| {
            let place = own.iter().position(|name| *name == names[kind as usize]);
            place.unwrap_or(0) as u32
        };
        read.histories.number_kinds(number);
    }
    Ok(own)
}

/// The values of categories that the model reads beside texts.
fn categories(
    recipe: &Recipe,
    read: &Read,
    origin: Option<&Origin>,
) -> Result<Vocabulary, Problem> {
    let asked = recipe.recommend.categories;
    let before = origin.is_some_and(|origin| !origin.categories.is_empty());
    if !asked.unwrap_or(before) {
        return Ok(Vocabulary::default());
    }
    let found = Vocabulary::of(&read.catalogue);
    if found.is_empty() && asked == Some(true) {
        let text = match recipe.recommend.items {
            None => "items have no columns; name a file of items with --items, or leave it out",
            Some(_) => {
                "no two items share a category; name a column of categories with --item-category, or leave it out"
            }
        };
        return Err(Problem::new("recommend.categories", text));
    }
    Ok(found)
}

fn seen(asked: SeenItems, repeats: f64) -> Seen {
    match asked {
        SeenItems::Hide => Seen::Filtered,
        SeenItems::Auto if repeats < REPEATING => Seen::Filtered,
        SeenItems::Auto | SeenItems::Show => Seen::Kept,
    }
}

fn pace(recipe: &Recipe, items: usize) -> Pace {
    let (patience, lr, average) = USUAL;
    let train = &recipe.train;
    Pace {
        epochs: train.epochs,
        patience: train.patience.unwrap_or(patience),
        lr: train.lr.unwrap_or(lr),
        batch: recipe.recommend.users_per_step,
        negatives: recipe.recommend.negatives.of(items),
        average: Some(train.ema.unwrap_or(average)).filter(|decay| *decay > 0.0),
        max_steps: train.max_steps,
        checkpoint_every: train.checkpoint_every,
        weight_decay: train.weight_decay,
        clip_norm: train.clip_norm,
        precision: recipe.products(),
        seed: recipe.seed,
    }
}

fn resolved(recipe: &Recipe, out: &Path, encoder: Option<&BaseModel>) -> Recipe {
    let mut recipe = recipe.clone();
    recipe.task = Some(TASK.to_string());
    recipe.out = Some(out.to_path_buf());
    recipe.recommend.encoder =
        Some(encoder.map_or(NO_ENCODER.to_string(), |e| e.reference.clone()));
    recipe
}

fn notes(read: &Read) -> Vec<String> {
    let counts = &read.facts.1;
    let mut notes = Vec::new();
    if counts.seen > 0 {
        notes.push(format!(
            "{} of {} test items were taken before by their user",
            counts.seen, counts.test
        ));
    }
    let files = [
        &read.events.notes,
        &read.histories.notes,
        &read.catalogue.notes,
    ];
    notes.extend(files.into_iter().flatten().cloned());
    notes
}

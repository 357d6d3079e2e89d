//! A saved recommender: weights, item vectors, items and what users took, in one folder.
//!
//! `bundle.json` is that of every bundle. `config.json` says what the model is made of, `model.safetensors` holds its
//! weights and the whitening, `items.safetensors` the vector of each item, `items.parquet` the items themselves and
//! `events.parquet` what each user took, oldest first.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use retune_data::interactions::SECOND;
use retune_data::interactions::catalogue::Catalogue;
use retune_data::read::{ReadOptions, read};
use retune_data::split::SplitRecord;
use retune_data::{Column, Table, Values};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::categories::Vocabulary;
use super::plan::{Plan, TASK};
use super::recommender::{Form, Recommender};
use super::texts::Whitening;
use crate::bundle::{BaseRecord, Manifest, Parent, pretty, read_json, read_manifest, sha256};
use crate::checkpoint::{self, Checkpoint, hex};
use crate::error::{Error, Problem, Result};
use crate::ops::Precision;
use crate::pretrained::BaseModel;
use crate::recipe::{Recipe, RecommendRecipe};
use crate::run_folder::{RECIPE, RunFolder};
use crate::weights::{
    HostTensor, KeyMap, LoadReport, Place, Source, host_values, merged, with_values,
};

/// `model_type` in `config.json`.
const MODEL_TYPE: &str = "retune-seq";
const WEIGHTS: &str = "model.safetensors";
/// Vectors of items.
pub(super) const ITEM_VECTORS: &str = "items.safetensors";
/// The items.
pub(crate) const ITEMS: &str = "items.parquet";
/// What users took.
pub(super) const EVENTS: &str = "events.parquet";
/// Name of the tensor in the file of item vectors.
pub(super) const VECTORS: &str = "vectors";
/// Column of what was done, in the file of events.
pub(super) const KIND: &str = "event";
/// Path of the vectors that items have of their own.
const IDS: &str = "ids";
/// Path of the vectors of values of categories.
const CATEGORIES: &str = "categories";
const MEAN: &str = "whitening.mean";
const MATRIX: &str = "whitening.matrix";

/// `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    model_type: String,
    /// What the model is made of.
    pub form: Form,
    /// Whether items of a history are ranked.
    pub show_seen: bool,
    /// The logarithm of popularity that new items are given, where popularity is.
    #[serde(default)]
    pub new: f32,
    /// The text encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<Encoder>,
    /// The kinds of events that the model tells apart, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// The values of categories that the model tells apart, by row.
    #[serde(default, skip_serializing_if = "Vocabulary::is_empty")]
    pub categories: Vocabulary,
}

/// The text encoder that a model needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoder {
    /// As the user named it.
    pub reference: String,
    /// SHA-256 of each of its files.
    pub files: BTreeMap<String, String>,
}

/// The recommender that a run goes on from.
pub struct Origin {
    /// What the bundle is.
    pub parent: Parent,
    /// What the model is made of.
    pub form: Form,
    /// Its text encoder.
    pub encoder: Option<String>,
    /// Its whitening.
    pub whitening: Option<Whitening>,
    /// The kinds of events that it tells apart, by number.
    pub kinds: Vec<String>,
    /// The values of categories that it tells apart.
    pub categories: Vocabulary,
    config: Config,
    checkpoint: Checkpoint,
    /// Ids of the items that have vectors of their own, in the order of these.
    known: Vec<String>,
}

impl Origin {
    /// The recommender in `folder`.
    ///
    /// # Errors
    /// A folder without a whole recommender.
    pub fn open(folder: &Path) -> Result<Self> {
        let manifest = read_manifest(folder)?;
        if manifest.task != TASK {
            return Err(Error::User(format!(
                "{} was made for {}, not to recommend; name the folder of `retune pretrain` or of a recommender",
                folder.display(),
                manifest.task
            )));
        }
        manifest.check(folder)?;
        let config: Config = read_json(&folder.join("config.json"))?;
        let checkpoint = Checkpoint::open(&folder.join(WEIGHTS))?;
        let known = if config.form.ids > 0 {
            column(&table(folder, ITEMS)?, "item")?
        } else {
            Vec::new()
        };
        Ok(Self {
            known,
            parent: Parent {
                reference: folder.display().to_string(),
                sha256: sha256(&folder.join("bundle.json"))?,
            },
            form: config.form.clone(),
            encoder: config
                .encoder
                .as_ref()
                .map(|encoder| encoder.reference.clone()),
            whitening: whitening(&checkpoint)?,
            kinds: config.kinds.clone(),
            categories: config.categories.clone(),
            config,
            checkpoint,
        })
    }

    /// Whether a text encoder gives the vectors that the model was trained on.
    pub(super) fn check_encoder(&self, found: &BaseModel) -> std::result::Result<(), Problem> {
        let wanted = self.config.encoder.as_ref();
        if wanted.is_some_and(|wanted| wanted.files == found.files) {
            return Ok(());
        }
        let wanted = wanted.map_or("none", |wanted| &wanted.reference);
        let text = format!(
            "the recommender gone on from was trained with the text encoder {wanted}, and {} has other files; leave \
             --encoder out",
            found.reference
        );
        Err(Problem::new("recommend.encoder", text))
    }

    /// The model in another form, for items of these ids and these values of categories. Those that had vectors of their
    /// own keep them; the others, and all of a model of texts, begin with zeros.
    pub(super) fn model(
        &self,
        form: &Form,
        (ids, categories): (&[String], &Vocabulary),
        place: &Place,
        seed: u64,
    ) -> Result<(Recommender, LoadReport)> {
        // A checkpoint of as many items would have the right shape and the wrong items; so would one of as many values.
        let keys = |path: &str| match path {
            IDS | CATEGORIES => Vec::new(),
            path => vec![path.to_string()],
        };
        let (model, report) = load(Some(&self.checkpoint), &keys, form, place, seed)?;
        let width = form.body.width;
        let own = if form.ids == 0 || self.known.is_empty() {
            None
        } else {
            Some(self.own_vectors(ids, width)?)
        };
        let shared = if form.categories == 0 || self.categories.is_empty() {
            None
        } else {
            let before = self.checkpoint.f32(CATEGORIES)?;
            Some(categories.carried((&self.categories, &before), width))
        };
        let filled = with_values(model, &|path| match path {
            IDS => own.clone(),
            CATEGORIES => shared.clone(),
            _ => None,
        });
        Ok((filled, report))
    }

    /// The vectors that items of these ids have of their own, `[items, width]`.
    fn own_vectors(&self, ids: &[String], width: usize) -> Result<Vec<f32>> {
        let before = self.checkpoint.f32(IDS)?;
        let rows: HashMap<&str, usize> = self.known.iter().map(String::as_str).zip(0..).collect();
        let mut vectors = vec![0f32; ids.len() * width];
        for (vector, id) in vectors.chunks_exact_mut(width).zip(ids) {
            if let Some(row) = rows.get(id.as_str()) {
                vector.copy_from_slice(&before[row * width..][..width]);
            }
        }
        Ok(vectors)
    }
}

fn whitening(checkpoint: &Checkpoint) -> Result<Option<Whitening>> {
    if checkpoint.shape(MEAN).is_none() {
        return Ok(None);
    }
    Ok(Some(Whitening {
        mean: checkpoint.f32(MEAN)?,
        matrix: checkpoint.f32(MATRIX)?,
    }))
}

/// A model of random numbers.
pub(super) fn fresh(form: &Form, place: &Place, seed: u64) -> Result<(Recommender, LoadReport)> {
    load(None, &|path| vec![path.to_string()], form, place, seed)
}

/// A model from a checkpoint that has its parameters under these keys.
fn load(
    checkpoint: Option<&Checkpoint>,
    keys: &KeyMap,
    form: &Form,
    place: &Place,
    seed: u64,
) -> Result<(Recommender, LoadReport)> {
    let mut source = Source::new(checkpoint, keys, place, seed, form.body.spread());
    let model =
        Recommender::load(&mut source, form).map_err(|error| Error::User(error.to_string()))?;
    Ok((model, source.finish(&|key| key.starts_with("whitening."))))
}

/// What a finished run has to save.
pub(super) struct Saved<'a> {
    pub plan: &'a Plan,
    /// Weights by path, low-rank updates added.
    pub weights: Vec<HostTensor>,
    pub whitening: Option<&'a Whitening>,
    /// `[items, vector width]`.
    pub vectors: Vec<f32>,
    /// The logarithm of popularity that new items are given.
    pub new: f32,
    pub loaded: LoadReport,
    /// Step of the weights, and steps done.
    pub steps: (u64, u64),
    pub seconds: f64,
}

/// Writes the model's files and returns the manifest, which is to be written last.
pub(super) fn save(run: &RunFolder, saved: Saved) -> Result<Manifest> {
    let plan = saved.plan;
    let folder = run.parts();
    let (width, items) = (plan.form.vector_width(), plan.items());
    let mut weights = saved.weights;
    if let Some(whitening) = saved.whitening {
        let n = whitening.mean.len();
        weights.push((MEAN.to_string(), vec![n], whitening.mean.clone()));
        weights.push((MATRIX.to_string(), vec![n, n], whitening.matrix.clone()));
    }
    checkpoint::write(&folder.join(WEIGHTS), &weights, &[])?;
    let vectors = (VECTORS.to_string(), vec![items, width], saved.vectors);
    checkpoint::write(&folder.join(ITEM_VECTORS), &[vectors], &[])?;
    run.write("config.json", &pretty(&config(plan, saved.new))?)?;
    run.write(RECIPE, plan.recipe.to_toml().as_bytes())?;
    retune_data::write::write(&items_table(&plan.catalogue), &folder.join(ITEMS))?;
    retune_data::write::write(&events_table(plan), &folder.join(EVENTS))?;
    let names = [WEIGHTS, ITEM_VECTORS, "config.json", RECIPE, ITEMS, EVENTS];
    let files = names.map(|name| Ok((name.to_string(), sha256(&folder.join(name))?)));
    let encoder = plan.encoder.as_ref();
    Ok(Manifest {
        method: plan.recipe.recommend.mode.name().to_string(),
        base: BaseRecord {
            reference: encoder.map_or(String::new(), |encoder| encoder.reference.clone()),
            revision: encoder.and_then(|encoder| encoder.revision.clone()),
            files: encoder.map_or(BTreeMap::new(), |encoder| encoder.files.clone()),
        },
        parent: plan.origin.as_ref().map(|origin| origin.parent.clone()),
        loaded: saved.loaded,
        split: division(plan),
        data: plan.data_hashes()?,
        best_step: saved.steps.0,
        steps: saved.steps.1,
        seconds: saved.seconds,
        files: files.into_iter().collect::<Result<_>>()?,
        ..Manifest::now(TASK, "seq", plan.recipe.products())
    })
}

/// The weights on the host with low-rank updates of factor `scale` added.
pub(super) fn weights(model: &Recommender, scale: Option<f64>) -> Vec<HostTensor> {
    let values = host_values(model);
    match scale {
        Some(scale) => merged(values, scale),
        None => values,
    }
}

fn config(plan: &Plan, new: f32) -> Config {
    let encoder = plan.encoder.as_ref().map(|encoder| Encoder {
        reference: encoder.reference.clone(),
        files: encoder.files.clone(),
    });
    Config {
        model_type: MODEL_TYPE.to_string(),
        form: plan.form.clone(),
        show_seen: plan.seen == retune_eval::ranking::Seen::Kept,
        new,
        encoder,
        kinds: plan.kinds.clone(),
        categories: plan.categories.clone(),
    }
}

/// How events were divided; the print is one of users and what they are asked for.
fn division(plan: &Plan) -> SplitRecord {
    let (_, counts) = plan.facts;
    let mut hash = Sha256::new();
    for row in 0..plan.histories.len() {
        let user = &plan.events.users[plan.histories.users[row] as usize];
        let next = plan
            .histories
            .test(row)
            .map(|(item, _)| &plan.catalogue.ids[item as usize]);
        hash.update(format!("{user}\t{next:?}\n"));
    }
    SplitRecord {
        how: super::show::division(plan),
        seed: plan.recipe.seed,
        train: counts.training,
        valid: counts.valid,
        test: counts.test,
        duplicates_together: 0,
        duplicates_dropped: 0,
        conflicting: 0,
        sampled_out: 0,
        notes: plan.histories.notes.clone(),
        fingerprint: hex(&hash.finalize()),
    }
}

/// Id, text and categories of each item.
pub(super) fn items_table(items: &Catalogue) -> Table {
    let text = |name: &str, values: Vec<Option<String>>| Column {
        name: name.to_string(),
        values: Values::Text(values),
    };
    let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
    let mut columns = vec![
        text("item", items.ids.iter().cloned().map(Some).collect()),
        text("text", items.texts.iter().map(filled).collect()),
    ];
    for category in &items.categories {
        let names = |item: usize| {
            let names = category
                .of(item)
                .iter()
                .map(|code| category.values[*code as usize].as_str());
            let joined = names.collect::<Vec<_>>().join("|");
            (!joined.is_empty()).then_some(joined)
        };
        columns.push(text(&category.name, (0..items.len()).map(names).collect()));
    }
    Table {
        columns,
        ..Table::default()
    }
}

/// User, item, second and, where the model reads it, kind of each event that stays, by user, oldest first.
fn events_table(plan: &Plan) -> Table {
    let by_user = plan.events.by_user();
    let (mut users, mut items, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
    let mut kinds = Vec::new();
    let (names, kind) = match plan.kinds.len() {
        0 => <(Vec<&str>, Vec<u32>)>::default(),
        _ => plan.events.kinds(),
    };
    for (user, name) in plan.events.users.iter().enumerate() {
        for event in by_user.of(user) {
            let event = *event as usize;
            users.push(Some(name.clone()));
            let item = plan.events.item[event] as usize;
            items.push(Some(plan.catalogue.ids[item].clone()));
            seconds.push(Some((plan.events.time[event] / SECOND) as f64));
            if !plan.kinds.is_empty() {
                let name = kind.get(event).map(|kind| names[*kind as usize]);
                kinds.push(name.map(str::to_string));
            }
        }
    }
    let column = |name: &str, values| Column {
        name: name.to_string(),
        values,
    };
    let mut columns = vec![
        column("user", Values::Text(users)),
        column("item", Values::Text(items)),
        column("seconds", Values::Number(seconds)),
    ];
    if !kinds.is_empty() {
        columns.push(column(KIND, Values::Text(kinds)));
    }
    Table {
        columns,
        ..Table::default()
    }
}

/// A table of the bundle in `folder`.
fn table(folder: &Path, name: &str) -> Result<Table> {
    Ok(read(&folder.join(name), &ReadOptions::default())?)
}

/// The texts of a column.
pub(super) fn column(table: &Table, name: &str) -> Result<Vec<String>> {
    let column = table.column(name)?;
    let cell = |row| column.text(row).unwrap_or_default().into_owned();
    Ok((0..table.rows()).map(cell).collect())
}

/// A recommender that is open.
pub struct RecommenderBundle {
    /// Its folder.
    pub folder: PathBuf,
    /// `config.json`.
    pub config: Config,
    /// How it was made.
    pub recipe: RecommendRecipe,
    /// Format of its products.
    pub precision: Precision,
    /// The model, outside the gradient graph.
    pub model: Recommender,
    /// Its whitening.
    pub whitening: Option<Whitening>,
    /// `[items, width]`.
    pub vectors: Vec<f32>,
    /// Id, text and categories of each item.
    pub items: Table,
    /// User and item of each event.
    pub events: Table,
}

/// Whether a folder holds a recommender.
pub fn is_recommender(folder: &Path) -> bool {
    folder.join("bundle.json").is_file() && folder.join(ITEM_VECTORS).is_file()
}

impl RecommenderBundle {
    /// Opens and checks a recommender.
    ///
    /// # Errors
    /// No recommender, a newer format, or a file whose SHA-256 is not the one in `bundle.json`.
    pub fn open(folder: &Path) -> Result<Self> {
        let origin = Origin::open(folder)?;
        let precision = read_manifest(folder)?.precision;
        let recipe = Recipe::read(&folder.join(RECIPE)).map_err(Error::Problems)?;
        let place = Place::cpu(false, precision);
        let keys = |path: &str| vec![path.to_string()];
        let (model, _) = load(Some(&origin.checkpoint), &keys, &origin.form, &place, 0)?;
        let (items, events) = (table(folder, ITEMS)?, table(folder, EVENTS)?);
        let vectors = Checkpoint::open(&folder.join(ITEM_VECTORS))?.f32(VECTORS)?;
        if vectors.len() != items.rows() * origin.form.vector_width() {
            return Err(Error::Damaged {
                path: folder.join(ITEM_VECTORS),
                what:
                    "it has another number of vectors than there are items; copy the bundle again"
                        .to_string(),
            });
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            recipe: recipe.recommend,
            precision,
            model,
            vectors,
            items,
            events,
            whitening: origin.whitening,
            config: origin.config,
        })
    }
}

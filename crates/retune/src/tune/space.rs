//! The space of a search: values to try by key of the recipe, and the grid of candidates that they make.
//!
//! Keys are those that decide how a model trains on the rows as they are: `method`, its options, `train.…`, `loss.…`; for
//! tables `model` and the shape of its networks. Options of a method or of networks count only where they are the
//! candidate's, so that they are no reason to try another one twice.

use retune_kernels::dropout::mix;
use serde::{Deserialize, Serialize};
use toml::Value;

use crate::error::Problem;
use crate::methods::MethodRecipe;
use crate::plan::unknown;
use crate::recipe::Recipe;
use crate::tables::{self, Family};

/// Keys besides `method` and the options of methods.
const KEYS: [&str; 18] = [
    "train.lr",
    "train.epochs",
    "train.batch_size",
    "train.max_tokens",
    "train.accumulate",
    "train.warmup_share",
    "train.schedule",
    "train.weight_decay",
    "train.clip_norm",
    "train.order",
    "train.dropout",
    "train.layer_decay",
    "train.l2sp",
    "train.ema",
    "train.wise_ft",
    "loss.label_smoothing",
    "loss.focal",
    "loss.logit_adjustment",
];
/// Keys that only models of tables have, besides `model`.
const OF_TABLES: [&str; 4] = [
    "tables.members",
    "tables.net_layers",
    "tables.net_width",
    "tables.rows_per_step",
];
/// Models that are tried on a table where none is named: those that take minutes.
const TABLE_MODELS: [Family; 3] = [Family::Gbdt, Family::Linear, Family::Tabular];
/// Sections that people may leave out before a key.
const SECTIONS: [&str; 4] = ["train.", "loss.", "method.", "tables."];
/// Most candidates of a grid.
const MOST: usize = 10_000;
/// Factors of the usual learning rate that are tried where no space is declared.
const FACTORS: [f64; 3] = [0.3, 1.0, 3.0];
/// Layer-wise factors of the rate that are tried with them where everything trains.
const DECAYS: [f64; 2] = [1.0, 0.8];

/// What `retune tune` tries: `[tune]` in a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TuneRecipe {
    /// Values by key: `lr = [1e-5, 3e-5]`, `"lora.rank" = [4, 16]`. Default: learning rates around the usual one.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    pub over: toml::Table,
    /// Candidates drawn from the grid by the seed. Default: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trials: Option<usize>,
    /// One candidate in so many goes on to the next rung, with so many times the steps.
    pub eta: usize,
}

impl Default for TuneRecipe {
    fn default() -> Self {
        Self {
            over: toml::Table::new(),
            trials: None,
            eta: 3,
        }
    }
}

/// A recipe that may turn out best.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// What sets it apart, by full key.
    pub settings: Vec<(String, Value)>,
    /// The whole recipe.
    pub recipe: Recipe,
}

/// Values of one key.
struct Choice {
    key: String,
    values: Vec<Value>,
}

impl Candidate {
    /// A problem for each setting that only models of tables have.
    pub(super) fn of_tables(&self) -> Vec<Problem> {
        let keys = self.settings.iter().map(|(key, _)| key.as_str());
        let wrong = keys.filter(|key| *key == "model" || key.starts_with("tables."));
        wrong
            .map(|key| {
                let text = format!("`{key}` chooses among models of tables alone; leave it out");
                Problem::new("tune.over", text)
            })
            .collect()
    }

    /// Its settings as people write them: `lr=3e-5 method=lora`.
    pub fn name(&self) -> String {
        let one = |(key, value): &(String, Value)| {
            let short = key.split_once('.').map_or(key.as_str(), |(_, rest)| rest);
            format!("{short}={}", shown(value))
        };
        self.settings.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

/// A value without quotes, small numbers as powers of ten.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(x) if *x != 0.0 && x.abs() < 1e-3 => format!("{x:e}"),
        Value::Float(x) => x.to_string(),
        other => other.to_string(),
    }
}

impl TuneRecipe {
    /// Whether it asks for nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Sets the values of a key from text as people type it: values with commas between, or a TOML list. Values of the
    /// same key that were there before are replaced.
    pub fn set(&mut self, key: &str, text: &str) {
        let whole = toml_value(text).filter(Value::is_array);
        let each = text.split(',').map(str::trim).filter(|one| !one.is_empty());
        let values = whole.unwrap_or_else(|| {
            let one = |one: &str| toml_value(one).unwrap_or_else(|| one.into());
            each.map(one).collect::<Vec<_>>().into()
        });
        let mut entries = flat("", &self.over);
        let same =
            |known: &str| known == key || (full(known).is_some() && full(known) == full(key));
        entries.retain(|(known, _)| !same(known));
        entries.push((key.to_string(), values));
        self.over = entries.into_iter().collect();
    }

    /// Everything that is wrong with it for this recipe.
    pub fn problems(&self, recipe: &Recipe) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.eta < 2 {
            let text = format!("{} is not above 1; try 3", self.eta);
            found.push(Problem::new("tune.eta", text));
        }
        if self.trials == Some(0) {
            let text = "must be at least 2; leave it out to try the whole grid";
            found.push(Problem::new("tune.trials", text));
        }
        // A recipe on its own: candidates declare no space.
        let recipe = Recipe {
            tune: Self::default(),
            ..recipe.clone()
        };
        found.extend(self.grid(&recipe).err().unwrap_or_default());
        found
    }

    /// The candidates around `recipe`: the grid, or those drawn from it, in the order of the grid.
    ///
    /// # Errors
    /// Every key and every value that cannot be tried.
    pub fn candidates(&self, recipe: &Recipe) -> Result<Vec<Candidate>, Vec<Problem>> {
        let mut all = self.grid(recipe)?;
        if let Some(wanted) = self.trials {
            let mut drawn: Vec<usize> = (0..all.len()).collect();
            drawn.sort_by_key(|i| mix(mix(recipe.seed) ^ *i as u64));
            drawn.truncate(wanted);
            let mut at = 0..;
            all.retain(|_| at.next().is_some_and(|at| drawn.contains(&at)));
        }
        Ok(all)
    }

    fn grid(&self, recipe: &Recipe) -> Result<Vec<Candidate>, Vec<Problem>> {
        let over = if self.over.is_empty() {
            usual(recipe)
        } else {
            self.over.clone()
        };
        let choices = choices(&over)?;
        let wrong: Vec<Problem> = choices.iter().flat_map(|c| c.problems(recipe)).collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let mut all = vec![Candidate {
            settings: Vec::new(),
            recipe: recipe.clone(),
        }];
        for choice in &choices {
            all = choice.combined(all)?;
        }
        Ok(all)
    }
}

/// Learning rates around the usual one; where everything trains, each also with smaller rates for lower layers. Of tables
/// the models, unless one is named; nothing for one that has no learning rate.
fn usual(recipe: &Recipe) -> toml::Table {
    let mut lr = recipe.lr();
    if tables::asked(recipe) {
        match Family::of(recipe) {
            _ if recipe.model.is_none() => {
                let models: Vec<Value> = TABLE_MODELS.map(|family| family.name().into()).to_vec();
                return toml::Table::from_iter([("model".to_string(), models.into())]);
            }
            Ok(family) if family.is_network() => lr = recipe.train.lr.unwrap_or(tables::USUAL_LR),
            _ => return toml::Table::new(),
        }
    }
    let near = FACTORS.map(|factor| format!("{:.1e}", factor * lr));
    let rates = near.iter().filter_map(|text| text.parse::<f64>().ok());
    let rates: Vec<Value> = rates.filter(|lr| *lr <= 1.0).map(Value::from).collect();
    let mut over = toml::Table::from_iter([("lr".to_string(), rates.into())]);
    let whole = recipe.method == MethodRecipe::default() && !tables::asked(recipe);
    if whole && recipe.train.layer_decay == 1.0 {
        let decays: Vec<Value> = DECAYS.map(Value::from).to_vec();
        over.insert("layer_decay".to_string(), decays.into());
    }
    over
}

/// The value that the text is in TOML.
fn toml_value(text: &str) -> Option<Value> {
    let mut table: toml::Table = toml::from_str(&format!("x = {text}")).ok()?;
    table.remove("x").filter(|_| table.is_empty())
}

/// Entries by dotted key.
fn flat(at: &str, table: &toml::Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        let key = if at.is_empty() {
            key.clone()
        } else {
            format!("{at}.{key}")
        };
        match value {
            Value::Table(inner) => found.extend(flat(&key, inner)),
            value => found.push((key, value.clone())),
        }
    }
    found
}

/// Options of methods by full key.
fn method_keys() -> Vec<String> {
    let of = |method: MethodRecipe| {
        let name = method.method().name();
        let options = method.options().into_iter();
        let keys: Vec<String> = options
            .map(|(option, _)| format!("method.{name}.{option}"))
            .collect();
        keys
    };
    MethodRecipe::all().into_iter().flat_map(of).collect()
}

/// Every key that can be tried.
fn keys() -> Vec<String> {
    let own = ["model", "method"].into_iter().chain(KEYS).chain(OF_TABLES);
    own.map(str::to_string).chain(method_keys()).collect()
}

/// The full key behind a key that may lack its section: `lr`, `lora.rank`.
fn full(key: &str) -> Option<String> {
    let known = keys();
    let ends = |full: &&String| {
        let rest = SECTIONS.iter().find_map(|s| full.strip_prefix(s));
        full.as_str() == key || rest == Some(key)
    };
    known.iter().find(ends).cloned()
}

/// What is to be tried, `model` and `method` first, since they decide which options count.
fn choices(over: &toml::Table) -> Result<Vec<Choice>, Vec<Problem>> {
    let (mut found, mut problems): (Vec<Choice>, Vec<Problem>) = (Vec::new(), Vec::new());
    for (key, value) in flat("", over) {
        let mut wrong = |text: String| problems.push(Problem::new("tune.over", text));
        let Some(full) = full(&key) else {
            problems.push(not_known(&key));
            continue;
        };
        if found.iter().any(|choice| choice.key == full) {
            wrong(format!("`{full}` is named twice; leave one out"));
            continue;
        }
        match value {
            Value::Array(values) if values.is_empty() => wrong(format!(
                "`{key}` has no values to try; write them with commas between, as in lr=1e-5,3e-5"
            )),
            Value::Array(values) => found.push(Choice {
                key: full,
                values: different(values),
            }),
            _ => wrong(format!(
                "`{key}` is no list of values; write one, as in lr = [1e-5, 3e-5]"
            )),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let decides = |key: &str| ["model", "method"].contains(&key);
    found.sort_by_key(|choice| (!decides(&choice.key), choice.key.clone()));
    Ok(found)
}

/// Each value once.
fn different(values: Vec<Value>) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    for value in values {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

/// A key that nothing can be tried for, with those that there are, as people write them.
fn not_known(key: &str) -> Problem {
    let short = |full: &String| {
        let rest = SECTIONS.iter().find_map(|s| full.strip_prefix(s));
        rest.unwrap_or(full).to_string()
    };
    let names: Vec<String> = keys().iter().map(short).collect();
    unknown("tune.over", key, names.iter().map(String::as_str))
}

impl Choice {
    /// Values that no recipe can have.
    fn problems(&self, recipe: &Recipe) -> Vec<Problem> {
        // Options are examined on the method that they are options of.
        let named = self.key.strip_prefix("method.");
        let named = named.and_then(|rest| rest.split('.').next());
        let mut with = recipe.clone();
        if let Some(method) = named.and_then(|name| recipe.method.with(Some(name), &[]).ok()) {
            with.method = method;
        }
        let before = with.problems();
        let mut found = Vec::new();
        for value in &self.values {
            match applied(&with, &self.key, value) {
                Err(text) => found.push(Problem::new(
                    "tune.over",
                    format!("`{}` cannot be {}: {text}", self.key, shown(value)),
                )),
                Ok(None) => {}
                Ok(Some(recipe)) => {
                    let new = recipe.problems().into_iter();
                    found.extend(new.filter(|problem| !before.contains(problem)));
                }
            }
        }
        found
    }

    /// Every candidate with every value; those that have no such option as they are.
    fn combined(&self, candidates: Vec<Candidate>) -> Result<Vec<Candidate>, Vec<Problem>> {
        let mut all: Vec<Candidate> = Vec::new();
        let mut counts = false;
        for candidate in candidates {
            for value in &self.values {
                let mut new = candidate.clone();
                // The values have been examined: what is left are options of other methods, which count once.
                let Ok(Some(recipe)) = applied(&candidate.recipe, &self.key, value) else {
                    all.push(new);
                    break;
                };
                counts = true;
                new.settings.push((self.key.clone(), value.clone()));
                new.recipe = recipe;
                all.push(new);
            }
            if all.len() > MOST {
                let text = format!("the grid has more than {MOST} candidates; try fewer values");
                return Err(vec![Problem::new("tune.over", text)]);
            }
        }
        if !counts {
            let name = self.key.split('.').nth(1).unwrap_or_default();
            let why = if self.key.starts_with("method.") {
                format!(
                    "none has the method `{name}`; add --over method=full,{name}, or --method {name}"
                )
            } else {
                "none is a network; add --over model=gbdt,tabular, or --model tabular".to_string()
            };
            let text = format!("`{}` counts for no candidate: {why}", self.key);
            return Err(vec![Problem::new("tune.over", text)]);
        }
        Ok(all)
    }
}

/// The recipe with a value at a full key; `None` for an option of another method than the recipe's, and for one of
/// networks where the model is none.
fn applied(recipe: &Recipe, key: &str, value: &Value) -> Result<Option<Recipe>, String> {
    let mut new = recipe.clone();
    if key == "model" {
        let name = value.as_str().ok_or("it is no name of a model")?;
        new.model = Some(name.to_string());
        return Ok(Some(new));
    }
    let family = Family::of(recipe).ok().filter(|_| recipe.model.is_some());
    if family.is_some_and(|family| !family.is_network()) {
        return Ok(None);
    }
    if key == "method" {
        let name = value.as_str().ok_or("it is no name of a method")?;
        new.method = recipe.method.with(Some(name), &[])?;
        return Ok(Some(new));
    }
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    if section == "method" {
        let (method, option) = name.split_once('.').unwrap_or((name, ""));
        if recipe.method.method().name() != method {
            return Ok(None);
        }
        let mut options = recipe.method.options();
        let list = options.get(option).is_some_and(Value::is_array);
        let value = match value {
            Value::Array(_) => value.clone(),
            one if list => Value::Array(vec![one.clone()]),
            one => one.clone(),
        };
        options.insert(option.to_string(), value);
        new.method = MethodRecipe::named(method, &options)?;
        return Ok(Some(new));
    }
    let mut table = toml::Table::try_from(recipe).map_err(|e| e.to_string())?;
    if let Some(Value::Table(section)) = table.get_mut(section) {
        section.insert(name.to_string(), value.clone());
    }
    let read: Result<Recipe, toml::de::Error> = table.try_into();
    read.map(Some).map_err(|e| e.message().to_string())
}

#[cfg(test)]
mod tests;

//! From a recipe to a plan: reads the table, finds what each column is, makes features of the past, divides the rows, and
//! reports every problem before anything is computed.

use std::path::{Path, PathBuf};

use retune_data::fields::{Cast, CastRequest, Cells, Fields, cast, seconds};
use retune_data::leaks::{Finding, LeakRequest, leaks};
use retune_data::processor::{Labels, labelled_rows};
use retune_data::roles::{Reason, RoleRequest, Roles, TaskKind, detect_label};
use retune_data::split::{Given, Split, SplitOptions, SplitRecord, is_split, split};
use retune_data::windows::{Engine, EngineSpec, features_of};
use retune_data::{DataError, Table, Target};
use retune_eval::Evaluation;

use super::alerts::PATTERNS;
use super::periods::{Periods, Sides};
use super::{FRAUD, TASKS, evaluation, task};
use crate::error::Problem;
use crate::plan::data::tables;
use crate::plan::{out_folder, unknown};
use crate::recipe::{Recipe, Span};
use crate::tasks::Task;

/// The models of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Gradient-boosted trees.
    Gbdt,
    /// Networks that share their layers.
    Tabular,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 2] = [Self::Gbdt, Self::Tabular];

    /// Its name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gbdt => "gbdt",
            Self::Tabular => "tabular",
        }
    }

    /// One line about it, with its source.
    pub fn about(self) -> &'static str {
        match self {
            Self::Gbdt => {
                "gradient-boosted trees (Friedman 2001), by the forust-ml crate; for tables"
            }
            Self::Tabular => {
                "networks that share their layers (TabM-mini, arXiv:2410.24210); for tables"
            }
        }
    }
}

/// Rows of one side.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Their places in the table.
    pub at: Vec<usize>,
    /// `[rows, inputs]`.
    pub cells: Cells,
    /// One per row.
    pub targets: Vec<Target>,
}

impl Rows {
    /// These rows and then others.
    pub fn and(&self, more: &Self) -> Self {
        let both = |a: &[f32], b: &[f32]| [a, b].concat();
        Self {
            at: [&self.at[..], &more.at].concat(),
            cells: Cells {
                width: self.cells.width,
                values: both(&self.cells.values, &more.cells.values),
            },
            targets: [&self.targets[..], &more.targets].concat(),
        }
    }
}

/// Everything that a run needs, decided.
pub struct Plan {
    /// The recipe with every choice filled in.
    pub recipe: Recipe,
    /// Folder of the bundle to write.
    pub out: PathBuf,
    /// The task.
    pub task: &'static dyn Task,
    /// What the model is.
    pub family: Family,
    /// Every row read.
    pub table: Table,
    /// Label, group and time, with reasons for every column.
    pub roles: Roles,
    /// Who plays which part in a stream of events.
    pub cast: Cast,
    /// The columns that models read.
    pub fields: Fields,
    /// What makes features of the past; it has seen every event.
    pub engine: Option<Engine>,
    /// What outputs stand for.
    pub labels: Labels,
    /// Seconds of each row of the table; none without a time.
    pub times: Vec<i64>,
    /// Rows to learn from.
    pub train: Rows,
    /// Rows to select by.
    pub valid: Rows,
    /// Rows to test on.
    pub test: Rows,
    /// Where each row went and why.
    pub split: SplitRecord,
    /// Columns and divisions that may make the figures better than they will be.
    pub leaks: Vec<Finding>,
    /// Sentences worth reading before the run.
    pub notes: Vec<String>,
}

impl Plan {
    /// Decides everything; a run that was begun in `begun` goes on there.
    ///
    /// # Errors
    /// Every problem found, not only the first.
    pub fn resolve(recipe: &Recipe, begun: Option<&Path>) -> Result<Self, Vec<Problem>> {
        let mut problems = recipe.problems();
        let out = match begun {
            Some(folder) => folder.to_path_buf(),
            None => out_folder(recipe, &mut problems),
        };
        let family = family(recipe).map_err(|problem| problems.push(problem));
        let named = recipe.task.as_deref();
        if let Some(name) = named.filter(|name| task(name).is_none()) {
            problems.push(unknown("task", name, TASKS.iter().map(|t| t.name())));
        }
        let read = tables(&recipe.data, &mut problems);
        let (Some((table, given, _)), Ok(family), true) = (read, family, problems.is_empty())
        else {
            return Err(problems);
        };
        let found = Found::of(recipe, table, given).map_err(|problem| vec![problem])?;
        found
            .plan(recipe, out, family)
            .map_err(|problem| vec![problem])
    }

    /// What models are rated by.
    pub fn evaluation(&self) -> Evaluation {
        evaluation(self.task, &self.labels)
    }

    /// Whether events of a stream are rated.
    pub fn is_fraud(&self) -> bool {
        self.task.name() == FRAUD.name
    }

    /// Names of the inputs: fields, then features of the past.
    pub fn inputs(&self) -> Vec<String> {
        let mut names = self.fields.names();
        names.extend(self.engine.iter().flat_map(|engine| engine.spec().names()));
        names
    }

    /// Of each input how many numbers stand for words; `None` for numbers.
    pub fn words(&self) -> Vec<Option<usize>> {
        let mut words: Vec<Option<usize>> = self
            .fields
            .fields
            .iter()
            .map(retune_data::fields::Field::codes_len)
            .collect();
        words.resize(self.inputs().len(), None);
        words
    }

    /// The class that the task is about: the one that the recipe names, or of two the rarer one in training.
    pub fn positive(&self) -> usize {
        let named = self.recipe.decide.positive.as_ref();
        let named = named.and_then(|name| self.labels.names().iter().position(|n| n == name));
        if let Some(class) = named {
            return class;
        }
        let ones = self
            .train
            .targets
            .iter()
            .filter(|t| **t == Target::Class(1))
            .count();
        usize::from(ones * 2 <= self.train.targets.len())
    }

    /// SHA-256 of each data file.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn data_hashes(
        &self,
    ) -> crate::error::Result<std::collections::BTreeMap<String, String>> {
        let files = self.table.files.iter().filter(|path| path.is_file());
        files
            .map(|path| Ok((path.display().to_string(), crate::bundle::sha256(path)?)))
            .collect()
    }
}

fn family(recipe: &Recipe) -> Result<Family, Problem> {
    let Some(name) = &recipe.model else {
        return Ok(Family::Gbdt);
    };
    let found = Family::ALL.into_iter().find(|family| family.name() == name);
    found.ok_or_else(|| unknown("model", name, Family::ALL.iter().map(|f| f.name())))
}

fn wrong(key: &str) -> impl Fn(DataError) -> Problem + '_ {
    move |error| Problem::new(key, error.to_string())
}

/// The table and what its columns are.
struct Found {
    table: Table,
    given: Given,
    task: &'static dyn Task,
    roles: Roles,
    cast: Cast,
    /// Rows with a label.
    usable: Vec<usize>,
    notes: Vec<String>,
}

impl Found {
    fn of(recipe: &Recipe, table: Table, given: Given) -> Result<Self, Problem> {
        let named = recipe.task.as_deref().and_then(task);
        let kind = named.map(Task::kind);
        let request = RoleRequest {
            label: recipe.data.label.clone(),
            task: kind,
            group: recipe.data.group_by.clone(),
            time: recipe.data.time.clone(),
            ignore: recipe
                .data
                .ignore
                .iter()
                .chain(&recipe.data.slices)
                .cloned()
                .collect(),
            ..RoleRequest::default()
        };
        let mut roles = detect_label(&table, &request).map_err(wrong("data.label"))?;
        let (Some(label), Some(kind)) = (roles.label.clone(), roles.task) else {
            let text = format!(
                "no label column was found in {}; name it with --label COLUMN",
                table.file()
            );
            return Err(Problem::new("data.label", text));
        };
        let task: &'static dyn Task = match named {
            Some(task) => task,
            None if is_fraud_label(&label) => &FRAUD,
            None if kind == TaskKind::Regression => &super::REGRESSION,
            None => &super::CLASSIFICATION,
        };
        let (usable, unlabelled) = labelled_rows(&table, &roles).map_err(wrong("data.label"))?;
        let mut notes = table.notes.clone();
        if unlabelled > 0 {
            notes.push(format!("{unlabelled} rows have no label and are left out"));
        }
        let of = &recipe.tables;
        let asked = CastRequest {
            time: recipe.data.time.clone(),
            entities: of.entities.clone(),
            amount: of.amount.clone(),
            label_time: of.label_time.clone(),
        };
        let mut taken = vec![label.as_str()];
        taken.extend(request.ignore.iter().map(String::as_str));
        let mut cast = Cast::default();
        if task.name() == FRAUD.name {
            let (found, reasons) = self::cast(&table, &taken, &asked).map_err(wrong("tables"))?;
            roles.reasons.extend(reasons);
            cast = found;
        } else {
            cast.time = recipe.data.time.clone();
        }
        Ok(Self {
            task,
            roles,
            cast,
            usable,
            notes,
            given,
            table,
        })
    }

    fn plan(mut self, recipe: &Recipe, out: PathBuf, family: Family) -> Result<Plan, Problem> {
        let label = self.roles.label.clone().unwrap_or_default();
        let times = match &self.cast.time {
            Some(time) => seconds(&self.table, time).map_err(wrong("data.time"))?,
            None => Vec::new(),
        };
        let (sides, record) = self.divide(recipe, (&times, &label))?;
        let (fields, reasons) = self.fields(recipe, &label, &sides.train)?;
        self.roles.reasons.extend(reasons);
        let engine = self.engine(recipe, &label)?;
        let (engine, past) = match engine {
            Some(mut engine) => {
                let values = features_of(&self.table, &mut engine).map_err(wrong("tables"))?;
                let width = engine.spec().names().len();
                (Some(engine), Cells { width, values })
            }
            None => (None, Cells::default()),
        };
        let kind = self.task.kind();
        let labels =
            Labels::fit(&self.table, &sides.train, &label, kind).map_err(wrong("data.label"))?;
        if let Some(problem) = recipe.decide.misfit(&labels) {
            return Err(problem);
        }
        if self.task.name() == FRAUD.name && !recipe.decide.is_empty() {
            let text = "the score of an alert is chosen by --alert cost=5, alerts=100, precision=0.5 or recall=0.8; leave \
                        --decide out";
            return Err(Problem::new("decide.goal", text));
        }
        let leaks = self
            .leaks(recipe, (&label, &labels), &sides)
            .map_err(wrong("data"))?;
        let rows = |at: &[usize]| -> Result<Rows, DataError> {
            let own = fields.encode(&self.table, at)?;
            let targets = at
                .iter()
                .map(|row| labels.target(&self.table, *row, &label));
            Ok(Rows {
                cells: own.beside(&past.select(at)),
                targets: targets.collect::<Result<_, _>>()?,
                at: at.to_vec(),
            })
        };
        let side = |at: &[usize]| rows(at).map_err(wrong("data"));
        let mut recipe = recipe.clone();
        recipe.task = Some(self.task.name().to_string());
        recipe.model = Some(family.name().to_string());
        recipe.out = Some(out.clone());
        Ok(Plan {
            train: side(&sides.train)?,
            valid: side(&sides.valid)?,
            test: side(&sides.test)?,
            recipe,
            out,
            family,
            task: self.task,
            table: self.table,
            roles: self.roles,
            cast: self.cast,
            fields,
            engine,
            labels,
            times,
            split: record,
            leaks,
            notes: self.notes,
        })
    }

    /// What may make the figures of two classes better than they will be.
    fn leaks(
        &self,
        recipe: &Recipe,
        (label, labels): (&str, &Labels),
        sides: &Sides,
    ) -> Result<Vec<Finding>, DataError> {
        if labels.names().len() != 2 {
            return Ok(Vec::new());
        }
        let rows = |class: usize| {
            let is = |row: &&usize| {
                let found = labels.target(&self.table, **row, label);
                found.is_ok_and(|target| target == Target::Class(class as u32))
            };
            sides.train.iter().filter(is).count()
        };
        let rarer = usize::from(rows(1) <= rows(0));
        let ignored = recipe
            .data
            .ignore
            .iter()
            .chain(&recipe.data.slices)
            .cloned();
        let ignored = ignored.chain(self.patterns().map(str::to_string));
        let request = LeakRequest {
            label: label.to_string(),
            positive: labels.names().get(rarer).cloned(),
            time: self.cast.time.clone(),
            entities: self
                .cast
                .entities
                .iter()
                .chain(&recipe.data.group_by)
                .cloned()
                .collect(),
            id: None,
            ignore: ignored.chain(self.cast.label_time.clone()).collect(),
            delay: recipe.tables.delay.0,
        };
        let split = Split {
            train: sides.train.clone(),
            valid: sides.valid.clone(),
            test: sides.test.clone(),
            record: SplitRecord::default(),
        };
        leaks(&self.table, &request, &split)
    }

    /// The columns that models read.
    fn fields(
        &self,
        recipe: &Recipe,
        label: &str,
        train: &[usize],
    ) -> Result<(Fields, Vec<Reason>), Problem> {
        let data = &recipe.data;
        let mut taken = vec![label];
        let named = data.ignore.iter().chain(&data.slices).chain(&data.group_by);
        taken.extend(named.map(String::as_str));
        // The engine tells the amount; without it, the amount is a field like any other.
        let past = self.has_past(recipe);
        let amount = self.cast.amount.as_deref();
        taken.extend(
            self.cast
                .columns()
                .into_iter()
                .filter(|c| past || Some(*c) != amount),
        );
        let sides = self.table.columns.iter().filter(|c| is_split(c));
        taken.extend(sides.map(|c| c.name.as_str()));
        if self.task.name() == FRAUD.name {
            taken.extend(self.patterns());
        }
        match Fields::fit(&self.table, train, &taken) {
            Err(_) if past => Ok((Fields::default(), Vec::new())),
            found => found.map_err(wrong("data")),
        }
    }

    /// Columns that say of which kind a fraud is: known no sooner than the label.
    fn patterns(&self) -> impl Iterator<Item = &str> {
        let columns = self.table.columns.iter().map(|c| c.name.as_str());
        columns.filter(|name| PATTERNS.contains(&name.to_lowercase().as_str()))
    }

    fn has_past(&self, recipe: &Recipe) -> bool {
        recipe.tables.past
            && self.task.name() == FRAUD.name
            && self.cast.time.is_some()
            && !self.cast.entities.is_empty()
    }

    fn engine(&self, recipe: &Recipe, label: &str) -> Result<Option<Engine>, Problem> {
        let Some(time) = self.cast.time.as_deref().filter(|_| self.has_past(recipe)) else {
            return Ok(None);
        };
        let entities: Vec<&str> = self.cast.entities.iter().map(String::as_str).collect();
        let usual = EngineSpec::usual(time, &entities, self.cast.amount.as_deref(), Some(label));
        let spec = EngineSpec {
            label_time: self.cast.label_time.clone(),
            delay: recipe.tables.delay.0,
            ..usual
        };
        Engine::new(spec).map(Some).map_err(wrong("tables"))
    }

    /// In time with a gap where there is a time, and as every table else.
    fn divide(
        &mut self,
        recipe: &Recipe,
        (times, label): (&[i64], &str),
    ) -> Result<(Sides, SplitRecord), Problem> {
        let data = &recipe.data;
        let given = self.given.valid.is_some() || self.given.test.is_some();
        if self.task.name() == FRAUD.name && !times.is_empty() && !given {
            return self.in_time(recipe, (times, label));
        }
        let options = SplitOptions {
            valid_share: data.valid_share,
            test_share: data.test_share,
            group: data.group_by.clone(),
            time: self.cast.time.clone(),
            seed: recipe.seed,
            max_rows: data.max_rows,
        };
        // Rows that are alike in everything but the label stay on one side.
        let everything = self.table.columns.iter().filter(|c| c.name != label);
        let roles = Roles {
            text: everything.map(|c| c.name.clone()).collect(),
            ..self.roles.clone()
        };
        let found = split(
            &self.table,
            &self.usable,
            &roles,
            &options,
            &self.given,
            &[],
        );
        let found = found.map_err(wrong("data"))?;
        let sides = Sides {
            train: found.train,
            valid: found.valid,
            test: found.test,
            ..Sides::default()
        };
        Ok((sides, found.record))
    }

    fn in_time(
        &mut self,
        recipe: &Recipe,
        (times, label): (&[i64], &str),
    ) -> Result<(Sides, SplitRecord), Problem> {
        let of = &recipe.tables;
        let from = of.test_from.as_deref().map(moment).transpose()?;
        let periods = Periods {
            delay: of.delay.0,
            train: of.train_span.map(|Span(seconds)| seconds),
            from,
            test: of.test_span.map(|Span(seconds)| seconds),
            valid_share: recipe.data.valid_share,
            test_share: recipe.data.test_share,
        };
        let mut sides = periods.divide(times, &self.usable);
        for (name, rows) in [
            ("training", &sides.train),
            ("validation", &sides.valid),
            ("test", &sides.test),
        ] {
            if rows.is_empty() {
                let text = format!(
                    "no event is left for {name}: {}; choose another --test-from, --delay or --train-span",
                    sides.how
                );
                return Err(Problem::new("tables.test_from", text));
            }
        }
        if of.leave_known {
            let Some(card) = self.cast.entities.first() else {
                let text = "there is no column of cards whose frauds could be known; name it with --entity";
                return Err(Problem::new("tables.leave_known", text));
            };
            let column = self.table.column(card).map_err(wrong("tables.entities"))?;
            let cards: Vec<Option<String>> = (0..self.table.rows())
                .map(|row| column.text(row).map(std::borrow::Cow::into_owned))
                .collect();
            let labels = self.table.column(label).map_err(wrong("data.label"))?;
            let fraud: Vec<bool> = (0..self.table.rows())
                .map(|row| labels.number(row).is_some_and(|flag| flag > 0.0))
                .collect();
            sides.leave_known((times, of.delay.0), &cards, &fraud);
            self.notes.push(format!(
                "{} test events are left out: their {card} had a fraud that was known by then",
                sides.known
            ));
        }
        let record = SplitRecord {
            how: sides.how.clone(),
            seed: recipe.seed,
            train: sides.train.len(),
            valid: sides.valid.len(),
            test: sides.test.len(),
            fingerprint: fingerprint(&sides),
            ..SplitRecord::default()
        };
        Ok((sides, record))
    }
}

/// SHA-256 over the rows of every side.
fn fingerprint(sides: &Sides) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    for (side, rows) in [
        ("train", &sides.train),
        ("valid", &sides.valid),
        ("test", &sides.test),
    ] {
        hash.update(side);
        for row in rows {
            hash.update((*row as u64).to_le_bytes());
        }
    }
    crate::checkpoint::hex(&hash.finalize())
}

/// Whether a name says that the label tells frauds.
fn is_fraud_label(name: &str) -> bool {
    name.to_lowercase().contains("fraud")
}

/// The seconds of a date.
fn moment(text: &str) -> Result<i64, Problem> {
    use retune_data::interactions::{SECOND, protocol::CutOff};
    match CutOff::parse(text) {
        Ok(CutOff::Time(ns)) => Ok(ns.div_euclid(SECOND)),
        _ => {
            let text = format!("`{text}` is no date; write it as 2018-08-08");
            Err(Problem::new("tables.test_from", text))
        }
    }
}

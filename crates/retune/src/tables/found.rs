//! What a recipe's files hold: the table, what each column is, and how its rows are divided.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use retune_data::fields::{Cast, Cells, Fields, cast, seconds};
use retune_data::interactions::{SECOND, show_moment};
use retune_data::leaks::{Finding, LeakRequest, leaks};
use retune_data::processor::{Labels, labelled_rows};
use retune_data::roles::{Reason, RoleRequest, Roles, TaskKind, detect_label};
use retune_data::split::{Given, Split, SplitOptions, SplitRecord, is_split, split};
use retune_data::windows::{Engine, EngineSpec, as_label, features_of};
use retune_data::{Column, DataError, Table, Target};
use retune_kernels::dropout::mix;

use super::alerts::PATTERNS;
use super::history::History;
use super::joint;
use super::periods::{Periods, Sides};
use super::plan::{Family, Plan, Rows};
use super::{FRAUD, task, tells_fraud, undersample, unread};
use crate::error::Problem;
use crate::recipe::{Calibrate, Recipe, Span};
use crate::tasks::Task;

/// Keeps the drawing of labels apart from other draws.
const LABELS: u64 = 0x6c61_6265_6c73;

fn wrong(key: &str) -> impl Fn(DataError) -> Problem + '_ {
    move |error| Problem::new(key, error.to_string())
}

/// The table and what its columns are.
pub(super) struct Found {
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
    pub(super) fn of(recipe: &Recipe, table: Table, given: Given) -> Result<Self, Problem> {
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
            None if tells_fraud(&label) => &FRAUD,
            None if kind == TaskKind::Regression => &super::REGRESSION,
            None => &super::CLASSIFICATION,
        };
        let (usable, unlabelled) = labelled_rows(&table, &roles).map_err(wrong("data.label"))?;
        let mut notes = table.notes.clone();
        if unlabelled > 0 {
            notes.push(format!("{unlabelled} rows have no label and are left out"));
        }
        let mut taken = vec![label.as_str()];
        taken.extend(request.ignore.iter().map(String::as_str));
        let cast = if task.name() == FRAUD.name {
            let found = cast(&table, &taken, &recipe.cast()).map_err(wrong("tables"))?;
            roles.reasons.extend(found.1);
            found.0
        } else {
            Cast {
                time: recipe.data.time.clone(),
                ..Cast::default()
            }
        };
        Ok(Self {
            table,
            given,
            task,
            roles,
            cast,
            usable,
            notes,
        })
    }

    pub(super) fn plan(
        mut self,
        recipe: &Recipe,
        out: PathBuf,
        family: Family,
    ) -> Result<Plan, Problem> {
        let label = self.roles.label.clone().unwrap_or_default();
        let times = self.times().map_err(wrong("data.time"))?;
        let (mut sides, record) = self.divide(recipe, (&times, &label))?;
        self.hide_labels(recipe, &label, &mut sides);
        let (fields, reasons) = self.fields(recipe, &label, &sides.train)?;
        self.roles.reasons.extend(reasons);
        let (engine, past, history) = self.past(recipe, family, (&label, &sides.train))?;
        let labels = Labels::fit(&self.table, &sides.train, &label, self.task.kind());
        let labels = labels.map_err(wrong("data.label"))?;
        self.decidable(recipe, &labels)?;
        let frozen = history.as_ref().filter(|_| family != Family::Events);
        let rows = |at: &[usize]| -> Result<Rows, DataError> {
            let cells = fields.encode(&self.table, at)?.beside(&past.select(at));
            let target = |row: &usize| labels.target(&self.table, *row, &label);
            Ok(Rows {
                cells: frozen.map_or_else(
                    || cells.clone(),
                    |told| cells.beside(&told.columns(&told.model, at)),
                ),
                targets: at.iter().map(target).collect::<Result<_, _>>()?,
                at: at.to_vec(),
            })
        };
        let side = |at: &[usize]| rows(at).map_err(wrong("data"));
        let train = side(&sides.train)?;
        let positive = self.positive(recipe, &labels, &train.targets);
        let valid = side(&sides.valid)?;
        let corrected = correctable(recipe, (&labels, positive), [&train, &valid])?;
        self.notes.extend(corrected);
        let leaks = self.leaks(recipe, (&label, &labels, positive), &sides)?;
        Ok(Plan {
            train,
            valid,
            test: side(&sides.test)?,
            recipe: resolved(recipe, self.task, (&out, family)),
            out,
            family,
            task: self.task,
            table: self.table,
            roles: self.roles,
            cast: self.cast,
            fields,
            engine,
            history,
            labels,
            positive,
            times,
            split: record,
            earlier: sides.earlier,
            leaks,
            notes: self.notes,
        })
    }

    /// Seconds of every row; none without a time.
    fn times(&self) -> retune_data::Result<Vec<i64>> {
        let time = self.cast.time.as_deref();
        time.map_or(Ok(Vec::new()), |time| seconds(&self.table, time))
    }

    /// Takes the labels of all events but the test's and the recipe's share of the others away.
    fn hide_labels(&mut self, recipe: &Recipe, label: &str, sides: &mut Sides) {
        let share = recipe.tables.label_share;
        if share >= 1.0 {
            return;
        }
        let key = mix(recipe.tables.label_seed.unwrap_or(recipe.seed) ^ LABELS);
        let drawn = |row: usize| (mix(key ^ row as u64) >> 11) as f64 / (1u64 << 53) as f64;
        let test: HashSet<usize> = sides.test.iter().copied().collect();
        let column = self.table.columns.iter_mut().find(|c| c.name == label);
        if let Some(column) = column {
            column.blank(&|row| drawn(row) >= share && !test.contains(&row));
        }
        sides.train.retain(|row| drawn(*row) < share);
        sides.valid.retain(|row| drawn(*row) < share);
        self.notes.push(format!(
            "{:.3} % of the labels before the test are used: {} events train, {} validate",
            share * 100.0,
            sides.train.len(),
            sides.valid.len()
        ));
    }

    /// What makes features of the past, these of every row of the table, and what a model of events says of it.
    fn past(
        &self,
        recipe: &Recipe,
        family: Family,
        (label, train): (&str, &[usize]),
    ) -> Result<(Option<Engine>, Cells, Option<History>), Problem> {
        let wanted = family == Family::Events || recipe.tables.event_model.is_some();
        let Some(mut engine) = self.engine(recipe, label)? else {
            if !wanted {
                return Ok((None, Cells::default(), None));
            }
            let text = "there are no events to read: it needs --task fraud, a time (--time) and whom each event belongs \
                        to (--entity)";
            return Err(Problem::new("tables.event_model", text));
        };
        let (history, values) = if wanted {
            let (taken, rows) = (self.taken(recipe, label), (&self.table, train));
            let state = family == Family::Events;
            let found = History::of(recipe, state, rows, (&self.cast, &taken), &mut engine)?;
            if state {
                joint::check(recipe.method.method(), &found.0)?;
            }
            (Some(found.0), found.1)
        } else {
            let found = features_of(&self.table, &mut engine);
            (None, found.map_err(wrong("tables"))?)
        };
        let width = engine.spec().names().len();
        Ok((Some(engine), Cells { width, values }, history))
    }

    /// Whether what the recipe decides answers for can be decided here.
    fn decidable(&self, recipe: &Recipe, labels: &Labels) -> Result<(), Problem> {
        if let Some(problem) = recipe.decide.misfit(labels) {
            return Err(problem);
        }
        if self.task.name() == FRAUD.name && !recipe.decide.is_empty() {
            let text = "the score of an alert is chosen by --alert cost=5, alerts=100, precision=0.5 or recall=0.8; leave \
                        --decide out";
            return Err(Problem::new("decide.goal", text));
        }
        Ok(())
    }

    /// Of two classes the one that the task is about: the one that the recipe names, or that says fraud, or the rarer one in
    /// training.
    fn positive(&self, recipe: &Recipe, labels: &Labels, train: &[Target]) -> usize {
        let names = labels.names();
        let named = recipe.decide.positive.as_ref();
        let named = named.and_then(|name| names.iter().position(|n| n == name));
        let fraud = || {
            let of = names.iter().position(|name| as_label(name) == Some(true));
            of.filter(|_| self.task.name() == FRAUD.name)
        };
        let rarer = || {
            let ones = train.iter().filter(|t| **t == Target::Class(1)).count();
            usize::from(ones * 2 <= train.len())
        };
        named.or_else(fraud).unwrap_or_else(rarer)
    }

    /// What may make the figures of two classes better than they will be.
    fn leaks(
        &self,
        recipe: &Recipe,
        (label, labels, positive): (&str, &Labels, usize),
        sides: &Sides,
    ) -> Result<Vec<Finding>, Problem> {
        if labels.names().len() != 2 {
            return Ok(Vec::new());
        }
        let ignored = recipe
            .data
            .ignore
            .iter()
            .chain(&recipe.data.slices)
            .cloned();
        let ignored = ignored.chain(self.patterns().map(str::to_string));
        let request = LeakRequest {
            label: label.to_string(),
            positive: labels.names().get(positive).cloned(),
            time: self.cast.time.clone(),
            entities: self
                .cast
                .entities
                .iter()
                .chain(&recipe.data.group_by)
                .cloned()
                .collect(),
            id: self.cast.id.clone(),
            ignore: ignored.chain(self.cast.label_time.clone()).collect(),
            delay: recipe.tables.delay.0,
        };
        let split = Split {
            train: sides.train.clone(),
            valid: sides.valid.clone(),
            test: sides.test.clone(),
            record: SplitRecord::default(),
        };
        leaks(&self.table, &request, &split).map_err(wrong("data"))
    }

    /// The columns that models read.
    fn fields(
        &self,
        recipe: &Recipe,
        label: &str,
        train: &[usize],
    ) -> Result<(Fields, Vec<Reason>), Problem> {
        let past = self.has_past(recipe);
        let mut taken = self.taken(recipe, label);
        // The engine tells the amount; without it, the amount is a field like any other.
        let amount = self.cast.amount.as_deref();
        let columns = self.cast.columns().into_iter();
        taken.extend(columns.filter(|c| past || Some(*c) != amount));
        match Fields::fit(&self.table, train, &taken) {
            Err(_) if past => Ok((Fields::default(), Vec::new())),
            found => found.map_err(wrong("data")),
        }
    }

    /// Columns that are no fields whatever they hold: the label, what is known with it, and what the recipe names otherwise.
    fn taken<'a>(&'a self, recipe: &'a Recipe, label: &'a str) -> Vec<&'a str> {
        let data = &recipe.data;
        let mut taken = vec![label];
        let named = data.ignore.iter().chain(&data.slices).chain(&data.group_by);
        taken.extend(named.map(String::as_str));
        let sides = self.table.columns.iter().filter(|c| is_split(c));
        taken.extend(sides.map(|c| c.name.as_str()));
        if self.task.name() == FRAUD.name {
            taken.extend(self.patterns());
        }
        taken
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
            id: self.cast.id.clone(),
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
        let fraud = self.task.name() == FRAUD.name;
        let in_time = fraud && !times.is_empty() && !given;
        if let Some(problem) = unread::of_task(recipe, (fraud, in_time)).into_iter().next() {
            return Err(problem);
        }
        if in_time {
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
        let roles = Roles {
            text: self.identifying(label),
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

    /// The columns by which copies of a row are told, which stay on one side: all but the label, and none where rows that
    /// are alike are no copies, since few values make them up.
    fn identifying(&self, label: &str) -> Vec<String> {
        let columns = self.table.columns.iter().filter(|c| c.name != label);
        let columns: Vec<&Column> = columns.collect();
        let print = |row: &usize| {
            let mut hash = DefaultHasher::new();
            for column in &columns {
                column.text(*row).hash(&mut hash);
            }
            hash.finish()
        };
        let distinct: HashSet<u64> = self.usable.iter().map(print).collect();
        if distinct.len() * 5 < self.usable.len() * 4 {
            return Vec::new();
        }
        columns.iter().map(|c| c.name.clone()).collect()
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
            rolling: of.rolling,
        };
        let mut sides = periods.divide(times, &self.usable);
        filled(&sides, times)?;
        for [from, span] in &sides.earlier {
            let one = Periods {
                from: Some(*from),
                test: Some(*span),
                rolling: 1,
                ..periods.clone()
            };
            filled(&one.divide(times, &self.usable), times)?;
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
                .map(|row| labels.text(row).and_then(|text| as_label(&text)) == Some(true))
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

/// The recipe with every choice filled in.
fn resolved(recipe: &Recipe, task: &dyn Task, (out, family): (&Path, Family)) -> Recipe {
    Recipe {
        task: Some(task.name().to_string()),
        model: Some(family.name().to_string()),
        out: Some(out.to_path_buf()),
        ..recipe.clone()
    }
}

/// Whether probabilities can be set right as the recipe asks; what to say of it.
fn correctable(
    recipe: &Recipe,
    (labels, positive): (&Labels, usize),
    [train, valid]: [&Rows; 2],
) -> Result<Option<String>, Problem> {
    let of = &recipe.tables;
    let two = labels.names().len() == 2;
    let asked = [
        ("tables.keep_legitimate", of.keep_legitimate < 1.0),
        ("tables.calibrate", of.calibrate != Calibrate::Off),
    ];
    if let Some((key, _)) = asked.iter().find(|(_, asked)| *asked && !two) {
        let text = "is for two classes, and the label has others; leave it out";
        return Err(Problem::new(key, text));
    }
    let hits = valid
        .targets
        .iter()
        .filter(|t| **t == Target::Class(positive as u32));
    let hits = hits.count();
    if of.calibrate != Calibrate::Off && (hits == 0 || hits == valid.targets.len()) {
        let text = format!(
            "the {} validation rows are all of one class, and both are needed; give them a larger --valid-share",
            valid.targets.len()
        );
        return Err(Problem::new("tables.calibrate", text));
    }
    undersample::note(train, positive, (of.keep_legitimate, recipe.seed))
}

/// Whether there are events of every side; what to say when not names the `times` that were read.
fn filled(sides: &Sides, times: &[i64]) -> Result<(), Problem> {
    for (name, rows) in [
        ("training", &sides.train),
        ("validation", &sides.valid),
        ("test", &sides.test),
    ] {
        if rows.is_empty() {
            let day = |at: Option<&i64>| show_moment(at.map_or(0, |seconds| seconds * SECOND));
            let text = format!(
                "no event is left for {name}: {}; the events are from {} to {}; choose another --test-from, --delay or \
                 --train-span, or another --time",
                sides.how,
                day(times.iter().min()),
                day(times.iter().max())
            );
            return Err(Problem::new("tables.test_from", text));
        }
    }
    Ok(())
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

/// The seconds of a date.
fn moment(text: &str) -> Result<i64, Problem> {
    use retune_data::interactions::protocol::CutOff;
    if let Ok(CutOff::Time(ns)) = CutOff::parse(text) {
        return Ok(ns.div_euclid(SECOND));
    }
    let text = format!("`{text}` is no date; write it as 2018-08-08");
    Err(Problem::new("tables.test_from", text))
}

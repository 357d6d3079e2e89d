//! Training, validation and test rows: by given files, at random with equal class shares, by groups, or in time.
//!
//! Rows with the same text (case, white space and punctuation folded) never lie on two sides: at random and by
//! groups they move together; with given files and in time, the copy on the training side is dropped and the test
//! side stays as it is. Pictures that look the same are dealt with in the same way, but given files are not changed:
//! what they share is noted.

mod allot;
mod column;
pub(crate) mod moment;
pub(crate) mod near;
pub(crate) mod notes;
mod strata;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::duplicates::{Keys, conflict};
use crate::error::{DataError, Result};
use crate::random::{mix, shuffle};
use crate::roles::{Roles, TaskKind};
use crate::table::{Column, Table};
pub use column::{by_column, is_split};

use allot::{Side, Unit, by_class, by_need};
use moment::iso_seconds;
use notes::Counts;
use strata::Strata;

/// How to divide rows that no file assigns.
#[derive(Debug, Clone)]
pub struct SplitOptions {
    /// Share of the rows for validation, 0 to below 1; 0 for none.
    pub valid_share: f64,
    /// Share of the rows for the test, 0 to below 1; 0 for none.
    pub test_share: f64,
    /// Column whose equal values stay on one side.
    pub group: Option<String>,
    /// Column that tells when a row came about: the oldest train, the newest test.
    pub time: Option<String>,
    /// Seed of the division.
    pub seed: u64,
    /// At most this many rows are divided; a sample with equal class shares is drawn. Given files are not cut.
    pub max_rows: Option<usize>,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self {
            valid_share: 0.1,
            test_share: 0.2,
            group: None,
            time: None,
            seed: 42,
            max_rows: None,
        }
    }
}

/// Rows of the table that came from files the user named for a side.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Rows of the validation file.
    pub valid: Option<Range<usize>>,
    /// Rows of the test file.
    pub test: Option<Range<usize>>,
}

/// Row indices of each side, ascending, without overlap.
#[derive(Debug, Clone)]
pub struct Split {
    /// Rows that train.
    pub train: Vec<usize>,
    /// Rows that choose the best epoch.
    pub valid: Vec<usize>,
    /// Rows that are looked at once, at the end.
    pub test: Vec<usize>,
    /// How the division came about.
    pub record: SplitRecord,
}

/// What is written down about a division.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRecord {
    /// The rule, as a sentence fragment.
    pub how: String,
    /// Seed of the division.
    pub seed: u64,
    /// Rows that train.
    pub train: usize,
    /// Rows for validation.
    pub valid: usize,
    /// Rows for the test.
    pub test: usize,
    /// Rows with the text or picture of another row that were kept on the side of that row.
    pub duplicates_together: usize,
    /// Training or validation rows left out because their text or picture is also in a later side.
    pub duplicates_dropped: usize,
    /// Groups of rows with the same text or picture and different labels.
    pub conflicting: usize,
    /// Rows left out by `max_rows`.
    pub sampled_out: usize,
    /// What else the user should know, one sentence each.
    pub notes: Vec<String>,
    /// SHA-256 over side, text and label of every row, in hexadecimal: equal data and division, equal print.
    pub fingerprint: String,
}

/// Divides `rows` (those with a label) into training, validation and test rows.
/// `alike` are groups of rows whose pictures look the same ([`crate::survey::Survey::groups`]); none for texts.
///
/// # Errors
/// Shares outside 0 to 1; a side that would be empty; both a group and a time; a time that cannot be read.
pub fn split(
    t: &Table,
    rows: &[usize],
    roles: &Roles,
    o: &SplitOptions,
    given: &Given,
    alike: &[Vec<usize>],
) -> Result<Split> {
    let texts = Keys::new(t, &roles.text)?;
    let keys = Keys::new(t, &roles.text)?.with_groups(alike);
    let label = roles.label.as_ref().map(|l| t.column(l)).transpose()?;
    let group = o.group.as_ref().or(roles.group.as_ref());
    let time = o.time.as_ref().or(roles.time.as_ref());
    check(o, given, group, time)?;
    // Labels that stay together are on one side each: no side can have its share of every one.
    let apart = group.is_none() || group != roles.label.as_ref();
    let strata = Strata::new(label.filter(|_| apart), roles.task, rows);
    let mut record = SplitRecord {
        seed: o.seed,
        ..SplitRecord::default()
    };
    let mut sides = assign(rows, given);
    if let Some(most) = o.max_rows {
        record.sampled_out = sample(&mut sides.pool, most, &strata, o.seed);
    }
    let all = keys.groups(rows);
    record.conflicting = label.map_or(0, |c| all.iter().filter(|g| conflict(c, g)).count());
    sides.drop_repeated(&texts, &mut record);
    let shares = open_shares(o, given);
    let request = Request {
        t,
        keys: &keys,
        strata: &strata,
        shares,
        seed: o.seed,
    };
    let dealt = request.deal(sides.pool, group, time, &mut record)?;
    let (mut train, more_valid, more_test) = dealt;
    let (mut valid, mut test) = (sides.valid, sides.test);
    valid.extend(more_valid);
    test.extend(more_test);
    for side in [&mut train, &mut valid, &mut test] {
        side.sort_unstable();
    }
    record.how = describe(given, shares, rule(roles.task, group, time));
    record
        .notes
        .extend(near::note(t, alike, [&train, &valid, &test]));
    let mut split = Split {
        train,
        valid,
        test,
        record,
    };
    not_empty(&split, o, given)?;
    finish(&mut split, &keys, label, &strata);
    Ok(split)
}

/// Rows by the file they came from.
struct Assigned {
    test: Vec<usize>,
    valid: Vec<usize>,
    /// Rows that no named file assigns to a side.
    pool: Vec<usize>,
}

impl Assigned {
    /// Drops rows whose text is also in a file named for a later side.
    fn drop_repeated(&mut self, keys: &Keys, record: &mut SplitRecord) {
        let Self { test, valid, pool } = self;
        drop_repeated(keys, test, &mut [valid, pool], record);
        drop_repeated(keys, valid, &mut [pool], record);
    }
}

fn assign(rows: &[usize], given: &Given) -> Assigned {
    let inside =
        |range: &Option<Range<usize>>, r: usize| range.as_ref().is_some_and(|g| g.contains(&r));
    let (test, rest): (Vec<usize>, Vec<usize>) =
        rows.iter().partition(|&&r| inside(&given.test, r));
    let (valid, pool) = rest.iter().partition(|&&r| inside(&given.valid, r));
    Assigned { test, valid, pool }
}

/// Shares of validation and test that are still to be taken from the pool.
fn open_shares(o: &SplitOptions, given: &Given) -> [f64; 2] {
    let open = |file: &Option<Range<usize>>, share| if file.is_some() { 0.0 } else { share };
    [
        open(&given.valid, o.valid_share),
        open(&given.test, o.test_share),
    ]
}

fn check(
    o: &SplitOptions,
    given: &Given,
    group: Option<&String>,
    time: Option<&String>,
) -> Result<()> {
    let [valid, test] = open_shares(o, given);
    let fine = |x: f64| (0.0..1.0).contains(&x);
    if !fine(valid) || !fine(test) || valid + test >= 1.0 {
        return Err(wrong(
            format!("validation share {valid} and test share {test} leave nothing to train on"),
            "give shares from 0 to below 1 whose sum is below 1, such as 0.1 and 0.2",
        ));
    }
    if let (Some(group), Some(time)) = (group, time) {
        return Err(wrong(
            format!("it cannot keep groups of `{group}` together and divide by `{time}` at once"),
            "give --group-by or --time, not both",
        ));
    }
    if o.max_rows == Some(0) {
        return Err(wrong(
            "a sample of 0 rows was asked for",
            "give a larger --max-rows",
        ));
    }
    Ok(())
}

/// Cuts `pool` to `most` rows with the class shares it has; returns how many were left out.
fn sample(pool: &mut Vec<usize>, most: usize, strata: &Strata, seed: u64) -> usize {
    let before = pool.len();
    if before <= most {
        return 0;
    }
    let mut units: Vec<Unit> = pool
        .iter()
        .map(|&r| Unit {
            rows: vec![r],
            stratum: strata.get(r),
        })
        .collect();
    shuffle(&mut units, mix(seed, 7));
    let sides = by_class(units, [0.0, 1.0 - most as f64 / before as f64]);
    *pool = rows_of(sides).0;
    pool.sort_unstable();
    before - pool.len()
}

/// Drops from `earlier` sides the rows whose text is also in `later`.
fn drop_repeated(
    keys: &Keys,
    later: &[usize],
    earlier: &mut [&mut Vec<usize>],
    record: &mut SplitRecord,
) {
    if later.is_empty() {
        return;
    }
    let seen: HashSet<String> = later.iter().filter_map(|&r| keys.key(r)).collect();
    for side in earlier {
        let before = side.len();
        side.retain(|&r| keys.key(r).is_none_or(|k| !seen.contains(&k)));
        record.duplicates_dropped += before - side.len();
    }
}

type Sides = (Vec<usize>, Vec<usize>, Vec<usize>);

struct Request<'a> {
    t: &'a Table,
    keys: &'a Keys<'a>,
    strata: &'a Strata,
    /// Shares of validation and test.
    shares: [f64; 2],
    seed: u64,
}

impl Request<'_> {
    /// Divides the rows that no file assigns: training, validation, test.
    fn deal(
        &self,
        pool: Vec<usize>,
        group: Option<&String>,
        time: Option<&String>,
        record: &mut SplitRecord,
    ) -> Result<Sides> {
        Ok(match (time, group) {
            _ if self.shares == [0.0, 0.0] => (pool, Vec::new(), Vec::new()),
            (Some(time), _) => self.in_time(&pool, self.t.column(time)?, record)?,
            (None, group) => {
                let group = group.map(|g| self.t.column(g)).transpose()?;
                self.at_random(&pool, group, record)
            }
        })
    }

    /// Whole units of rows, each of one text or one group, dealt out by class.
    fn at_random(&self, pool: &[usize], group: Option<&Column>, record: &mut SplitRecord) -> Sides {
        let copies = self.keys.groups(pool);
        record.duplicates_together = copies.iter().map(|g| g.len() - 1).sum();
        let mut units = self.units(pool, &copies, group);
        shuffle(&mut units, mix(self.seed, 0));
        match group {
            None => rows_of(by_class(units, self.shares)),
            Some(_) => rows_of(by_need(units, self.shares, |r| self.strata.get(r))),
        }
    }

    /// Joins rows of one text and rows of one group; rows without a group are alone.
    fn units(&self, pool: &[usize], copies: &[Vec<usize>], group: Option<&Column>) -> Vec<Unit> {
        let place: HashMap<usize, usize> = pool.iter().enumerate().map(|(i, &r)| (r, i)).collect();
        let mut parent: Vec<usize> = (0..pool.len()).collect();
        for copy in copies {
            for pair in copy.windows(2) {
                join(&mut parent, place[&pair[0]], place[&pair[1]]);
            }
        }
        if let Some(group) = group {
            let mut first: HashMap<String, usize> = HashMap::new();
            for (i, &row) in pool.iter().enumerate() {
                if let Some(value) = group.text(row) {
                    let at = *first.entry(value.into_owned()).or_insert(i);
                    join(&mut parent, at, i);
                }
            }
        }
        let mut by_root: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, &row) in pool.iter().enumerate() {
            by_root.entry(root(&mut parent, i)).or_default().push(row);
        }
        by_root
            .into_values()
            .map(|rows| Unit {
                stratum: self.majority(&rows),
                rows,
            })
            .collect()
    }

    fn majority(&self, rows: &[usize]) -> usize {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for &row in rows {
            *counts.entry(self.strata.get(row)).or_default() += 1;
        }
        counts
            .into_iter()
            .max_by_key(|&(stratum, n)| (n, std::cmp::Reverse(stratum)))
            .map_or(0, |(s, _)| s)
    }

    /// The oldest rows train, the newest test; rows of one moment stay on one side.
    fn in_time(&self, pool: &[usize], time: &Column, record: &mut SplitRecord) -> Result<Sides> {
        let mut dated = Vec::with_capacity(pool.len());
        for &row in pool {
            dated.push((self.moment(time, row)?, row));
        }
        dated.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let n = dated.len();
        let cut = |share: f64, end: usize| {
            let wanted = end.saturating_sub((share * n as f64).round() as usize);
            let boundary = |at: &usize| *at == 0 || dated[*at].0 != dated[*at - 1].0;
            // The next change of moment, else the one before: rows of one moment are not torn apart.
            (wanted..end)
                .find(boundary)
                .or_else(|| (1..wanted.min(end)).rev().find(boundary))
                .unwrap_or(end)
        };
        let test_at = cut(self.shares[1], n);
        let valid_at = cut(self.shares[0], test_at);
        let rows = |range: Range<usize>| dated[range].iter().map(|&(_, r)| r).collect::<Vec<_>>();
        let (mut train, mut valid, test) =
            (rows(0..valid_at), rows(valid_at..test_at), rows(test_at..n));
        drop_repeated(self.keys, &test, &mut [&mut train, &mut valid], record);
        drop_repeated(self.keys, &valid, &mut [&mut train], record);
        Ok((train, valid, test))
    }

    fn moment(&self, time: &Column, row: usize) -> Result<f64> {
        let text = time.text(row).unwrap_or_default();
        time.number(row)
            .or_else(|| iso_seconds(&text))
            .ok_or_else(|| DataError::Cell {
                column: time.name.clone(),
                place: self.t.place(row),
                problem: format!("`{text}` is no time"),
                cure: "write a number or a date such as 2024-05-31 or 2024-05-31T12:30:00"
                    .to_string(),
            })
    }
}

fn root(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}

/// Unites two sets; the smaller index becomes the root, so that units keep file order.
fn join(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parent, a), root(parent, b));
    parent[a.max(b)] = a.min(b);
}

fn rows_of(sides: Vec<(Unit, Side)>) -> Sides {
    let mut out: Sides = (Vec::new(), Vec::new(), Vec::new());
    for (unit, side) in sides {
        match side {
            Side::Train => out.0.extend(unit.rows),
            Side::Valid => out.1.extend(unit.rows),
            Side::Test => out.2.extend(unit.rows),
        }
    }
    out
}

/// How rows without a file of their own are divided.
fn rule(task: Option<TaskKind>, group: Option<&String>, time: Option<&String>) -> String {
    match (group, time) {
        (_, Some(time)) => format!("in time by `{time}`, the newest rows in the test"),
        (Some(group), None) => format!("at random by groups of `{group}`"),
        (None, None) if task == Some(TaskKind::Regression) => {
            "at random with equal shares of low and high values".to_string()
        }
        (None, None) => "at random with equal class shares".to_string(),
    }
}

/// The whole division as a sentence fragment.
fn describe(given: &Given, shares: [f64; 2], rule: String) -> String {
    match (given.valid.is_some(), given.test.is_some()) {
        (true, true) => "given files".to_string(),
        (false, true) if shares[0] > 0.0 => format!("given test file; validation {rule}"),
        (false, true) => "given test file, no validation".to_string(),
        (true, false) if shares[1] > 0.0 => format!("given validation file; test {rule}"),
        (true, false) => "given validation file, no test".to_string(),
        (false, false) if shares == [0.0, 0.0] => "all rows train".to_string(),
        (false, false) => rule,
    }
}

fn not_empty(split: &Split, o: &SplitOptions, given: &Given) -> Result<()> {
    let rows = split.train.len() + split.valid.len() + split.test.len();
    let wanted = [
        ("training", split.train.len(), true),
        (
            "validation",
            split.valid.len(),
            given.valid.is_some() || o.valid_share > 0.0,
        ),
        (
            "test",
            split.test.len(),
            given.test.is_some() || o.test_share > 0.0,
        ),
    ];
    for (name, n, needed) in wanted {
        if needed && n == 0 {
            let dropped = split.record.duplicates_dropped;
            let given = given.valid.is_some() || given.test.is_some();
            if given && dropped > 0 && name == "training" {
                return Err(wrong(
                    format!(
                        "the texts of all {dropped} training rows are also in the validation or test file"
                    ),
                    "give files that share no texts; leave --valid and --test out to have the data divided for you",
                ));
            }
            return Err(wrong(
                format!(
                    "the {name} part would have no rows: {rows} usable rows, {dropped} dropped as repeated"
                ),
                "add rows, change the shares, or group and divide by another column",
            ));
        }
    }
    Ok(())
}

/// Counts, notes on classes, and the fingerprint.
fn finish(split: &mut Split, keys: &Keys, label: Option<&Column>, strata: &Strata) {
    let record = &mut split.record;
    (record.train, record.valid, record.test) =
        (split.train.len(), split.valid.len(), split.test.len());
    let count = |rows: &[usize]| {
        let mut counts = vec![0usize; strata.names.len()];
        for &r in rows {
            if let Some(n) = counts.get_mut(strata.get(r)) {
                *n += 1;
            }
        }
        counts
    };
    let counts = Counts {
        names: &strata.names,
        train: count(&split.train),
        valid: count(&split.valid),
        test: count(&split.test),
    };
    let sides = [&split.train, &split.valid, &split.test];
    let empty = sides.iter().flat_map(|rows| rows.iter());
    let empty = empty.filter(|&&r| keys.key(r).is_none()).count();
    let rows = sides.iter().map(|rows| rows.len()).sum();
    record.notes.extend(notes::without_text(empty, rows));
    record
        .notes
        .extend(label.and_then(|c| notes::mixed(&c.name, &strata.names)));
    record.notes.extend(counts.notes());
    let mut hash = Sha256::new();
    for (side, rows) in [
        ("train", &split.train),
        ("valid", &split.valid),
        ("test", &split.test),
    ] {
        for &row in rows {
            let text = keys.raw(row);
            let value = label.and_then(|c| c.text(row)).unwrap_or_default();
            for part in [side, text.as_str(), value.as_ref()] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part.as_bytes());
            }
        }
    }
    for byte in hash.finalize() {
        let _ = write!(record.fingerprint, "{byte:02x}");
    }
}

fn wrong(problem: impl Into<String>, cure: impl Into<String>) -> DataError {
    DataError::Split {
        problem: problem.into(),
        cure: cure.into(),
    }
}

#[cfg(test)]
mod tests;

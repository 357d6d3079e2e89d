//! Which column is the text, which the label, and what kind of task that makes; each guess with its reason.
//!
//! Names and content are weighed together. A guess that could easily be wrong is an error that lists the
//! candidates and the flag to type; everything the user names is taken as it is.

mod fields;
pub(crate) mod names;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::error::{DataError, Result};
use crate::profile::{Kind, Profile, profile};
use crate::split::is_split;
use crate::table::{Table, Values};
use names::{LABEL_NAMES, PAIRS, TEXT_NAMES, UNTOLD, is_owner, plain, tier};

pub use crate::processor::labelled_rows;
pub use fields::{detect_label, no_texts};

/// What is to be predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// One of two or more classes.
    Classification,
    /// Any number of labels per row.
    MultiLabel,
    /// A number.
    Regression,
}

/// What the user says about the columns; what is left open is guessed.
#[derive(Debug, Clone, Default)]
pub struct RoleRequest {
    /// One or two text columns.
    pub text: Vec<String>,
    /// The label column.
    pub label: Option<String>,
    /// The kind of task.
    pub task: Option<TaskKind>,
    /// Rows with the same value here stay on the same side of a split.
    pub group: Option<String>,
    /// When each row came about, for splits in time.
    pub time: Option<String>,
    /// Columns that are not to be used.
    pub ignore: Vec<String>,
}

/// Which column plays which role.
#[derive(Debug, Clone, Serialize)]
pub struct Roles {
    /// One or two text columns, or one of pictures.
    pub text: Vec<String>,
    /// Whether that is a column of pictures.
    pub pictures: bool,
    /// The label column, if there is one.
    pub label: Option<String>,
    /// The kind of task, if there is a label.
    pub task: Option<TaskKind>,
    /// The group column, if asked for.
    pub group: Option<String>,
    /// The time column, if asked for.
    pub time: Option<String>,
    /// Why each column got its role, and what else could be meant.
    pub reasons: Vec<Reason>,
}

/// One decision about a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The column.
    pub column: String,
    /// `text`, `label`, `task`, `group`, `time` or `hint`.
    pub role: String,
    /// Why, as a sentence fragment.
    pub why: String,
}

/// Decides the role of every column.
///
/// # Errors
/// An unknown column (with the nearest name), more than two texts, no text column, or several that could be meant.
/// A table without a label is no error: `label` and `task` are `None`.
pub fn detect(t: &Table, r: &RoleRequest) -> Result<Roles> {
    known(t, r)?;
    check_request(t, r)?;
    let profiles: Vec<Profile> = t.columns.iter().map(|c| profile(c, t.rows())).collect();
    let mut roles = Roles {
        text: Vec::new(),
        pictures: false,
        label: None,
        task: None,
        group: r.group.clone(),
        time: r.time.clone(),
        reasons: Vec::new(),
    };
    let kept = r.ignore.iter().chain(&r.group).chain(&r.time);
    let taken: HashSet<&String> = kept.chain(&r.text).chain(&r.label).collect();
    let free: Vec<&Profile> = profiles
        .iter()
        .filter(|p| !taken.contains(&p.name))
        .filter(|p| !t.column(&p.name).is_ok_and(is_split))
        .collect();
    for (role, name) in [("group", &r.group), ("time", &r.time)] {
        if let Some(name) = name {
            roles.because(name, role, "named by you");
        }
    }
    choose_text(t, r, &free, &mut roles)?;
    let is_picture = |p: &Profile| p.kind == Kind::Picture && roles.text.contains(&p.name);
    roles.pictures = profiles.iter().any(is_picture);
    let rest: Vec<&Profile> = free
        .into_iter()
        .filter(|p| !roles.text.contains(&p.name))
        .collect();
    choose_label(t, r, &rest, &mut roles)?;
    if let Some(label) = roles.label.clone() {
        let p = profiles.iter().find(|p| p.name == label);
        if let Some(p) = p {
            let (task, why) = task_of(p, r.task, t.rows());
            if task == TaskKind::Classification {
                few_enough(t, p)?;
            }
            roles.task = Some(task);
            roles.because(&label, "task", &why);
        }
    }
    hint_group(t, &rest, &mut roles);
    Ok(roles)
}

impl Roles {
    fn because(&mut self, column: &str, role: &str, why: &str) {
        self.reasons.push(Reason {
            column: column.to_string(),
            role: role.to_string(),
            why: why.to_string(),
        });
    }
}

/// Whether every column that is asked for is there.
fn known(t: &Table, r: &RoleRequest) -> Result<()> {
    let single = [&r.label, &r.group, &r.time];
    let asked = r
        .text
        .iter()
        .chain(single.into_iter().flatten())
        .chain(&r.ignore);
    for name in asked {
        t.column(name)?;
    }
    Ok(())
}

fn check_request(t: &Table, r: &RoleRequest) -> Result<()> {
    let problem = |column: &str, problem: String, cure: &str| {
        Err(DataError::Column {
            column: column.to_string(),
            file: t.file(),
            problem,
            cure: cure.to_string(),
        })
    };
    if let Some(third) = r.text.get(2) {
        return problem(
            third,
            "a third text column; a model reads one text or a pair".into(),
            "name one or two with --text",
        );
    }
    let mut seen = HashSet::new();
    for name in r.text.iter().chain(&r.label) {
        if !seen.insert(name) {
            return problem(
                name,
                "it cannot play two roles".into(),
                "name different columns with --text and --label",
            );
        }
    }
    match r.ignore.iter().find(|n| seen.contains(n)) {
        Some(name) => problem(
            name,
            "it is both used and ignored".into(),
            "drop it from --ignore",
        ),
        None => Ok(()),
    }
}

fn choose_text(t: &Table, r: &RoleRequest, free: &[&Profile], roles: &mut Roles) -> Result<()> {
    if !r.text.is_empty() {
        for name in &r.text {
            roles.because(name, "text", "named by you");
        }
        roles.text.clone_from(&r.text);
        return Ok(());
    }
    let readable: Vec<&Profile> = free.iter().copied().filter(|p| is_readable(p)).collect();
    if take_picture(t, free, &readable, roles) {
        return Ok(());
    }
    if take_pair(&readable, roles) {
        return Ok(());
    }
    let mut scored: Vec<(f64, &Profile)> = readable.iter().map(|p| (text_score(p), *p)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let Some(&(best, winner)) = scored.first() else {
        return Err(no_text(t, free));
    };
    // Within this distance two columns are equally likely.
    let rivals: Vec<&Profile> = scored
        .iter()
        .filter(|(s, _)| best - s < 1.0)
        .map(|(_, p)| *p)
        .collect();
    if rivals.len() > 1 {
        return Err(ambiguous(
            t,
            "text",
            &rivals,
            "--text COLUMN (twice for a pair of texts)",
        ));
    }
    let named = TEXT_NAMES.contains(&plain(&winner.name).as_str());
    let mut why = winner.describe();
    if named {
        why = format!("its name, and {why}");
    } else if scored.len() == 1 {
        why = format!("the only column of text: {why}");
    }
    let others: Vec<String> = scored
        .iter()
        .skip(1)
        .filter(|(_, p)| p.kind == Kind::Text)
        .map(|(_, p)| format!("`{}`", p.name))
        .collect();
    if !others.is_empty() {
        let _ = write!(
            why,
            "; {} could be named with --text instead or as well",
            others.join(", ")
        );
    }
    roles.because(&winner.name, "text", &why);
    roles.text = vec![winner.name.clone()];
    Ok(())
}

/// Takes the only column of pictures. One of paths must be all that can be read; beside one that holds the pictures
/// themselves, texts are captions and notes.
fn take_picture(t: &Table, free: &[&Profile], readable: &[&Profile], roles: &mut Roles) -> bool {
    let mut pictures = free.iter().filter(|p| p.kind == Kind::Picture);
    let (Some(p), None) = (pictures.next(), pictures.next()) else {
        return false;
    };
    let column = t.column(&p.name);
    let itself = column.is_ok_and(|c| matches!(c.values, Values::Picture(_)));
    // Names of classes can be of two words, as texts are.
    let texts = readable.iter().filter(|p| tier(&p.name) == UNTOLD);
    let texts: Vec<String> = texts.map(|p| format!("`{}`", p.name)).collect();
    if !itself && !texts.is_empty() {
        return false;
    }
    let mut why = "the only column of pictures".to_string();
    if !texts.is_empty() {
        let _ = write!(
            why,
            "; {} could be named with --text instead",
            texts.join(", ")
        );
    }
    roles.because(&p.name, "picture", &why);
    roles.text = vec![p.name.clone()];
    true
}

/// Takes two columns whose names are those of a pair of texts.
fn take_pair(readable: &[&Profile], roles: &mut Roles) -> bool {
    let called = |name: &str| readable.iter().find(|p| plain(&p.name) == name);
    let pair = PAIRS
        .iter()
        .find_map(|(a, b)| Some((called(a)?, called(b)?)));
    let Some((a, b)) = pair else { return false };
    let why = format!(
        "`{}` and `{}` are the usual names of a pair; --text \"{}\" takes one alone",
        a.name, b.name, a.name
    );
    for p in [a, b] {
        roles.because(&p.name, "text", &why);
        roles.text.push(p.name.clone());
    }
    true
}

fn is_readable(p: &Profile) -> bool {
    let named = TEXT_NAMES.contains(&plain(&p.name).as_str());
    match p.kind {
        Kind::Text => true,
        Kind::Names | Kind::Words | Kind::List => {
            named || p.mean_words >= 2.0 || p.distinct_share() > 0.5
        }
        Kind::Constant => named,
        _ => false,
    }
}

/// Long, differing values and a telling name count; a name is worth more than any length.
fn text_score(p: &Profile) -> f64 {
    let name = plain(&p.name);
    let named = match TEXT_NAMES.iter().position(|n| *n == name) {
        Some(rank) => 5.0 - rank as f64 * 0.1,
        None if name.split('_').any(|w| TEXT_NAMES[..9].contains(&w)) => 2.5,
        None => 0.0,
    };
    let label = LABEL_NAMES.iter().any(|tier| tier.contains(&name.as_str()));
    let kind = if p.kind == Kind::Text { 2.0 } else { 0.0 };
    let missing = if p.missing_share() > 0.5 { -3.0 } else { 0.0 };
    let length = (p.mean_words.max(1.0)).log2().min(7.0) * 0.8;
    named + kind + length + p.distinct_share() * 1.5 + missing - if label { 4.0 } else { 0.0 }
}

fn no_text(t: &Table, free: &[&Profile]) -> DataError {
    let list: Vec<String> = free
        .iter()
        .take(12)
        .map(|p| format!("`{}` ({})", p.name, p.describe()))
        .collect();
    DataError::Ambiguous {
        file: t.file(),
        role: "text".to_string(),
        candidates: format!("no column holds sentences; it has {}", list.join(", ")),
        flag: "--text COLUMN if one of them is the text; a table of numbers and words needs --label COLUMN"
            .to_string(),
    }
}

fn ambiguous(t: &Table, role: &str, among: &[&Profile], flag: &str) -> DataError {
    let list: Vec<String> = among
        .iter()
        .take(12)
        .map(|p| format!("`{}` ({})", p.name, p.describe()))
        .collect();
    let flags = among
        .iter()
        .filter(|p| matches!(p.kind, Kind::Integer | Kind::Bool) && p.distinct == 2)
        .count();
    let joined = if role == "label" && flags >= 3 {
        " (for several labels per row, join these 0/1 columns into one column such as `a|b`)"
    } else {
        ""
    };
    DataError::Ambiguous {
        file: t.file(),
        role: role.to_string(),
        candidates: format!("{} are all possible", list.join(", ")),
        flag: format!("{flag}{joined}"),
    }
}

fn choose_label(t: &Table, r: &RoleRequest, rest: &[&Profile], roles: &mut Roles) -> Result<()> {
    if let Some(name) = &r.label {
        roles.because(name, "label", "named by you");
        roles.label = Some(name.clone());
        return Ok(());
    }
    let possible: Vec<(usize, &Profile)> = rest
        .iter()
        .filter(|p| is_label(p))
        .map(|p| (tier(&p.name), *p))
        .collect();
    let Some(best) = possible.iter().map(|(tier, _)| *tier).min() else {
        return Ok(());
    };
    let top = likeliest(t, &possible, best);
    let [winner] = top.as_slice() else {
        return Err(ambiguous(t, "label", &top, "--label COLUMN"));
    };
    let mut why = match best {
        _ if possible.len() == 1 => format!(
            "the only column left that can be a label: {}",
            winner.describe()
        ),
        n if n < UNTOLD => format!("its name, and {}", winner.describe()),
        _ => winner.describe(),
    };
    let others: Vec<String> = possible
        .iter()
        .filter(|(_, p)| p.name != winner.name)
        .take(6)
        .map(|(_, p)| format!("`{}`", p.name))
        .collect();
    if !others.is_empty() {
        let _ = write!(
            why,
            "; {} could be named with --label instead",
            others.join(", ")
        );
    }
    roles.because(&winner.name, "label", &why);
    roles.label = Some(winner.name.clone());
    Ok(())
}

/// The candidates with the most telling names, narrowed by what they hold; one is a decision.
fn likeliest<'a>(t: &Table, possible: &[(usize, &'a Profile)], best: usize) -> Vec<&'a Profile> {
    let mut top: Vec<&Profile> = possible
        .iter()
        .filter(|(tier, _)| *tier == best)
        .map(|(_, p)| *p)
        .collect();
    // Without a telling name, classes are likelier than measurements.
    if best == UNTOLD && top.len() > 1 {
        let is_class = |p: &&&Profile| matches!(p.kind, Kind::Words | Kind::Bool | Kind::List);
        let classes: Vec<&Profile> = top.iter().filter(is_class).copied().collect();
        if classes.len() == 1 {
            return classes;
        }
    }
    if top.len() > 1 && same_partition(t, &top) {
        // Codes and their names say the same: the names make readable reports.
        top.sort_by_key(|p| p.kind != Kind::Words);
        top.truncate(1);
    }
    top
}

fn is_label(p: &Profile) -> bool {
    let named = tier(&p.name) < 2;
    let by_content = match p.kind {
        Kind::Words | Kind::Bool | Kind::List | Kind::Integer | Kind::Float => true,
        Kind::Constant | Kind::Names | Kind::Id => named,
        Kind::Text | Kind::Time | Kind::Url | Kind::Picture | Kind::Empty => false,
    };
    // Many customers are no classes; two sites may be.
    let bystander = is_owner(&p.name) && p.distinct > 10;
    by_content && !bystander && p.mean_chars <= 80.0 && (named || p.missing_share() <= 0.5)
}

/// Whether the columns divide the rows into the same classes.
fn same_partition(t: &Table, columns: &[&Profile]) -> bool {
    let Ok(first) = t.column(&columns[0].name) else {
        return false;
    };
    columns[1..].iter().all(|p| {
        let Ok(other) = t.column(&p.name) else {
            return false;
        };
        let (mut there, mut back) = (HashMap::new(), HashMap::new());
        (0..t.rows()).all(|row| {
            let (a, b) = (first.text(row), other.text(row));
            *there.entry(a.clone()).or_insert_with(|| b.clone()) == b
                && *back.entry(b).or_insert_with(|| a.clone()) == a
        })
    })
}

/// Refuses classes of which nearly every row has its own: there is nothing to learn and nothing to test.
fn few_enough(t: &Table, p: &Profile) -> Result<()> {
    const ROWS: usize = 20;
    if p.filled < ROWS || p.distinct_share() <= 0.9 {
        return Ok(());
    }
    Err(DataError::Column {
        column: p.name.clone(),
        file: t.file(),
        problem: format!(
            "{} different values in {} rows are no classes: nearly every row has its own",
            p.distinct, p.filled
        ),
        cure: "name another --label, or --task text-regression if it holds numbers".to_string(),
    })
}

/// The task that a label column makes, with the reason.
fn task_of(p: &Profile, asked: Option<TaskKind>, rows: usize) -> (TaskKind, String) {
    if let Some(task) = asked {
        return (task, "named by you".to_string());
    }
    let classes = |why: String| (TaskKind::Classification, why);
    let number = |why: String| (TaskKind::Regression, why);
    let (low, high) = p.range.unwrap_or_default();
    match p.kind {
        Kind::List => (TaskKind::MultiLabel, "several labels per row".to_string()),
        Kind::Float if p.distinct <= 2 => classes("two different numbers".to_string()),
        Kind::Float => number(format!("{} different numbers with fractions", p.distinct)),
        Kind::Names | Kind::Id if p.range.is_none() && p.numbers_share > 0.8 => number(
            "most values are numbers; correct the others, or type --task text-classification"
                .to_string(),
        ),
        Kind::Integer | Kind::Id if p.range.is_some() => {
            let few = p.distinct <= 2 || (p.distinct <= 30 && p.distinct * 2 <= p.filled);
            let coded = low == 0.0
                && high == (p.distinct - 1) as f64
                && p.distinct <= 1000
                && p.distinct * 3 <= p.filled;
            if !few && !coded {
                return number(format!(
                    "{} different whole numbers in {rows} rows",
                    p.distinct
                ));
            }
            let mut why = format!(
                "{} different whole numbers are taken as classes",
                p.distinct
            );
            if p.distinct > 2 {
                why.push_str("; for a number instead type --task text-regression");
            }
            classes(why)
        }
        _ => classes(format!("{} different values", p.distinct)),
    }
}

/// Proposes `--group-by` where a column looks like the author, patient or user of several rows.
fn hint_group(t: &Table, rest: &[&Profile], roles: &mut Roles) {
    if roles.group.is_some() {
        return;
    }
    for p in rest {
        if is_owner(&p.name)
            && Some(&p.name) != roles.label.as_ref()
            && p.distinct > 1
            && p.distinct_share() < 0.9
        {
            let why = format!(
                "{} values in {} rows: --group-by \"{}\" keeps rows of one value on one side of the split",
                p.distinct,
                t.rows(),
                p.name
            );
            roles.because(&p.name, "hint", &why);
        }
    }
}

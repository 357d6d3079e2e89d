//! The label of a table of numbers and words, and whether a table is one.

use std::collections::HashSet;

use super::names::{TEXT_NAMES, UNTOLD, plain};
use super::{RoleRequest, Roles, is_label, is_readable, known, task_of};
use crate::error::{DataError, Result};
use crate::profile::{Kind, Profile, profile};
use crate::split::is_split;
use crate::table::Table;

/// Names of the columns that tables of numbers and words are made to learn, the more telling first.
const LABELS: [&[&str]; 2] = [
    &[
        "label",
        "class",
        "target",
        "y",
        "outcome",
        "fraud",
        "is_fraud",
        "isfraud",
        "fraud_bool",
    ],
    &[
        "diagnosis",
        "disease",
        "risk",
        "event",
        "response",
        "result",
        "status",
        "churn",
        "churned",
        "exited",
        "default",
        "defaulted",
        "survived",
        "income",
        "price",
        "cardio",
        "approved",
        "subscribed",
        "attrition",
        "output",
        "klasse",
        "ziel",
    ],
];
/// Columns that a message lists.
const SHOWN: usize = 12;

/// Whether a table holds numbers and words and nothing to read: neither sentences nor pictures, no column with the name of a
/// text, and of short phrases none where there are not at least two columns of numbers beside them.
pub fn no_texts(t: &Table, r: &RoleRequest) -> bool {
    let taken: HashSet<&String> = r
        .ignore
        .iter()
        .chain(&r.group)
        .chain(&r.time)
        .chain(&r.label)
        .collect();
    let free = t
        .columns
        .iter()
        .filter(|c| !taken.contains(&c.name) && !is_split(c));
    let profiles: Vec<Profile> = free.map(|c| profile(c, t.rows())).collect();
    let told = |p: &Profile| {
        let named = TEXT_NAMES.contains(&plain(&p.name).as_str());
        matches!(p.kind, Kind::Text | Kind::Picture) || (named && is_readable(p))
    };
    let numbers = profiles
        .iter()
        .filter(|p| matches!(p.kind, Kind::Integer | Kind::Float));
    let phrases = || profiles.iter().any(is_readable);
    !profiles.iter().any(told) && (numbers.count() >= 2 || !phrases())
}

/// Decides which column is the label of a table without texts, and what kind of task that makes.
///
/// # Errors
/// As [`detect`], but for texts.
pub fn detect_label(t: &Table, r: &RoleRequest) -> Result<Roles> {
    known(t, r)?;
    let taken: HashSet<&String> = r.ignore.iter().chain(&r.group).chain(&r.time).collect();
    let profiles: Vec<Profile> = t
        .columns
        .iter()
        .filter(|c| !taken.contains(&c.name) && !is_split(c))
        .map(|c| profile(c, t.rows()))
        .collect();
    let mut roles = Roles {
        text: Vec::new(),
        pictures: false,
        label: None,
        task: None,
        group: r.group.clone(),
        time: r.time.clone(),
        reasons: Vec::new(),
    };
    let chosen = match &r.label {
        Some(name) => Some((name.clone(), "named by you".to_string())),
        None => told_label(t, &profiles)?,
    };
    if let Some((name, why)) = chosen {
        roles.because(&name, "label", &why);
        roles.label = Some(name);
    }
    if let Some(p) = profiles
        .iter()
        .find(|p| Some(&p.name) == roles.label.as_ref())
    {
        let (task, why) = task_of(p, r.task, t.rows());
        roles.task = Some(task);
        roles.because(
            &p.name,
            "task",
            &why.replace("--task text-", "--task tabular-"),
        );
    }
    Ok(roles)
}

/// The label by its name, and why; the only column that can be one, or the only one of words where it stands last; `None`
/// where none can.
fn told_label(t: &Table, profiles: &[Profile]) -> Result<Option<(String, String)>> {
    // A label that is the same in all rows is told as that, not passed over.
    let constant = |p: &Profile| p.kind == Kind::Constant && rank(&p.name) < UNTOLD;
    let possible: Vec<&Profile> = profiles
        .iter()
        .filter(|p| is_label(p) || constant(p))
        .collect();
    let best = possible.iter().map(|p| rank(&p.name)).min();
    let Some(best) = best else {
        return Ok(None);
    };
    let top: Vec<&Profile> = possible
        .iter()
        .copied()
        .filter(|p| rank(&p.name) == best)
        .collect();
    if let Some(last) = last_of_words(t, &top).filter(|_| best == UNTOLD) {
        let why = format!(
            "the last column and the only one of words: {}; --label names another",
            last.describe()
        );
        return Ok(Some((last.name.clone(), why)));
    }
    let [winner] = top.as_slice() else {
        let list: Vec<String> = top
            .iter()
            .take(SHOWN)
            .map(|p| format!("`{}`", p.name))
            .collect();
        let more = if top.len() > SHOWN { " and others" } else { "" };
        return Err(DataError::Ambiguous {
            file: t.file(),
            role: "label".to_string(),
            candidates: format!("{}{more} are all possible", list.join(", ")),
            flag: "--label COLUMN".to_string(),
        });
    };
    let why = match best {
        UNTOLD => format!("the only column that can be a label: {}", winner.describe()),
        _ => format!("its name, and {}; --label names another", winner.describe()),
    };
    Ok(Some((winner.name.clone(), why)))
}

/// Of several columns that can be labels the last of the file, if it holds words and the others do not.
fn last_of_words<'a>(t: &Table, possible: &[&'a Profile]) -> Option<&'a Profile> {
    let words = possible.iter().filter(|p| p.kind == Kind::Words);
    let [one] = words.collect::<Vec<_>>()[..] else {
        return None;
    };
    let last = t.columns.last()?;
    (possible.len() > 1 && one.name == last.name).then_some(*one)
}

/// How telling a name is: 0 and 1 for known names, 2 for those that end in a known word, [`UNTOLD`] for others.
fn rank(name: &str) -> usize {
    let name = plain(name);
    if let Some(rank) = LABELS
        .iter()
        .position(|names| names.contains(&name.as_str()))
    {
        return rank;
    }
    let last = name.rsplit('_').next().unwrap_or_default();
    if LABELS
        .iter()
        .flat_map(|names| names.iter())
        .any(|telling| *telling == last)
    {
        2
    } else {
        UNTOLD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_names() {
        let ranks = [
            "target",
            "TX_FRAUD",
            "Heart_Attack_Risk",
            "DEATH_EVENT",
            "income",
            "Diet_Score",
            "age",
        ];
        assert_eq!(ranks.map(rank), [0, 2, 2, 2, 1, UNTOLD, UNTOLD]);
    }
}

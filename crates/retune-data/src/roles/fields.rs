//! The label of a table of numbers and words, and whether a table is one.

use std::collections::HashSet;

use super::names::{TEXT_NAMES, UNTOLD, plain, tier};
use super::{RoleRequest, Roles, ambiguous, choose_label, is_label, is_readable, task_of};
use crate::error::Result;
use crate::profile::{Kind, Profile, profile};
use crate::split::is_split;
use crate::table::Table;

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
    for name in r
        .label
        .iter()
        .chain(&r.group)
        .chain(&r.time)
        .chain(&r.ignore)
    {
        t.column(name)?;
    }
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
    let possible: Vec<&Profile> = profiles.iter().filter(|p| is_label(p)).collect();
    // Any column of a table could be the one to learn: only a name can tell.
    if r.label.is_none() && possible.len() > 1 && possible.iter().all(|p| tier(&p.name) == UNTOLD) {
        return Err(ambiguous(t, "label", &possible, "--label COLUMN"));
    }
    choose_label(t, r, &profiles.iter().collect::<Vec<_>>(), &mut roles)?;
    if let Some(p) = profiles
        .iter()
        .find(|p| Some(&p.name) == roles.label.as_ref())
    {
        let (task, why) = task_of(p, r.task, t.rows());
        roles.task = Some(task);
        roles.because(&p.name, "task", &why);
    }
    Ok(roles)
}

//! Who plays which part in a table of events: the time, whom the events belong to, and the amount; each with its reason.
//!
//! Names decide, and content confirms. What is missing is said, with what it takes away.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::interactions::SECOND;
use crate::profile::{Kind, Profile, profile};
use crate::roles::Reason;
use crate::roles::names::{plain, whom};
use crate::table::{Column, Table};
use crate::windows::{self, times};

/// Words in names of columns that say whom or what an event belongs to; those of whoever acts come first.
const ENTITIES: [&str; 22] = [
    "customer",
    "card",
    "cc",
    "account",
    "user",
    "client",
    "cardholder",
    "iban",
    "sender",
    "nameorig",
    "terminal",
    "merchant",
    "shop",
    "store",
    "receiver",
    "beneficiary",
    "namedest",
    "device",
    "ip",
    "phone",
    "email",
    "patient",
];
/// Names of columns of amounts, the more telling first.
const AMOUNTS: [&str; 10] = [
    "amount",
    "tx_amount",
    "transaction_amount",
    "transaction_amt",
    "amt",
    "value",
    "price",
    "sum",
    "total",
    "betrag",
];
/// Names of columns of times, the more telling first.
const TIMES: [&str; 12] = [
    "event_time",
    "tx_datetime",
    "transaction_time",
    "trans_date_trans_time",
    "timestamp",
    "datetime",
    "time",
    "date",
    "transaction_date",
    "transaction_dt",
    "unix_time",
    "ts",
];
/// Names of columns that say when a label came to be known.
const LABEL_TIMES: [&str; 4] = [
    "label_time",
    "labelled_at",
    "chargeback_date",
    "reported_at",
];
/// Names of columns that number the events.
const IDS: [&str; 9] = [
    "transaction_id",
    "tx_id",
    "trans_id",
    "trans_num",
    "transaction_number",
    "payment_id",
    "event_id",
    "order_id",
    "id",
];
/// Entities that histories are kept of.
const MOST_ENTITIES: usize = 4;

/// What the user says about the columns of a table of events; what is left open is guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CastRequest {
    /// When an event happened.
    pub time: Option<String>,
    /// Whom events belong to.
    pub entities: Vec<String>,
    /// How much money it was about.
    pub amount: Option<String>,
    /// When the label came to be known.
    pub label_time: Option<String>,
}

/// Who plays which part in a table of events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    /// When an event happened.
    pub time: Option<String>,
    /// Whom events belong to: whoever acts comes first.
    pub entities: Vec<String>,
    /// How much money it was about.
    pub amount: Option<String>,
    /// When the label came to be known.
    pub label_time: Option<String>,
    /// The number of an event.
    pub id: Option<String>,
}

impl Cast {
    /// Every column that plays a part.
    pub fn columns(&self) -> Vec<&str> {
        let single = [&self.time, &self.amount, &self.label_time, &self.id];
        let single = single.into_iter().flatten();
        single.chain(&self.entities).map(String::as_str).collect()
    }
}

/// Finds the parts among the columns that are not `taken`, with reasons and with what is missing.
///
/// # Errors
/// A column that was named and is not there, or cannot play its part.
pub fn cast(t: &Table, taken: &[&str], asked: &CastRequest) -> Result<(Cast, Vec<Reason>)> {
    let single = [&asked.time, &asked.amount, &asked.label_time];
    for name in single.into_iter().flatten().chain(&asked.entities) {
        t.column(name)?;
    }
    let free: Vec<Profile> = t
        .columns
        .iter()
        .filter(|c| !taken.contains(&c.name.as_str()))
        .map(|c| profile(c, t.rows()))
        .collect();
    let mut reasons = Vec::new();
    let mut because = |column: &str, role: &str, why: &str| {
        reasons.push(Reason {
            column: column.to_string(),
            role: role.to_string(),
            why: why.to_string(),
        });
    };
    let mut one =
        |role: &str, asked: &Option<String>, names: &[&str], fits: &dyn Fn(&Profile) -> bool| {
            if let Some(name) = asked {
                because(name, role, "named by you");
                return Some(name.clone());
            }
            let rank = |p: &Profile| names.iter().position(|n| *n == plain(&p.name));
            let best = free
                .iter()
                .filter(|p| fits(p))
                .filter_map(|p| Some((rank(p)?, p)));
            let (_, p) = best.min_by_key(|(rank, _)| *rank)?;
            because(&p.name, role, &format!("its name, and {}", p.describe()));
            Some(p.name.clone())
        };
    let is_time = |p: &Profile| t.column(&p.name).is_ok_and(|c| reads(c, t.rows()));
    let numeric = |p: &Profile| {
        matches!(
            p.kind,
            Kind::Integer | Kind::Float | Kind::Constant | Kind::Id
        )
    };
    let time = one("time", &asked.time, &TIMES, &is_time);
    let label_time = one("label time", &asked.label_time, &LABEL_TIMES, &is_time);
    let amount = one("amount", &asked.amount, &AMOUNTS, &numeric);
    let id = one("number", &None, &IDS, &|p| p.distinct_share() > 0.99);
    let entities = entities(&free, asked);
    for (name, why) in &entities {
        because(name, "entity", why);
    }
    let entities = entities.into_iter().map(|(name, _)| name).collect();
    let cast = Cast {
        time,
        entities,
        amount,
        label_time,
        id,
    };
    reasons.extend(missing(&cast));
    Ok((cast, reasons))
}

/// What is missing, and what that takes away.
fn missing(cast: &Cast) -> Vec<Reason> {
    let mut found = Vec::new();
    let mut lacks = |missing: bool, role: &str, why: &str| {
        if missing {
            found.push(Reason {
                column: "(none)".to_string(),
                role: role.to_string(),
                why: why.to_string(),
            });
        }
    };
    lacks(
        cast.time.is_none(),
        "time",
        "no column of times: rows are divided at random, and there are no histories, no figures per day and no label \
         delay; name one with --time",
    );
    lacks(
        cast.entities.is_empty(),
        "entity",
        "no column says whom an event belongs to: there are no histories and no figures per card; name it with --entity",
    );
    lacks(
        cast.amount.is_none(),
        "amount",
        "no column of amounts: a missed fraud costs the same whatever it is about; name it with --amount",
    );
    found
}

/// Columns that say whom an event belongs to: by their names, with values that repeat.
fn entities(free: &[Profile], asked: &CastRequest) -> Vec<(String, String)> {
    if !asked.entities.is_empty() {
        let named = asked.entities.iter();
        return named
            .map(|n| (n.clone(), "named by you".to_string()))
            .collect();
    }
    let rank = |p: &Profile| whom(&p.name, &ENTITIES);
    let fits = |p: &&Profile| {
        matches!(p.kind, Kind::Integer | Kind::Words | Kind::Names | Kind::Id)
            && p.distinct > 10
            && p.distinct_share() < 0.9
    };
    let mut found: Vec<(usize, &Profile)> = free
        .iter()
        .filter(fits)
        .filter_map(|p| Some((rank(p)?, p)))
        .collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.truncate(MOST_ENTITIES);
    found
        .into_iter()
        .map(|(_, p)| {
            (
                p.name.clone(),
                format!("its name, and {} different values that repeat", p.distinct),
            )
        })
        .collect()
}

/// Whether a name says whom or what a row belongs to.
pub(super) fn is_entity(name: &str) -> bool {
    plain(name).rsplit('_').next() == Some("id") || whom(name, &ENTITIES[..20]).is_some()
}

/// Whether the first values of a column are times: dates, or numbers.
fn reads(column: &Column, rows: usize) -> bool {
    let mut values = (0..rows)
        .filter_map(|row| column.text(row))
        .take(100)
        .peekable();
    values.peek().is_some() && values.all(|v| windows::seconds(&v).is_some())
}

/// The times of a column in whole seconds since 1970.
///
/// # Errors
/// A value that is no time, or is written in another way than those before.
pub fn seconds(t: &Table, name: &str) -> Result<Vec<i64>> {
    let found = times(t, t.column(name)?, true)?.into_iter().flatten();
    Ok(found.map(|ns| ns.div_euclid(SECOND)).collect())
}

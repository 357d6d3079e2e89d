//! Which column of a file of interactions is the user, the item, the time, the rating, the event and the weight; each
//! with its reason.
//!
//! Names decide, and content confirms: a time must read as one, ratings and weights must be numbers. What no name
//! tells is taken only where one column is left that can play the role; else it is an error that lists the candidates.

use crate::error::{DataError, Result};
use crate::profile::{Kind, Profile, profile};
use crate::roles::Reason;
use crate::roles::names::{plain, tells_text_or_label};
use crate::table::Table;

use super::moments::{are_days, moment};

/// Which columns the user names; the others are guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// Who acted.
    pub user: Option<String>,
    /// On what.
    pub item: Option<String>,
    /// When.
    pub time: Option<String>,
    /// How much it was liked.
    pub rating: Option<String>,
    /// What was done: viewed, bought.
    pub event: Option<String>,
    /// How much the event counts.
    pub weight: Option<String>,
}

/// A role a column can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    User,
    Item,
    Time,
    Rating,
    Event,
    Weight,
}

const USERS: &[&str] = &[
    "user_id",
    "user",
    "userid",
    "uid",
    "customer_id",
    "customer",
    "reviewer_id",
    "visitor_id",
    "visitorid",
    "member_id",
    "member",
    "account_id",
    "client_id",
    "buyer_id",
    "profile_id",
    "player_id",
    "listener_id",
    "reader_id",
    "subscriber_id",
    "session_id",
    "session",
    "kunde",
    "kunden_id",
];
/// Names of columns of items, also those of catalogues.
pub(super) const ITEMS: &[&str] = &[
    "item_id",
    "item",
    "itemid",
    "iid",
    "parent_asin",
    "asin",
    "product_id",
    "product",
    "movie_id",
    "film_id",
    "article_id",
    "book_id",
    "track_id",
    "song_id",
    "video_id",
    "news_id",
    "game_id",
    "recipe_id",
    "content_id",
    "business_id",
    "listing_id",
    "sku",
    "stock_code",
    "isbn",
    "ean",
    "movie",
    "film",
    "article",
    "book",
    "track",
    "song",
    "video",
    "artikel",
    "artikel_id",
];
const TIMES: &[&str] = &[
    "timestamp",
    "time",
    "datetime",
    "date",
    "ts",
    "unix_review_time",
    "unix_time",
    "event_time",
    "created_at",
    "order_date",
    "invoice_date",
    "purchase_date",
    "review_date",
    "t_dat",
    "zeit",
    "datum",
];
const RATINGS: &[&str] = &[
    "rating",
    "ratings",
    "score",
    "stars",
    "star_rating",
    "overall",
    "preference",
];
const EVENTS: &[&str] = &[
    "event",
    "event_type",
    "event_name",
    "action",
    "action_type",
    "behavior",
    "behaviour",
    "behavior_type",
    "interaction",
    "interaction_type",
];
const WEIGHTS: &[&str] = &["weight", "quantity", "qty", "plays", "play_count", "count"];

impl Role {
    const ALL: [Self; 6] = [
        Self::User,
        Self::Item,
        Self::Time,
        Self::Rating,
        Self::Event,
        Self::Weight,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Item => "item",
            Self::Time => "time",
            Self::Rating => "rating",
            Self::Event => "event",
            Self::Weight => "weight",
        }
    }

    fn known(self) -> &'static [&'static str] {
        match self {
            Self::User => USERS,
            Self::Item => ITEMS,
            Self::Time => TIMES,
            Self::Rating => RATINGS,
            Self::Event => EVENTS,
            Self::Weight => WEIGHTS,
        }
    }

    fn asked(self, c: &Columns) -> Option<&String> {
        match self {
            Self::User => c.user.as_ref(),
            Self::Item => c.item.as_ref(),
            Self::Time => c.time.as_ref(),
            Self::Rating => c.rating.as_ref(),
            Self::Event => c.event.as_ref(),
            Self::Weight => c.weight.as_ref(),
        }
    }
}

/// The columns of one file.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The names, in the order user, item, time, rating, event, weight.
    pub(super) names: [Option<String>; 6],
    /// Whether times such as 20240531 are days.
    pub(super) days: bool,
    pub(super) reasons: Vec<Reason>,
}

/// Whether columns are named as a user, an item and a time, and none of the others as a text or a label.
pub(super) fn tell_interactions(names: &[&str]) -> bool {
    let role = |name: &&str| {
        let name = plain(name);
        Role::ALL
            .into_iter()
            .find(|role| role.known().contains(&name.as_str()))
    };
    let told: Vec<Option<Role>> = names.iter().map(role).collect();
    let there = |role| told.contains(&Some(role));
    let others = names.iter().zip(&told).filter(|(_, role)| role.is_none());
    let mut read = others.map(|(name, _)| plain(name));
    [Role::User, Role::Item, Role::Time].into_iter().all(there)
        && !read.any(|name| tells_text_or_label(&name))
}

/// Decides the roles by a sample of the rows. With `file_order` no time is looked for.
pub(super) fn detect(t: &Table, asked: &Columns, file_order: bool) -> Result<Found> {
    let profiles: Vec<Profile> = t.columns.iter().map(|c| profile(c, t.rows())).collect();
    let mut detection = Detection {
        t,
        profiles: &profiles,
        names: [const { None }; 6],
        reasons: Vec::new(),
    };
    detection.take_asked(asked)?;
    for role in Role::ALL {
        let skip = role == Role::Time && file_order;
        if !skip && detection.name(role).is_none() {
            detection.take_named(role);
        }
    }
    if !file_order && detection.name(Role::Time).is_none() {
        detection.take_time();
    }
    for (role, other) in [(Role::User, Role::Item), (Role::Item, Role::User)] {
        if detection.name(role).is_none() && detection.name(other).is_some() {
            detection.take_last_id(role);
        }
    }
    for role in [Role::User, Role::Item, Role::Time] {
        let skip = role == Role::Time && file_order;
        if !skip && detection.name(role).is_none() {
            return Err(detection.missing(role));
        }
    }
    let days = detection.name(Role::Time).is_some_and(|name| {
        t.column(name).is_ok_and(|column| {
            let texts: Vec<_> = (0..t.rows()).filter_map(|r| column.text(r)).collect();
            are_days(texts.iter().map(AsRef::as_ref))
        })
    });
    Ok(Found {
        names: detection.names,
        days,
        reasons: detection.reasons,
    })
}

struct Detection<'a> {
    t: &'a Table,
    profiles: &'a [Profile],
    names: [Option<String>; 6],
    reasons: Vec<Reason>,
}

impl Detection<'_> {
    fn name(&self, role: Role) -> Option<&str> {
        self.names[role as usize].as_deref()
    }

    fn take(&mut self, role: Role, column: &str, why: String) {
        self.names[role as usize] = Some(column.to_string());
        self.reasons.push(Reason {
            column: column.to_string(),
            role: role.name().to_string(),
            why,
        });
    }

    fn free(&self) -> impl Iterator<Item = &Profile> {
        self.profiles
            .iter()
            .filter(|p| !self.names.iter().flatten().any(|n| *n == p.name))
    }

    fn take_asked(&mut self, asked: &Columns) -> Result<()> {
        for role in Role::ALL {
            let Some(name) = role.asked(asked) else {
                continue;
            };
            self.t.column(name)?;
            if let Some(other) = self.reasons.iter().find(|r| r.column == *name) {
                return Err(DataError::Column {
                    column: name.clone(),
                    file: self.t.file(),
                    problem: format!("it cannot be both {} and {}", other.role, role.name()),
                    cure: format!("name another column with --{}", role.name()),
                });
            }
            self.take(role, name, "named by you".to_string());
        }
        Ok(())
    }

    /// Takes the column with the most telling name whose content fits.
    fn take_named(&mut self, role: Role) {
        let mut known: Vec<(usize, &Profile)> = self
            .free()
            .filter_map(|p| {
                let name = plain(&p.name);
                let rank = role.known().iter().position(|n| *n == name)?;
                self.fits(role, p).then_some((rank, p))
            })
            .collect();
        known.sort_by_key(|(rank, _)| *rank);
        let Some((first, rest)) = known.split_first() else {
            return;
        };
        let mut why = format!("its name, and {}", first.1.describe());
        if !rest.is_empty() {
            let others: Vec<String> = rest.iter().map(|(_, p)| format!("`{}`", p.name)).collect();
            why = format!(
                "{why}; {} could be named with --{} instead",
                others.join(", "),
                role.name()
            );
        }
        let column = first.1.name.clone();
        self.take(role, &column, why);
    }

    fn fits(&self, role: Role, p: &Profile) -> bool {
        match role {
            Role::User | Role::Item => p.kind != Kind::Empty,
            Role::Time => self.share_of_times(p) > 0.9,
            Role::Rating | Role::Weight => p.filled > 0 && p.numbers_share > 0.99,
            // Events are a few words; more of them are something else.
            Role::Event => (1..=1000).contains(&p.distinct) && p.mean_words <= 3.0,
        }
    }

    /// Share of the values that read as times, 0 to 1.
    fn share_of_times(&self, p: &Profile) -> f64 {
        let Ok(column) = self.t.column(&p.name) else {
            return 0.0;
        };
        let texts = (0..self.t.rows()).filter_map(|r| column.text(r));
        let (mut read, mut seen) = (0_usize, 0_usize);
        for text in texts.filter(|text| !text.trim().is_empty()).take(1000) {
            seen += 1;
            read += usize::from(moment(&text, false).is_ok());
        }
        read as f64 / seen.max(1) as f64
    }

    /// Takes the only free column of dates, or of numbers that are seconds or more since 1970.
    fn take_time(&mut self) {
        let is_time = |p: &&Profile| {
            let epoch = p.range.is_some_and(|(low, _)| low > 1e8);
            (p.kind == Kind::Time || epoch) && p.kind != Kind::Id && self.share_of_times(p) > 0.9
        };
        let mut times = self.free().filter(is_time);
        let (Some(p), None) = (times.next(), times.next()) else {
            return;
        };
        let (name, why) = (p.name.clone(), "the only column of moments".to_string());
        drop(times);
        self.take(Role::Time, &name, why);
    }

    /// Takes the only free column of values that can be identifiers.
    fn take_last_id(&mut self, role: Role) {
        let mut ids = self.free().filter(|p| is_id(p));
        let (Some(p), None) = (ids.next(), ids.next()) else {
            return;
        };
        let why = format!("the only other column of identifiers: {}", p.describe());
        let name = p.name.clone();
        drop(ids);
        self.take(role, &name, why);
    }

    fn missing(&self, role: Role) -> DataError {
        let possible: Vec<&Profile> = match role {
            Role::Time => self
                .free()
                .filter(|p| self.share_of_times(p) > 0.9)
                .collect(),
            _ => self.free().filter(|p| is_id(p)).collect(),
        };
        let list = |of: &[&Profile]| {
            let shown = of.iter().take(12);
            let each: Vec<String> = shown
                .map(|p| format!("`{}` ({})", p.name, p.describe()))
                .collect();
            each.join(", ")
        };
        let candidates = if possible.is_empty() {
            let all: Vec<&Profile> = self.free().collect();
            match list(&all) {
                none if none.is_empty() => "no column is left for it".to_string(),
                all => format!("no column looks like it; it has {all}"),
            }
        } else {
            format!("{} could be it", list(&possible))
        };
        let flag = match role {
            Role::Time => "--time COLUMN, or type --file-order if the rows are in order of time",
            Role::User => "--user COLUMN",
            _ => "--item COLUMN",
        };
        DataError::Ambiguous {
            file: self.t.file(),
            role: role.name().to_string(),
            candidates,
            flag: flag.to_string(),
        }
    }
}

fn is_id(p: &Profile) -> bool {
    matches!(
        p.kind,
        Kind::Id | Kind::Integer | Kind::Names | Kind::Words | Kind::Text | Kind::Constant
    )
}

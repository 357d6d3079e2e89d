//! What users took, oldest first: what floors are fitted on.

use std::fmt;

/// The events of one user, oldest first. Events of the same time stand in the order of the file: ordering them by item
/// code would tell a model which item comes next.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    /// Item codes.
    pub items: &'a [u32],
    /// Time of each event, never falling.
    pub times: &'a [i64],
}

/// Histories that were checked: codes lie in the catalogue and times do not fall.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    users: &'a [History<'a>],
    items: usize,
}

/// Why histories cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadHistory {
    /// A user has a different number of items and times.
    Lengths {
        /// Index of the user.
        user: usize,
        /// Number of items.
        items: usize,
        /// Number of times.
        times: usize,
    },
    /// A code outside the catalogue.
    Item {
        /// Index of the user.
        user: usize,
        /// Index of the event.
        event: usize,
        /// The code.
        code: u32,
        /// Number of items in the catalogue.
        items: usize,
    },
    /// An event that is older than the one before it.
    Order {
        /// Index of the user.
        user: usize,
        /// Index of the event.
        event: usize,
    },
    /// More users, or more events of one user, than 32 bits can count.
    TooMany,
}

impl fmt::Display for BadHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lengths { user, items, times } => write!(
                f,
                "user {user} has {items} items and {times} times; give one time per item"
            ),
            Self::Item {
                user,
                event,
                code,
                items,
            } => write!(
                f,
                "event {event} of user {user} has the item code {code}, and the catalogue has {items} items; number \
                 items from 0 up"
            ),
            Self::Order { user, event } => write!(
                f,
                "event {event} of user {user} is older than the one before it; sort events by time with a stable \
                 sort, which keeps the order of the file among equal times"
            ),
            Self::TooMany => write!(
                f,
                "more than 4,294,967,295 users or events of one user; split the data"
            ),
        }
    }
}

impl std::error::Error for BadHistory {}

impl<'a> Past<'a> {
    /// Checks the histories of all users over a catalogue of `items` items.
    ///
    /// # Errors
    /// [`BadHistory`] names the first user and event at fault.
    pub fn new(users: &'a [History<'a>], items: usize) -> Result<Self, BadHistory> {
        if u32::try_from(users.len()).is_err() {
            return Err(BadHistory::TooMany);
        }
        for (user, history) in users.iter().enumerate() {
            check(user, history, items)?;
        }
        Ok(Self { users, items })
    }

    /// Number of items in the catalogue.
    pub fn items(&self) -> usize {
        self.items
    }

    /// The history of each user.
    pub fn users(&self) -> &'a [History<'a>] {
        self.users
    }
}

fn check(user: usize, history: &History, items: usize) -> Result<(), BadHistory> {
    let lengths = (history.items.len(), history.times.len());
    if lengths.0 != lengths.1 {
        return Err(BadHistory::Lengths {
            user,
            items: lengths.0,
            times: lengths.1,
        });
    }
    if u32::try_from(lengths.0).is_err() {
        return Err(BadHistory::TooMany);
    }
    if let Some(event) = history.items.iter().position(|&i| i as usize >= items) {
        let code = history.items[event];
        return Err(BadHistory::Item {
            user,
            event,
            code,
            items,
        });
    }
    match history.times.windows(2).position(|t| t[1] < t[0]) {
        Some(before) => Err(BadHistory::Order {
            user,
            event: before + 1,
        }),
        None => Ok(()),
    }
}

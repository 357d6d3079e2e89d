//! How many users took an item, and the bands of the catalogue that follow from it.

use std::fmt;

use super::Past;

/// Share of the items seen in training that are the head: the fifth that the rule of Pareto is about.
const HEAD: f64 = 0.2;

/// Training users per item.
#[derive(Debug, Clone, PartialEq)]
pub struct Popularity {
    /// Users who took the item at least once, for each item of the catalogue.
    pub takers: Vec<u32>,
    /// Number of users.
    pub users: usize,
    /// Takers from which on an item belongs to the head.
    pub head_from: u32,
}

/// A part of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// The most popular fifth of the items seen in training, with all that are as popular as its last.
    Head,
    /// Every other item seen in training.
    Tail,
    /// Items that no training user took.
    Cold,
}

impl fmt::Display for Band {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "head",
            Self::Tail => "tail",
            Self::Cold => "cold",
        })
    }
}

impl Popularity {
    /// Of no items: for figures that say whether targets were found, which do not ask for it.
    pub fn unknown() -> Self {
        Self {
            takers: Vec::new(),
            users: 0,
            head_from: 0,
        }
    }

    /// Counts users, not events: someone who takes an item every day is one taker.
    pub fn of(past: &Past) -> Self {
        let mut takers = vec![0_u32; past.items()];
        let mut last_taker = vec![usize::MAX; past.items()];
        for (user, history) in past.users().iter().enumerate() {
            for &item in history.items {
                let item = item as usize;
                takers[item] += u32::from(last_taker[item] != user);
                last_taker[item] = user;
            }
        }
        let mut seen: Vec<u32> = takers.iter().copied().filter(|&n| n > 0).collect();
        seen.sort_unstable_by(|a, b| b.cmp(a));
        let head = (seen.len() as f64 * HEAD).ceil() as usize;
        let head_from = head.checked_sub(1).map_or(u32::MAX, |last| seen[last]);
        Self {
            takers,
            users: past.users().len(),
            head_from,
        }
    }

    /// The band of an item.
    ///
    /// # Panics
    /// When the code is outside the catalogue.
    pub fn band(&self, item: u32) -> Band {
        match self.takers[item as usize] {
            0 => Band::Cold,
            takers if takers >= self.head_from => Band::Head,
            _ => Band::Tail,
        }
    }

    /// Share of the training users who took the item, 0 to 1.
    pub(super) fn share(&self, item: u32) -> f64 {
        f64::from(self.takers[item as usize]) / self.users.max(1) as f64
    }

    /// Self-information of an item in bits, `-log2 p` with `p` the share of users who took it (Zhou et al., "Solving
    /// the apparent diversity-accuracy dilemma of recommender systems", PNAS 2010). An item that nobody took counts
    /// as one that one user took, whose information is the largest there is evidence for.
    pub(super) fn information(&self, item: u32) -> f64 {
        let takers = f64::from(self.takers[item as usize].max(1));
        (self.users.max(1) as f64 / takers).log2()
    }
}

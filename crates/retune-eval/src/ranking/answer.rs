//! The scores of one user to places of the targets and to the list that the user would see.

use std::cmp::Ordering;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::bootstrap::threads;

/// Length of the lists that are kept: the longest that a figure is about.
pub const LONGEST: usize = 50;

/// Scores every item for a user.
pub trait Scorer: Send + Sync {
    /// Writes the score of every item of the catalogue, the higher the better, to `scores`, whatever it held.
    /// `history` is what the user took so far, oldest first, and `time` when the question is asked. Only the order of
    /// scores matters.
    fn score(&self, history: &[u32], time: i64, scores: &mut [f32]);
}

/// Whether items of a user's history can be recommended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// They rank below all others.
    Filtered,
    /// They rank as they score.
    Kept,
}

/// What is asked about one user.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What the user took so far, oldest first.
    pub history: &'a [u32],
    /// When the question is asked.
    pub time: i64,
    /// What the user took next: one item, or several different ones.
    pub targets: &'a [u32],
}

/// Where an item stands among all that may be recommended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Items that rank above it.
    pub above: u32,
    /// Other items that rank equal.
    pub tied: u32,
}

impl Place {
    /// Items above it, those that are tied counting half: 0 is the first rank. This is the mean rank over all orders
    /// of the ties.
    pub fn rank(self) -> f64 {
        f64::from(self.above) + f64::from(self.tied) / 2.0
    }
}

/// What a model says about one user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Place of each target.
    pub places: Vec<Place>,
    /// The items with the highest scores, at most [`LONGEST`], the best first. Of equal ones the lower code comes
    /// first, which no place depends on.
    pub list: Vec<u32>,
}

impl Answer {
    /// Reads places and list off the scores of all items, `[items]`. A score that is not a number counts as above
    /// every target, and a target without a number as below all others: broken scores never look good.
    ///
    /// # Panics
    /// When a code of the question is outside the catalogue.
    pub fn of(scores: &[f32], question: &Question, seen: Seen) -> Self {
        let mut history = match seen {
            Seen::Filtered => question.history.to_vec(),
            Seen::Kept => Vec::new(),
        };
        history.sort_unstable();
        history.dedup();
        let place = |&target: &u32| place(scores, target, &history);
        Self {
            places: question.targets.iter().map(place).collect(),
            list: list(scores, &history),
        }
    }
}

/// `below` holds the codes, ascending and different, that rank below all others and equal to each other.
fn place(scores: &[f32], target: u32, below: &[u32]) -> Place {
    if below.binary_search(&target).is_ok() {
        return Place {
            above: (scores.len() - below.len()) as u32,
            tied: below.len() as u32 - 1,
        };
    }
    let own = scores[target as usize];
    let above = |score: f32| matches!(score.partial_cmp(&own), None | Some(Ordering::Greater));
    Place {
        above: count(scores, (target, below), above),
        tied: count(scores, (target, below), |score| score == own),
    }
}

/// Items other than the target and those below whose score counts.
fn count(scores: &[f32], (target, below): (u32, &[u32]), counts: impl Fn(f32) -> bool) -> u32 {
    let one = |score: f32| u32::from(counts(score));
    let all: u32 = scores.iter().map(|&score| one(score)).sum();
    let hidden: u32 = below.iter().map(|&i| one(scores[i as usize])).sum();
    all - hidden - one(scores[target as usize])
}

fn list(scores: &[f32], below: &[u32]) -> Vec<u32> {
    let mut hidden = below.iter().copied().peekable();
    let mut codes: Vec<u32> = (0..scores.len() as u32)
        .filter(|code| hidden.next_if_eq(code).is_none())
        .collect();
    let key = |code: u32| {
        let score = scores[code as usize];
        if score.is_nan() {
            f32::NEG_INFINITY
        } else {
            score
        }
    };
    let order = |a: &u32, b: &u32| key(*b).total_cmp(&key(*a)).then(a.cmp(b));
    if codes.len() > LONGEST {
        codes.select_nth_unstable_by(LONGEST, order);
        codes.truncate(LONGEST);
    }
    codes.sort_unstable_by(order);
    codes
}

/// The answers to all questions over a catalogue of `items` items, on all threads; they do not depend on how many
/// there are.
///
/// # Panics
/// When a code of a question is outside the catalogue.
pub fn answer_all(
    scorer: &dyn Scorer,
    questions: &[Question],
    items: usize,
    seen: Seen,
) -> Vec<Answer> {
    let mut answers = vec![Answer::default(); questions.len()];
    let share = questions.len().div_ceil(threads()).max(1);
    thread::scope(|scope| {
        for (answers, questions) in answers.chunks_mut(share).zip(questions.chunks(share)) {
            scope.spawn(move || {
                let mut scores = vec![0.0; items];
                for (answer, question) in answers.iter_mut().zip(questions) {
                    scorer.score(question.history, question.time, &mut scores);
                    *answer = Answer::of(&scores, question, seen);
                }
            });
        }
    });
    answers
}

//! Where the item that a user took next stands among all items.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use rayon::prelude::*;
use retune_data::interactions::protocol::Histories;
use retune_eval::ranking::{Answer, Question, Seen, point};

use super::PRIMARY;
use super::recommender::{Known, Recommender};
use super::sequences::{History, SequenceBatch};
use crate::model::Pass;
use crate::ops::lengths::indices;
use crate::scoring::{self, to_host};
use crate::seq::SeqConfig;

/// Histories at a time outside training.
const AT_ONCE: usize = 128;
/// What a validation shows.
const SHOWN: [&str; 3] = [PRIMARY, "hr@10", "mrr@50"];

/// Users, and the item that each took next.
#[derive(Debug, Clone, Default)]
pub struct Asked<'a> {
    /// What each user took before, with the user's key.
    pub histories: Vec<(u64, History<'a>)>,
    /// When each was asked, in nanoseconds.
    pub times: Vec<i64>,
    /// The item that each took next.
    pub next: Vec<u32>,
}

/// Which of the items that a user took is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that the best weights are selected by.
    Valid,
    /// The one that figures are about.
    Test,
}

impl<'a> Asked<'a> {
    /// One side of every user that has it.
    pub fn of(all: &'a Histories, side: Side) -> Self {
        Self::of_users(all, side, &(0..all.len()).collect::<Vec<_>>())
    }

    /// The same of the users of some rows.
    pub fn of_users(all: &'a Histories, side: Side, rows: &[usize]) -> Self {
        let mut asked = Self::default();
        for &row in rows {
            let (target, history) = match side {
                Side::Valid => (all.valid(row), History::learned(all, row)),
                Side::Test => (all.test(row), History::known(all, row)),
            };
            if let Some((next, time)) = target {
                let key = u64::from(all.users[row]);
                asked.histories.push((key, history));
                asked.times.push(time);
                asked.next.push(next);
            }
        }
        asked
    }

    /// The same as questions to any ranking model.
    pub fn questions(&'a self) -> Vec<Question<'a>> {
        let each = self.histories.iter().zip(&self.times).zip(&self.next);
        each.map(|(((_, history), time), next)| Question {
            history: history.items,
            time: *time,
            targets: std::slice::from_ref(next),
        })
        .collect()
    }
}

/// Vectors of all items, `[items, vector width]`, outside the gradient graph.
pub fn item_vectors(model: &Recommender, known: &Known, items: usize) -> Tensor<2> {
    let rows: Vec<u32> = (0..items as u32).collect();
    model.items(known, &indices(&rows, &scoring::cpu(false)))
}

/// Standing of each user's next item with the items of the highest scores, and `-log p` of it among all items.
pub fn answers(
    model: &Recommender,
    (body, items): (&SeqConfig, &Tensor<2>),
    asked: &Asked,
    seen: Seen,
    on: &mut dyn FnMut(usize),
) -> Vec<(Answer, f64)> {
    let questions = asked.questions();
    let [count, _] = items.dims();
    let across = items.clone().transpose(); // [vector width, items]
    let scale = to_host(model.scale(&items.device()).reshape([1, 1]))[0];
    let mut all = Vec::with_capacity(questions.len());
    for (histories, questions) in asked
        .histories
        .chunks(AT_ONCE)
        .zip(questions.chunks(AT_ONCE))
    {
        let states = last_states(model, (body, items), histories);
        let scores = to_host(states.matmul(across.clone())); // [users, items]
        let rows = scores.par_chunks_exact(count.max(1)).zip(questions);
        all.par_extend(rows.map(|(scores, question)| {
            let loss = surprise(scores, question.targets[0], scale);
            (Answer::of(scores, question, seen), loss)
        }));
        on(all.len());
    }
    all
}

/// `-log p` of an item among all, whose scores times `scale` are logits.
fn surprise(scores: &[f32], item: u32, scale: f32) -> f64 {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let below = |score: f32| f64::from((score - most) * scale);
    let all: f64 = scores.iter().map(|score| below(*score).exp()).sum();
    all.ln() - below(scores[item as usize])
}

/// State after the last event of each history, `[histories, vector width]`.
pub fn last_states(
    model: &Recommender,
    (body, items): (&SeqConfig, &Tensor<2>),
    histories: &[(u64, History)],
) -> Tensor<2> {
    let recent = histories
        .iter()
        .map(|(key, h)| (*key, h.last(body.max_length)));
    let batch = SequenceBatch::asking(&recent.collect::<Vec<_>>(), body.gaps);
    let states = model.states(items, &batch, &Pass::default());
    let last = indices(&batch.last_rows(), &states.device());
    states.select(0, last)
}

/// Means over users of what a validation shows, by name.
pub fn means(all: &[Answer]) -> BTreeMap<String, f64> {
    let named = |key: &str| Some((key.to_string(), point(all, key)?));
    SHOWN.iter().filter_map(|key| named(key)).collect()
}

//! The micro-batches of a run: which rows go together in each epoch, and how many steps they make.

use retune_data::Example;
use retune_data::batch::{BatchOptions, plan_batches};
use retune_kernels::dropout::mix;

use crate::recipe::Recipe;

/// Rows that train: the training rows and those that are trained on again, against forgetting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrainRows<'a> {
    pub train: &'a [Example],
    pub replay: &'a [Example],
}

impl<'a> TrainRows<'a> {
    /// The row at an index of [`micro_batches`]: those to be trained on again follow the training rows.
    pub fn get(&self, index: usize) -> &'a Example {
        match index.checked_sub(self.train.len()) {
            None => &self.train[index],
            Some(again) => &self.replay[again],
        }
    }

    /// Indices of an epoch's rows: every training row, and as many of the others as make up their share.
    fn epoch(&self, recipe: &Recipe, epoch: u64) -> Vec<usize> {
        let n = self.train.len();
        let mut rows: Vec<usize> = (0..n).collect();
        if self.replay.is_empty() {
            return rows;
        }
        let share = recipe.data.replay_share;
        let wanted = (share / (1.0 - share) * n as f64).round() as usize;
        let mut order: Vec<usize> = (0..self.replay.len()).collect();
        order.sort_by_key(|i| mix(mix(recipe.seed ^ epoch << 32) ^ *i as u64));
        rows.extend(order.iter().cycle().take(wanted).map(|i| n + i));
        rows
    }
}

/// The micro-batches of an epoch, as indices of rows; the same plan serves counting and training.
pub(crate) fn micro_batches(recipe: &Recipe, rows: TrainRows, epoch: u64) -> Vec<Vec<usize>> {
    batches_by(recipe, rows, epoch, &Example::tokens)
}

/// The same where rows have other numbers of tokens.
pub(super) fn batches_by(
    recipe: &Recipe,
    rows: TrainRows,
    epoch: u64,
    tokens: &dyn Fn(&Example) -> usize,
) -> Vec<Vec<usize>> {
    let indices = rows.epoch(recipe, epoch);
    let lengths: Vec<usize> = indices.iter().map(|i| tokens(rows.get(*i))).collect();
    let options = BatchOptions {
        rows: recipe.train.batch_size,
        max_tokens: recipe.train.max_tokens,
        order: recipe.train.order,
        seed: recipe.seed,
    };
    let batches = plan_batches(&lengths, &options, epoch).into_iter();
    batches
        .map(|batch| batch.into_iter().map(|i| indices[i]).collect())
        .collect()
}

/// Optimiser steps of the whole run and of its first epoch.
pub(crate) fn steps(recipe: &Recipe, rows: TrainRows) -> (u64, u64) {
    let of = |epoch| {
        let batches = micro_batches(recipe, rows, epoch).len();
        batches.div_ceil(recipe.train.accumulate) as u64
    };
    let whole = recipe.epochs().floor() as u64;
    let rest = recipe.epochs() - whole as f64;
    let mut total: u64 = (0..whole).map(of).sum();
    total += (rest * of(whole) as f64).ceil() as u64;
    let total = recipe.train.max_steps.map_or(total, |max| max.min(total));
    (total.max(1), of(0))
}

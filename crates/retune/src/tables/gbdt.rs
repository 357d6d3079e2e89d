//! Gradient-boosted trees (Friedman 2001; histograms and second-order gains after XGBoost, arXiv:1603.02754), grown by
//! the `forust-ml` crate and kept as flat arrays, so that one event is scored in microseconds.
//!
//! Of a few stated settings, each with as many trees as suit it, the one with the best figure on the validation rows is
//! taken. More than two classes have a forest each, one against the others.

use std::fmt;

use forust_ml::objective::ObjectiveType;
use forust_ml::{GradientBooster, Matrix};
use rayon::prelude::*;
use retune_data::Target;
use retune_data::fields::Cells;
use retune_data::processor::Labels;
use retune_eval::Matrix as Scores;
use serde::{Deserialize, Serialize};

use super::Known;
use crate::error::{Error, Result};

/// Trees between two looks at the validation rows.
const LOOK: usize = 10;

/// How trees are grown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Levels of a tree.
    pub depth: usize,
    /// Factor of each tree.
    pub rate: f32,
    /// Trees at most.
    pub trees: usize,
    /// Least sum of second derivatives in a leaf.
    pub leaf: f32,
    /// Share of the rows, and of the columns, that each tree sees.
    pub share: f32,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} trees of depth {}, rate {}, leaves of weight {}, each on {:.0} % of rows and columns",
            self.trees,
            self.depth,
            self.rate,
            self.leaf,
            self.share * 100.0
        )
    }
}

/// The settings that are tried: every pair of a shape and a leaf.
pub fn grid() -> Vec<Setting> {
    let shapes = [(3, 0.1, 300), (5, 0.05, 300), (7, 0.05, 200)];
    let leaves = [(1.0, 1.0), (5.0, 0.8)];
    shapes
        .iter()
        .flat_map(|&(depth, rate, trees)| {
            leaves.iter().map(move |&(leaf, share)| Setting {
                depth,
                rate,
                trees,
                leaf,
                share,
            })
        })
        .collect()
}

/// A model of trees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trees {
    /// How it was grown.
    pub setting: Setting,
    /// One for two classes or a number, and one per class where there are more.
    forests: Vec<Forest>,
    /// What the outputs stand for.
    labels: Labels,
    /// Of fields of words: the place of each word by how its rows answered, per field; empty for numbers.
    orders: Vec<Vec<f32>>,
}

/// Trees whose values are added up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Forest {
    /// What is added to.
    base: f64,
    /// First node of each tree.
    roots: Vec<u32>,
    /// All nodes.
    nodes: Vec<Node>,
}

/// A node; a leaf has no field.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Node(
    /// Field, or [`LEAF`].
    u32,
    /// Smaller values go left.
    f64,
    /// Left, right, and where rows without a value go.
    [u32; 3],
    /// What the tree would say here.
    f32,
);

const LEAF: u32 = u32::MAX;

impl Trees {
    /// The best setting of the grid, by `score` of the answers to the validation rows (larger is better; the first one
    /// wins a tie), grown on `train`. `on` is told how many settings are done.
    ///
    /// # Errors
    /// Rows that no trees can be grown on.
    pub fn select(
        (train, valid): (&Known, &Cells),
        labels: &Labels,
        (words, seed): (&[Option<usize>], u64),
        score: &dyn Fn(&Scores) -> f64,
        on: &mut dyn FnMut(usize),
    ) -> Result<Self> {
        let mut best: Option<(f64, Self)> = None;
        for (done, setting) in grid().into_iter().enumerate() {
            let grown = Self::grow(train, labels, (words, seed), setting)?;
            let (found, trees) = grown.best_length(valid, score);
            if best.as_ref().is_none_or(|(top, _)| found > *top) {
                best = Some((found, grown.cut(trees)));
            }
            on(done + 1);
        }
        let (_, best) = best.ok_or_else(|| Error::Internal("an empty grid".to_string()))?;
        Ok(best)
    }

    /// Trees of one setting. `words` is how many numbers stand for the words of each field, `None` for numbers.
    ///
    /// # Errors
    /// Rows that no trees can be grown on.
    pub fn grow(
        rows: &Known,
        labels: &Labels,
        (words, seed): (&[Option<usize>], u64),
        setting: Setting,
    ) -> Result<Self> {
        let orders = orders(rows, words);
        let width = rows.cells.width;
        let count = rows.cells.rows();
        let mut columns = vec![0f64; rows.cells.values.len()]; // [fields, rows]
        columns
            .par_chunks_mut(count.max(1))
            .enumerate()
            .for_each(|(field, column)| {
                for (row, cell) in column.iter_mut().enumerate() {
                    *cell = ordered(rows.cells.values[row * width + field], &orders[field]);
                }
            });
        let outputs = match labels {
            Labels::Classes { names } if names.len() == 2 => vec![1],
            Labels::Classes { names } => (0..names.len()).collect(),
            _ => vec![0],
        };
        let matrix = Matrix::new(&columns, count, width);
        let forests = outputs.into_iter().map(|output| {
            let (kind, answers) = answers(rows.targets, labels, output);
            let mut booster = booster(setting, kind, seed);
            booster
                .fit_unweighted(&matrix, &answers, None)
                .map_err(|error| {
                    Error::User(format!("trees cannot be grown on these rows: {error}"))
                })?;
            Ok(Forest::of(&booster))
        });
        Ok(Self {
            forests: forests.collect::<Result<_>>()?,
            setting,
            labels: labels.clone(),
            orders,
        })
    }

    /// The number of trees whose answers to `valid` score best, and that score.
    fn best_length(&self, valid: &Cells, score: &dyn Fn(&Scores) -> f64) -> (f64, usize) {
        let rows = self.rows(valid);
        let mut sums: Vec<f64> = rows
            .iter()
            .flat_map(|_| self.forests.iter().map(|f| f.base))
            .collect(); // [rows, forests]
        let trees = self
            .forests
            .iter()
            .map(|f| f.roots.len())
            .max()
            .unwrap_or(0);
        let mut best = (f64::NEG_INFINITY, trees);
        for first in (0..trees).step_by(LOOK) {
            let until = (first + LOOK).min(trees);
            sums.par_chunks_mut(self.forests.len().max(1))
                .zip(&rows)
                .for_each(|(sums, row)| {
                    for (sum, forest) in sums.iter_mut().zip(&self.forests) {
                        let until = until.min(forest.roots.len());
                        let some = &forest.roots[first.min(until)..until];
                        *sum += some.iter().map(|root| forest.leaf(*root, row)).sum::<f64>();
                    }
                });
            let found = score(&self.outputs(&sums, rows.len()));
            if found > best.0 {
                best = (found, until);
            }
        }
        best
    }

    /// The first trees alone.
    fn cut(mut self, trees: usize) -> Self {
        for forest in &mut self.forests {
            forest.roots.truncate(trees);
            let end = forest.roots.last().map_or(0, |root| forest.end(*root));
            forest.nodes.truncate(end);
        }
        self.setting.trees = trees;
        self
    }

    /// Probabilities or values: `[rows, classes | 1]`.
    pub fn scores(&self, cells: &Cells) -> Scores {
        let rows = self.rows(cells);
        let one = |row: &Vec<f64>| {
            self.forests
                .iter()
                .map(|f| f.sum(row))
                .collect::<Vec<f64>>()
        };
        let sums: Vec<f64> = rows.par_iter().flat_map_iter(one).collect();
        self.outputs(&sums, rows.len())
    }

    /// The probabilities of one row, or its value, without any thread.
    pub fn score(&self, row: &[f32]) -> Vec<f32> {
        let row: Vec<f64> = row
            .iter()
            .zip(&self.orders)
            .map(|(value, order)| ordered(*value, order))
            .collect();
        let sums: Vec<f64> = self.forests.iter().map(|f| f.sum(&row)).collect();
        self.outputs(&sums, 1).data
    }

    /// How much each field moves the log-odds (or the value) of one row along the paths it takes (Saabas 2014): `[fields]`.
    /// Of more than two classes those of the first.
    pub fn contributions(&self, row: &[f32]) -> Vec<f64> {
        let values: Vec<f64> = row
            .iter()
            .zip(&self.orders)
            .map(|(value, order)| ordered(*value, order))
            .collect();
        let mut found = vec![0.0; row.len()];
        let forest = &self.forests[0];
        for root in &forest.roots {
            forest.walk(*root, &values, &mut |field, by| found[field] += by);
        }
        found
    }

    /// The rows with words in their order.
    fn rows(&self, cells: &Cells) -> Vec<Vec<f64>> {
        let one = |row: &[f32]| {
            let values = row.iter().zip(&self.orders);
            values
                .map(|(value, order)| ordered(*value, order))
                .collect()
        };
        cells
            .values
            .par_chunks(cells.width.max(1))
            .map(one)
            .collect()
    }

    /// Sums `[rows, forests]` to probabilities or values.
    fn outputs(&self, sums: &[f64], rows: usize) -> Scores {
        let sigmoid = |z: &f64| 1.0 / (1.0 + (-z).exp());
        let (cols, data) = match &self.labels {
            Labels::Number { mean, std } => {
                (1, sums.iter().map(|z| (z * std + mean) as f32).collect())
            }
            Labels::Classes { names } if names.len() == 2 => {
                let both = |z: &f64| [(1.0 - sigmoid(z)) as f32, sigmoid(z) as f32];
                (2, sums.iter().flat_map(both).collect())
            }
            labels => {
                let n = labels.outputs();
                let shares = sums.chunks(n).flat_map(|z| {
                    let p: Vec<f64> = z.iter().map(sigmoid).collect();
                    let all: f64 = p.iter().sum::<f64>().max(f64::MIN_POSITIVE);
                    p.into_iter()
                        .map(move |p| (p / all) as f32)
                        .collect::<Vec<_>>()
                });
                (n, shares.collect())
            }
        };
        Scores { rows, cols, data }
    }
}

fn booster(setting: Setting, kind: ObjectiveType, seed: u64) -> GradientBooster {
    GradientBooster::default()
        .set_objective_type(kind)
        .set_initialize_base_score(true)
        .set_iterations(setting.trees)
        .set_learning_rate(setting.rate)
        .set_max_depth(setting.depth)
        .set_max_leaves(usize::MAX)
        .set_min_leaf_weight(setting.leaf)
        .set_subsample(setting.share)
        .set_colsample_bytree(f64::from(setting.share))
        .set_seed(seed)
}

/// What the rows answer for one output, and how far off an answer is.
fn answers(targets: &[Target], labels: &Labels, output: usize) -> (ObjectiveType, Vec<f64>) {
    if let Labels::Number { mean, std } = labels {
        let value = |target: &Target| match target {
            Target::Value(value) => (f64::from(*value) - mean) / std,
            _ => 0.0,
        };
        return (
            ObjectiveType::SquaredLoss,
            targets.iter().map(value).collect(),
        );
    }
    let flag = |target: &Target| match target {
        Target::Class(class) => f64::from(u8::from(*class as usize == output)),
        _ => 0.0,
    };
    (ObjectiveType::LogLoss, targets.iter().map(flag).collect())
}

/// For each field of words, the place of each word by the mean answer of its rows, drawn towards the mean of all: two
/// splits then tell apart any group of words that answer alike (Fisher 1958).
fn orders(rows: &Known, words: &[Option<usize>]) -> Vec<Vec<f32>> {
    /// Rows that the mean of all counts for.
    const PRIOR: f64 = 10.0;
    let answer = |target: &Target| match target {
        Target::Class(class) => f64::from(*class),
        Target::Value(value) => f64::from(*value),
        _ => 0.0,
    };
    let all: Vec<f64> = rows.targets.iter().map(answer).collect();
    let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
    let order = |(field, words): (usize, &Option<usize>)| {
        let Some(words) = *words else {
            return Vec::new();
        };
        let mut sums = vec![(PRIOR * mean, PRIOR); words];
        for (row, answer) in all.iter().enumerate() {
            let code = rows.cells.row(row)[field];
            if let Some(sum) = sums.get_mut(code as usize).filter(|_| !code.is_nan()) {
                sum.0 += answer;
                sum.1 += 1.0;
            }
        }
        let mut by: Vec<usize> = (0..words).collect();
        by.sort_by(|a, b| (sums[*a].0 / sums[*a].1).total_cmp(&(sums[*b].0 / sums[*b].1)));
        let mut places = vec![0.0; words];
        for (place, word) in by.into_iter().enumerate() {
            places[word] = place as f32;
        }
        places
    };
    words.iter().enumerate().map(order).collect()
}

/// A value, or the place of a word.
fn ordered(value: f32, order: &[f32]) -> f64 {
    if order.is_empty() || value.is_nan() {
        return f64::from(value);
    }
    f64::from(order.get(value as usize).copied().unwrap_or(f32::NAN))
}

impl Forest {
    /// The trees of a booster.
    fn of(booster: &GradientBooster) -> Self {
        let mut forest = Self {
            base: booster.base_score,
            ..Self::default()
        };
        for tree in &booster.trees {
            let first = forest.nodes.len() as u32;
            forest.roots.push(first);
            forest.nodes.extend(tree.nodes.iter().map(|node| {
                let at = |child: usize| first + child as u32;
                let field = if node.is_leaf {
                    LEAF
                } else {
                    node.split_feature as u32
                };
                let next = [node.left_child, node.right_child, node.missing_node];
                Node(field, node.split_value, next.map(at), node.weight_value)
            }));
        }
        forest
    }

    /// What all trees say of a row.
    fn sum(&self, row: &[f64]) -> f64 {
        self.base
            + self
                .roots
                .iter()
                .map(|root| self.leaf(*root, row))
                .sum::<f64>()
    }

    /// What one tree says.
    fn leaf(&self, root: u32, row: &[f64]) -> f64 {
        let mut node = &self.nodes[root as usize];
        while node.0 != LEAF {
            node = &self.nodes[node.next(row) as usize];
        }
        f64::from(node.3)
    }

    /// Tells of each step by how much it moves what the tree says.
    fn walk(&self, root: u32, row: &[f64], on: &mut dyn FnMut(usize, f64)) {
        let mut node = &self.nodes[root as usize];
        while node.0 != LEAF {
            let next = &self.nodes[node.next(row) as usize];
            on(node.0 as usize, f64::from(next.3) - f64::from(node.3));
            node = next;
        }
    }

    /// End of the nodes of the tree that begins at `root`.
    fn end(&self, root: u32) -> usize {
        let mut last = root;
        let mut open = vec![root];
        while let Some(at) = open.pop() {
            last = last.max(at);
            let node = &self.nodes[at as usize];
            if node.0 != LEAF {
                open.extend(node.2);
            }
        }
        last as usize + 1
    }
}

impl Node {
    /// The node after this one.
    fn next(&self, row: &[f64]) -> u32 {
        let value = row[self.0 as usize];
        let way = if value.is_nan() {
            2
        } else {
            usize::from(value >= self.1)
        };
        self.2[way]
    }
}

#[cfg(test)]
mod tests;

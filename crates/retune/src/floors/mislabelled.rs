//! Rows whose label is probably wrong: confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068).
//!
//! A model that never saw a row says how likely each class is for it. The threshold of a class is the mean probability
//! it gets on rows labelled with it, so that a class the model is shy about is not suspected as a whole. With
//! `margin(j) = p(j) - threshold(j)`, a row labelled `y` is suspected by
//!
//! `max over j ≠ y of margin(j) - margin(y)`
//!
//! Above 0 another class fits better than the label. For numbers the suspicion is the distance from the answer, in
//! standard deviations estimated from the median distance.

use std::collections::BTreeMap;

use retune_data::Target;
use retune_eval::Matrix;
use retune_kernels::dropout::mix;

/// The median of |x| over the standard deviation of x, for a normal distribution.
const MEDIAN_OF_NORMAL: f64 = 0.674_489_75;

/// How far a row's label is doubted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suspect {
    /// Row of the probabilities.
    pub row: usize,
    /// Larger is more suspicious.
    pub suspicion: f64,
    /// The class that fits best instead, or the label that should be the other way round; `None` for numbers.
    pub output: Option<u32>,
    /// Whether the model's own answer is another than the label; a number is never right to the last digit.
    pub outvoted: bool,
}

/// Every row with a label, the most suspicious first. `scores`: `[rows, classes | labels | 1]`, each row from a model
/// that was not trained on it; see [`folds`].
pub fn suspects(scores: &Matrix, targets: &[Target]) -> Vec<Suspect> {
    let mut found = Vec::new();
    classes(scores, targets, &mut found);
    labels(scores, targets, &mut found);
    numbers(scores, targets, &mut found);
    found.sort_by(|a, b| b.suspicion.total_cmp(&a.suspicion));
    found
}

fn classes(scores: &Matrix, targets: &[Target], found: &mut Vec<Suspect>) {
    let labelled = targets.iter().enumerate().filter_map(|(row, t)| match t {
        Target::Class(class) => Some((row, *class as usize)),
        _ => None,
    });
    let given: Vec<(usize, usize)> = labelled.collect();
    let mut thresholds = vec![Mean::default(); scores.cols];
    for (row, class) in &given {
        thresholds[*class].add(scores.row(*row)[*class]);
    }
    for (row, class) in given {
        let margin = |j: usize| f64::from(scores.row(row)[j]) - thresholds[j].value();
        let others = (0..scores.cols).filter(|&j| j != class && thresholds[j].n > 0.0);
        let best = others.max_by(|&a, &b| margin(a).total_cmp(&margin(b)));
        let p = scores.row(row);
        found.extend(best.map(|best| Suspect {
            row,
            suspicion: margin(best) - margin(class),
            output: Some(best as u32),
            outvoted: p.iter().any(|other| *other > p[class]),
        }));
    }
}

/// Each label by itself, as two classes; the most suspicious label speaks for the row.
fn labels(scores: &Matrix, targets: &[Target], found: &mut Vec<Suspect>) {
    let side = |p: f32, flag: bool| if flag { p } else { 1.0 - p };
    let known = |target: &Target| match target {
        Target::Labels(flags) => {
            let known = flags.iter().enumerate();
            known.filter_map(|(l, f)| Some((l, (*f)?))).collect()
        }
        _ => Vec::new(),
    };
    // [labels, off | on]
    let mut thresholds = vec![[Mean::default(); 2]; scores.cols];
    for (row, target) in targets.iter().enumerate() {
        for (label, flag) in known(target) {
            thresholds[label][usize::from(flag)].add(side(scores.row(row)[label], flag));
        }
    }
    for (row, target) in targets.iter().enumerate() {
        let doubt = |(label, flag): (usize, bool)| {
            let margin = |flag: bool| {
                let p = side(scores.row(row)[label], flag);
                f64::from(p) - thresholds[label][usize::from(flag)].value()
            };
            Suspect {
                row,
                suspicion: margin(!flag) - margin(flag),
                output: Some(label as u32),
                outvoted: side(scores.row(row)[label], flag) < 0.5,
            }
        };
        // A label that all rows have, or none, cannot be doubted.
        let doubts = known(target)
            .into_iter()
            .filter(|(label, flag)| thresholds[*label][usize::from(!flag)].n > 0.0)
            .map(doubt);
        found.extend(doubts.max_by(|a, b| a.suspicion.total_cmp(&b.suspicion)));
    }
}

fn numbers(scores: &Matrix, targets: &[Target], found: &mut Vec<Suspect>) {
    let labelled = targets.iter().enumerate().filter_map(|(row, t)| match t {
        Target::Value(value) => Some((row, f64::from(value - scores.row(row)[0]).abs())),
        _ => None,
    });
    let distances: Vec<(usize, f64)> = labelled.collect();
    let mut sorted: Vec<f64> = distances.iter().map(|d| d.1).collect();
    sorted.sort_by(f64::total_cmp);
    let Some(median) = sorted.get(sorted.len() / 2) else {
        return;
    };
    let deviation = (median / MEDIAN_OF_NORMAL).max(f64::MIN_POSITIVE);
    found.extend(distances.iter().map(|(row, distance)| Suspect {
        row: *row,
        suspicion: distance / deviation,
        output: None,
        outvoted: true,
    }));
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    n: f64,
}

impl Mean {
    fn add(&mut self, value: f32) {
        self.sum += f64::from(value);
        self.n += 1.0;
    }

    fn value(self) -> f64 {
        self.sum / self.n
    }
}

/// Divides rows into `k` parts, to be held out one after the other: equal class shares, drawn by `seed`, rows
/// ascending. Every row is in one part.
pub fn folds(targets: &[Target], k: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut by_class: BTreeMap<Option<u32>, Vec<usize>> = BTreeMap::new();
    for (row, target) in targets.iter().enumerate() {
        let class = match target {
            Target::Class(class) => Some(*class),
            _ => None,
        };
        by_class.entry(class).or_default().push(row);
    }
    let mut parts = vec![Vec::new(); k.max(1)];
    let mut next = 0;
    for mut rows in by_class.into_values() {
        rows.sort_by_key(|&row| mix(mix(seed) ^ row as u64));
        for row in rows {
            parts[next % k.max(1)].push(row);
            next += 1;
        }
    }
    for part in &mut parts {
        part.sort_unstable();
    }
    parts
}

/// Answers on the parts of [`folds`], put back in the order of the rows.
pub fn gather(parts: &[Vec<usize>], answers: &[Matrix]) -> Matrix {
    let cols = answers.first().map_or(0, |m| m.cols);
    let rows = parts.iter().map(Vec::len).sum();
    let mut data = vec![0.0; rows * cols];
    for (part, answers) in parts.iter().zip(answers) {
        for (at, row) in part.iter().enumerate() {
            data[row * cols..][..cols].copy_from_slice(answers.row(at));
        }
    }
    Matrix { rows, cols, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(cols: usize, data: Vec<f32>) -> Matrix {
        Matrix {
            rows: data.len() / cols,
            cols,
            data,
        }
    }

    /// A number between 0 and 1 for a counter.
    fn draw(counter: u64) -> f32 {
        (mix(counter) >> 40) as f32 / (1u64 << 24) as f32
    }

    #[test]
    fn flipped_classes_come_first() {
        let (n, classes) = (400usize, 4usize);
        let mut data = Vec::new();
        let mut targets = Vec::new();
        for row in 0..n {
            let truth = row % classes;
            let noise = |j: usize| draw((row * classes + j) as u64) * 0.5;
            let raw: Vec<f32> = (0..classes)
                .map(|j| noise(j) + f32::from(u8::from(j == truth)))
                .collect();
            let sum: f32 = raw.iter().sum();
            data.extend(raw.iter().map(|v| v / sum));
            // One row in 20 carries the next class.
            let label = if row % 20 == 3 { truth + 1 } else { truth };
            targets.push(Target::Class((label % classes) as u32));
        }
        let found = suspects(&matrix(classes, data), &targets);
        assert_eq!(found.len(), n);
        let right = |s: &&Suspect| s.row % 20 == 3 && s.output == Some((s.row % classes) as u32);
        let first = found.iter().take(n / 20).filter(right).count();
        assert_eq!(first, n / 20, "{:?}", &found[..n / 20]);
        assert!(found[n / 20].suspicion < 0.0 && found[n / 20 - 1].suspicion > 0.0);
    }

    #[test]
    fn a_class_the_model_is_shy_about_is_not_suspected_as_a_whole() {
        // Rows of class 1 get 0.4 for it and are right; the last row of class 0 gets the same 0.4 and is wrong.
        let data = [[0.9, 0.1]; 4]
            .into_iter()
            .chain([[0.6, 0.4]; 5])
            .flatten()
            .collect();
        let classes = [0, 0, 0, 0, 1, 1, 1, 1, 0];
        let targets: Vec<Target> = classes.into_iter().map(Target::Class).collect();
        let found = suspects(&matrix(2, data), &targets);
        assert_eq!(found[0].row, 8);
        // The shy answers for class 1 are outvoted all the same: margins and votes are told apart.
        assert!(
            found.iter().all(|s| s.outvoted == (4..8).contains(&s.row)),
            "{found:?}"
        );
        assert!(found[1].suspicion <= 0.0, "{found:?}");
    }

    #[test]
    fn wrong_flags_and_far_numbers_come_first() {
        let flags = [
            [Some(true), Some(false)],
            [Some(false), Some(true)],
            [Some(true), Some(true)],
            [None, Some(false)],
        ];
        let targets = flags.map(|f| Target::Labels(f.to_vec()));
        let data = vec![0.9, 0.1, 0.1, 0.8, 0.9, 0.1, 0.5, 0.2];
        let found = suspects(&matrix(2, data), &targets);
        assert_eq!((found[0].row, found[0].output), (2, Some(1)));

        let targets = [1.0, 2.0, 30.0, 4.0, 5.0].map(Target::Value);
        let found = suspects(&matrix(1, vec![1.1, 1.9, 3.0, 4.2, 5.1]), &targets);
        assert_eq!(found[0].row, 2);
        assert!(found[0].suspicion > 100.0 && found[1].suspicion < 3.0);
    }

    #[test]
    fn folds_hold_every_row_once_with_equal_class_shares() {
        let targets: Vec<Target> = (0..103)
            .map(|row| Target::Class(u32::from(row % 10 == 0)))
            .collect();
        let parts = folds(&targets, 5, 1);
        let mut all: Vec<usize> = parts.concat();
        all.sort_unstable();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
        for part in &parts {
            let rare = part.iter().filter(|row| *row % 10 == 0).count();
            assert!((20..=21).contains(&part.len()) && (2..=3).contains(&rare));
        }
        assert_eq!(parts, folds(&targets, 5, 1));
        assert_ne!(parts, folds(&targets, 5, 2));
    }

    #[test]
    fn answers_return_to_their_rows() {
        let parts = [vec![1, 2], vec![0]];
        let answers = [matrix(2, vec![1., 1., 2., 2.]), matrix(2, vec![0., 0.])];
        assert_eq!(gather(&parts, &answers).data, [0., 0., 1., 1., 2., 2.]);
    }
}

//! Vectors rated by what lies near them: rows of one group should lie nearer to each other than to rows of others.
//!
//! Nearness is the cosine. A query looks among the other queries for rows of its group, and in a gallery, where there is
//! one, for a class. With `r_i` 1 where the `i`-th nearest other query is of the query's group, and `R` such rows in all:
//!
//! ```text
//! recall@k = max(r_1, …, r_k)                          (Jégou et al., TPAMI 2011)
//! map@r    = 1/R Σ_{i <= R} r_i (r_1 + … + r_i) / i    (Musgrave et al., arXiv:2003.08505)
//! knn@k    = 1 where most of the k nearest rows of the gallery are of the query's group
//! ```
//!
//! Equal votes go to the group of the nearest row among them, equal cosines to the earlier row. A query that no other
//! query can match has no recall, one whose group the gallery lacks has no `knn@k`: those figures are not numbers and are
//! left out of means.

use std::collections::HashMap;
use std::thread;

use crate::bootstrap::threads;
use crate::predictions::Matrix;

/// Names of the figures of a query, in the order of [`Retrieved::figures`].
pub const FIGURES: [&str; 6] = [
    "map@r",
    "recall@1",
    "recall@5",
    "recall@10",
    "knn@1",
    "knn@5",
];
/// Nearest rows that count for each recall.
const DEPTHS: [usize; 3] = [1, 5, 10];
/// Rows of the gallery that vote.
const VOTERS: [usize; 2] = [1, 5];
/// Rows of the gallery that vote where one answer is wanted.
pub const NEIGHBOURS: usize = VOTERS[1];
/// Queries that pass over all rows together.
const BLOCK: usize = 8;

/// Vectors, `[rows, width]`, and the group of each.
#[derive(Debug, Clone, Copy)]
pub struct Grouped<'a> {
    /// `[rows, width]`; of any length.
    pub vectors: &'a Matrix,
    /// One group per row.
    pub groups: &'a [u32],
}

/// What was near each query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Retrieved {
    /// Group of each query.
    pub groups: Vec<u32>,
    /// Names of groups.
    pub names: Vec<String>,
    /// What is answered for each query: that of the nearest rows of the gallery, or of the nearest other query where no
    /// row of the gallery is of its group. `None` where nothing is near.
    pub answers: Vec<Option<Nearest>>,
    /// `[queries]` values of each figure of [`FIGURES`]; not numbers where undefined.
    pub figures: Vec<Vec<f64>>,
}

/// An answer by nearness.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearest {
    /// The group.
    pub group: u32,
    /// Cosine of the nearest row of that group, -1 to 1.
    pub cosine: f32,
}

impl Retrieved {
    /// Of queries among themselves and in a gallery.
    ///
    /// # Panics
    /// When vectors and groups differ in length, or queries and gallery in width.
    pub fn new(queries: Grouped, gallery: Option<Grouped>, names: Vec<String>) -> Self {
        assert_eq!(queries.vectors.rows, queries.groups.len(), "a group each");
        let unit = Unit::new(queries.vectors);
        let others = Others::new(queries.groups);
        let shelf = gallery.map(|gallery| {
            assert_eq!(gallery.vectors.rows, gallery.groups.len(), "a group each");
            (Unit::new(gallery.vectors), gallery.groups)
        });
        let shelves: Vec<&Unit> = std::iter::once(&unit)
            .chain(shelf.as_ref().map(|(vectors, _)| vectors))
            .collect();
        let rated = each(&unit, &shelves, &|query, cosines| {
            let mut found = others.rate(query, cosines[0]);
            if let Some((_, groups)) = &shelf {
                others.vote(query, (cosines[1], groups), &mut found);
            }
            found
        });
        let column = |f: usize| rated.iter().map(|row| row.figures[f]).collect();
        Self {
            groups: queries.groups.to_vec(),
            names,
            answers: rated.iter().map(|row| row.answer).collect(),
            figures: (0..FIGURES.len()).map(column).collect(),
        }
    }

    /// The given queries, each with what was near it among all of them.
    #[must_use]
    pub fn subset(&self, rows: &[usize]) -> Self {
        Self {
            groups: rows.iter().map(|r| self.groups[*r]).collect(),
            names: self.names.clone(),
            answers: rows.iter().map(|r| self.answers[*r]).collect(),
            figures: (self.figures.iter())
                .map(|column| rows.iter().map(|r| column[*r]).collect())
                .collect(),
        }
    }

    /// What the same queries get from vectors that say nothing: in the gallery the group that most of its rows, `train`,
    /// have, and among the queries what any order gives on average.
    #[must_use]
    pub fn by_chance(&self, train: &[u32]) -> Self {
        let mut rows: HashMap<u32, usize> = HashMap::new();
        for group in train {
            *rows.entry(*group).or_default() += 1;
        }
        let most = rows
            .iter()
            .max_by_key(|(group, n)| (**n, std::cmp::Reverse(**group)));
        let most = most.map(|(group, _)| *group);
        let others = Others::new(&self.groups);
        let chance = |row: usize, figure: usize| {
            if !self.figures[figure][row].is_finite() {
                return f64::NAN;
            }
            let (right, all) = others.counts(row);
            match figure {
                0 => chance_of_map(right, all),
                1..=3 => chance_of_recall(right, all, DEPTHS[figure - 1]),
                _ => f64::from(Some(self.groups[row]) == most),
            }
        };
        let answer = most.map(|group| Nearest { group, cosine: 0.0 });
        Self {
            answers: vec![answer; self.groups.len()],
            figures: (0..FIGURES.len())
                .map(|figure| {
                    (0..self.groups.len())
                        .map(|row| chance(row, figure))
                        .collect()
                })
                .collect(),
            ..self.clone()
        }
    }
}

/// The group that most of the `neighbours` nearest rows of a gallery have, for each query; `None` where it is empty.
///
/// # Panics
/// When queries and gallery differ in width, or the gallery in vectors and groups.
pub fn nearest(queries: &Matrix, gallery: Grouped, neighbours: usize) -> Vec<Option<Nearest>> {
    assert_eq!(gallery.vectors.rows, gallery.groups.len(), "a group each");
    let shelf = Unit::new(gallery.vectors);
    each(&Unit::new(queries), &[&shelf], &|_, cosines| {
        let near = sorted_top(cosines[0], neighbours, None);
        majority(&near, cosines[0], gallery.groups)
    })
}

/// Mean over orders of `all` rows, `right` of them of the group, that one of the first `k` is of the group.
fn chance_of_recall(right: usize, all: usize, k: usize) -> f64 {
    let missed = (0..k.min(all)).map(|i| {
        let wrong = (all - right).saturating_sub(i);
        wrong as f64 / (all - i) as f64
    });
    1.0 - missed.product::<f64>()
}

/// Mean of `map@r` over orders: row `i` is of the group in `right / all` of them, and each row before it then in
/// `(right - 1) / (all - 1)`.
fn chance_of_map(right: usize, all: usize) -> f64 {
    let (r, n) = (right as f64, all as f64);
    let before = if all > 1 { (r - 1.0) / (n - 1.0) } else { 0.0 };
    let places = (1..=right).map(|i| (1.0 + (i as f64 - 1.0) * before) / i as f64);
    places.sum::<f64>() * (r / n) / r
}

/// What is known of one query.
struct Rated {
    answer: Option<Nearest>,
    figures: [f64; FIGURES.len()],
}

/// The queries among themselves.
struct Others<'a> {
    groups: &'a [u32],
    sizes: HashMap<u32, usize>,
}

impl<'a> Others<'a> {
    fn new(groups: &'a [u32]) -> Self {
        let mut sizes = HashMap::new();
        for group in groups {
            *sizes.entry(*group).or_default() += 1;
        }
        Self { groups, sizes }
    }

    /// Other queries of the query's group, and all others.
    fn counts(&self, query: usize) -> (usize, usize) {
        let own = self.sizes.get(&self.groups[query]).copied();
        (own.unwrap_or(1) - 1, self.groups.len() - 1)
    }

    /// What the cosines of all queries say of one of them.
    fn rate(&self, query: usize, cosines: &[f32]) -> Rated {
        let (right, _) = self.counts(query);
        let deepest = right.max(DEPTHS[DEPTHS.len() - 1]);
        let near = sorted_top(cosines, deepest, Some(query));
        let same = |row: &u32| self.groups[*row as usize] == self.groups[query];
        let mut figures = [f64::NAN; FIGURES.len()];
        if right > 0 {
            let (mut hits, mut sum) = (0.0, 0.0);
            for (i, row) in near.iter().take(right).enumerate() {
                if same(row) {
                    hits += 1.0;
                    sum += hits / (i + 1) as f64;
                }
            }
            figures[0] = sum / right as f64;
            for (figure, depth) in figures[1..].iter_mut().zip(DEPTHS) {
                *figure = f64::from(near.iter().take(depth).any(same));
            }
        }
        let answer = near.first().map(|row| Nearest {
            group: self.groups[*row as usize],
            cosine: cosines[*row as usize],
        });
        Rated { answer, figures }
    }

    /// Adds what the gallery says of the query.
    fn vote(&self, query: usize, (cosines, groups): (&[f32], &[u32]), rated: &mut Rated) {
        let own = self.groups[query];
        if !groups.contains(&own) {
            return;
        }
        let near = sorted_top(cosines, NEIGHBOURS, None);
        let from = FIGURES.len() - VOTERS.len();
        for (figure, voters) in rated.figures[from..].iter_mut().zip(VOTERS) {
            let voters = &near[..voters.min(near.len())];
            rated.answer = majority(voters, cosines, groups);
            *figure = f64::from(rated.answer.is_some_and(|answer| answer.group == own));
        }
    }
}

/// The most frequent group of `near`, which begins with the nearest row.
fn majority(near: &[u32], cosines: &[f32], groups: &[u32]) -> Option<Nearest> {
    let votes = |group: u32| {
        near.iter()
            .filter(|row| groups[**row as usize] == group)
            .count()
    };
    // The last of the largest wins: from the farthest to the nearest.
    let winner = near
        .iter()
        .rev()
        .max_by_key(|row| votes(groups[**row as usize]))?;
    let group = groups[*winner as usize];
    let first = near.iter().find(|row| groups[**row as usize] == group)?;
    Some(Nearest {
        group,
        cosine: cosines[*first as usize],
    })
}

/// The rows of the `most` largest cosines, the largest first, without one row.
fn sorted_top(cosines: &[f32], most: usize, without: Option<usize>) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..cosines.len() as u32).collect();
    if let Some(row) = without {
        rows.remove(row);
    }
    let order = |a: &u32, b: &u32| {
        let by = cosines[*b as usize].total_cmp(&cosines[*a as usize]);
        by.then(a.cmp(b))
    };
    if most < rows.len() && most > 0 {
        rows.select_nth_unstable_by(most - 1, order);
    }
    rows.truncate(most);
    rows.sort_unstable_by(order);
    rows
}

/// Vectors of length 1; those of length 0 stay.
struct Unit {
    width: usize,
    data: Vec<f32>,
}

impl Unit {
    fn new(vectors: &Matrix) -> Self {
        let mut data = vectors.data.clone();
        for row in data.chunks_mut(vectors.cols.max(1)) {
            let length = row
                .iter()
                .map(|v| f64::from(*v).powi(2))
                .sum::<f64>()
                .sqrt();
            if length > 0.0 {
                for value in row {
                    *value = (f64::from(*value) / length) as f32;
                }
            }
        }
        Self {
            width: vectors.cols,
            data,
        }
    }

    fn rows(&self) -> usize {
        self.data.len() / self.width.max(1)
    }

    fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.width..(i + 1) * self.width]
    }
}

/// What `f` makes of each query and its cosines with the rows of every shelf, on all threads. A few queries pass over the
/// rows together, so that a row is read once for all of them.
fn each<R: Send>(
    queries: &Unit,
    shelves: &[&Unit],
    f: &(dyn Fn(usize, &[&[f32]]) -> R + Sync),
) -> Vec<R> {
    let mut found: Vec<Option<R>> = (0..queries.rows()).map(|_| None).collect();
    let share = found.len().div_ceil(threads()).max(1);
    thread::scope(|scope| {
        for (part, filled) in found.chunks_mut(share).enumerate() {
            scope.spawn(move || {
                for (i, block) in filled.chunks_mut(BLOCK).enumerate() {
                    let first = part * share + i * BLOCK;
                    let of = |shelf: &&Unit| cosines(queries, (first, block.len()), shelf);
                    let all: Vec<Vec<f32>> = shelves.iter().map(of).collect();
                    for (at, slot) in block.iter_mut().enumerate() {
                        let own = shelves.iter().zip(&all).map(|(shelf, all)| {
                            let n = shelf.rows();
                            &all[at * n..(at + 1) * n]
                        });
                        *slot = Some(f(first + at, &own.collect::<Vec<_>>()));
                    }
                }
            });
        }
    });
    found.into_iter().flatten().collect()
}

/// Cosines of `size` queries from the `first` on with every row, `[size, rows]`.
fn cosines(queries: &Unit, (first, size): (usize, usize), rows: &Unit) -> Vec<f32> {
    let n = rows.rows();
    assert!(
        n == 0 || rows.width == queries.width,
        "vectors of one width"
    );
    let mut all = vec![0.0; size * n];
    for row in 0..n {
        for query in 0..size {
            all[query * n + row] = dot(queries.row(first + query), rows.row(row));
        }
    }
    all
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    let (heads, others) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = heads.remainder().iter().zip(others.remainder());
    let rest: f32 = rest.map(|(x, y)| x * y).sum();
    for (x, y) in heads.zip(others) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Directions in the plane, in degrees.
    fn directions(degrees: &[f32]) -> Matrix {
        let data = degrees.iter().flat_map(|d| {
            let angle = d.to_radians();
            [3.0 * angle.cos(), 3.0 * angle.sin()]
        });
        Matrix {
            rows: degrees.len(),
            cols: 2,
            data: data.collect(),
        }
    }

    fn figure(of: &Retrieved, name: &str) -> Vec<f64> {
        let at = FIGURES.iter().position(|f| *f == name);
        at.map_or(Vec::new(), |at| of.figures[at].clone())
    }

    #[test]
    fn a_query_is_rated_by_the_others_and_by_the_gallery() {
        let queries = directions(&[0.0, 10.0, 25.0, 90.0]);
        let (a, b, c) = (0, 1, 2);
        let gallery = directions(&[4.0, 20.0, 21.0]);
        let found = Retrieved::new(
            Grouped {
                vectors: &queries,
                groups: &[a, b, a, c],
            },
            Some(Grouped {
                vectors: &gallery,
                groups: &[a, b, b],
            }),
            Vec::new(),
        );
        // The first query sees b, then a; the third likewise.
        assert_eq!(figure(&found, "recall@1")[..1], [0.0]);
        assert_eq!(figure(&found, "recall@5")[..1], [1.0]);
        assert_eq!(figure(&found, "map@r")[..1], [0.0]);
        // No other query is of group b or c, and the gallery has no c.
        assert!(figure(&found, "map@r")[1].is_nan() && figure(&found, "recall@5")[3].is_nan());
        assert_eq!(figure(&found, "knn@1")[..3], [1.0, 0.0, 0.0]);
        assert_eq!(figure(&found, "knn@5")[..3], [0.0, 1.0, 0.0]);
        assert!(figure(&found, "knn@1")[3].is_nan());
        let groups: Vec<_> = found.answers.iter().flatten().map(|n| n.group).collect();
        assert_eq!(groups, [b, b, b, a]);
    }

    #[test]
    fn equal_votes_go_to_the_nearest() {
        let gallery = directions(&[1.0, 2.0, 3.0, 4.0]);
        let groups = [7, 3, 3, 7];
        let grouped = Grouped {
            vectors: &gallery,
            groups: &groups,
        };
        let answer = |neighbours| nearest(&directions(&[0.0]), grouped, neighbours)[0];
        assert_eq!(answer(4).map(|n| n.group), Some(7));
        assert_eq!(answer(3).map(|n| n.group), Some(3));
    }

    #[test]
    fn chance_is_the_mean_over_every_order() {
        // Two of four rows are right: the six ways to place them.
        let ways = [
            [1, 1, 0, 0],
            [1, 0, 1, 0],
            [1, 0, 0, 1],
            [0, 1, 1, 0],
            [0, 1, 0, 1],
            [0, 0, 1, 1],
        ];
        let map = |way: &[i32; 4]| f64::from(way[0]) + f64::from(way[1] * (way[0] + way[1])) / 2.0;
        let mean = |f: &dyn Fn(&[i32; 4]) -> f64| ways.iter().map(f).sum::<f64>() / 6.0;
        assert!((chance_of_map(2, 4) - mean(&|w| map(w) / 2.0)).abs() < 1e-12);
        assert!((chance_of_recall(2, 4, 1) - 0.5).abs() < 1e-12);
        assert!((chance_of_recall(2, 4, 2) - mean(&|w| f64::from(w[0].max(w[1])))).abs() < 1e-12);
        assert_eq!(chance_of_recall(2, 4, 9), 1.0);
    }
}

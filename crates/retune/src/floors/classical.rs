//! TF-IDF features of texts, or colours and edges of pictures, with a linear model: logistic regression for classes and
//! labels, ridge for a number.
//!
//! The cheapest thing that may be good enough: no pre-trained model, seconds of work. Both halves follow scikit-learn
//! (`TfidfVectorizer(sublinear_tf=True)`, `LogisticRegression`, `Ridge`). What counts as a feature and how strong the
//! penalty is are selected on the validation rows.

mod grams;
mod lbfgs;
mod linear;
mod outputs;
mod pixels;
mod sparse;

use std::fmt;

use retune_data::Target;
use retune_data::example::Framed;
use retune_data::processor::{ImageProcessor, Labels};
use retune_eval::Matrix;

use crate::error::Result;
pub use outputs::Outputs;
use outputs::Training;
use sparse::{Sparse, Vocabulary};

pub use grams::Grams;
pub use pixels::FEATURES as PICTURE_FEATURES;

/// Most features, by the number of rows that have them.
const MOST_FEATURES: usize = 200_000;
/// Most weights, features times outputs: bounds the memory of the fit, about 130 bytes each.
const MOST_WEIGHTS: usize = 4_000_000;
/// Rows from which features that one row has are left out.
const MANY_ROWS: usize = 1_000;

/// What the floor is fitted and scored on. A row is its text columns in order.
pub struct Classical<'a> {
    /// Training rows.
    pub train: &'a [Vec<String>],
    /// Their targets.
    pub targets: &'a [Target],
    /// Validation rows.
    pub valid: &'a [Vec<String>],
    /// Test rows.
    pub test: &'a [Vec<String>],
    /// What the outputs stand for.
    pub labels: &'a Labels,
    /// How many settings are tried.
    pub effort: Effort,
}

/// How many settings are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Words and pairs of words, two penalties.
    Fast,
    /// Single words, words and pairs, characters; five penalties each.
    Full,
}

/// One way to set up the floor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// What counts as a feature.
    pub grams: Grams,
    /// A feature is kept that at least this many training rows have (`min_df`).
    pub min_rows: u32,
    /// Inverse strength of the penalty (`C`; ridge's `alpha` is `1 / c`).
    pub c: f64,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, C = {}", self.grams, self.c)
    }
}

/// The answers of the floor.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Test rows: probabilities, or values in the user's units, `[rows, classes | labels | 1]`.
    pub test: Matrix,
    /// Validation rows, likewise.
    pub valid: Matrix,
    /// What was selected.
    pub setting: Setting,
}

impl Effort {
    fn grams(self, train: &[Vec<String>]) -> Vec<Grams> {
        match self {
            Effort::Fast if grams::mostly_unspaced(train) => vec![Grams::Chars],
            Effort::Fast => vec![Grams::Words(2)],
            Effort::Full => vec![Grams::Words(1), Grams::Words(2), Grams::Chars],
        }
    }

    /// Inverse penalties, the strongest penalty first.
    fn grid(self) -> &'static [f64] {
        match self {
            Effort::Fast => &[1.0, 10.0],
            Effort::Full => &[0.01, 0.1, 1.0, 10.0, 100.0],
        }
    }
}

/// Answers of the floor with the best setting; `None` without training rows. `score` turns answers on the validation
/// rows into a number, larger is better; the first setting wins a tie.
pub fn scores(given: &Classical, score: &dyn Fn(&Matrix) -> f64) -> Option<Answers> {
    if given.train.is_empty() {
        return None;
    }
    let mut best: Option<(f64, Answers)> = None;
    for grams in given.effort.grams(given.train) {
        let min_rows = if given.train.len() < MANY_ROWS { 1 } else { 2 };
        let vocabulary = learn(given, grams, min_rows);
        let rows = [given.train, given.valid, given.test].map(|rows| vocabulary.rows(rows));
        let fit = Fit {
            targets: given.targets,
            labels: given.labels,
            grid: given.effort.grid(),
        };
        let Some(found) = fit.best(&rows, score) else {
            continue;
        };
        if best
            .as_ref()
            .is_none_or(|(top, _)| beats(found.score, *top))
        {
            let setting = Setting {
                grams,
                min_rows,
                c: found.c,
            };
            let answers = Answers {
                test: found.test,
                valid: found.valid,
                setting,
            };
            best = Some((found.score, answers));
        }
    }
    best.map(|(_, answers)| answers)
}

/// What the same floor of pictures is fitted and scored on.
pub struct Pictures<'a> {
    /// How they are read.
    pub processor: &'a ImageProcessor,
    /// Training rows.
    pub train: Vec<&'a Framed>,
    /// Their targets.
    pub targets: &'a [Target],
    /// Validation rows.
    pub valid: Vec<&'a Framed>,
    /// Test rows.
    pub test: Vec<&'a Framed>,
    /// What the outputs stand for.
    pub labels: &'a Labels,
    /// How many penalties are tried.
    pub effort: Effort,
}

/// Answers on the test rows of a linear model on colours and edges, with the best penalty, and that penalty; `None`
/// without training rows. See [`scores`].
///
/// # Errors
/// A picture that cannot be read any more.
pub fn picture_scores(
    given: &Pictures,
    score: &dyn Fn(&Matrix) -> f64,
) -> Result<Option<(Matrix, f64)>> {
    if given.train.is_empty() {
        return Ok(None);
    }
    let features = |rows: &[&Framed]| pixels::features(given.processor, rows);
    let train = features(&given.train)?;
    let scaled = pixels::Scaled::learn(&train);
    let rows = [train, features(&given.valid)?, features(&given.test)?];
    let rows = rows.map(|rows| scaled.rows(&rows));
    let fit = Fit {
        targets: given.targets,
        labels: given.labels,
        grid: given.effort.grid(),
    };
    Ok(fit.best(&rows, score).map(|found| (found.test, found.c)))
}

/// The columns of a row that are not zero, with their values, ascending.
pub type Columns = Vec<(u32, f32)>;

/// A linear model on training rows as they are, all as columns and values ascending by column of `cols`; `None` without
/// training rows. See [`scores`].
pub fn linear(
    (cols, sides): (usize, [Vec<Columns>; 3]),
    (targets, labels): (&[Target], &Labels),
    effort: Effort,
    score: &dyn Fn(&Matrix) -> f64,
) -> Option<Found> {
    if targets.is_empty() {
        return None;
    }
    let rows = sides.map(|side| sparse(cols, side));
    let fit = Fit {
        targets,
        labels,
        grid: effort.grid(),
    };
    fit.best(&rows, score)
}

/// Rows as columns and values, ascending by column of `cols`.
pub fn sparse(cols: usize, side: Vec<Columns>) -> Sparse {
    let mut rows = Sparse::with_room(cols, side.iter().map(Vec::len).sum());
    for row in side {
        rows.push(row);
    }
    rows
}

/// Colours and edges of `rows` as vectors, `[rows, features]`, in units of the training rows.
///
/// # Errors
/// A picture that cannot be read any more.
pub fn picture_vectors(
    processor: &ImageProcessor,
    train: &[&Framed],
    rows: &[&Framed],
) -> Result<Matrix> {
    let scaled = pixels::Scaled::learn(&pixels::features(processor, train)?);
    Ok(scaled.dense(&pixels::features(processor, rows)?))
}

/// Whether a score takes the place of the best so far: the first wins a tie, and anything is better than no number.
fn beats(found: f64, top: f64) -> bool {
    found > top || top.is_nan()
}

/// What is fitted, whatever the features.
struct Fit<'a> {
    targets: &'a [Target],
    labels: &'a Labels,
    grid: &'a [f64],
}

/// The linear model with the best penalty.
pub struct Found {
    score: f64,
    /// The larger, the weaker its penalty.
    pub c: f64,
    /// The model.
    pub outputs: Outputs,
    /// Answers to the validation rows.
    pub valid: Matrix,
    /// Answers to the test rows.
    pub test: Matrix,
}

impl Fit<'_> {
    /// The best penalty on the grid, for training, validation and test rows.
    fn best(
        &self,
        [train, valid, test]: &[Sparse; 3],
        score: &dyn Fn(&Matrix) -> f64,
    ) -> Option<Found> {
        let training = Training::new(train, self.targets, self.labels);
        let mut best: Option<Found> = None;
        for &c in self.grid {
            let outputs = training.fit(c);
            let answers = outputs.scores(valid);
            let found = score(&answers);
            if best.as_ref().is_none_or(|top| beats(found, top.score)) {
                best = Some(Found {
                    score: found,
                    c,
                    test: outputs.scores(test),
                    valid: answers,
                    outputs,
                });
            }
        }
        best
    }
}

fn learn(given: &Classical, grams: Grams, min_rows: u32) -> Vocabulary {
    let most = MOST_FEATURES.min(MOST_WEIGHTS / given.labels.outputs().max(1));
    Vocabulary::learn(given.train, grams, min_rows, most)
}

/// Answers on the test rows with a known setting: what out-of-fold predictions need. Validation rows are not used.
pub fn answers(given: &Classical, setting: &Setting) -> Matrix {
    let vocabulary = learn(given, setting.grams, setting.min_rows);
    let train = vocabulary.rows(given.train);
    let training = Training::new(&train, given.targets, given.labels);
    let outputs = training.fit(setting.c);
    outputs.scores(&vocabulary.rows(given.test))
}

#[cfg(test)]
mod tests;

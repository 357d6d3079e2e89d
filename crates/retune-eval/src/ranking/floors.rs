//! Floors: what counting gives, with nothing to train. A recommender has to beat them on the same questions.
//!
//! They are fitted on the events before every question. Their figures on MovieLens are those of the reference
//! implementations named in each file (`crates/retune-eval/tests/movielens.rs`).

mod ease;
mod inverse;
mod popular;
mod successors;

pub use ease::{Absent, Ease, MOST_ITEMS};
pub use popular::{Popular, Recent, WEEK};
pub use successors::{ItemKnn, Markov};

use super::{Past, Scorer};

/// A floor under its name, or why it was left out.
pub type Floor = (&'static str, Result<Box<dyn Scorer>, String>);

/// Fits every floor. `week` is seven days in the unit of the times: [`WEEK`] where they are seconds.
pub fn fit(past: &Past, week: i64) -> Vec<Floor> {
    let ease = match Ease::fit(past) {
        Ok(ease) => Ok(Box::new(ease) as Box<dyn Scorer>),
        Err(absent) => Err(absent.to_string()),
    };
    vec![
        ("popularity", Ok(Box::new(Popular::fit(past)))),
        ("popularity_7_days", Ok(Box::new(Recent::fit(past, week)))),
        ("markov", Ok(Box::new(Markov::fit(past)))),
        ("item_knn", Ok(Box::new(ItemKnn::fit(past)))),
        ("ease", ease),
    ]
}

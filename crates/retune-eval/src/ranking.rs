//! Recommendations to figures: where the item that a user took stands among all items, with intervals over users.
//!
//! `scores [items] ─Answer::of→ Place, list ─evaluate→ RankingFigures`. Every item of the catalogue is ranked: figures
//! among sampled negatives can put models in another order (Krichene & Rendle, "On Sampled Metrics for Item
//! Recommendation", KDD 2020). An item that scores the same as the target counts half, whatever its code, so that no
//! model gains from the order in which a catalogue is numbered. Items are codes from 0 up; times are in one unit
//! throughout, which only [`floors::Recent`] reads.

mod answer;
mod evaluate;
pub mod floors;
mod history;
mod metrics;
mod popularity;
mod record;
#[cfg(test)]
mod tests;
mod verdict;

pub use answer::{Answer, LONGEST, Place, Question, Scorer, Seen, answer_all};
pub use evaluate::{Rated, gain, point, rate};
pub use history::{BadHistory, History, Past};
pub use metrics::{CUTOFFS, RANKING_METRICS, RankingMetric};
pub use popularity::{Band, Popularity};
pub use record::{RankingEvaluated, RankingFigures, RankingSlice, Setting};
pub use verdict::judge;

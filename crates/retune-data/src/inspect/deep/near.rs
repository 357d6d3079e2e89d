//! Near-copies: texts whose sets of five-character pieces have a Jaccard similarity of 0.8 or more.
//!
//! `similarity(a, b) = |a ∩ b| / |a ∪ b|` over the folded texts. Pairs are found by prefix filtering (Chaudhuri, Ganti
//! and Kaushik 2006): with the pieces of every text in one fixed order, texts as similar as `s` share one of their first
//! `n - ⌈s n⌉ + 1` pieces. Rare pieces come first, so that few texts meet. Memory is bounded: texts are compared by
//! their start, and of the texts that share a piece only so many are looked at.

use std::cmp::Reverse;
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use crate::duplicates::Keys;
use crate::error::Result;
use crate::inspect::brief;
use crate::table::Table;

/// Similarity from which two texts are near-copies.
const SIMILAR: f64 = 0.8;
/// Characters of a piece.
const PIECE: usize = 5;
/// Characters of a folded text that are compared.
const COMPARED: usize = 2_000;
/// Texts with fewer pieces are alike by chance.
const FEWEST: usize = 16;
/// Counters of how often pieces occur; pieces may share one, which costs speed only.
const COUNTERS: usize = 1 << 22;
/// Texts with the same piece that are looked at, for each piece.
const MET: usize = 1_000;
/// Texts that are compared in full, those with the most common pieces first.
const CANDIDATES: usize = 20;

/// A row and the most similar row of an earlier side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NearCopy {
    /// Row in the table, and its like in the earlier side.
    pub rows: [usize; 2],
    /// Side of each.
    pub sides: [String; 2],
    /// Place of each: file and line.
    pub places: [String; 2],
    /// Start of the text of each.
    pub texts: [String; 2],
    /// Jaccard similarity, 0.8 to 1.
    pub similarity: f64,
}

/// Rows whose text nearly repeats one of an earlier side, the most similar first. `sides`: name and rows of each,
/// training first. Equal texts have similarity 1.
///
/// # Errors
/// A column of `text` that is not in the table.
pub fn near_duplicates(
    t: &Table,
    text: &[String],
    sides: &[(&str, &[usize])],
) -> Result<Vec<NearCopy>> {
    let keys = Keys::new(t, text)?;
    let search = Search::new(&keys, sides);
    let mut found: Vec<NearCopy> = search
        .nearest()
        .into_iter()
        .map(|(later, earlier, similarity)| {
            let both = [later, earlier].map(|at| search.members[at]);
            let rows = both.map(|member| member.row);
            NearCopy {
                rows,
                sides: both.map(|member| sides[member.side].0.to_string()),
                places: rows.map(|row| t.place(row)),
                texts: rows.map(|row| brief(&keys.raw(row))),
                similarity,
            }
        })
        .collect();
    found.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    Ok(found)
}

/// A row with its side.
#[derive(Debug, Clone, Copy)]
struct Member {
    side: usize,
    row: usize,
    /// The first member of its side; those before it belong to earlier sides.
    first: usize,
}

struct Search<'a> {
    keys: &'a Keys<'a>,
    /// Side by side.
    members: Vec<Member>,
    /// How often pieces occur.
    counts: Vec<AtomicU32>,
    /// Pieces at the head of each member's order, with the member, ascending.
    heads: Vec<(u32, u32)>,
}

impl<'a> Search<'a> {
    fn new(keys: &'a Keys<'a>, sides: &[(&str, &[usize])]) -> Self {
        let mut members = Vec::new();
        for (side, (_, rows)) in sides.iter().enumerate() {
            let first = members.len();
            members.extend(rows.iter().map(|&row| Member { side, row, first }));
        }
        let mut search = Search {
            keys,
            members,
            counts: (0..COUNTERS).map(|_| AtomicU32::new(0)).collect(),
            heads: Vec::new(),
        };
        let all = 0..search.members.len();
        all.clone().into_par_iter().for_each(|at| {
            for piece in search.pieces(at) {
                search.count(piece).fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut heads: Vec<(u32, u32)> = all
            .into_par_iter()
            .flat_map_iter(|at| {
                let head = search.head(&search.pieces(at));
                head.into_iter().map(move |piece| (piece, at as u32))
            })
            .collect();
        heads.par_sort_unstable();
        search.heads = heads;
        search
    }

    fn count(&self, piece: u32) -> &AtomicU32 {
        &self.counts[piece as usize % COUNTERS]
    }

    /// Hashes of the different pieces of a member, ascending; none for a text too short to tell.
    fn pieces(&self, at: usize) -> Vec<u32> {
        let text = self.keys.key(self.members[at].row).unwrap_or_default();
        let chars: Vec<char> = text.chars().take(COMPARED).collect();
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut pieces: Vec<u32> = chars
            .windows(PIECE)
            .map(|piece| hasher.hash_one(piece) as u32)
            .collect();
        pieces.sort_unstable();
        pieces.dedup();
        if pieces.len() < FEWEST {
            pieces.clear();
        }
        pieces
    }

    /// The first pieces in the common order, one of which every similar text shares.
    fn head(&self, pieces: &[u32]) -> Vec<u32> {
        let mut ordered = pieces.to_vec();
        ordered.sort_unstable_by_key(|&p| (self.count(p).load(Ordering::Relaxed), p));
        let common = (SIMILAR * pieces.len() as f64).ceil() as usize;
        ordered.truncate((pieces.len() + 1 - common).min(pieces.len()));
        ordered
    }

    /// Every member that has a near-copy in an earlier side: itself, the most similar one, and their similarity.
    fn nearest(&self) -> Vec<(usize, usize, f64)> {
        (0..self.members.len())
            .into_par_iter()
            .filter(|&at| self.members[at].first > 0)
            .filter_map(|at| {
                let own = self.pieces(at);
                let compared = self.candidates(at, &own).into_iter();
                let similar = compared
                    .map(|other| (at, other, jaccard(&own, &self.pieces(other))))
                    .filter(|found| found.2 >= SIMILAR);
                // The first one on ties: `max_by` would take the last.
                similar.reduce(|best, next| if next.2 > best.2 { next } else { best })
            })
            .collect()
    }

    /// Members of earlier sides that share a head piece, those that share most first.
    fn candidates(&self, at: usize, pieces: &[u32]) -> Vec<usize> {
        let first = self.members[at].first as u32;
        let mut met: Vec<u32> = Vec::new();
        for piece in self.head(pieces) {
            let from = self.heads.partition_point(|head| head.0 < piece);
            let same = self.heads[from..].iter();
            let earlier = same.take_while(|head| head.0 == piece && head.1 < first);
            met.extend(earlier.take(MET).map(|head| head.1));
        }
        met.sort_unstable();
        let mut counted: Vec<(usize, u32)> = met
            .chunk_by(|a, b| a == b)
            .map(|same| (same.len(), same[0]))
            .collect();
        counted.sort_unstable_by_key(|&(shared, other)| (Reverse(shared), other));
        counted.truncate(CANDIDATES);
        counted.into_iter().map(|c| c.1 as usize).collect()
    }
}

/// Shared over all, of two ascending lists without repeats.
fn jaccard(a: &[u32], b: &[u32]) -> f64 {
    let shared = a.iter().filter(|piece| b.binary_search(piece).is_ok());
    let shared = shared.count();
    shared as f64 / (a.len() + b.len() - shared).max(1) as f64
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::table::{Column, RowOrigin, Values};

    fn table(texts: &[String]) -> Table {
        Table {
            columns: vec![Column {
                name: "text".to_string(),
                values: Values::Text(texts.iter().cloned().map(Some).collect()),
            }],
            origin: (0..texts.len())
                .map(|i| RowOrigin {
                    file: 0,
                    line: i as u64 + 2,
                })
                .collect(),
            files: vec!["t.csv".into()],
            notes: Vec::new(),
        }
    }

    fn find(texts: &[String], train: usize) -> Vec<NearCopy> {
        let rows: Vec<usize> = (0..texts.len()).collect();
        let sides = [("train", &rows[..train]), ("test", &rows[train..])];
        near_duplicates(&table(texts), &["text".to_string()], &sides).unwrap()
    }

    fn sentences(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| (*t).to_string()).collect()
    }

    #[test]
    fn a_changed_copy_is_found_with_its_places() {
        let texts = sentences(&[
            "The music is loud and the story goes nowhere at all.",
            "A quiet film about a lighthouse keeper and his two daughters, told with patience.",
            "Something about dragons, castles and a very long war in the north.",
            "A quiet film about a lighthouse keeper and his three daughters, told with patience!",
            "An entirely different sentence that has nothing in common with them.",
        ]);
        let found = find(&texts, 3);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].rows, [3, 1]);
        assert_eq!(found[0].sides, ["test", "train"]);
        assert_eq!(found[0].places, ["t.csv, line 5", "t.csv, line 3"]);
        assert!((0.8..1.0).contains(&found[0].similarity));
    }

    #[test]
    fn copies_within_a_side_and_short_texts_are_left_alone() {
        let long = "A quiet film about a lighthouse keeper and his two daughters";
        assert!(find(&sentences(&[long, long, "fine", "fine"]), 3).is_empty());
        assert_eq!(
            find(&sentences(&[long, "fine", long]), 2)[0].similarity,
            1.0
        );
    }

    /// Against the similarity of all pairs, on texts made of few words so that many are near one another.
    #[test]
    fn nothing_is_missed() {
        let words = [
            "lighthouse",
            "keeper",
            "daughters",
            "patience",
            "war",
            "north",
        ];
        let text = |seed: u64| {
            let word = |i: u64| {
                let at = if i % 7 == seed % 7 { seed / 7 + i } else { i };
                words[at as usize % words.len()]
            };
            (0..14).map(word).collect::<Vec<_>>().join(" ")
        };
        let texts: Vec<String> = (0..60).map(text).collect();
        let found: Vec<usize> = find(&texts, 30).iter().map(|f| f.rows[0]).collect();
        let t = table(&texts);
        let keys = Keys::new(&t, &["text".to_string()]).unwrap();
        let rows: Vec<usize> = (0..60).collect();
        let search = Search::new(&keys, &[("all", &rows)]);
        let near = |a: usize, b: usize| jaccard(&search.pieces(a), &search.pieces(b)) >= SIMILAR;
        let expected = (30..60).filter(|&b| (0..30).any(|a| near(a, b)));
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected.collect::<Vec<_>>());
        assert!((5..30).contains(&sorted.len()), "{sorted:?}");
    }
}

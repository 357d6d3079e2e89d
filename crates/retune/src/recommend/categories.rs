//! Categories of items as inputs of their own, beside what a text encoder makes of their names.
//!
//! An encoder knows what `comedy` means and not what `group 4711` does. Each value that several items share gets a vector
//! that begins as zero; an item's vector gets, for each of its columns, the mean of those of its values ("LightFM", Kula,
//! arXiv:1507.08439, which sums them). They are content: an item that nobody has taken yet has them, too.

use std::collections::HashMap;

use burn::tensor::{Tensor, TensorData};
use retune_data::interactions::catalogue::Catalogue;
use serde::{Deserialize, Serialize};

use crate::scoring::cpu;

/// Values at most, the most frequent ones: about as many as a text's vector is wide.
const MOST: usize = 384;
/// Items that share a value at least. What one item has alone tells nothing of others.
const LEAST_ITEMS: usize = 2;

/// A value of a column of categories.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Value {
    /// Name of the column.
    pub column: String,
    /// What is in it.
    pub value: String,
}

/// The values that a model tells apart, by row of their vectors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Vocabulary(Vec<Value>);

impl Vocabulary {
    /// The values that several of these items share, column by column.
    pub fn of(items: &Catalogue) -> Self {
        let mut counted: Vec<(usize, Value)> = Vec::new();
        for category in &items.categories {
            let mut counts = vec![0_usize; category.values.len()];
            for item in 0..items.len() {
                let mut own = category.of(item).to_vec();
                own.sort_unstable();
                own.dedup();
                for code in own {
                    counts[code as usize] += 1;
                }
            }
            let each = counts.into_iter().zip(&category.values);
            counted.extend(each.map(|(count, value)| {
                let column = category.name.clone();
                let value = value.clone();
                (count, Value { column, value })
            }));
        }
        counted.retain(|(count, _)| *count >= LEAST_ITEMS);
        counted.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        counted.truncate(MOST);
        let mut values: Vec<Value> = counted.into_iter().map(|(_, value)| value).collect();
        values.sort();
        Self(values)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.0.chunk_by(|a, b| a.column == b.column).count()
    }

    fn rows(&self) -> HashMap<(&str, &str), usize> {
        let named = self.0.iter().zip(0..);
        named
            .map(|(v, row)| ((v.column.as_str(), v.value.as_str()), row))
            .collect()
    }

    /// How much of each value each item has, `[items, values]`: the values of one column that are known share 1.
    pub fn shares(&self, items: &Catalogue, train: bool) -> Tensor<2> {
        let rows = self.rows();
        let mut shares = vec![0f32; items.len() * self.len()];
        for category in &items.categories {
            let names = category.values.iter();
            let known: Vec<Option<&usize>> = names
                .map(|value| rows.get(&(category.name.as_str(), value.as_str())))
                .collect();
            for (item, shares) in shares.chunks_exact_mut(self.len().max(1)).enumerate() {
                let own = category.of(item).iter();
                let own: Vec<usize> = own
                    .filter_map(|code| known[*code as usize].copied())
                    .collect();
                for row in &own {
                    shares[*row] += 1.0 / own.len() as f32;
                }
            }
        }
        Tensor::from_data(
            TensorData::new(shares, [items.len(), self.len()]),
            &cpu(train),
        )
    }

    /// Vectors of these values, `[values, width]`: those that `before` knows keep theirs, the others begin as zero.
    pub fn carried(&self, (before, vectors): (&Self, &[f32]), width: usize) -> Vec<f32> {
        let rows = before.rows();
        let mut all = vec![0f32; self.len() * width];
        for (vector, value) in all.chunks_exact_mut(width).zip(&self.0) {
            if let Some(row) = rows.get(&(value.column.as_str(), value.value.as_str())) {
                vector.copy_from_slice(&vectors[row * width..][..width]);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use retune_data::interactions::catalogue::CatalogueRequest;

    use super::*;
    use crate::scoring::to_host;

    fn catalogue(text: &str) -> Catalogue {
        let file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
        std::fs::write(file.path(), text).unwrap();
        let request = CatalogueRequest {
            text: vec!["title".to_string()],
            categories: vec!["maker".to_string(), "genre".to_string()],
            ..CatalogueRequest::default()
        };
        Catalogue::read(file.path(), &request, &[]).unwrap()
    }

    #[test]
    fn values_of_several_items_are_told_apart_and_those_of_a_column_share_1() {
        let items =
            "item_id,title,maker,genre\na,A,one,war|love\nb,B,one,love\nc,C,two,war|odd\nd,D,,\n";
        let items = catalogue(items);
        let known = Vocabulary::of(&items);
        let names: Vec<(&str, &str)> = known
            .0
            .iter()
            .map(|v| (v.column.as_str(), v.value.as_str()))
            .collect();
        assert_eq!(
            names,
            [("genre", "love"), ("genre", "war"), ("maker", "one")]
        );
        assert_eq!((known.len(), known.columns()), (3, 2));
        let shares = to_host(known.shares(&items, false));
        assert_eq!(shares, [0.5, 0.5, 1., 1., 0., 1., 0., 1., 0., 0., 0., 0.]);
    }

    #[test]
    fn values_that_were_known_keep_their_vectors() {
        let value = |column: &str, value: &str| Value {
            column: column.to_string(),
            value: value.to_string(),
        };
        let before = Vocabulary(vec![value("genre", "love"), value("genre", "war")]);
        let now = Vocabulary(vec![value("genre", "war"), value("tag", "love")]);
        let vectors = now.carried((&before, &[1., 2., 3., 4.]), 2);
        assert_eq!(vectors, [3., 4., 0., 0.]);
    }
}

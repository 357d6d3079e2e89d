//! Whether a file whose purpose nobody has named holds interactions.

use std::path::Path;

use super::columns::tell_interactions;
use crate::read::{ReadOptions, header};

/// Formats whose first line names the columns.
const FORMATS: &[&str] = &["csv", "tsv", "inter", "dat", "txt"];
/// What MovieLens writes between the fields of its files, which name no columns, and how many those of ratings have.
const COLONS: &str = "::";
const RATED: usize = 4;

/// Whether the first line of a delimited file names a user, an item and a time, and nothing that reads like a text or a
/// label: such rows say who took what when. No more than that line is looked at.
pub fn likely(path: &Path, options: &ReadOptions) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    if !path.is_file() || !ending.is_some_and(|e| FORMATS.contains(&e.as_str())) {
        return false;
    }
    let Some((line, names)) = header(path, options) else {
        return false;
    };
    if line.contains(COLONS) {
        return line.split(COLONS).count() == RATED;
    }
    // RecBole writes the type of a column behind its name: `user_id:token`.
    let plain = names
        .iter()
        .map(|name| name.split(':').next().unwrap_or_default());
    tell_interactions(&plain.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn users_items_and_times_are_interactions_and_other_tables_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let holds = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            likely(&path, &ReadOptions::default())
        };
        assert!(holds(
            "ratings.csv",
            "userId,movieId,rating,timestamp\n1,2,3.5,4\n"
        ));
        assert!(holds(
            "a.inter",
            "user_id:token\titem_id:token\ttimestamp:float\n1\t2\t3\n"
        ));
        assert!(!holds("reviews.csv", "user_id,text,label\n1,good,pos\n"));
        // Reviews of products: a text and a label stand beside who wrote about what and when.
        let rated = "user_id,product_id,timestamp,review_text,label\n1,2,3,good,pos\n";
        assert!(!holds("rated.csv", rated));
        assert!(!holds(
            "orders.csv",
            "customer_id,amount,date,fraud\n1,2,2024-05-31,0\n"
        ));
        assert!(holds("ratings.dat", "1::1193::5::978300760\n"));
        assert!(!holds("movies.dat", "1::Toy Story (1995)::Animation\n"));
        assert!(!holds("notes.txt", "what a lovely film\n"));
    }
}

//! Whether a file whose purpose nobody has named holds interactions.

use std::path::Path;

use super::columns::ITEMS;
use super::source::Source;
use crate::read::ReadOptions;

const USERS: &[&str] = &[
    "user_id",
    "user",
    "userid",
    "uid",
    "customer_id",
    "customerid",
    "visitor_id",
    "visitorid",
    "member_id",
    "reviewer_id",
];
const TIMES: &[&str] = &[
    "timestamp",
    "time",
    "ts",
    "datetime",
    "date",
    "event_time",
    "unix_review_time",
];
/// Formats whose first line names the columns, so that telling costs next to nothing.
const FORMATS: &[&str] = &["csv", "tsv", "inter", "dat", "txt"];

/// Whether the columns of a delimited file are named as a user, an item and a time: such rows say who took what when, and
/// a label to learn from them would have to be named.
pub fn likely(path: &Path, options: &ReadOptions) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    if !path.is_file() || !ending.is_some_and(|e| FORMATS.contains(&e.as_str())) {
        return false;
    }
    let Ok(source) = Source::open(path, options) else {
        return false;
    };
    let named = |known: &[&str]| {
        let mut names = source.names.iter().map(|name| name.trim().to_lowercase());
        names.any(|name| {
            known.contains(&name.as_str()) || known.contains(&name.replace("id", "_id").as_str())
        })
    };
    named(USERS) && named(ITEMS) && named(TIMES)
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
        assert!(!holds(
            "orders.csv",
            "customer_id,amount,date,fraud\n1,2,2024-05-31,0\n"
        ));
        assert!(!holds("notes.txt", "what a lovely film\n"));
    }
}

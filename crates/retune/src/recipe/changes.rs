//! What differs between two recipes, key by key.

use std::collections::BTreeMap;
use std::fmt;

use super::Recipe;

/// A key that two recipes set differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name, as in `train.lr`.
    pub key: String,
    /// Value in the one, as a recipe spells it; `-` where it is not set.
    pub then: String,
    /// Value in the other.
    pub now: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} then, {} now", self.key, self.then, self.now)
    }
}

impl Recipe {
    /// The keys that `now` sets differently, those of this recipe first.
    pub fn changes(&self, now: &Self) -> Vec<Change> {
        let (then, now) = (keys(self), keys(now));
        let added = now.keys().filter(|key| !then.contains_key(*key));
        let names = then.keys().chain(added);
        let show =
            |of: &BTreeMap<String, String>, key: &str| of.get(key).map_or("-", |v| v).to_string();
        let changed = names.filter(|key| then.get(*key) != now.get(*key));
        let change = |key: &String| Change {
            key: key.clone(),
            then: show(&then, key),
            now: show(&now, key),
        };
        changed.map(change).collect()
    }
}

fn keys(recipe: &Recipe) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let table = toml::Table::try_from(recipe).unwrap_or_default();
    flatten("", &toml::Value::Table(table), &mut found);
    found
}

fn flatten(at: &str, value: &toml::Value, found: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let at = if at.is_empty() {
                    key.clone()
                } else {
                    format!("{at}.{key}")
                };
                flatten(&at, value, found);
            }
        }
        other => {
            found.insert(at.to_string(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_are_named_with_both_values() {
        let one = Recipe::default();
        let mut other = Recipe::default();
        assert!(one.changes(&other).is_empty());
        other.seed = 7;
        other.train.lr = Some(0.5);
        let found: Vec<String> = one.changes(&other).iter().map(Change::to_string).collect();
        assert_eq!(found, ["seed: 42 then, 7 now", "train.lr: - then, 0.5 now"]);
    }
}

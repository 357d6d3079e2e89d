//! What a user should know about a division: classes that a side lacks, labels of mixed types, rows without text.

use crate::table::{list_names, parse_number};

/// Names listed in one note; the rest is counted.
const SHOWN: usize = 5;

/// Rows of each class on each side, in the order of `names`.
pub(super) struct Counts<'a> {
    pub names: &'a [String],
    pub train: Vec<usize>,
    pub valid: Vec<usize>,
    pub test: Vec<usize>,
}

impl Counts<'_> {
    /// One note per kind of trouble, however many classes have it.
    pub fn notes(&self) -> Vec<String> {
        let has_test = self.test.iter().any(|&n| n > 0);
        let mut untaught = Vec::new();
        let mut single = Vec::new();
        let mut untested = Vec::new();
        for (i, name) in self.names.iter().enumerate() {
            let elsewhere = self.valid[i] + self.test[i];
            match self.train[i] {
                0 if elsewhere > 0 => untaught.push(name.as_str()),
                1 if elsewhere == 0 => single.push(name.as_str()),
                _ if has_test && self.test[i] == 0 => untested.push(name.as_str()),
                _ => {}
            }
        }
        let kinds = [
            (untaught, "no training row and can never be predicted"),
            (single, "one row only, which trains: nothing tests it"),
            (untested, "no test row"),
        ];
        kinds
            .into_iter()
            .filter(|(names, _)| !names.is_empty())
            .map(|(names, what)| match names.as_slice() {
                [only] => format!("class `{only}` has {what}"),
                many if many.len() <= SHOWN => format!("classes {} have {what}", list_names(many)),
                many => format!(
                    "{} of {} classes have {what}, such as {}",
                    many.len(),
                    self.names.len(),
                    list_names(&many[..SHOWN])
                ),
            })
            .collect()
    }
}

/// A note where some classes are numbers and others words: often a stray cell, not a class.
pub(crate) fn mixed(column: &str, classes: &[String]) -> Option<String> {
    let (numbers, words): (Vec<&str>, Vec<&str>) = classes
        .iter()
        .map(String::as_str)
        .partition(|n| parse_number(n).is_some());
    let (number, word) = (numbers.first()?, words.first()?);
    Some(format!(
        "column `{column}` mixes numbers and words (`{number}`, `{word}`): each is a class of its own"
    ))
}

/// A note where rows have a label and no text: they teach the shares of the classes and nothing else.
pub(super) fn without_text(empty: usize, rows: usize) -> Option<String> {
    (empty > 0).then(|| {
        format!("{empty} of {rows} rows have no text and are used as they are; remove them if that is an accident")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("c{i}")).collect()
    }

    #[test]
    fn a_trouble_of_many_classes_is_one_note() {
        let names = names(9);
        let counts = Counts {
            names: &names,
            train: vec![1, 1, 1, 1, 1, 1, 1, 0, 5],
            valid: vec![0; 9],
            test: vec![0, 0, 0, 0, 0, 0, 0, 1, 2],
        };
        assert_eq!(
            counts.notes(),
            [
                "class `c7` has no training row and can never be predicted",
                "7 of 9 classes have one row only, which trains: nothing tests it, such as `c0`, `c1`, `c2`, `c3`, `c4`",
            ]
        );
    }

    #[test]
    fn without_a_test_side_no_class_lacks_one() {
        let names = names(2);
        let counts = Counts {
            names: &names,
            train: vec![3, 3],
            valid: vec![1, 1],
            test: vec![0, 0],
        };
        assert_eq!(counts.notes(), Vec::<String>::new());
    }

    #[test]
    fn mixed_labels_are_told() {
        let of = |all: &[&str]| {
            mixed(
                "y",
                &all.iter().map(|s| (*s).to_string()).collect::<Vec<_>>(),
            )
        };
        assert!(of(&["3", "pos"]).is_some_and(|n| n.contains("`3`, `pos`")));
        assert_eq!(of(&["neg", "pos"]), None);
        assert_eq!(of(&["1", "2.5"]), None);
    }
}

//! Texts as counted n-grams, cut as scikit-learn's `TfidfVectorizer` cuts them after lower-casing.
//!
//! An n-gram is known by a 64-bit hash of its characters (FNV-1a), so that millions of them can be counted without
//! being stored. Unlike Python's `\w`, the vowel signs of Indic scripts are part of a word here.

use std::fmt;

/// Shortest and longest run of characters in [`Grams::Chars`].
const CHARS: std::ops::RangeInclusive<usize> = 2..=5;
/// Rows looked at to tell the script of a data set.
const LOOKED_AT: usize = 1_000;

/// FNV-1a (Fowler, Noll and Vo): start value and prime for 64 bits.
pub const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// Goes on with the hash `state` over further bytes.
pub fn hash(state: u64, bytes: &[u8]) -> u64 {
    let step = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(PRIME);
    bytes.iter().fold(state, step)
}

/// What counts as a feature of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grams {
    /// One to this many words in a row; a word has two or more letters, digits or underscores.
    Words(usize),
    /// Two to five characters in a row, inside a word and the space before and after it: `char_wb` of scikit-learn.
    Chars,
}

impl fmt::Display for Grams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grams::Words(1) => write!(f, "single words"),
            Grams::Words(most) => write!(f, "1 to {most} words in a row"),
            Grams::Chars => write!(f, "{} to {} characters", CHARS.start(), CHARS.end()),
        }
    }
}

impl Grams {
    /// The n-grams of a row's text columns with how often each occurs, ascending by hash. Equal n-grams of two
    /// columns differ. Of each column only the first `limit` are read.
    pub fn count(self, row: &[String], limit: usize) -> Vec<(u64, u32)> {
        let mut found = Vec::new();
        for (column, text) in row.iter().enumerate() {
            let mark = [0x1f].repeat(column);
            let seed = hash(BASIS, &mark);
            let mut grams = match self {
                Grams::Words(most) => words(&text.to_lowercase(), most, seed, limit),
                Grams::Chars => chars(&text.to_lowercase(), seed, limit),
            };
            grams.truncate(limit);
            found.append(&mut grams);
        }
        found.sort_unstable();
        found
            .chunk_by(|a, b| a == b)
            .map(|same| (same[0], same.len() as u32))
            .collect()
    }
}

fn words(text: &str, most: usize, seed: u64, limit: usize) -> Vec<u64> {
    let words: Vec<&str> = text
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.chars().nth(1).is_some())
        .collect();
    let mut found = Vec::new();
    for end in 1..=words.len() {
        for start in end.saturating_sub(most)..end {
            let first = hash(seed, words[start].as_bytes());
            let join = |state, word: &&str| hash(hash(state, b" "), word.as_bytes());
            found.push(words[start + 1..end].iter().fold(first, join));
        }
        if found.len() >= limit {
            break;
        }
    }
    found
}

fn chars(text: &str, seed: u64, limit: usize) -> Vec<u64> {
    let mut found = Vec::new();
    for word in text.split_whitespace() {
        let padded: Vec<char> = format!(" {word} ").chars().collect();
        for start in 0..padded.len() {
            let mut state = seed;
            for (before, c) in padded[start..].iter().take(*CHARS.end()).enumerate() {
                state = hash(state, c.encode_utf8(&mut [0; 4]).as_bytes());
                if CHARS.contains(&(before + 1)) {
                    found.push(state);
                }
            }
        }
        if found.len() >= limit {
            break;
        }
    }
    found
}

/// Whether most letters belong to scripts that put no space between words: a "word" is then a whole clause.
pub fn mostly_unspaced(rows: &[Vec<String>]) -> bool {
    let letters = rows
        .iter()
        .take(LOOKED_AT)
        .flatten()
        .flat_map(|text| text.chars().take(LOOKED_AT))
        .filter(|c| c.is_alphabetic());
    let (unspaced, all) = letters.fold((0usize, 0usize), |(unspaced, all), c| {
        (unspaced + usize::from(is_unspaced(c)), all + 1)
    });
    unspaced * 2 > all
}

/// Thai, Lao, Burmese, Khmer, Japanese kana, Chinese characters.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2fa1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grams(grams: Grams, text: &str) -> Vec<(u64, u32)> {
        grams.count(&[text.to_string()], usize::MAX)
    }

    fn expected(grams: &[(&str, u32)]) -> Vec<(u64, u32)> {
        let known = |(text, n): &(&str, u32)| (hash(BASIS, text.as_bytes()), *n);
        let mut all: Vec<(u64, u32)> = grams.iter().map(known).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn words_have_two_letters_and_stand_alone_and_in_pairs() {
        assert_eq!(
            grams(Grams::Words(2), "Good, a GOOD film_1!"),
            expected(&[
                ("good", 2),
                ("good good", 1),
                ("film_1", 1),
                ("good film_1", 1)
            ])
        );
        assert_eq!(grams(Grams::Words(1), " a . "), []);
    }

    #[test]
    fn characters_stay_within_a_word_and_its_spaces() {
        assert_eq!(
            grams(Grams::Chars, "ab c"),
            expected(&[
                (" a", 1),
                (" ab", 1),
                (" ab ", 1),
                ("ab", 1),
                ("ab ", 1),
                ("b ", 1),
                (" c", 1),
                (" c ", 1),
                ("c ", 1)
            ])
        );
    }

    #[test]
    fn the_same_word_of_two_columns_is_two_features() {
        let [left, right] = [["fine", ""], ["", "fine"]].map(|row| row.map(str::to_string));
        assert_ne!(
            Grams::Words(1).count(&left, 9),
            Grams::Words(1).count(&right, 9)
        );
    }

    #[test]
    fn long_texts_are_read_up_to_the_limit() {
        let text = "one two three four".to_string();
        assert_eq!(
            Grams::Words(2).count(std::slice::from_ref(&text), 3).len(),
            3
        );
        assert_eq!(Grams::Chars.count(&[text], 7).len(), 7);
    }

    #[test]
    fn scripts_without_spaces_are_told() {
        let told = |text: &str| mostly_unspaced(&[vec![text.to_string()]]);
        assert!(told("这部电影非常好看") && told("とても面白い映画"));
        assert!(!told("Очень хороший фильм") && !told("a fine film") && !told(""));
    }
}

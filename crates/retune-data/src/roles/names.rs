//! Names that columns usually have, and how telling they are.

/// Names of text columns, the more telling first.
pub(super) const TEXT_NAMES: [&str; 32] = [
    "text",
    "sentence",
    "review",
    "content",
    "comment",
    "body",
    "tweet",
    "message",
    "utterance",
    "document",
    "review_text",
    "reviewtext",
    "full_text",
    "raw_text",
    "clean_text",
    "comment_text",
    "article",
    "post",
    "sms",
    "email",
    "abstract",
    "description",
    "question",
    "query",
    "headline",
    "title",
    "phrase",
    "input",
    "kommentar",
    "nachricht",
    "texto",
    "texte",
];

/// Whether a plain name is usual for a text or a label.
pub(crate) fn tells_text_or_label(name: &str) -> bool {
    TEXT_NAMES.contains(&name) || tier(name) < UNTOLD
}

/// Names of label columns in three tiers, the more telling first. Names of single traits (toxic, spam) are in
/// none: files often have one column for each, and then none of them is the label.
pub(super) const LABEL_NAMES: [&[&str]; 3] = [
    &[
        "label",
        "labels",
        "class",
        "target",
        "targets",
        "category",
        "y",
        "gold",
        "gold_label",
        "ground_truth",
        "klasse",
        "kategorie",
        "clase",
        "etiqueta",
        "classe",
    ],
    &[
        "sentiment",
        "rating",
        "score",
        "stars",
        "intent",
        "topic",
        "emotion",
        "categories",
        "overall",
        "polarity",
        "star_rating",
        "similarity",
        "output",
        "bewertung",
        "sentimiento",
    ],
    &[
        "genre",
        "genres",
        "tags",
        "language",
        "spam",
        "is_spam",
        "department",
        "abteilung",
        "thema",
    ],
];

/// Names of columns that form a pair of texts.
pub(super) const PAIRS: [(&str, &str); 12] = [
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("sentence_a", "sentence_b"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_1", "text_2"),
    ("text_a", "text_b"),
    ("question", "answer"),
    ("question", "sentence"),
    ("query", "passage"),
    ("query", "document"),
];

/// A column's name in one spelling: lower case, words joined by underscores.
pub(crate) fn plain(name: &str) -> String {
    let mut out = String::new();
    let mut last_lower = false;
    for c in name.trim().chars() {
        if c.is_uppercase() && last_lower {
            out.push('_');
        }
        last_lower = c.is_lowercase() || c.is_ascii_digit();
        out.extend(if c.is_alphanumeric() {
            c.to_lowercase().next()
        } else {
            Some('_')
        });
    }
    out
}

/// Words in names of columns that say whom or what several rows belong to.
const OWNERS: [&str; 11] = [
    "user", "author", "patient", "customer", "subject", "speaker", "site", "hospital", "session",
    "thread", "kunde",
];

/// Words that say that a name is about somebody or something itself, as in `customer_id` or `account_from`.
const ITSELF: [&str; 17] = [
    "id", "ids", "number", "no", "nr", "num", "nummer", "key", "code", "hash", "token", "uuid",
    "ref", "name", "address", "from", "to",
];

/// Whether a column's name says that it holds the owner of several rows.
pub(super) fn is_owner(name: &str) -> bool {
    whom(name, &OWNERS).is_some()
}

/// Which of `words` a column's name says that it holds. What is known about one, as `customer_age`, is not that one.
pub(crate) fn whom(name: &str, words: &[&str]) -> Option<usize> {
    let name = plain(name);
    let about = |word: &&str| {
        !word.is_empty() && !ITSELF.contains(word) && !word.bytes().all(|b| b.is_ascii_digit())
    };
    let last = name.rsplit('_').find(about)?;
    let joined = name.replace('_', "");
    let one =
        |word: &&str| *word == last || last.strip_suffix("id") == Some(word) || *word == joined;
    words.iter().position(one)
}

/// A name that says nothing about labels.
pub(super) const UNTOLD: usize = 4;

/// How telling a name is for a label: 0 to 2 for known names (2 also for names that end in one), 3 for names that
/// contain one, [`UNTOLD`] for others.
pub(super) fn tier(name: &str) -> usize {
    let name = plain(name);
    if let Some(tier) = LABEL_NAMES
        .iter()
        .position(|names| names.contains(&name.as_str()))
    {
        return tier;
    }
    let known = |word: &str| LABEL_NAMES[..2].iter().any(|names| names.contains(&word));
    let mut words = name.rsplit('_');
    match words.next() {
        Some(last) if known(last) => 2,
        _ if words.any(known) => 3,
        _ => UNTOLD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_about_somebody_is_not_somebody() {
        let words = ["customer", "card", "account", "nameorig"];
        let named = |name: &str| whom(name, &words).map(|at| words[at]);
        for (name, wanted) in [
            ("customer_id", Some("customer")),
            ("CustomerID", Some("customer")),
            ("customerid", Some("customer")),
            ("Card Number", Some("card")),
            ("card_2", Some("card")),
            ("account_to", Some("account")),
            ("sender_account", Some("account")),
            ("nameOrig", Some("nameorig")),
            ("customer_age", None),
            ("card_type", None),
            ("days_since_account_opened", None),
            ("id", None),
            ("", None),
        ] {
            assert_eq!(named(name), wanted, "{name}");
        }
    }
}

//! How a delimited file uses double quotes: properly, with backslashes, as plain characters, or brokenly.
//!
//! A quote opens a quoted field only at the start of a field. In a proper file it closes before a delimiter or a
//! line end, and a quote inside is doubled. Tab-separated dumps often contain quotes that mean nothing, and a
//! reader that takes them for quoting would silently swallow rows.

/// What the quotes of a file are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    /// Every quoted field is well formed.
    Proper,
    /// A quoted field goes on after its closing quote.
    Stray {
        /// Offset of the opening quote.
        open: usize,
        /// Whether the quoted part runs over a line end, so that rows would be merged.
        over_lines: bool,
    },
    /// A quoted field is never closed; the offset is that of its opening quote.
    Unclosed(usize),
}

/// Walks over the whole text once. With `escape`, a backslash protects the next character inside quotes.
pub(super) fn survey(text: &[u8], delimiter: u8, escape: bool) -> Quotes {
    let mut stray: Option<(usize, bool)> = None;
    let mut at_start = true;
    let mut i = 0;
    while i < text.len() {
        let b = text[i];
        if at_start && b == b'"' {
            let Some(close) = closing(text, i + 1, escape) else {
                return Quotes::Unclosed(i);
            };
            let next = text.get(close + 1);
            if next.is_some_and(|&n| n != delimiter && n != b'\n' && n != b'\r') {
                let over_lines = text[i..close].contains(&b'\n');
                if stray.is_none_or(|(_, known)| over_lines && !known) {
                    stray = Some((i, over_lines));
                }
            }
            i = close + 1;
            at_start = false;
            continue;
        }
        at_start = b == delimiter || b == b'\n' || b == b'\r';
        i += 1;
    }
    match stray {
        None => Quotes::Proper,
        Some((open, over_lines)) => Quotes::Stray { open, over_lines },
    }
}

/// Position of the quote that closes a field whose content starts at `i`.
fn closing(text: &[u8], mut i: usize, escape: bool) -> Option<usize> {
    while i < text.len() {
        match text[i] {
            b'\\' if escape => i += 2,
            b'"' if text.get(i + 1) == Some(&b'"') => i += 2,
            b'"' => return Some(i),
            _ => i += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_told_from_plain_quotes() {
        assert_eq!(
            survey(b"a,\"b, \"\"c\"\"\"\n\"d\ne\",f", b',', false),
            Quotes::Proper
        );
        assert_eq!(survey(b"it's 5\" wide,b\n", b',', false), Quotes::Proper);
        let stray = |open, over_lines| Quotes::Stray { open, over_lines };
        assert_eq!(
            survey(b"1\t\"Up\" is good\n", b'\t', false),
            stray(2, false)
        );
        assert_eq!(
            survey(b"\"Up\" is,1\n\"Hm, 1\n\"Oh\", 2\n", b',', false),
            stray(10, true)
        );
        assert_eq!(
            survey(b"a,b\n\"never, closed\n", b',', false),
            Quotes::Unclosed(4)
        );
        assert_eq!(
            survey(b"\"say \\\"hi\\\"\",1\n", b',', true),
            Quotes::Proper
        );
        assert_eq!(
            survey(b"\"say \\\"hi\\\"\",1\n", b',', false),
            stray(0, false)
        );
    }
}

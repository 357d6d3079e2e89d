//! Just enough of a Rust lexer to look at code without its comments and strings.

/// The source with the content of comments, strings and character literals blanked; line breaks stay.
pub fn code(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let blank = blank_length(rest, out.chars().next_back());
        if blank > 0 {
            out.extend(
                rest[..blank]
                    .chars()
                    .map(|c| if c == '\n' { '\n' } else { ' ' }),
            );
            rest = &rest[blank..];
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

/// Length of the comment or literal that begins here, 0 if none does.
fn blank_length(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if let Some(raw) = rest.strip_prefix('r').filter(|_| !in_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if let Some(text) = raw[hashes..].strip_prefix('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let end = text
                .find(&close)
                .map_or(text.len(), |end| end + close.len());
            return 1 + hashes + 1 + end;
        }
    }
    match rest.chars().next() {
        Some('"') => closing(rest, '"').unwrap_or(rest.len()),
        // A quote that closes within a few characters is a literal, any other a lifetime.
        Some('\'') => character(rest).unwrap_or(0),
        _ => 0,
    }
}

/// Length up to and including the closing quote.
fn closing(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at + c.len_utf8()),
            _ => {}
        }
    }
    None
}

fn character(rest: &str) -> Option<usize> {
    let inner: Vec<char> = rest.chars().skip(1).take(2).collect();
    match inner.as_slice() {
        ['\\', _] | [_, '\''] => closing(rest, '\''),
        _ => None,
    }
}

/// Name, first line (1-based) and number of lines of every function with a body.
pub fn functions(source: &str) -> Vec<(String, usize, usize)> {
    let code = code(source);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts = code[..at]
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let rest = &code[at + 3..];
        let name: String = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        if !starts || name.is_empty() {
            continue;
        }
        if let Some(length) = body(rest) {
            let first = code[..at].matches('\n').count() + 1;
            found.push((name, first, rest[..length].matches('\n').count() + 1));
        }
    }
    found
}

/// Length up to the brace that closes the function's body; none for a declaration.
fn body(rest: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut brackets = 0_i32;
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => depth += 1,
            '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether the text holds the word on its own.
pub fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(part)
            && !text[at + word.len()..].chars().next().is_some_and(part)
    })
}

#[test]
fn comments_and_strings_are_blanked() {
    let blanked = code("let a = \"{ // }\"; // {\nlet c = '{'; let l: &'a str = r#\"}\"#;");
    assert!(
        !blanked.contains('{') && !blanked.contains('}'),
        "{blanked}"
    );
    assert!(blanked.contains("&'a str"), "{blanked}");
    assert_eq!(blanked.matches('\n').count(), 1);
}

#[test]
fn functions_are_measured() {
    let source = "trait T { fn a(&self) -> [u8; 2]; }\nfn b() {\n    let x = |y| { y };\n}\n";
    assert_eq!(functions(source), [("b".to_owned(), 2, 3)]);
}

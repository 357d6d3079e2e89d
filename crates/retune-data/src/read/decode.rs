//! Bytes to text: byte-order marks, named encodings, and errors that say where the bad byte is.

use std::path::Path;

use encoding_rs::Encoding;

use super::{ReadOptions, not_found, wrong, wrong_row};
use crate::error::Result;

/// The text of a file, without its byte-order mark, and what was decided on the way.
pub(super) struct Decoded {
    pub text: String,
    pub notes: Vec<String>,
}

/// Reads and decodes a file. A byte-order mark wins over UTF-8; `o.encoding` wins over both.
pub(super) fn load(path: &Path, o: &ReadOptions) -> Result<Decoded> {
    let bytes = std::fs::read(path).map_err(|e| not_found(path, e))?;
    decode(path, bytes, o)
}

fn decode(path: &Path, bytes: Vec<u8>, o: &ReadOptions) -> Result<Decoded> {
    let mut notes = Vec::new();
    let named = match &o.encoding {
        Some(label) => Some(Encoding::for_label(label.trim().as_bytes()).ok_or_else(|| {
            wrong(
                path,
                format!("`{label}` is not a known encoding"),
                "use utf-8, windows-1252, iso-8859-15, utf-16le, shift_jis, gb18030 or another name that browsers know",
            )
        })?),
        None => Encoding::for_bom(&bytes).map(|(e, _)| e),
    };
    let text = match named {
        Some(encoding) if encoding != encoding_rs::UTF_8 => {
            let (text, used, bad) = encoding.decode(&bytes);
            if bad {
                let line = text
                    .split('\u{fffd}')
                    .next()
                    .map_or(1, |s| count_lines(s.as_bytes()) + 1);
                return Err(wrong_row(
                    path,
                    line,
                    format!("a byte is not valid {}", used.name()),
                    "name the right encoding with --encoding NAME",
                ));
            }
            notes.push(format!("{}: decoded from {}", path.display(), used.name()));
            text.into_owned()
        }
        _ => utf8(path, bytes)?,
    };
    if let Some(at) = text.find('\0') {
        let line = count_lines(&text.as_bytes()[..at]) + 1;
        return Err(wrong_row(
            path,
            line,
            "a NUL byte: this is a binary file, or text in UTF-16 without its mark",
            "give a text file, or try --encoding utf-16le",
        ));
    }
    Ok(Decoded { text, notes })
}

fn utf8(path: &Path, bytes: Vec<u8>) -> Result<String> {
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let bytes = e.as_bytes();
        if bytes[..bytes.len().min(8192)].contains(&0) {
            return wrong(
                path,
                "it is a binary file, not text",
                "give CSV, TSV, JSON lines, Parquet or a folder of text files",
            );
        }
        let line = count_lines(&bytes[..at]) + 1;
        let start = bytes[..at].iter().rposition(|&b| b == b'\n').map_or(0, |p| p + 1);
        wrong_row(
            path,
            line,
            format!("byte {} of the line (0x{:02x}) is not valid UTF-8", at - start + 1, bytes[at]),
            "save the file as UTF-8, or type --encoding windows-1252 if it comes from Windows or Excel",
        )
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// Line ends in `bytes`: `\n`, `\r\n`, or a lone `\r`.
pub(super) fn count_lines(bytes: &[u8]) -> u64 {
    let mut lines = 0;
    for (i, &b) in bytes.iter().enumerate() {
        if b == b'\n' || (b == b'\r' && bytes.get(i + 1) != Some(&b'\n')) {
            lines += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn run(bytes: &[u8], encoding: Option<&str>) -> Result<Decoded> {
        let o = ReadOptions {
            encoding: encoding.map(str::to_string),
            ..ReadOptions::default()
        };
        decode(Path::new("t.csv"), bytes.to_vec(), &o)
    }

    #[test]
    fn byte_order_marks_are_honoured_and_removed() {
        assert_eq!(run(b"\xef\xbb\xbftext", None).unwrap().text, "text");
        let mut wide = vec![0xff, 0xfe];
        wide.extend("tëxt".encode_utf16().flat_map(u16::to_le_bytes));
        let decoded = run(&wide, None).unwrap();
        assert_eq!(decoded.text, "tëxt");
        assert!(decoded.notes[0].contains("UTF-16LE"));
    }

    #[test]
    fn an_invalid_byte_is_placed_and_cured() {
        let error = run(b"text,label\ngood,1\ncaf\xe9,0\n", None)
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("t.csv, line 3") && error.contains("byte 4 of the line (0xe9)"),
            "{error}"
        );
        assert!(error.contains("--encoding windows-1252"), "{error}");
        let decoded = run(b"caf\xe9", Some("windows-1252")).unwrap();
        assert_eq!(decoded.text, "café");
    }

    #[test]
    fn binary_files_and_unknown_encodings_are_refused() {
        assert!(
            run(b"a\0b\xff\xfe", None)
                .err()
                .unwrap()
                .to_string()
                .contains("binary")
        );
        assert!(
            run(b"a\nb\0", None)
                .err()
                .unwrap()
                .to_string()
                .contains("line 2: a NUL byte")
        );
        assert!(
            run(b"a", Some("utf-99"))
                .err()
                .unwrap()
                .to_string()
                .contains("`utf-99` is not a known encoding")
        );
        let bad = run(b"a\n\x81", Some("shift_jis"))
            .err()
            .unwrap()
            .to_string();
        assert!(bad.contains("line 2") && bad.contains("Shift_JIS"), "{bad}");
    }

    #[test]
    fn line_ends_of_all_systems_count_once() {
        assert_eq!(count_lines(b"a\nb\r\nc\rd"), 3);
    }
}

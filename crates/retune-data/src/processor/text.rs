//! Text to token ids: special tokens as the tokenizer places them, long texts as the user chose, never any padding.
//!
//! Lengths count tokens with their special tokens. `Truncate` gives the ids of transformers' `truncation=True`
//! (`longest_first` for pairs). `HeadTail` keeps the first quarter and the last three quarters of the room
//! (Sun et al., "How to Fine-Tune BERT for Text Classification?", 2019). `ChunkMean` cuts a text into windows
//! that do not overlap; the model averages over them.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokenizers::utils::truncation::{TruncationDirection, TruncationParams, truncate_encodings};
use tokenizers::{Encoding, PostProcessor as _, Tokenizer};

use super::labels::Labels;
use crate::error::{DataError, Result};
use crate::example::{Features, TokenSequence};
use crate::table::Table;

/// What to do with texts longer than the model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Long {
    /// Drop the end.
    #[default]
    Truncate,
    /// Keep a quarter from the start and the rest from the end.
    HeadTail,
    /// Read all of it in windows and average.
    ChunkMean,
}

/// Turns one text or a pair into token sequences.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TextProcessor {
    /// One or two text columns.
    pub text: Vec<String>,
    /// The label column, if rows have one.
    pub label: Option<String>,
    /// What the outputs of the model stand for.
    pub labels: Labels,
    /// Most tokens in a sequence, special tokens included.
    pub max_length: usize,
    /// What to do with longer texts.
    pub long: Long,
    #[serde(skip)]
    tokenizer: Option<Arc<Tokenizer>>,
}

impl TextProcessor {
    /// A processor ready to encode. Padding and truncation set in `tokenizer` are replaced by its own.
    pub fn new(
        tokenizer: Tokenizer,
        text: Vec<String>,
        label: Option<String>,
        labels: Labels,
        max_length: usize,
        long: Long,
    ) -> Self {
        let mut processor = Self {
            text,
            label,
            labels,
            max_length,
            long,
            tokenizer: None,
        };
        processor.attach(tokenizer);
        processor
    }

    /// Gives a processor that was read from a file its tokenizer.
    pub fn attach(&mut self, mut tokenizer: Tokenizer) {
        tokenizer.with_padding(None);
        // The tokenizer stops reading at its truncation, so only a single text that is cut there may set it: a pair is
        // cut by its whole lengths. With too little room it cannot be set; `encode` then says so.
        let cut =
            self.long == Long::Truncate && self.text.len() == 1 && self.room(&tokenizer).is_some();
        let truncation = cut.then(|| TruncationParams {
            max_length: self.max_length,
            ..Default::default()
        });
        if tokenizer.with_truncation(truncation).is_ok() {
            self.tokenizer = Some(Arc::new(tokenizer));
        }
    }

    /// Tokens of text that fit beside the special tokens; `None` where not even one fits.
    fn room(&self, tokenizer: &Tokenizer) -> Option<usize> {
        let special = tokenizer
            .get_post_processor()
            .map_or(0, |p| p.added_tokens(self.text.len() > 1));
        self.max_length.checked_sub(special).filter(|&r| r > 0)
    }

    /// A token as messages show it: `` `word` (token 17)``.
    pub(super) fn token(&self, id: u32) -> String {
        let tokenizer = self.tokenizer.as_deref();
        let name = tokenizer.and_then(|tokenizer| tokenizer.id_to_token(id));
        format!("`{}` (token {id})", name.unwrap_or_default())
    }

    /// How many tokens the tokenizer knows from number `vectors` on.
    pub(super) fn tokens_beyond(&self, vectors: usize) -> usize {
        let known = |tokenizer: &Tokenizer| {
            let ids = tokenizer.get_vocab(true).into_values();
            ids.filter(|id| *id as usize >= vectors).count()
        };
        self.tokenizer.as_deref().map_or(0, known)
    }

    pub(super) fn encode(&self, t: &Table, row: usize) -> Result<Features> {
        let mut parts = Vec::with_capacity(self.text.len());
        for name in &self.text {
            parts.push(t.column(name)?.text(row).unwrap_or_default());
        }
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        self.encode_parts(&parts)
    }

    pub(super) fn encode_parts(&self, parts: &[&str]) -> Result<Features> {
        let tokenizer = self.tokenizer.as_deref().ok_or_else(|| {
            wrong(
                "none is attached to the processor",
                "call `attach` with the tokenizer saved beside it",
            )
        })?;
        let Some(room) = self.room(tokenizer) else {
            return Err(wrong(
                format!(
                    "a maximum length of {} leaves no room beside the special tokens",
                    self.max_length
                ),
                "set a larger --max-length",
            ));
        };
        if parts.len() != self.text.len() {
            return Err(wrong(
                format!(
                    "expected {} texts per row ({}), got {}",
                    self.text.len(),
                    self.text.join(", "),
                    parts.len()
                ),
                "give as many texts as the model was trained on",
            ));
        }
        let sequences = match (parts, self.long) {
            (&[one], Long::HeadTail) => vec![head_tail(tokenizer, one, room)?],
            (&[one], Long::ChunkMean) => chunks(tokenizer, one, room)?,
            (&[one], Long::Truncate) => vec![sequence(
                &tokenizer.encode_fast(one, true).map_err(refused)?,
            )],
            (&[a, b], Long::Truncate) => {
                vec![pair(tokenizer, a, b, room)?]
            }
            (&[_, _], _) => {
                return Err(wrong(
                    "pairs of texts can only be truncated",
                    "type --long truncate, or name one --text column",
                ));
            }
            _ => {
                return Err(wrong(
                    "one or two texts make an example",
                    "name one or two --text columns",
                ));
            }
        };
        Ok(Features::Tokens(sequences))
    }
}

/// A quarter of `room` from the start of the text, the rest from its end, then the special tokens.
fn head_tail(tokenizer: &Tokenizer, text: &str, room: usize) -> Result<TokenSequence> {
    let mut encoding = tokenizer.encode_fast(text, false).map_err(refused)?;
    if encoding.len() > room {
        let head = room / 4;
        let mut tail = encoding.clone();
        tail.truncate(room - head, 0, TruncationDirection::Left);
        encoding.truncate(head, 0, TruncationDirection::Right);
        encoding.take_overflowing();
        tail.take_overflowing();
        encoding.merge_with(tail, false);
    }
    Ok(sequence(
        &tokenizer
            .post_process(encoding, None, true)
            .map_err(refused)?,
    ))
}

/// Both texts, the longer cut until `room` is enough.
fn pair(tokenizer: &Tokenizer, a: &str, b: &str, room: usize) -> Result<TokenSequence> {
    let a = tokenizer.encode_fast(a, false).map_err(refused)?;
    let mut b = tokenizer.encode_fast(b, false).map_err(refused)?;
    // Encoded alone it counts as a first text; the post-processor expects what a pair would hand it.
    b.set_type_ids(vec![1; b.len()]);
    let params = TruncationParams {
        max_length: room,
        ..Default::default()
    };
    let (a, b) = truncate_encodings(a, Some(b), &params).map_err(refused)?;
    Ok(sequence(
        &tokenizer.post_process(a, b, true).map_err(refused)?,
    ))
}

/// Windows of `room` tokens that do not overlap, each with its special tokens.
fn chunks(tokenizer: &Tokenizer, text: &str, room: usize) -> Result<Vec<TokenSequence>> {
    let mut first = tokenizer.encode_fast(text, false).map_err(refused)?;
    first.truncate(room, 0, TruncationDirection::Right);
    let rest = first.take_overflowing();
    std::iter::once(first)
        .chain(rest)
        .map(|window| {
            let window = tokenizer
                .post_process(window, None, true)
                .map_err(refused)?;
            Ok(sequence(&window))
        })
        .collect()
}

fn sequence(encoding: &Encoding) -> TokenSequence {
    TokenSequence {
        ids: encoding.get_ids().to_vec(),
        types: encoding.get_type_ids().iter().map(|&t| t as u8).collect(),
    }
}

/// Reads `tokenizer.json` of a model folder, without the padding and truncation stored in it.
///
/// # Errors
/// No such file (says which tokenizer files there are), or one that cannot be parsed.
pub fn load_tokenizer(folder: &Path) -> Result<Tokenizer> {
    let path = folder.join("tokenizer.json");
    if !path.is_file() {
        return Err(missing(folder));
    }
    let mut tokenizer = Tokenizer::from_file(&path).map_err(|e| {
        wrong(
            format!("{} cannot be read: {e}", path.display()),
            "fetch the model again, or save its tokenizer anew",
        )
    })?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(refused)?;
    Ok(tokenizer)
}

fn missing(folder: &Path) -> DataError {
    let mut found: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    found.sort();
    let slow = found.iter().any(|f| {
        matches!(
            f.as_str(),
            "vocab.txt" | "vocab.json" | "merges.txt" | "spiece.model" | "sentencepiece.bpe.model"
        )
    });
    let cure = if slow {
        "convert its vocabulary with transformers: AutoTokenizer.from_pretrained(FOLDER, use_fast=True).save_pretrained(FOLDER)"
    } else {
        "copy the tokenizer.json that belongs to the model into the folder"
    };
    found.truncate(20);
    let found = if found.is_empty() {
        "nothing".to_string()
    } else {
        found.join(", ")
    };
    wrong(
        format!(
            "{} has no tokenizer.json (found: {found})",
            folder.display()
        ),
        cure,
    )
}

fn refused(e: tokenizers::Error) -> DataError {
    wrong(
        format!("the text cannot be encoded: {e}"),
        "check that tokenizer.json belongs to the model",
    )
}

fn wrong(problem: impl Into<String>, cure: impl Into<String>) -> DataError {
    DataError::Tokenizer {
        problem: problem.into(),
        cure: cure.into(),
    }
}

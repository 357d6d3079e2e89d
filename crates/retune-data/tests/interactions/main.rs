//! Interactions and catalogues: files, filters, protocols, and the synthetic shop.
#![expect(clippy::unwrap_used, reason = "tests")]

mod catalogue;
mod filter;
mod protocol;
mod read;

use retune_data::Result;
use retune_data::interactions::{Clock, Interactions, Request, SECOND};

/// The interactions of a file of this name and content.
fn parse_with(name: &str, bytes: &[u8], request: &Request) -> Result<Interactions> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    retune_data::interactions::read(&[path], request)
}

/// As `parse_with`, with nothing asked for.
fn parse(name: &str, text: &str) -> Interactions {
    parse_with(name, text.as_bytes(), &Request::default()).unwrap()
}

/// What is said about a file.
fn error(name: &str, text: &str) -> String {
    parse_with(name, text.as_bytes(), &Request::default())
        .unwrap_err()
        .to_string()
}

/// Events as `user item seconds`, in order.
fn shown(i: &Interactions) -> Vec<String> {
    (0..i.len())
        .map(|e| {
            let (user, item) = (&i.users[i.user[e] as usize], &i.items[i.item[e] as usize]);
            let time = match i.clock {
                Clock::Moments => i.time[e] / SECOND,
                Clock::Rows => i.time[e],
            };
            format!("{user} {item} {time}")
        })
        .collect()
}

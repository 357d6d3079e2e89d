//! Timelines as bytes, so that a service goes on where it stopped.
//!
//! Little-endian: the mark `retune timelines`, a version, the spec as JSON, the number of events, and the cards by their last
//! event, each with its events. A SHA-256 of all of it comes last. Nothing is believed that is read.

use std::fs;
use std::io::Write;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::code::{NUMBERS, ROLES};
use super::spec::TimelineSpec;
use super::step::{KEPT, Kept, MOST_CARDS, Timeline, Timelines};
use crate::error::{DataError, Result};
use crate::windows::{Bytes, Key};
use crate::write::staged;

const MARK: &[u8; 16] = b"retune timelines";
const VERSION: u32 = 1;
/// Bytes of a digest.
const DIGEST: usize = 32;

impl Timelines {
    /// All of it as bytes.
    ///
    /// # Errors
    /// A spec that cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let spec = serde_json::to_vec(self.spec()).map_err(|e| broken(&e.to_string()))?;
        let mut out = Vec::new();
        out.extend(MARK);
        out.extend(VERSION.to_le_bytes());
        out.extend((spec.len() as u32).to_le_bytes());
        out.extend(spec);
        out.extend(self.events.to_le_bytes());
        let mut cards: Vec<(&Key, &Timeline)> = self.cards.iter().collect();
        cards.sort_unstable_by_key(|(_, card)| card.last);
        out.extend((cards.len() as u64).to_le_bytes());
        for (key, card) in cards {
            out.extend(key.0);
            out.extend(card.count.to_le_bytes());
            out.extend(card.last.to_le_bytes());
            out.extend((card.kept.len() as u32).to_le_bytes());
            for event in &card.kept {
                out.extend(event.time.to_le_bytes());
                out.extend(event.amount.to_le_bytes());
                out.extend(event.partner.0);
                out.extend(event.codes.iter().flat_map(|code| code.to_le_bytes()));
                out.extend(event.numbers.iter().flat_map(|number| number.to_le_bytes()));
            }
        }
        let digest = Sha256::digest(&out);
        out.extend(digest);
        Ok(out)
    }

    /// Writes all of it to a file, which keeps what it holds until all of the new is on the disk.
    ///
    /// # Errors
    /// A file that cannot be made or moved.
    pub fn save_to(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes()?;
        staged(path, |mut file| {
            file.write_all(&bytes)
                .map_err(|error| crate::write::refused(path, &error))?;
            Ok((file, ()))
        })
    }

    /// Reads what [`Timelines::save_to`] wrote.
    ///
    /// # Errors
    /// A file that cannot be read, or holds no timelines, damaged ones, or those of a newer version.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = fs::read(path)
            .map_err(|e| DataError::file(path, format!("cannot read: {e}; check the path")))?;
        Self::of_bytes(&bytes)
    }

    /// The same of bytes.
    ///
    /// # Errors
    /// As [`Timelines::open`].
    pub fn of_bytes(bytes: &[u8]) -> Result<Self> {
        let Some((body, digest)) = bytes.split_last_chunk::<DIGEST>() else {
            return Err(broken("it is cut off"));
        };
        let Some(rest) = body.strip_prefix(MARK) else {
            return Err(broken("it does not begin as one"));
        };
        if Sha256::digest(body)[..] != digest[..] {
            return Err(broken("its checksum does not fit"));
        }
        let mut from = Bytes(rest);
        let version = from.u32()?;
        if version != VERSION {
            return Err(broken(&format!(
                "it has version {version}, and {VERSION} is known"
            )));
        }
        let spec: TimelineSpec =
            serde_json::from_slice(from.text()?).map_err(|e| broken(&e.to_string()))?;
        let mut found = Self::new(spec)?;
        let events = from.u64()?;
        let cards = from.count(16 + 8 + 8 + 4)?;
        if cards > MOST_CARDS || events > 1 << 62 {
            return Err(broken("it counts too far"));
        }
        for _ in 0..cards {
            found.take_card(&mut from)?;
        }
        if !from.0.is_empty() || found.events > events {
            return Err(broken("something follows its end"));
        }
        found.events = events;
        Ok(found)
    }

    fn take_card(&mut self, from: &mut Bytes<'_>) -> Result<()> {
        let key = from.key()?;
        let mut card = Timeline {
            count: from.u64()?,
            last: from.u64()?,
            ..Timeline::default()
        };
        let kept = from.u32()? as usize;
        let fits = kept as u64 == card.count.min(KEPT as u64)
            && card.count <= 1 << 62
            && card.last > self.events;
        if !fits || key.is_none() || self.cards.contains_key(&key) {
            return Err(broken("a card is there twice, or does not fit its events"));
        }
        for _ in 0..kept {
            let event = self.take_event(from)?;
            card.kept.push_back(event);
        }
        self.events = card.last;
        self.cards.insert(key, card);
        self.remember(key);
        Ok(())
    }

    fn take_event(&self, from: &mut Bytes<'_>) -> Result<Kept> {
        let (time, amount, partner) = (from.i64()?, from.f64()?, from.key()?);
        let sizes = self.spec().sizes();
        let codes: Vec<u16> = sizes
            .iter()
            .map(|_| from.take().map(u16::from_le_bytes))
            .collect::<Result<_>>()?;
        let mut numbers = [0f32; NUMBERS];
        for number in &mut numbers {
            *number = from.take().map(f32::from_le_bytes)?;
        }
        let below = codes
            .iter()
            .zip(&sizes)
            .all(|(code, size)| usize::from(*code) + 1 < *size);
        if !below || amount.is_infinite() || numbers.iter().any(|number| !number.is_finite()) {
            return Err(broken("an event has a value that none can have"));
        }
        debug_assert!(codes.len() >= ROLES, "every event has its roles");
        Ok(Kept {
            time,
            amount,
            partner,
            codes,
            numbers,
        })
    }
}

fn broken(why: &str) -> DataError {
    DataError::Windows {
        problem: format!("these are no timelines, or damaged ones: {why}"),
        cure: "build them anew from the events".to_string(),
    }
}

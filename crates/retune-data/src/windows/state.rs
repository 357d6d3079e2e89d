//! The state of an engine as bytes, so that a service goes on where it stopped.
//!
//! Little-endian: the mark `retune windows`, a version, the length of what follows; then the spec as JSON, the newest time,
//! the counters, the kept events, and the entities of each column, idle longest first, each with its events and waiting
//! labels. A SHA-256 of all of it comes last. Sums and pointers are not written: they follow from the events, exactly.
//!
//! Nothing is believed that is read: every number is checked against what is left of the bytes and against the others, so that
//! a broken or forged file is an error, and takes no more memory than as many entities and events as it has bytes for.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::column::{Entities, NONE};
use super::engine::{Counts, Engine, Kept};
use super::history::{Entry, LARGEST_AMOUNT, Label, Pending};
use super::key::Key;
use super::spec::EngineSpec;
use crate::error::{DataError, Result};
use crate::write::staged;

const MARK: &[u8; 14] = b"retune windows";
const VERSION: u32 = 1;
/// Largest state that is read: 32 GiB.
const MOST_BYTES: u64 = 32 << 30;

impl Engine {
    /// Writes the engine with all it has seen.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn save(&self, out: &mut impl Write) -> Result<()> {
        let body = self.body().map_err(|e| broken(&e.to_string()))?;
        let mut bytes = Vec::with_capacity(body.len() + 64);
        bytes.extend(MARK);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((body.len() as u64).to_le_bytes());
        bytes.extend(body);
        let digest = Sha256::digest(&bytes);
        out.write_all(&bytes)
            .and_then(|()| out.write_all(&digest))
            .and_then(|()| out.flush())
            .map_err(|error| DataError::Windows {
                problem: format!("the state cannot be written: {error}"),
                cure: "choose another place".to_string(),
            })
    }

    /// Writes the engine to a file, which keeps what it holds until all of the new is on the disk.
    ///
    /// # Errors
    /// As [`Engine::save`]; a file that cannot be made or moved.
    pub fn save_to(&self, path: &Path) -> Result<()> {
        staged(path, |mut file| {
            self.save(&mut file)?;
            Ok((file, ()))
        })
    }

    /// Reads the engine in a file.
    ///
    /// # Errors
    /// As [`Engine::load`]; a file that cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)
            .map_err(|e| DataError::file(path, format!("cannot read: {e}; check the path")))?;
        Self::load(&mut BufReader::new(file))
    }

    /// Reads what [`Engine::save`] wrote.
    ///
    /// # Errors
    /// Bytes that are no state of an engine, are cut off or changed, or come from a newer version.
    pub fn load(from: &mut impl Read) -> Result<Self> {
        let mut head = [0; 26];
        from.read_exact(&mut head).map_err(|e| unread(&e))?;
        if head[..14] != *MARK {
            return Err(broken("it does not begin as one"));
        }
        let mut reader = Bytes(&head[14..]);
        let version = reader.u32()?;
        if version != VERSION {
            return Err(DataError::Windows {
                problem: format!("the state has version {version}, and {VERSION} is known"),
                cure: "use the program that wrote it, or build the state anew from the events"
                    .to_string(),
            });
        }
        let length = reader.u64()?;
        if length > MOST_BYTES {
            return Err(broken("its length is impossible"));
        }
        // Not reserved at once: the length may promise more than there is.
        let mut body = Vec::new();
        from.take(length + 32)
            .read_to_end(&mut body)
            .map_err(|e| unread(&e))?;
        if body.len() as u64 != length + 32 {
            return Err(broken("it is cut off"));
        }
        let digest = body.split_off(length as usize);
        let sum = Sha256::new()
            .chain_update(head)
            .chain_update(&body)
            .finalize();
        if sum[..] != digest[..] {
            return Err(broken("its checksum does not fit"));
        }
        Self::of_body(&mut Bytes(&body))
    }

    fn body(&self) -> serde_json::Result<Vec<u8>> {
        let mut out = Vec::new();
        let texts = [
            serde_json::to_vec(self.spec())?,
            serde_json::to_vec(&self.counts)?,
        ];
        for text in texts {
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text);
        }
        out.extend(self.now.to_le_bytes());
        out.extend(self.labels.to_le_bytes());
        out.extend(self.first.to_le_bytes());
        out.extend((self.kept.len() as u64).to_le_bytes());
        for kept in &self.kept {
            out.extend(kept.id.0);
            out.extend(kept.time.to_le_bytes());
        }
        for column in &self.columns {
            put_column(&mut out, column);
        }
        Ok(out)
    }

    fn of_body(from: &mut Bytes<'_>) -> Result<Self> {
        let spec: EngineSpec =
            serde_json::from_slice(from.text()?).map_err(|e| broken(&e.to_string()))?;
        let counts: Counts =
            serde_json::from_slice(from.text()?).map_err(|e| broken(&e.to_string()))?;
        let mut engine = Self::new(spec)?;
        engine.counts = counts;
        engine.now = from.i64()?;
        engine.labels = from.u64()?;
        engine.first = from.u64()?;
        let kept = from.count(24)?;
        if kept > engine.spec().max_kept {
            return Err(broken("it has too many events"));
        }
        // Room to count on for ever.
        if engine
            .counts
            .greatest()
            .max(engine.first)
            .max(engine.labels)
            > 1 << 62
        {
            return Err(broken("it has counted too far"));
        }
        let mut before = i64::MIN;
        for at in 0..kept {
            let id = from.key()?;
            let time = from.i64()?;
            if time < before || time > engine.now {
                return Err(broken("its events are out of order"));
            }
            before = time;
            let seq = engine.first + at as u64;
            if !id.is_none() && engine.ids.insert(id, seq).is_some() {
                return Err(broken("an event is there twice"));
            }
            engine.kept.push_back(Kept { id, time });
        }
        let width = engine.columns.len();
        engine.slots.resize(kept * width, NONE);
        for column in 0..width {
            engine.take_column(column, from)?;
        }
        if !from.0.is_empty() {
            return Err(broken("something follows its end"));
        }
        Ok(engine)
    }

    fn take_column(&mut self, c: usize, from: &mut Bytes<'_>) -> Result<()> {
        // A key, two counts and one event of 33 bytes.
        let entities = from.count(16 + 8 + 33)?;
        if entities > self.spec().max_entities {
            return Err(broken("it has too many entities"));
        }
        for _ in 0..entities {
            let key = from.key()?;
            if key.is_none() || self.columns[c].find(key) != NONE {
                return Err(broken("an entity is there twice, or has no name"));
            }
            let (slot, _) = self.columns[c].see(key, usize::MAX);
            let events = from.u32()? as usize;
            let waiting = from.u32()? as usize;
            if events == 0 || events > self.spec().max_events {
                return Err(broken("an entity has too many events, or none"));
            }
            let mut before = None;
            for _ in 0..events {
                let (entry, others) = self.take_entry(c, before, from)?;
                before = Some(entry.seq);
                let place = (entry.seq - self.first) as usize * self.columns.len() + c;
                if self.slots[place] != NONE {
                    return Err(broken("an event belongs to two entities of a column"));
                }
                self.slots[place] = slot;
                if let Some((history, plan)) = self.columns[c].history_mut(slot) {
                    history.push(plan, entry, &others);
                }
            }
            for _ in 0..waiting {
                let pending = Pending {
                    at: from.i64()?,
                    order: from.u64()?,
                    seq: from.u64()?,
                    fraud: from.u8()? == 1,
                };
                if let Some((history, _)) = self.columns[c].history_mut(slot) {
                    history.hold(pending);
                }
            }
        }
        Ok(())
    }

    /// An event of an entity, which must be one of the kept ones and newer than the one `before`.
    fn take_entry(
        &self,
        c: usize,
        before: Option<u64>,
        from: &mut Bytes<'_>,
    ) -> Result<(Entry, Vec<Key>)> {
        let seq = from.u64()?;
        let at = seq.checked_sub(self.first).map(|at| at as usize);
        let kept = at.and_then(|at| self.kept.get(at));
        let entry = Entry {
            seq,
            time: from.i64()?,
            amount: from.f64()?,
            label_at: from.i64()?,
            label: match from.u8()? {
                0 => Label::Unknown,
                1 => Label::Honest,
                2 => Label::Fraud,
                _ => return Err(broken("a label is neither known nor unknown")),
            },
        };
        let fits = kept.is_some_and(|kept| kept.time == entry.time)
            && before.is_none_or(|before| before < seq)
            && (entry.amount.is_nan() || entry.amount.abs() <= LARGEST_AMOUNT);
        if !fits {
            return Err(broken("an event of an entity is not what was kept"));
        }
        let others = self.columns[c].plan.others.len();
        let others: Result<Vec<Key>> = (0..others).map(|_| from.key()).collect();
        Ok((entry, others?))
    }
}

fn put_column(out: &mut Vec<u8>, column: &Entities) {
    out.extend((column.len() as u64).to_le_bytes());
    for (key, history) in column.in_order() {
        out.extend(key.0);
        out.extend((history.len() as u32).to_le_bytes());
        let waiting = history.pending();
        out.extend((waiting.len() as u32).to_le_bytes());
        for (at, entry) in history.entries().iter().enumerate() {
            out.extend(entry.seq.to_le_bytes());
            out.extend(entry.time.to_le_bytes());
            out.extend(entry.amount.to_le_bytes());
            out.extend(entry.label_at.to_le_bytes());
            out.push(entry.label as u8);
            out.extend(history.others(at).flat_map(|key| key.0));
        }
        for pending in waiting {
            out.extend(pending.at.to_le_bytes());
            out.extend(pending.order.to_le_bytes());
            out.extend(pending.seq.to_le_bytes());
            out.push(u8::from(pending.fraud));
        }
    }
}

/// Bytes that are still to be read.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or_else(|| broken("it is cut off"))?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.take::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        self.take().map(i64::from_le_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64> {
        self.take().map(f64::from_le_bytes)
    }

    pub(crate) fn key(&mut self) -> Result<Key> {
        self.take().map(Key)
    }

    /// A number of things of at least `size` bytes each, which must still be there.
    pub(crate) fn count(&mut self, size: usize) -> Result<usize> {
        let count = self.u64()?;
        if count > (self.0.len() / size) as u64 {
            return Err(broken("it promises more than it holds"));
        }
        Ok(count as usize)
    }

    pub(crate) fn text(&mut self) -> Result<&'a [u8]> {
        let length = self.u32()? as usize;
        let (text, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| broken("it is cut off"))?;
        self.0 = rest;
        Ok(text)
    }
}

fn broken(why: &str) -> DataError {
    DataError::Windows {
        problem: format!("this is no state of an engine, or a damaged one: {why}"),
        cure: "build the state anew from the events".to_string(),
    }
}

fn unread(error: &std::io::Error) -> DataError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return broken("it is cut off");
    }
    DataError::Windows {
        problem: format!("the state cannot be read: {error}"),
        cure: "check that the file may be read".to_string(),
    }
}

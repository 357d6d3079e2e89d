//! Batches: which rows go together, packed without padding, prepared ahead on a background thread.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::example::{Example, Target};
use crate::picture::Tta;
use crate::picture::augment::{Changes, Mixed, Rows};
use crate::processor::{ImageProcessor, Processor};
use crate::random::{mix, shuffle};

/// Batches sorted together by length when bucketed: enough for even lengths, few enough to stay random.
const WINDOW: usize = 50;

/// Pictures of one size, channels last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pictures {
    /// Rows of pixels of each.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// `[pictures, height, width, 3]`.
    pub values: Vec<f32>,
}

/// A batch of packed sequences: tokens of all sequences one after the other, no padding anywhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostBatch {
    /// Token ids, `[total tokens]`.
    pub ids: Vec<u32>,
    /// Segment ids, `[total tokens]`.
    pub types: Vec<u8>,
    /// Pictures, one for each sequence, which then has a length of 1 and no tokens; none in a batch of texts.
    pub pictures: Arc<Pictures>,
    /// Length of each sequence, `[sequences]`; sums to the number of tokens.
    pub lengths: Vec<u32>,
    /// How many sequences each row has, `[rows]`; 1 unless long texts were cut into chunks.
    pub chunks: Vec<u32>,
    /// Key of the random numbers of each sequence, `[sequences]`: same row and chunk, same key, in any batch.
    pub keys: Vec<u64>,
    /// What each row should answer, `[rows]`.
    pub targets: Vec<Target>,
    /// Weight of each row in the loss, `[rows]`.
    pub weights: Vec<f32>,
    /// What is mixed into the pictures of the rows.
    pub mixed: Mixed,
    /// Row index of each row in its table, `[rows]`.
    pub rows: Vec<u64>,
}

/// In which order examples are visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As in the file, in every epoch: evaluation and prediction.
    File,
    /// Anew in every epoch.
    Shuffled,
    /// Anew in every epoch, with examples of about the same length in one batch.
    #[default]
    Bucketed,
}

/// How examples are put into batches.
#[derive(Debug, Clone)]
pub struct BatchOptions {
    /// Most rows in a batch; 0 counts as 1.
    pub rows: usize,
    /// Most tokens in a batch; a longer example is a batch of its own.
    pub max_tokens: usize,
    /// Order of the examples.
    pub order: Order,
    /// Seed of the order; mixed with the epoch.
    pub seed: u64,
}

/// Cuts examples of the given lengths (tokens) into batches of indices: every index exactly once.
pub fn plan_batches(lengths: &[usize], o: &BatchOptions, epoch: u64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    let seed = mix(o.seed, epoch);
    if o.order != Order::File {
        shuffle(&mut order, seed);
    }
    if o.order != Order::Bucketed {
        return cut(&order, lengths, o);
    }
    for window in order.chunks_mut(o.rows.max(1) * WINDOW) {
        window.sort_by_key(|&i| lengths[i]);
    }
    let mut batches = cut(&order, lengths, o);
    shuffle(&mut batches, mix(seed, 1));
    batches
}

fn cut(order: &[usize], lengths: &[usize], o: &BatchOptions) -> Vec<Vec<usize>> {
    let mut batches = Vec::new();
    let mut batch: Vec<usize> = Vec::new();
    let mut tokens = 0;
    for &i in order {
        let full = batch.len() >= o.rows.max(1) || tokens + lengths[i] > o.max_tokens;
        if full && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            tokens = 0;
        }
        batch.push(i);
        tokens += lengths[i];
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// Key of the random numbers of a sequence: of its row and its place among the row's chunks.
pub fn key(row: u64, chunk: u64) -> u64 {
    mix(row, chunk)
}

/// What becomes of the pictures of a batch.
#[derive(Debug, Clone, Copy)]
pub enum Views<'a> {
    /// They are read as at prediction.
    Plain,
    /// They are changed at random.
    Changed(&'a Changes),
    /// Each is replaced by this view of it.
    Turned(Tta, usize),
    /// They are left out: what the backbone makes of them is known.
    Known,
}

impl Processor {
    /// Packs examples into one batch, in order.
    ///
    /// # Errors
    /// A picture that cannot be read any more.
    pub fn collate(&self, xs: &[&Example], views: Views) -> Result<HostBatch> {
        let mut batch = HostBatch::default();
        for example in xs {
            let sequences = example.sequences();
            if example.picture().is_some() {
                batch.lengths.push(1);
                batch.keys.push(key(example.meta.row, 0));
            }
            for (chunk, sequence) in sequences.iter().enumerate() {
                batch.ids.extend(&sequence.ids);
                batch.types.extend(&sequence.types);
                batch.lengths.push(sequence.ids.len() as u32);
                batch.keys.push(key(example.meta.row, chunk as u64));
            }
            batch.chunks.push(sequences.len().max(1) as u32);
            batch.targets.push(example.target.clone());
            batch.weights.push(example.meta.weight);
            batch.rows.push(example.meta.row);
        }
        if let Processor::Image(p) = self {
            p.fill(&mut batch, xs, views)?;
        }
        Ok(batch)
    }
}

impl ImageProcessor {
    /// Adds the pictures of `xs`.
    fn fill(&self, batch: &mut HostBatch, xs: &[&Example], views: Views) -> Result<()> {
        if let Views::Known = views {
            return Ok(());
        }
        let size = self.preprocess.crop;
        let mut values = self.batch(xs, views)?; // [pictures, height, width, 3]
        if let Views::Changed(changes) = views {
            let rows = Rows {
                values: &mut values,
                targets: &batch.targets,
                weights: &mut batch.weights,
                ids: &batch.rows,
            };
            batch.mixed = changes.mix(rows, size);
        }
        batch.pictures = Arc::new(Pictures {
            height: size.height,
            width: size.width,
            values,
        });
        Ok(())
    }
}

/// Runs `it` on a background thread, at most `depth` items ahead (at least one).
///
/// Items come in the order of `it`. Dropping the iterator stops the thread after the item it is working on; a panic
/// of `it` is raised again where the next item is asked for.
pub fn prefetch<T: Send + 'static>(
    it: impl Iterator<Item = T> + Send + 'static,
    depth: usize,
) -> impl Iterator<Item = T> + Send {
    let (send, receive) = sync_channel(depth.max(1));
    let worker = std::thread::spawn(move || {
        for item in it {
            if send.send(item).is_err() {
                break;
            }
        }
    });
    Prefetch {
        receive: Some(receive),
        worker: Some(worker),
    }
}

struct Prefetch<T> {
    receive: Option<Receiver<T>>,
    worker: Option<JoinHandle<()>>,
}

impl<T> Iterator for Prefetch<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if let Ok(item) = self.receive.as_ref()?.recv() {
            return Some(item);
        }
        // The sender is gone: the thread is at its end, or panicked.
        self.receive = None;
        if let Some(Err(panic)) = self.worker.take().map(JoinHandle::join) {
            resume_unwind(panic);
        }
        None
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        // Without a receiver the thread's next send fails, so joining waits for one item at most.
        self.receive = None;
        if let Some(worker) = self.worker.take() {
            // A panic nobody asked for the result of is not raised: this may itself be an unwinding.
            drop(worker.join());
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;
    use crate::Features;
    use crate::example::{Meta, TokenSequence};
    use crate::processor::{Labels, Long, TextProcessor};

    fn options(rows: usize, max_tokens: usize, order: Order) -> BatchOptions {
        BatchOptions {
            rows,
            max_tokens,
            order,
            seed: 3,
        }
    }

    fn any_order() -> impl Strategy<Value = Order> {
        prop_oneof![
            Just(Order::File),
            Just(Order::Shuffled),
            Just(Order::Bucketed)
        ]
    }

    proptest! {
        #[test]
        fn every_index_once_within_the_limits(
            lengths in proptest::collection::vec(1usize..200, 0..300),
            rows in 1usize..40,
            max_tokens in 1usize..600,
            order in any_order(),
            epoch in 0u64..5,
        ) {
            let batches = plan_batches(&lengths, &options(rows, max_tokens, order), epoch);
            let mut all: Vec<usize> = batches.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
            for batch in &batches {
                prop_assert!(!batch.is_empty() && batch.len() <= rows);
                let tokens: usize = batch.iter().map(|&i| lengths[i]).sum();
                prop_assert!(tokens <= max_tokens || batch.len() == 1);
            }
        }
    }

    #[test]
    fn orders_differ_by_epoch_and_repeat_by_seed() {
        let lengths: Vec<usize> = (0..500).map(|i| 1 + (i * 37) % 100).collect();
        let file = plan_batches(&lengths, &options(16, 10_000, Order::File), 4);
        assert_eq!(file[0], (0..16).collect::<Vec<_>>());
        for order in [Order::Shuffled, Order::Bucketed] {
            let o = options(16, 10_000, order);
            assert_eq!(plan_batches(&lengths, &o, 1), plan_batches(&lengths, &o, 1));
            assert_ne!(plan_batches(&lengths, &o, 1), plan_batches(&lengths, &o, 2));
        }
        let spread = |order| -> usize {
            let batches = plan_batches(&lengths, &options(16, 10_000, order), 0);
            batches
                .iter()
                .map(|b| {
                    b.iter().map(|&i| lengths[i]).max().unwrap()
                        - b.iter().map(|&i| lengths[i]).min().unwrap()
                })
                .sum()
        };
        assert!(spread(Order::Bucketed) * 5 < spread(Order::Shuffled));
    }

    fn example(row: u64, chunks: &[&[u32]]) -> Example {
        let sequence = |ids: &&[u32]| TokenSequence {
            ids: ids.to_vec(),
            types: vec![0; ids.len()],
        };
        Example {
            features: Features::Tokens(chunks.iter().map(sequence).collect()),
            target: Target::Class(row as u32),
            meta: Meta { row, weight: 1.0 },
        }
    }

    #[test]
    fn batches_are_packed_and_keys_belong_to_row_and_chunk() {
        let labels = Labels::Classes {
            names: vec!["a".into(), "b".into()],
        };
        let tokenizer =
            tokenizers::Tokenizer::new(tokenizers::models::wordlevel::WordLevel::default());
        let p = Processor::Text(TextProcessor::new(
            tokenizer,
            vec!["text".into()],
            None,
            labels,
            8,
            Long::ChunkMean,
        ));
        let (a, b) = (example(5, &[&[1, 2, 3], &[4]]), example(9, &[&[6, 7]]));
        let batch = p.collate(&[&a, &b], Views::Plain).unwrap();
        assert_eq!(batch.ids, [1, 2, 3, 4, 6, 7]);
        assert_eq!(batch.lengths, [3, 1, 2]);
        assert_eq!(batch.chunks, [2, 1]);
        assert_eq!(batch.rows, [5, 9]);
        assert_eq!(batch.targets, [Target::Class(5), Target::Class(9)]);
        let other = p.collate(&[&b, &a], Views::Plain).unwrap();
        assert_eq!(batch.keys[..2], other.keys[1..]);
        assert_eq!(batch.keys[2], other.keys[0]);
        assert_ne!(batch.keys[0], batch.keys[1]);
    }

    #[test]
    fn prefetch_keeps_order_and_stops_when_dropped() {
        assert_eq!(
            prefetch(0..100, 3).collect::<Vec<_>>(),
            (0..100).collect::<Vec<_>>()
        );
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let mut endless = prefetch(
            (0..).inspect(move |_| {
                counter.fetch_add(1, Ordering::SeqCst);
            }),
            2,
        );
        assert_eq!(endless.next(), Some(0));
        drop(endless);
        // The thread was joined: nothing counts any more, and it never ran far ahead.
        let after = made.load(Ordering::SeqCst);
        assert!(after <= 5, "{after}");
        assert_eq!(Arc::strong_count(&made), 1);
    }

    #[test]
    #[should_panic(expected = "broken row")]
    fn a_panic_of_the_worker_reaches_the_reader() {
        let items = (0..3).inspect(|i| assert!(*i < 2, "broken row"));
        assert_eq!(prefetch(items, 1).count(), 3);
    }
}

//! Batches of events: timelines packed one after the other, in codes.

use std::sync::Arc;

use retune_data::batch::Pictures;
use retune_data::timelines::{AMOUNT, Moments, NUMBERS, Told};
use retune_kernels::dropout::mix;

use crate::model::Inputs;
use crate::ops::Lengths;
use crate::seq::Marks;

/// Share of the timelines of which parts are hidden, and share of their codes that are.
const HIDDEN: (u64, u64) = (50, 15);

/// Timelines, or the newest part of each.
#[derive(Debug, Clone)]
pub struct EventBatch {
    /// Codes by their place in an event, `[events]` each.
    pub codes: Vec<Arc<Vec<u32>>>,
    /// `[events, NUMBERS]`.
    pub numbers: Vec<f32>,
    /// Lengths of the timelines, and keys of their random numbers.
    pub inputs: Inputs,
    /// What the sequence model is told beside: nothing.
    pub marks: Marks,
}

/// What was hidden of a batch: the codes that were there, and 1 where they are asked for, by place in an event.
pub type Hidden = Vec<(Arc<Vec<u32>>, Arc<Vec<f32>>)>;

impl EventBatch {
    /// Of rows of a table, a list for each timeline, with its key.
    pub fn of_rows(told: &Told, timelines: &[(u64, Vec<u32>)]) -> Self {
        let rows = || {
            timelines
                .iter()
                .flat_map(|(_, rows)| rows.iter().map(|row| *row as usize))
        };
        let width = told.moments.width;
        let code =
            |at: usize| rows().map(move |row| u32::from(told.moments.codes[row * width + at]));
        let numbers = rows().flat_map(|row| {
            told.moments.numbers[row * NUMBERS..(row + 1) * NUMBERS]
                .iter()
                .copied()
        });
        let codes = (0..width).map(|at| Arc::new(code(at).collect()));
        let lengths = timelines
            .iter()
            .map(|(_, rows)| rows.len() as u32)
            .collect();
        let keys = timelines.iter().map(|(key, _)| *key).collect();
        Self::new(codes.collect(), numbers.collect(), (lengths, keys))
    }

    /// Of one timeline.
    pub fn of_moments(moments: &Moments) -> Self {
        let width = moments.width;
        let code = |at: usize| {
            moments
                .codes
                .iter()
                .skip(at)
                .step_by(width)
                .map(|code| u32::from(*code))
        };
        let codes = (0..width).map(|at| Arc::new(code(at).collect()));
        let length = vec![moments.len() as u32];
        Self::new(codes.collect(), moments.numbers.clone(), (length, vec![0]))
    }

    fn new(
        codes: Vec<Arc<Vec<u32>>>,
        numbers: Vec<f32>,
        (lengths, keys): (Vec<u32>, Vec<u64>),
    ) -> Self {
        Self {
            codes,
            numbers,
            inputs: Inputs {
                ids: Arc::default(),
                types: Arc::default(),
                pictures: Arc::new(Pictures::default()),
                chunks: Lengths::new(vec![1; lengths.len()]),
                lengths: Lengths::new(lengths),
                keys: Arc::new(keys),
            },
            marks: Marks {
                kinds: Arc::default(),
                gaps: Arc::default(),
            },
        }
    }

    /// Number of events.
    pub fn events(&self) -> usize {
        self.numbers.len() / NUMBERS
    }

    /// Row of the last event of each timeline.
    pub fn last_rows(&self) -> Vec<u32> {
        let ends = self.inputs.lengths.starts().iter().skip(1);
        ends.map(|end| *end as u32 - 1).collect()
    }

    /// Of each event the row of the one before it in its timeline plus one, 0 for a first one.
    pub fn before_rows(&self) -> Vec<u32> {
        let places = self.inputs.lengths.places().iter().zip(0u32..);
        places
            .map(|((_, place), row)| if *place == 0 { 0 } else { row })
            .collect()
    }

    /// The batch with some codes hidden in half of its timelines, by random numbers of `seed`; `sizes` is how many codes
    /// there are, of which the last one stands for a hidden one.
    #[must_use]
    pub fn hiding(mut self, sizes: &[usize], seed: u64) -> (Self, Hidden) {
        let places = self.inputs.lengths.places();
        let timelines: Vec<bool> = self
            .inputs
            .keys
            .iter()
            .map(|key| mix(seed ^ mix(*key)) % 100 < HIDDEN.0)
            .collect();
        let mut hidden = Hidden::new();
        for (at, (codes, size)) in self.codes.iter_mut().zip(sizes).enumerate() {
            let hides = |event: usize| {
                let (timeline, place) = places[event];
                let key = self.inputs.keys[timeline as usize];
                timelines[timeline as usize]
                    && mix(seed ^ mix(key ^ mix(u64::from(place) << 8 | at as u64))) % 100
                        < HIDDEN.1
            };
            let asked: Vec<f32> = (0..codes.len())
                .map(|event| f32::from(u8::from(hides(event))))
                .collect();
            let told: Vec<u32> = codes
                .iter()
                .zip(&asked)
                .map(|(code, asked)| {
                    if *asked > 0.0 {
                        *size as u32 - 1
                    } else {
                        *code
                    }
                })
                .collect();
            if at == AMOUNT {
                // Where the amount is hidden, so is what is computed of it; what a mean rests on stays.
                for (event, _) in asked.iter().enumerate().filter(|(_, asked)| **asked > 0.0) {
                    self.numbers[event * NUMBERS..event * NUMBERS + NUMBERS - 1].fill(0.0);
                }
            }
            hidden.push((std::mem::replace(codes, Arc::new(told)), Arc::new(asked)));
        }
        (self, hidden)
    }
}

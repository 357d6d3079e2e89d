//! A causal transformer over histories: what stands for each event comes in as a vector, and what is known after it
//! goes out as one.
//!
//! It knows nothing of items, shops or cards: whoever uses it turns its events into vectors and reads the states. The
//! layers are those of eSASRec (Tikhonovich et al., RecSys 2025): norms before their parts, SwiGLU inside and valves
//! before the residual sums ("LiGR", arXiv:2502.03417). Places are counted from the end of a history, as SASRec does
//! by padding on the left (Kang & McAuley, arXiv:1808.09781).

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::model::{Inputs, Pass};
use crate::nn::LayerNorm;
use crate::nn::pre_norm::{Form, PreNorm};
use crate::ops::{self, Activation, Lookup};
use crate::weights::{Init, Source, WeightsError};

/// Dropout site of what goes in; layers count theirs from 1 on, three each.
const ENTRY_SITE: u64 = 0;
/// Added to variances.
const EPS: f64 = 1e-6;

/// Sizes and rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeqConfig {
    /// Width of the vectors that stand for events and states.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads, which share the width.
    pub heads: usize,
    /// Width inside the feed-forward parts.
    pub inner: usize,
    /// Longest history, in events.
    pub max_length: usize,
    /// Kinds of events; 1 where there is only one kind.
    pub kinds: usize,
    /// Buckets of the time since the event before; 0 where times do not count.
    pub gaps: usize,
    /// Dropout of what goes in, of attention and of what each part adds.
    pub dropout: f64,
    /// Whether an event's place from the end counts; without it, a state is the same whatever follows.
    #[serde(default = "placed")]
    pub placed: bool,
}

fn placed() -> bool {
    true
}

impl SeqConfig {
    /// What is wrong with it, and what was expected.
    pub fn problem(&self) -> Option<String> {
        let sizes = [
            self.width,
            self.layers,
            self.heads,
            self.inner,
            self.max_length,
            self.kinds,
        ];
        if sizes.contains(&0) {
            return Some("every size must be at least 1".to_string());
        }
        if !self.width.is_multiple_of(self.heads) {
            let (width, heads) = (self.width, self.heads);
            return Some(format!(
                "a width of {width} cannot be shared by {heads} heads"
            ));
        }
        let p = self.dropout;
        (!(0.0..1.0).contains(&p))
            .then(|| format!("dropout is {p}, expected 0 or more and less than 1"))
    }

    /// Standard deviation of fresh weights: that of Glorot & Bengio (2010) for a square layer.
    pub fn spread(&self) -> f64 {
        1.0 / (self.width as f64).sqrt()
    }
}

/// The transformer.
#[derive(Module, Debug)]
pub struct Seq {
    /// One vector for each place from the end, `[max_length, width]`.
    places: Option<Param<Tensor<2>>>,
    /// `[kinds, width]`.
    kinds: Option<Param<Tensor<2>>>,
    /// `[gaps, width]`.
    gaps: Option<Param<Tensor<2>>>,
    layers: Vec<PreNorm>,
    norm: LayerNorm,
    dropout: f64,
}

/// What is known of each event beside the vector that stands for it, `[events]` each.
#[derive(Debug, Clone)]
pub struct Marks {
    /// Kind of each event.
    pub kinds: Arc<Vec<u32>>,
    /// Bucket of the time since the event before it.
    pub gaps: Arc<Vec<u32>>,
}

impl Seq {
    /// Reads its parts at `path`.
    pub fn load(source: &mut Source, path: &str, config: &SeqConfig) -> Result<Self, WeightsError> {
        let width = config.width;
        let mut table = |name: &str, rows: usize, least: usize| {
            let path = format!("{path}.{name}");
            let init = Init::Spread { std: 0.02 };
            (rows >= least)
                .then(|| source.param(&path, [rows, width], init))
                .transpose()
        };
        let (kinds, gaps) = (
            table("kinds", config.kinds, 2)?,
            table("gaps", config.gaps, 1)?,
        );
        let init = Init::Spread { std: 0.02 };
        let places = config
            .placed
            .then(|| source.param(&format!("{path}.places"), [config.max_length, width], init))
            .transpose()?;
        let form = Form {
            width,
            heads: config.heads,
            inner: config.inner,
            scaled: false,
            gated: true,
            valves: true,
            causal: true,
            eps: EPS,
            activation: Activation::None,
            dropout: config.dropout,
            attention_dropout: config.dropout,
        };
        let layers =
            (0..config.layers).map(|i| PreNorm::load(source, &format!("{path}.layers.{i}"), &form));
        Ok(Self {
            places,
            kinds,
            gaps,
            layers: layers.collect::<Result<_, _>>()?,
            norm: LayerNorm::load(source, &format!("{path}.norm"), width, EPS)?,
            dropout: config.dropout,
        })
    }

    /// What is known after each event: `[events, width]` from vectors of that shape, packed history after history.
    pub fn forward(&self, events: Tensor<2>, marks: &Marks, x: &Inputs, pass: &Pass) -> Tensor<2> {
        let places = from_the_end(x);
        let mut tables: Vec<Lookup> = Vec::new();
        tables.extend(self.places.iter().map(|table| Lookup {
            table,
            ids: &places,
        }));
        tables.extend(self.kinds.iter().map(|table| Lookup {
            table,
            ids: &marks.kinds,
        }));
        tables.extend(self.gaps.iter().map(|table| Lookup {
            table,
            ids: &marks.gaps,
        }));
        let events = match tables.as_slice() {
            [] => events,
            some => ops::sum(events, ops::embedding(some, &pass.rows)),
        }; // [events, width]
        let entry = pass.dropout(self.dropout, ENTRY_SITE, x);
        let mut state = ops::dropout(events, &x.lengths, &entry);
        for (i, layer) in self.layers.iter().enumerate() {
            state = layer.forward(state, x, pass, 1 + 3 * i as u64);
        }
        self.norm.forward(state, None, None)
    }
}

/// Place of each event from the end of its history, which is 0 for the last one: `[events]`.
fn from_the_end(x: &Inputs) -> Arc<Vec<u32>> {
    let lengths = x.lengths.host();
    let places = x.lengths.places().iter();
    Arc::new(
        places
            .map(|(history, place)| lengths[*history as usize] - 1 - place)
            .collect(),
    )
}

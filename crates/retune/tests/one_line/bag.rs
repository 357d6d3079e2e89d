//! A family in one file: the normalised sum of word and position vectors, no layers. It reads the embedding
//! tables of BERT checkpoints whose `model_type` is `bag`.

use burn::module::Module;

use super::{Backbone, BuildError, Facts, Family, ModelConfig};
use crate::head::HeadStyle;
use crate::model::{Hidden, Inputs, Pass, Pooling, Reads};
use crate::nn::{Embedding, LayerNorm};
use crate::ops::{self, Activation};
use crate::weights::Source;

/// The family's entry.
pub const FAMILY: Family = Family {
    name: "bag",
    about: "words and positions, no layers",
    reads: Reads::Text,
    pace: 1.0,
    resized: None,
    model_types: &["bag"],
    facts: |config| {
        let width = config.size("hidden_size")?;
        Ok(Facts {
            width,
            layers: 0,
            heads: 1,
            vocabulary: config.size("vocab_size")?,
            max_length: config.size("max_position_embeddings")?,
            initializer_range: 0.02,
            head: HeadStyle {
                dense: Some(Activation::Tanh),
                dropout_first: false,
                dropout: 0.1,
                width,
                pooling: Pooling::First,
            },
            picture: None,
        })
    },
    build: |config, source| Ok(Backbone::Bag(Bag::load(config, source)?)),
    adapted: &[],
    keys: |_, path| {
        let key = path
            .replace("backbone.word", "bert.embeddings.word_embeddings")
            .replace("backbone.position", "bert.embeddings.position_embeddings")
            .replace("backbone.norm", "bert.embeddings.LayerNorm")
            .replace("head.dense", "bert.pooler.dense")
            .replace("head.out", "classifier");
        vec![key]
    },
    ignored: |_| true,
    architecture: |_| "BertForSequenceClassification",
};

/// Two tables and a norm.
#[derive(Module, Debug)]
pub struct Bag {
    word: Embedding,
    position: Embedding,
    norm: LayerNorm,
}

impl Bag {
    fn load(config: &ModelConfig, source: &mut Source) -> Result<Self, BuildError> {
        let facts = (FAMILY.facts)(config)?;
        let width = facts.width;
        Ok(Self {
            word: Embedding::load(source, "backbone.word", facts.vocabulary, width)?,
            position: Embedding::load(source, "backbone.position", facts.max_length, width)?,
            norm: LayerNorm::load(source, "backbone.norm", width, 1e-12)?,
        })
    }

    /// Packed tokens to `[tokens, width]`.
    pub fn forward(&self, x: &Inputs, pass: &Pass) -> Hidden {
        let positions = x.positions(0);
        let lookups = [self.word.at(&x.ids), self.position.at(&positions)];
        let sum = ops::embedding(&lookups, &pass.rows); // [tokens, width]
        let hidden = self.norm.forward(sum, None, None);
        Hidden {
            tokens: ops::dropout(hidden, &x.lengths, &pass.dropout(0.1, 0, x)),
            lengths: x.lengths.clone(),
            front: 0,
        }
    }
}

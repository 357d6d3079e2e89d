//! Post-norm transformer encoders with absolute positions: BERT (Devlin et al., arXiv:1810.04805),
//! DistilBERT (Sanh et al., arXiv:1910.01108), RoBERTa (Liu et al., arXiv:1907.11692) and XLM-RoBERTa
//! (Conneau et al., arXiv:1911.02116), as `transformers` computes them.
//!
//! `x = LN(word + position + type)`; per layer `x = LN(x + W_o attention(x))`,
//! `x = LN(x + W_down gelu(W_up x))`. DistilBERT has no token types; the RoBERTas count positions from
//! `pad_token_id + 1`.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Backbone, BuildError, ConfigError, Facts, Family, ModelConfig};
use crate::head::HeadStyle;
use crate::model::{Hidden, Inputs, Pass, Pooling, Reads};
use crate::nn::{Embedding, LayerNorm, Linear};
use crate::ops::{self, Activation, Heads};
use crate::weights::Source;

/// The family's entry.
pub const FAMILY: Family = Family {
    name: "bert",
    about: "text encoders: BERT, DistilBERT, RoBERTa, XLM-RoBERTa, sentence-transformers",
    reads: Reads::Text,
    pace: 1.0,
    resized: None,
    model_types: &["bert", "distilbert", "roberta", "xlm-roberta"],
    facts: |config| Ok(Shape::read(config)?.facts),
    build: |config, source| Ok(Backbone::Bert(Bert::load(config, source)?)),
    keys,
    adapted: &["query", "value"],
    ignored: |key| {
        key.ends_with("position_ids")
            || ["cls.", "lm_head.", "vocab_", "roberta.pooler.", "pooler."]
                .iter()
                .any(|prefix| key.starts_with(prefix))
    },
    architecture: |model_type| match model_type {
        "distilbert" => "DistilBertForSequenceClassification",
        "roberta" => "RobertaForSequenceClassification",
        "xlm-roberta" => "XLMRobertaForSequenceClassification",
        _ => "BertForSequenceClassification",
    },
};

/// Sizes and rates read from `config.json`.
struct Shape {
    facts: Facts,
    inner: usize,
    positions: usize,
    types: usize,
    offset: usize,
    eps: f64,
    activation: Activation,
    dropout: f64,
    attention_dropout: f64,
}

impl Shape {
    fn read(config: &ModelConfig) -> Result<Self, ConfigError> {
        let distil = config.model_type() == "distilbert";
        let roberta = config.model_type().ends_with("roberta");
        let name = |ours: &'static str, distils: &'static str| if distil { distils } else { ours };
        let offset = if roberta {
            config.number("pad_token_id", 1.0)? as usize + 1
        } else {
            0
        };
        let positions = config.size("max_position_embeddings")?;
        let (width, heads) = (
            config.size(name("hidden_size", "dim"))?,
            config.size(name("num_attention_heads", "n_heads"))?,
        );
        if width % heads != 0 || positions <= offset {
            return Err(ConfigError {
                key: name("num_attention_heads", "n_heads").to_string(),
                what: format!("is {heads}, which does not divide the width {width}"),
            });
        }
        let dropout = config.number(name("hidden_dropout_prob", "dropout"), 0.1)?;
        let attention = name("attention_probs_dropout_prob", "attention_dropout");
        let head_dropout = if distil {
            config.number("seq_classif_dropout", 0.2)?
        } else {
            config.number("classifier_dropout", dropout)?
        };
        Ok(Self {
            facts: Facts {
                width,
                layers: config.size(name("num_hidden_layers", "n_layers"))?,
                heads,
                vocabulary: config.size("vocab_size")?,
                max_length: positions - offset,
                initializer_range: config.number("initializer_range", 0.02)?,
                head: HeadStyle {
                    dense: Some(if distil { Activation::Relu } else { Activation::Tanh }),
                    dropout_first: roberta,
                    dropout: head_dropout,
                    width,
                    pooling: Pooling::First,
                },
                picture: None,
            },
            inner: config.size(name("intermediate_size", "hidden_dim"))?,
            positions,
            types: if distil { 0 } else { config.size("type_vocab_size")? },
            offset,
            eps: config.number("layer_norm_eps", 1e-12)?,
            activation: config.activation(name("hidden_act", "activation"))?,
            dropout,
            attention_dropout: config.number(attention, 0.1)?,
        })
    }
}

/// The encoder.
#[derive(Module, Debug)]
pub struct Bert {
    word: Embedding,
    position: Embedding,
    token_type: Option<Embedding>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    position_offset: usize,
    one_type: bool,
    dropout: f64,
}

/// One encoder layer.
#[derive(Module, Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
    #[module(skip)]
    heads: Heads,
    #[module(skip)]
    activation: Activation,
    dropout: f64,
    attention_dropout: f64,
}

impl Bert {
    fn load(config: &ModelConfig, source: &mut Source) -> Result<Self, BuildError> {
        let shape = Shape::read(config)?;
        let (width, p) = (shape.facts.width, "backbone");
        let token_type = match shape.types {
            0 => None,
            n => Some(Embedding::load(source, &format!("{p}.token_type"), n, width)?),
        };
        Ok(Self {
            word: Embedding::load(source, &format!("{p}.word"), shape.facts.vocabulary, width)?,
            position: Embedding::load(source, &format!("{p}.position"), shape.positions, width)?,
            token_type,
            norm: LayerNorm::load(source, &format!("{p}.norm"), width, shape.eps)?,
            layers: (0..shape.facts.layers)
                .map(|i| Layer::load(&shape, source, &format!("{p}.layers.{i}")))
                .collect::<Result<_, _>>()?,
            position_offset: shape.offset,
            one_type: shape.types == 1,
            dropout: shape.dropout,
        })
    }

    /// Packed tokens to `[tokens, width]`.
    pub fn forward(&self, x: &Inputs, pass: &Pass) -> Hidden {
        let positions = x.positions(self.position_offset as u32);
        let types = if self.one_type {
            Arc::new(vec![0; x.types.len()])
        } else {
            Arc::clone(&x.types)
        };
        let mut lookups = vec![self.word.at(&x.ids), self.position.at(&positions)];
        lookups.extend(self.token_type.as_ref().map(|table| table.at(&types)));
        let sum = ops::embedding(&lookups, &pass.rows); // [tokens, width]
        let hidden = self.norm.forward(sum, None, None);
        let mut hidden = ops::dropout(hidden, &x.lengths, &pass.dropout(self.dropout, 0, x));
        for (i, layer) in self.layers.iter().enumerate() {
            hidden = layer.forward(hidden, x, pass, 1 + 3 * i as u64);
        }
        Hidden {
            tokens: hidden,
            lengths: x.lengths.clone(),
            front: 0,
        }
    }
}

impl Layer {
    fn load(shape: &Shape, source: &mut Source, path: &str) -> Result<Self, BuildError> {
        let (width, inner) = (shape.facts.width, shape.inner);
        let mut linear = |name: &str, input, output| {
            Linear::load(source, &format!("{path}.{name}"), input, output)
        };
        let (query, key) = (linear("query", width, width)?, linear("key", width, width)?);
        let (value, output) = (linear("value", width, width)?, linear("output", width, width)?);
        let (up, down) = (linear("up", width, inner)?, linear("down", inner, width)?);
        let mut norm =
            |name: &str| LayerNorm::load(source, &format!("{path}.{name}"), width, shape.eps);
        Ok(Self {
            query,
            key,
            value,
            output,
            attention_norm: norm("attention_norm")?,
            up,
            down,
            norm: norm("norm")?,
            heads: Heads {
                heads: shape.facts.heads,
                kv_heads: shape.facts.heads,
                size: width / shape.facts.heads,
                causal: false,
            },
            activation: shape.activation,
            dropout: shape.dropout,
            attention_dropout: shape.attention_dropout,
        })
    }

    /// `[tokens, width]` to `[tokens, width]`; uses the dropout sites `site` to `site + 2`.
    fn forward(&self, x: Tensor<2>, inputs: &Inputs, pass: &Pass, site: u64) -> Tensor<2> {
        let lengths = &inputs.lengths;
        let [x, residual] = ops::fork(x);
        let qkv = Linear::side_by_side([&self.query, &self.key, &self.value], x, (inputs, pass));
        let dropout = pass.dropout(self.attention_dropout, site, inputs);
        let context = ops::attention(qkv, lengths, self.heads, &dropout); // [tokens, width]
        let context = self.output.forward_tokens(context, Activation::None, (inputs, pass));
        let dropout = pass.dropout(self.dropout, site + 1, inputs);
        let norm = &self.attention_norm;
        let x = norm.forward(context, Some(residual), Some((lengths, &dropout)));
        let [x, residual] = ops::fork(x);
        let inner = self.up.forward_tokens(x, self.activation, (inputs, pass)); // [tokens, inner]
        let inner = self.down.forward_tokens(inner, Activation::None, (inputs, pass));
        let dropout = pass.dropout(self.dropout, site + 2, inputs);
        self.norm
            .forward(inner, Some(residual), Some((lengths, &dropout)))
    }
}

/// Path in the module tree, key in BERT and RoBERTa checkpoints, key in DistilBERT checkpoints.
const LAYER_KEYS: &[(&str, &str, &str)] = &[
    ("query", "attention.self.query", "attention.q_lin"),
    ("key", "attention.self.key", "attention.k_lin"),
    ("value", "attention.self.value", "attention.v_lin"),
    ("output", "attention.output.dense", "attention.out_lin"),
    ("attention_norm", "attention.output.LayerNorm", "sa_layer_norm"),
    ("up", "intermediate.dense", "ffn.lin1"),
    ("down", "output.dense", "ffn.lin2"),
    ("norm", "output.LayerNorm", "output_layer_norm"),
];

const EMBEDDING_KEYS: &[(&str, &str)] = &[
    ("word", "embeddings.word_embeddings"),
    ("position", "embeddings.position_embeddings"),
    ("token_type", "embeddings.token_type_embeddings"),
    ("norm", "embeddings.LayerNorm"),
];

fn keys(config: &ModelConfig, path: &str) -> Vec<String> {
    let (model, distil) = match config.model_type() {
        "distilbert" => ("distilbert", true),
        "bert" => ("bert", false),
        _ => ("roberta", false),
    };
    let (owner, leaf) = path.rsplit_once('.').unwrap_or((path, ""));
    if let Some(part) = owner.strip_prefix("head.") {
        return head_keys(model, part, leaf);
    }
    let owner = owner.strip_prefix("backbone.").unwrap_or(owner);
    let inside = if let Some(rest) = owner.strip_prefix("layers.") {
        let (index, part) = rest.split_once('.').unwrap_or((rest, ""));
        let row = LAYER_KEYS.iter().find(|row| row.0 == part);
        let theirs = row.map_or(part, |row| if distil { row.2 } else { row.1 });
        let stack = if distil { "transformer.layer" } else { "encoder.layer" };
        format!("{stack}.{index}.{theirs}")
    } else {
        let row = EMBEDDING_KEYS.iter().find(|row| row.0 == owner);
        row.map_or(owner, |row| row.1).to_string()
    };
    // Old BERT checkpoints call the norm's parameters gamma and beta.
    let old = match leaf {
        "weight" => "gamma",
        _ => "beta",
    };
    vec![
        format!("{model}.{inside}.{leaf}"),
        format!("{inside}.{leaf}"),
        format!("{model}.{inside}.{old}"),
        format!("{inside}.{old}"),
    ]
}

fn head_keys(model: &str, part: &str, leaf: &str) -> Vec<String> {
    let names: &[&str] = match (model, part) {
        ("bert", "dense") => &["bert.pooler.dense", "pooler.dense"],
        ("distilbert", "dense") => &["pre_classifier"],
        ("roberta", "dense") => &["classifier.dense"],
        ("roberta", _) => &["classifier.out_proj"],
        _ => &["classifier"],
    };
    names.iter().map(|name| format!("{name}.{leaf}")).collect()
}

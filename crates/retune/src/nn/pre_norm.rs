//! A layer of a transformer that normalises what its parts read (Xiong et al., arXiv:2002.04745):
//! `x = x + s attention(LN(x))`, `x = x + s W_down gelu(W_up LN(x))`.
//!
//! `s` is a scale per channel (Touvron et al., arXiv:2103.17239) that some models have. Those with a gate have
//! `W_down (silu(W_gate y) * W_up y)` inside (Shazeer, arXiv:2002.05202). Those with valves let through
//! `sigmoid(V x)` of what a part adds ("LiGR", Borisyuk et al., arXiv:2502.03417).

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{LayerNorm, Linear};
use crate::model::{Inputs, Pass};
use crate::ops::{self, Activation, Heads};
use crate::weights::{Init, Source, WeightsError};

/// Sizes and rates of a layer.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a part that a layer has or has not"
)]
pub struct Form {
    /// Width of the token vectors.
    pub width: usize,
    /// Attention heads, which share it.
    pub heads: usize,
    /// Width inside the feed-forward part.
    pub inner: usize,
    /// Whether what its parts add is scaled channel by channel.
    pub scaled: bool,
    /// Whether the feed-forward part has a gate.
    pub gated: bool,
    /// Whether a valve stands before each residual sum.
    pub valves: bool,
    /// Whether a token sees only itself and those before it.
    pub causal: bool,
    /// Added to variances.
    pub eps: f64,
    /// Activation inside, where there is no gate.
    pub activation: Activation,
    /// Dropout of what its parts add.
    pub dropout: f64,
    /// Dropout of attention.
    pub attention_dropout: f64,
}

/// One layer.
#[derive(Module, Debug)]
pub struct PreNorm {
    attention_norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    /// `[width]`.
    attention_scale: Option<Param<Tensor<1>>>,
    attention_valve: Option<Linear>,
    norm: LayerNorm,
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
    /// `[width]`.
    scale: Option<Param<Tensor<1>>>,
    valve: Option<Linear>,
    #[module(skip)]
    heads: Heads,
    #[module(skip)]
    activation: Activation,
    dropout: f64,
    attention_dropout: f64,
}

impl PreNorm {
    /// Reads its parts at `path`.
    pub fn load(source: &mut Source, path: &str, form: &Form) -> Result<Self, WeightsError> {
        let (width, inner) = (form.width, form.inner);
        let mut linear = |name: &str, input, output| {
            Linear::load(source, &format!("{path}.{name}"), input, output)
        };
        let (query, key) = (linear("query", width, width)?, linear("key", width, width)?);
        let (value, output) = (
            linear("value", width, width)?,
            linear("output", width, width)?,
        );
        let gate = form
            .gated
            .then(|| linear("gate", width, inner))
            .transpose()?;
        let (up, down) = (linear("up", width, inner)?, linear("down", inner, width)?);
        let mut valve = |name: &str| form.valves.then(|| linear(name, width, width)).transpose();
        let (attention_valve, valve) = (valve("attention_valve")?, valve("valve")?);
        let mut scale = |name: &str| {
            let path = format!("{path}.{name}");
            let wanted = form
                .scaled
                .then(|| source.param(&path, [width], Init::Ones));
            wanted.transpose()
        };
        let (attention_scale, scale) = (scale("attention_scale")?, scale("scale")?);
        let mut norm =
            |name: &str| LayerNorm::load(source, &format!("{path}.{name}"), width, form.eps);
        Ok(Self {
            attention_norm: norm("attention_norm")?,
            query,
            key,
            value,
            output,
            attention_scale,
            attention_valve,
            norm: norm("norm")?,
            gate,
            up,
            down,
            scale,
            valve,
            heads: Heads {
                heads: form.heads,
                kv_heads: form.heads,
                size: width / form.heads,
                causal: form.causal,
            },
            activation: form.activation,
            dropout: form.dropout,
            attention_dropout: form.attention_dropout,
        })
    }

    /// `[tokens, width]` to `[tokens, width]`; uses the dropout sites `site` to `site + 2`.
    pub fn forward(&self, x: Tensor<2>, inputs: &Inputs, pass: &Pass, site: u64) -> Tensor<2> {
        let given = (inputs, pass);
        let lengths = &inputs.lengths;
        let [x, residual] = ops::fork(x);
        let x = self.attention_norm.forward(x, None, None);
        let qkv = Linear::side_by_side([&self.query, &self.key, &self.value], x, given);
        let dropout = pass.dropout(self.attention_dropout, site, inputs);
        let context = ops::attention(qkv, lengths, self.heads, &dropout); // [tokens, width]
        let context = scaled(&self.output, self.attention_scale.as_ref(), context, given);
        let dropout = pass.dropout(self.dropout, site + 1, inputs);
        let context = ops::dropout(context, lengths, &dropout);
        let x = added(residual, context, self.attention_valve.as_ref(), given);
        let [x, residual] = ops::fork(x);
        let x = self.norm.forward(x, None, None);
        let inner = self.inner(x, given); // [tokens, inner]
        let inner = scaled(&self.down, self.scale.as_ref(), inner, given);
        let dropout = pass.dropout(self.dropout, site + 2, inputs);
        let inner = ops::dropout(inner, lengths, &dropout);
        added(residual, inner, self.valve.as_ref(), given)
    }

    /// What the inner part makes of its input, `[tokens, inner]`.
    fn inner(&self, x: Tensor<2>, given: (&Inputs, &Pass)) -> Tensor<2> {
        let Some(gate) = &self.gate else {
            return self.up.forward_tokens(x, self.activation, given);
        };
        let [x, same] = ops::fork(x);
        let gate = gate.forward_tokens(same, Activation::Silu, given);
        ops::product(gate, self.up.forward_tokens(x, Activation::None, given))
    }
}

/// The residual sum, `x + part`, or what the valve lets through of the part: all `[tokens, width]`.
fn added(
    x: Tensor<2>,
    part: Tensor<2>,
    valve: Option<&Linear>,
    given: (&Inputs, &Pass),
) -> Tensor<2> {
    let Some(valve) = valve else {
        return ops::sum(x, part);
    };
    let [x, residual] = ops::fork(x);
    let open = valve.forward_tokens(x, Activation::Sigmoid, given);
    ops::sum(residual, ops::product(open, part))
}

/// A layer with the scale that its result gets, where it gets one.
fn scaled(
    layer: &Linear,
    scale: Option<&Param<Tensor<1>>>,
    x: Tensor<2>,
    given: (&Inputs, &Pass),
) -> Tensor<2> {
    match scale {
        Some(scale) => layer.forward_scaled(x, scale.val(), given),
        None => layer.forward_tokens(x, Activation::None, given),
    }
}

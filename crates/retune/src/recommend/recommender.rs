//! The model: items become vectors, a history of items becomes a state, and a state ranks the items.
//!
//! An item's vector is what an adaptor makes of its text's whitened vector ("UniSRec", Hou et al., arXiv:2206.05941;
//! "WhitenRec", Zhang et al., arXiv:2402.10602), plus a vector of its own behind a gate. The latter begins as zero, so a
//! model that goes on from a pre-trained one begins as that one, and an item that nobody has taken yet stands on its
//! text alone, and on its categories where the model reads them.
//!
//! What an item's popularity adds to its score can be given instead of learned: then its vector ends with the logarithm
//! of its popularity, and every state ends with how much that counts.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::sequences::SequenceBatch;
use crate::model::Pass;
use crate::nn::Linear;
use crate::ops::Activation;
use crate::seq::{Seq, SeqConfig};
use crate::weights::{Init, Source, WeightsError};

/// Added to squared lengths of vectors.
const EPS: f64 = 1e-12;
/// Logarithm of the first factor of cosines, less the 1 that the parameter begins as: 1 / 0.07, UniSRec's temperature.
const COLDEST: f64 = 1.66;

/// How a state and an item make a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Score {
    /// Their cosine, times a learned sharpness.
    Cosine,
    /// Their product.
    Dot,
}

/// What a model is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// The transformer over histories.
    pub body: SeqConfig,
    /// Width of the vectors of texts; 0 where items are known by their ids alone.
    pub text: usize,
    /// Items with a vector of their own; 0 where they stand on their texts alone.
    pub ids: usize,
    /// Values of categories with a vector of their own; 0 where no categories are read.
    #[serde(default)]
    pub categories: usize,
    /// How a state and an item make a score.
    pub score: Score,
    /// Whether what popularity adds to a score is given.
    #[serde(default)]
    pub popularity: bool,
}

impl Form {
    /// Width of the vectors of items and of states, which end with what popularity is about where it is given.
    pub fn vector_width(&self) -> usize {
        self.body.width + usize::from(self.popularity)
    }

    /// The same of items that are known by their ids alone.
    #[must_use]
    pub fn ids_alone(&self, items: usize) -> Self {
        Self {
            text: 0,
            ids: items,
            categories: 0,
            score: Score::Dot,
            popularity: false,
            ..self.clone()
        }
    }
}

/// What is known of items before anything is learned about each of them.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Whitened vectors of their texts, `[items, text]`.
    pub texts: Option<Tensor<2>>,
    /// How much of each value of categories they have, `[items, values]`.
    pub categories: Option<Tensor<2>>,
    /// Logarithms of their popularity, `[items, 1]`.
    pub popularity: Option<Tensor<2>>,
}

impl Known {
    /// What a model of this form reads of it.
    #[must_use]
    pub fn of(&self, form: &Form) -> Self {
        Self {
            texts: self.texts.clone().filter(|_| form.text > 0),
            categories: self.categories.clone().filter(|_| form.categories > 0),
            popularity: self.popularity.clone().filter(|_| form.popularity),
        }
    }

    /// Of the items of these rows.
    #[must_use]
    pub fn select(&self, rows: &Tensor<1, Int>) -> Self {
        self.each(|known| known.select(0, rows.clone()))
    }

    /// The same outside the gradient graph.
    #[must_use]
    pub fn plain(&self) -> Self {
        self.each(Tensor::inner)
    }

    fn each(&self, f: impl Fn(Tensor<2>) -> Tensor<2>) -> Self {
        Self {
            texts: self.texts.clone().map(&f),
            categories: self.categories.clone().map(&f),
            popularity: self.popularity.clone().map(&f),
        }
    }
}

/// What makes an item's vector of that of its text.
#[derive(Module, Debug)]
pub struct Adaptor {
    /// `[4 width, text]`.
    inner: Linear,
    /// `[width, 4 width]`.
    out: Linear,
}

impl Adaptor {
    /// `[items, text]` to `[items, width]`.
    fn forward(&self, texts: Tensor<2>) -> Tensor<2> {
        let inner = self.inner.forward(texts, Activation::Gelu); // [items, 4 width]
        self.out.forward(inner, Activation::None).cast(DType::F32)
    }
}

/// A sequential recommender.
#[derive(Module, Debug)]
pub struct Recommender {
    /// From texts to items.
    pub adaptor: Option<Adaptor>,
    /// A vector for each value of categories, `[values, width]`.
    pub categories: Option<Param<Tensor<2>>>,
    /// A vector for each item, `[items, width]`.
    pub ids: Option<Param<Tensor<2>>>,
    /// How much of it counts, `[1]`.
    pub gate: Option<Param<Tensor<1>>>,
    /// From histories to states.
    pub body: Seq,
    /// Logarithm of the factor of cosines, `[1]`.
    pub sharpness: Option<Param<Tensor<1>>>,
    /// How much the logarithm of popularity counts, `[1]`.
    pub popularity: Option<Param<Tensor<1>>>,
    #[module(skip)]
    width: usize,
}

impl Recommender {
    /// Reads `adaptor`, `categories`, `ids`, `gate`, `body`, `sharpness` and `popularity`; whatever the source lacks of
    /// categories and ids starts anew.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn load(source: &mut Source, form: &Form) -> Result<Self, WeightsError> {
        let width = form.body.width;
        let adaptor = (form.text > 0).then(|| -> Result<Adaptor, WeightsError> {
            Ok(Adaptor {
                inner: Linear::load(source, "adaptor.inner", form.text, 4 * width)?,
                out: Linear::load(source, "adaptor.out", 4 * width, width)?,
            })
        });
        let adaptor = adaptor.transpose()?;
        let body = Seq::load(source, "body", &form.body)?;
        let sharpness = (form.score == Score::Cosine)
            .then(|| source.param("sharpness", [1], Init::Ones))
            .transpose()?;
        let popularity = form
            .popularity
            .then(|| source.param("popularity", [1], Init::Ones))
            .transpose()?;
        source.allow_new();
        let categories = (form.categories > 0)
            .then(|| source.param("categories", [form.categories, width], Init::Zeros))
            .transpose()?;
        let fresh = match adaptor {
            Some(_) => Init::Zeros,
            None => Init::Normal,
        };
        let ids = (form.ids > 0)
            .then(|| source.param("ids", [form.ids, width], fresh))
            .transpose()?;
        let gated = ids.is_some() && adaptor.is_some();
        let gate = gated
            .then(|| source.param("gate", [1], Init::Ones))
            .transpose()?;
        Ok(Self {
            adaptor,
            categories,
            ids,
            gate,
            body,
            sharpness,
            popularity,
            width,
        })
    }

    /// Vectors of items, `[items, vector width]`, from what is known of them and their rows among the model's items.
    pub fn items(&self, of: &Known, rows: &Tensor<1, Int>) -> Tensor<2> {
        let own = self.ids.as_ref().map(|ids| {
            let own = ids.val().select(0, rows.clone()); // [items, width]
            match &self.gate {
                Some(gate) => own * gate.val().reshape([1, 1]),
                None => own,
            }
        });
        self.vectors(of, own)
    }

    /// Vectors of new items, `[items, vector width]`, from what is known of them.
    ///
    /// # Panics
    /// When the model knows items by their ids alone.
    pub fn told(&self, of: &Known) -> Tensor<2> {
        self.vectors(of, None)
    }

    /// From what is known of items and their own vectors, `[items, width]`.
    fn vectors(&self, of: &Known, own: Option<Tensor<2>>) -> Tensor<2> {
        let told = of.texts.as_ref().zip(self.adaptor.as_ref());
        let told = told.map(|(texts, adaptor)| adaptor.forward(texts.clone()));
        let shared = of.categories.as_ref().zip(self.categories.as_ref());
        let shared = shared.map(|(shares, vectors)| shares.clone().matmul(vectors.val()));
        let parts = told.into_iter().chain(shared).chain(own);
        let sum = parts.reduce(|sum, part| sum + part);
        let sum = sum.unwrap_or_else(|| unreachable!("items have texts or vectors of their own"));
        ended(self.scaled(sum), of.popularity.clone())
    }

    /// Of length 1 where scores are cosines.
    fn scaled(&self, vectors: Tensor<2>) -> Tensor<2> {
        match self.sharpness {
            Some(_) => unit(vectors),
            None => vectors,
        }
    }

    /// What is known after each event of a batch, `[events, vector width]`, in which events name rows of `items`.
    pub fn states(&self, items: &Tensor<2>, batch: &SequenceBatch, pass: &Pass) -> Tensor<2> {
        let ids: Vec<i64> = batch.inputs.ids.iter().map(|id| i64::from(*id)).collect();
        let events = ids.len();
        let ids = Tensor::from_data(TensorData::new(ids, [events]), &items.device());
        let vectors = items.clone().select(0, ids); // [events, vector width]
        let mut vectors = vectors.slice([0..events, 0..self.width]); // [events, width]
        if self.sharpness.is_some() {
            vectors = vectors * (self.width as f64).sqrt(); // of variance 1
        }
        let states = self
            .body
            .forward(vectors, &batch.marks, &batch.inputs, pass);
        self.asking(self.scaled(states))
    }

    /// States of nothing known, `[users, vector width]`: all items score by their popularity alone.
    pub fn blank(&self, users: usize, device: &Device) -> Tensor<2> {
        self.asking(Tensor::zeros([users, self.width], device))
    }

    /// States that end with how much popularity counts, where it does: the factor that all products get does not touch
    /// it.
    fn asking(&self, states: Tensor<2>) -> Tensor<2> {
        let [rows, _] = states.dims();
        let counts = self.popularity.as_ref().map(|weight| {
            let weight = weight.val() / self.scale(&states.device());
            weight.reshape([1, 1]).repeat_dim(0, rows)
        });
        ended(states, counts)
    }

    /// Factor of the products of states and items that makes them logits, `[1]`.
    pub fn scale(&self, device: &Device) -> Tensor<1> {
        match &self.sharpness {
            Some(sharpness) => (sharpness.val() + COLDEST).exp(),
            None => Tensor::ones([1], device),
        }
    }
}

/// `[rows, width]` and, where there is one, a last column, `[rows, 1]`.
fn ended(vectors: Tensor<2>, last: Option<Tensor<2>>) -> Tensor<2> {
    match last {
        Some(last) => Tensor::cat(vec![vectors, last], 1),
        None => vectors,
    }
}

/// Rows of length 1: `[rows, width]`.
fn unit(x: Tensor<2>) -> Tensor<2> {
    let squares = (x.clone() * x.clone()).sum_dim(1); // [rows, 1]
    x / (squares + EPS).sqrt()
}

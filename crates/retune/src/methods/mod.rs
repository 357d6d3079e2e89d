//! Methods: what of a model trains. One file each, one line in [`methods!`].
//!
//! A method sees places of parameters only; it knows no family's layers and no task.

use std::fmt::Debug;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::model::Model;
use crate::train::groups::{Group, Groups};
use crate::weights::{Adapters, PathStack, params};

/// A tuning method.
pub trait Method: Debug + Send + Sync {
    /// Name in recipes and `retune list methods`.
    fn name(&self) -> &'static str;
    /// One line about it.
    fn about(&self) -> &'static str;
    /// Learning rate when the recipe names none.
    fn lr(&self) -> f64;
    /// Passes over the rows when the recipe names none.
    fn epochs(&self) -> f64 {
        3.0
    }
    /// From which share of the run's steps on the parameter trains: 0 from the start, `None` never.
    fn start(&self, place: &Place) -> Option<f64>;
    /// Low-rank updates that the backbone gets; `layers` are those the family recommends.
    fn adapters(&self, layers: &[&str]) -> Option<Adapters> {
        let _ = layers;
        None
    }
    /// Whether the backbone stays as it is, so that what it makes of each row is computed once.
    fn frozen_backbone(&self) -> bool {
        false
    }
    /// What is wrong with the method's options: key, and what to write instead.
    fn problem(&self) -> Option<(&'static str, String)> {
        None
    }
}

/// Where a parameter stands in its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Path in the module tree, as in `backbone.layers.0.query.weight`.
    pub path: String,
    /// Distance from the answer: 0 for the head, 1 for the last layer, one more per layer, most for embeddings.
    pub depth: usize,
    /// Layers of the backbone.
    pub layers: usize,
}

impl Place {
    /// Of the parameter at `path` in a model of `layers` layers.
    pub fn new(path: &str, layers: usize) -> Self {
        let inside = path.strip_prefix("backbone.layers.");
        let layer = inside.and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        let depth = match layer {
            _ if path.starts_with("head.") => 0,
            Some(layer) => layers.saturating_sub(layer),
            None => layers + 1,
        };
        Self {
            path: path.to_string(),
            depth,
            layers,
        }
    }

    /// Last name of its path: `weight`, `bias`, …
    pub fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    /// Whether it is a statistic of a norm, which no gradient changes.
    pub fn is_statistic(&self) -> bool {
        self.name().starts_with("running_")
    }

    /// Whether it belongs to the head.
    pub fn in_head(&self) -> bool {
        self.depth == 0
    }

    /// Whether it is not of the pre-trained model: it belongs to the head or to an update.
    pub fn is_new(&self) -> bool {
        self.in_head() || self.path.contains(".adapter.")
    }
}

/// The model with every parameter frozen that does not train from the start.
pub fn prepare(method: &dyn Method, model: Model, layers: usize) -> Model {
    prepare_at(method, model, &|path| Place::new(path, layers))
}

/// The same of a model whose paths `place` reads.
pub fn prepare_at<M: Module>(method: &dyn Method, model: M, place: &dyn Fn(&str) -> Place) -> M {
    model.map(&mut Freeze {
        method,
        place,
        stack: PathStack::default(),
    })
}

struct Freeze<'a> {
    method: &'a dyn Method,
    place: &'a dyn Fn(&str) -> Place,
    stack: PathStack,
}

impl ModuleMapper for Freeze<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.stack.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.stack.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let place = (self.place)(&self.stack.path());
        let trains = !place.is_statistic() && self.method.start(&place) == Some(0.0);
        param.set_require_grad(trains)
    }
}

/// How each parameter of a run of `steps` steps trains. The learning rate falls by `layer_decay` with each layer
/// away from the answer (Howard & Ruder, arXiv:1801.06146); `anchored` pulls the backbone to where it began.
pub fn groups(method: &dyn Method, model: &Model, layers: usize, pace: (u64, f64, bool)) -> Groups {
    groups_at(method, model, &|path| Place::new(path, layers), pace)
}

/// The same of a model whose paths `place` reads.
pub fn groups_at<M: Module>(
    method: &dyn Method,
    model: &M,
    place: &dyn Fn(&str) -> Place,
    (steps, layer_decay, anchored): (u64, f64, bool),
) -> Groups {
    let group = |named: crate::weights::Named| {
        let place = place(&named.path);
        if place.is_statistic() {
            return None;
        }
        let start = method.start(&place)?;
        let group = Group {
            from: (start * steps as f64).round() as u64,
            lr_scale: layer_decay.powi(place.depth as i32),
            anchored: anchored && !place.is_new(),
        };
        Some((named.id, group))
    };
    Groups(params(model).into_iter().filter_map(group).collect())
}

/// One line per method: module, variant.
macro_rules! methods {
    ($($module:ident: $variant:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// A method with its options: `[method.NAME]` in a recipe.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "each variant is documented in its file")]
        pub enum MethodRecipe {
            $($variant($module::$variant),)+
        }

        impl MethodRecipe {
            /// The method.
            pub fn method(&self) -> &dyn Method {
                match self {
                    $(Self::$variant(method) => method,)+
                }
            }

            /// Every registered method with its default options.
            pub fn all() -> Vec<Self> {
                vec![$(Self::$variant(<$module::$variant>::default())),+]
            }
        }
    };
}

methods! {
    full: Full,
    head: Head,
    last_layers: LastLayers,
    bitfit: Bitfit,
    gradual: Gradual,
    lora: Lora,
}

impl Default for MethodRecipe {
    fn default() -> Self {
        Self::Full(full::Full::default())
    }
}

impl MethodRecipe {
    /// The method of this name with `options` over its defaults.
    ///
    /// # Errors
    /// No method of this name, or an option that it does not have or that is of another type.
    pub fn named(name: &str, options: &toml::Table) -> Result<Self, String> {
        let whole = toml::Table::from_iter([(name.to_string(), options.clone().into())]);
        whole
            .try_into()
            .map_err(|error: toml::de::Error| error.message().to_string())
    }

    /// The method of this name, or this one, with `options` as a person types them over what is set already.
    ///
    /// # Errors
    /// As [`MethodRecipe::named`].
    pub fn with(&self, name: Option<&str>, options: &[(String, String)]) -> Result<Self, String> {
        let before = self.method().name();
        let name = name.unwrap_or(before);
        let mut all = if name == before {
            self.options()
        } else {
            Self::named(name, &toml::Table::new())?.options()
        };
        for (key, text) in options {
            let list = all.get(key).is_some_and(toml::Value::is_array);
            all.insert(key.clone(), typed(text, list));
        }
        Self::named(name, &all)
    }

    /// The options, defaults included.
    pub fn options(&self) -> toml::Table {
        let whole = toml::Table::try_from(self).unwrap_or_default();
        let inner = whole.into_iter().next();
        inner
            .and_then(|(_, options)| options.as_table().cloned())
            .unwrap_or_default()
    }
}

/// A value as TOML reads it, or else a text; a list may be written with commas alone.
fn typed(text: &str, list: bool) -> toml::Value {
    let table: Option<toml::Table> = toml::from_str(&format!("x = {text}")).ok();
    let value = table.and_then(|mut table| table.remove("x"));
    if let Some(value) = value.filter(|value| value.is_array() || !list) {
        return value;
    }
    if list {
        let each = text.split(',').map(|one| toml::Value::from(one.trim()));
        return each.collect::<Vec<_>>().into();
    }
    text.into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn depth_counts_from_the_answer() {
        let depth = |path: &str| Place::new(path, 6).depth;
        assert_eq!(depth("head.out.weight"), 0);
        assert_eq!(depth("backbone.layers.5.query.weight"), 1);
        assert_eq!(depth("backbone.layers.0.query.adapter.up"), 6);
        assert_eq!(depth("backbone.word.weight"), 7);
    }

    #[test]
    fn options_lie_over_defaults_and_unknown_ones_are_refused() {
        let options = toml::Table::from_iter([("rank".to_string(), 4.into())]);
        let MethodRecipe::Lora(lora) = MethodRecipe::named("lora", &options).unwrap() else {
            panic!("another method");
        };
        assert_eq!((lora.rank, lora.alpha), (4, lora::Lora::default().alpha));
        let wrong = MethodRecipe::named("full", &options).unwrap_err();
        assert!(wrong.contains("rank"), "{wrong}");
        let unknown = MethodRecipe::named("lorra", &options).unwrap_err();
        assert!(unknown.contains("lorra"), "{unknown}");
    }

    #[test]
    fn names_are_those_of_recipes() {
        for recipe in MethodRecipe::all() {
            let name = recipe.method().name();
            let again = MethodRecipe::named(name, &recipe.options()).unwrap();
            assert_eq!(again, recipe);
        }
    }
}

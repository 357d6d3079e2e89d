//! What of a recommender trains on a catalogue.

use burn::module::{Module as _, ModuleMapper, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::recommender::Recommender;
use crate::methods::lora::Lora;
use crate::weights::{Adapters, PathStack};

/// What trains, after UniSRec's two settings (arXiv:2206.05941) and two cheaper ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything, and each item gets a vector of its own beside its text.
    #[default]
    Transductive,
    /// Everything; items stand on their texts alone, so that new ones are as good as old ones.
    Inductive,
    /// What makes items of texts; the transformer over histories stays as it came.
    Adaptor,
    /// The same, and low-rank updates of the transformer.
    Lora,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [
        Self::Transductive,
        Self::Inductive,
        Self::Adaptor,
        Self::Lora,
    ];

    /// Its name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transductive => "transductive",
            Self::Inductive => "inductive",
            Self::Adaptor => "adaptor",
            Self::Lora => "lora",
        }
    }

    /// Whether each item has a vector of its own.
    pub fn ids(self) -> bool {
        self == Self::Transductive
    }

    /// Whether it only makes sense with a model to go on from.
    pub fn goes_on(self) -> bool {
        matches!(self, Self::Adaptor | Self::Lora)
    }

    /// Low-rank updates of the transformer's layers, which `lora` describes.
    pub fn updates(self, lora: &Lora) -> Option<Adapters> {
        use crate::methods::Method as _;
        let layers = [r"body\..*"];
        (self == Self::Lora)
            .then(|| lora.adapters(&layers))
            .flatten()
    }

    /// The model with everything frozen that does not train.
    pub fn prepare(self, model: Recommender) -> Recommender {
        model.map(&mut Freeze {
            mode: self,
            stack: PathStack::default(),
        })
    }
}

struct Freeze {
    mode: Mode,
    stack: PathStack,
}

impl ModuleMapper for Freeze {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.stack.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.stack.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.stack.path();
        let frozen =
            self.mode.goes_on() && path.starts_with("body.") && !path.contains(".adapter.");
        param.set_require_grad(!frozen)
    }
}

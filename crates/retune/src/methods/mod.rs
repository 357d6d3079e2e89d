//! Methods: what of a model trains. One file each, one line in [`methods!`].
//!
//! A method sees parameter paths only; it knows no family's layers and no task.

use std::fmt::Debug;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use crate::model::Model;
use crate::weights::PathStack;

/// A tuning method.
pub trait Method: Debug + Send + Sync {
    /// Name in recipes and `retune list methods`.
    fn name(&self) -> &'static str;
    /// One line about it.
    fn about(&self) -> &'static str;
    /// Whether the parameter at this path trains.
    fn trains(&self, path: &str) -> bool;
}

/// The model with every parameter that the method leaves alone frozen.
pub fn prepare(method: &dyn Method, model: Model) -> Model {
    model.map(&mut Freeze {
        method,
        stack: PathStack::default(),
    })
}

struct Freeze<'a> {
    method: &'a dyn Method,
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
        let trains = self.method.trains(&self.stack.path());
        param.set_require_grad(trains)
    }
}

/// One line per method: module.
macro_rules! methods {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// Every registered method.
        pub const METHODS: &[&dyn Method] = &[$(&$module::METHOD),+];
    };
}

methods! {
    full,
}

/// The method of this name.
pub fn method(name: &str) -> Option<&'static dyn Method> {
    METHODS.iter().find(|method| method.name() == name).copied()
}

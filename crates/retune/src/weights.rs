//! Parameters in and out: from a checkpoint by name, or freshly initialised, with an account of what
//! came from where.
//!
//! A parameter's *path* is its place in the module tree (`backbone.layers.0.query.weight`); a family
//! maps each path to the *key* its checkpoints use.

use std::collections::BTreeSet;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use retune_kernels::dropout::mix;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::nn::Adapter;
use crate::ops::{self, Precision};

/// How a parameter starts when the checkpoint does not have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Normal with the family's standard deviation.
    Normal,
    /// Uniform within `1 / sqrt(fan_in)`, as PEFT begins the first factor of an update (Kaiming with slope `√5`).
    Uniform {
        /// Inputs of the layer.
        fan_in: usize,
    },
    /// Normal with a standard deviation of its own.
    Spread {
        /// Standard deviation.
        std: f64,
    },
    /// All zero.
    Zeros,
    /// All one.
    Ones,
}

/// What is wrong with a checkpoint for a model.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file itself.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A backbone tensor is not there.
    #[error(
        "the checkpoint has no tensor `{key}`, which the model needs; it has {have} tensors, such as `{example}`: is `model_type` in config.json right?"
    )]
    Missing {
        /// Key looked for.
        key: String,
        /// Tensors in the file.
        have: usize,
        /// One of them.
        example: String,
    },
    /// A tensor has another shape than config.json says.
    #[error("tensor `{key}` has shape {found:?}, but config.json asks for {wanted:?}")]
    Shape {
        /// Key in the file.
        key: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape the model needs.
        wanted: Vec<usize>,
    },
}

/// Where each parameter came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Parameters read from the checkpoint.
    pub loaded: usize,
    /// Checkpoint tensors that no parameter wanted.
    pub unused: Vec<String>,
    /// Parameters that start anew, by path.
    pub new: Vec<String>,
    /// What became of an output layer that knew some of the classes, but not these in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<HeadClasses>,
}

/// The classes of an output layer, before and now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HeadClasses {
    /// Known before, and kept.
    pub kept: Vec<String>,
    /// Starting anew.
    pub new: Vec<String>,
    /// Known before, and not among the classes of this run.
    pub dropped: Vec<String>,
}

impl HeadClasses {
    /// What happened, in a sentence.
    pub fn note(&self) -> String {
        let parts = [
            ("the head keeps what it knows of", &self.kept),
            ("new, from random numbers:", &self.new),
            ("dropped, not in these rows:", &self.dropped),
        ];
        let said = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let said = said.map(|(what, names)| format!("{what} {}", names.join(", ")));
        said.collect::<Vec<_>>().join("; ")
    }
}

impl LoadReport {
    /// Whether the output layer starts anew.
    pub fn head_is_new(&self) -> bool {
        self.new.iter().any(|path| path.starts_with("head.out"))
    }
}

/// Where a model lives and how it computes.
#[derive(Debug, Clone)]
pub struct Place {
    /// Device of its parameters.
    pub device: Device,
    /// Format of its products.
    pub precision: Precision,
    /// Low-rank updates of its layers.
    pub adapters: Option<Adapters>,
    /// What its batch norms do in training.
    pub norms: Norms,
}

/// By which statistics batch norms normalise in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norms {
    /// Those of the checkpoint, which stay as they are.
    #[default]
    Frozen,
    /// Those of the batch; the checkpoint's move towards them.
    Batch,
    /// Those of the batch, with no earlier ones worth keeping.
    #[serde(skip)]
    Fresh,
}

/// Which layers of a backbone get low-rank updates (Hu et al., arXiv:2106.09685).
#[derive(Debug, Clone, PartialEq)]
pub struct Adapters {
    /// Rank of the update.
    pub rank: usize,
    /// Factor of the update.
    pub scale: f64,
    /// Dropout before the update.
    pub dropout: f64,
    /// Regular expressions; a layer gets one when any matches its whole path or the last name of it.
    pub targets: Vec<String>,
}

impl Adapters {
    /// Whether the layer at `path` gets an update.
    pub fn reach(&self, path: &str) -> bool {
        let name = path.rsplit_once('.').map_or(path, |(_, name)| name);
        self.targets.iter().any(|target| {
            let whole = regex::Regex::new(&format!("^(?:{target})$"));
            whole.is_ok_and(|whole| whole.is_match(path) || whole.is_match(name))
        })
    }
}

impl Place {
    /// On the CPU; `train` puts the model in the gradient graph.
    pub fn cpu(train: bool, precision: Precision) -> Self {
        Self {
            device: crate::scoring::cpu(train),
            precision,
            adapters: None,
            norms: Norms::Frozen,
        }
    }
}

/// Maps a parameter path to the checkpoint keys it may have, the usual one first.
pub type KeyMap<'a> = dyn Fn(&str) -> Vec<String> + 'a;

/// Makes the values that a model needs of those that a checkpoint has in another shape; `None` where it cannot.
pub type Fit<'a> = dyn Fn(&[usize], &[f32]) -> Option<Vec<f32>> + 'a;

/// Gives a model its parameters while it is built.
pub struct Source<'a> {
    checkpoint: Option<&'a Checkpoint>,
    keys: &'a KeyMap<'a>,
    place: &'a Place,
    seed: u64,
    std: f64,
    optional: bool,
    adapters: usize,
    used: BTreeSet<String>,
    report: LoadReport,
}

impl<'a> Source<'a> {
    /// Of a checkpoint, or of fresh random numbers when there is none.
    ///
    /// `std` is the standard deviation of fresh normal weights (`initializer_range`).
    pub fn new(
        checkpoint: Option<&'a Checkpoint>,
        keys: &'a KeyMap<'a>,
        place: &'a Place,
        seed: u64,
        std: f64,
    ) -> Self {
        Self {
            checkpoint,
            keys,
            place,
            seed,
            std,
            optional: false,
            adapters: 0,
            used: BTreeSet::new(),
            report: LoadReport::default(),
        }
    }

    /// Format in which layers compute their products.
    pub fn precision(&self) -> Precision {
        self.place.precision
    }

    /// What batch norms do in training.
    pub fn norms(&self) -> Norms {
        self.place.norms
    }

    /// The low-rank update of the layer `[output, input]` at `path`, if it gets one; it starts as zero.
    pub fn adapter(&mut self, path: &str, input: usize, output: usize) -> Option<Adapter> {
        let wanted = self.place.adapters.as_ref()?;
        if self.optional || !wanted.reach(path) {
            return None;
        }
        let (rank, scale, dropout) = (wanted.rank, wanted.scale, wanted.dropout);
        let mut fresh = |part: &str, shape: [usize; 2], init| {
            let path = format!("{path}.adapter.{part}");
            let data = TensorData::new(self.fresh(&path, shape[0] * shape[1], init), shape);
            self.report.new.push(path);
            Param::from_data(data, &self.place.device)
        };
        let down = fresh("down", [rank, input], Init::Uniform { fan_in: input });
        let up = fresh("up", [output, rank], Init::Zeros);
        self.adapters += 1;
        Some(Adapter {
            down,
            up,
            scale,
            dropout,
            site: self.adapters,
        })
    }

    /// From here on a parameter that the checkpoint lacks starts anew: heads.
    pub fn allow_new(&mut self) {
        self.optional = true;
    }

    /// The parameter at `path` with the shape the model needs.
    pub fn param<const D: usize>(
        &mut self,
        path: &str,
        shape: [usize; D],
        init: Init,
    ) -> Result<Param<Tensor<D>>, WeightsError> {
        self.fitted(path, shape, init, &|_, _| None)
    }

    /// The same, where the checkpoint may have it in another shape: `fit` makes values of `shape` of those found, which
    /// it is given with their shape, or `None` where it cannot.
    pub fn fitted<const D: usize>(
        &mut self,
        path: &str,
        shape: [usize; D],
        init: Init,
        fit: &Fit,
    ) -> Result<Param<Tensor<D>>, WeightsError> {
        let values = self.values(path, &shape, init, fit)?;
        let data = TensorData::new(values, shape);
        Ok(Param::from_data(data, &self.place.device))
    }

    fn values(
        &mut self,
        path: &str,
        shape: &[usize],
        init: Init,
        fit: &Fit,
    ) -> Result<Vec<f32>, WeightsError> {
        let size: usize = shape.iter().product();
        let Some(checkpoint) = self.checkpoint else {
            self.report.new.push(path.to_string());
            return Ok(self.fresh(path, size, init));
        };
        let keys = (self.keys)(path);
        let mut shapes = keys.iter().map(|key| (key, checkpoint.shape_at(key)));
        let Some((key, Some(have))) = shapes.find(|(_, shape)| shape.is_some()) else {
            return self.missing(path, &keys, size, init);
        };
        self.used.insert(checkpoint.name_at(key).to_string());
        if have != shape && self.optional {
            return self.missing(path, &keys, size, init);
        }
        let values = checkpoint.values_at(key)?;
        let values = if have == shape {
            Some(values)
        } else {
            fit(&have, &values)
        };
        let Some(values) = values.filter(|values| values.len() == size) else {
            return Err(WeightsError::Shape {
                key: key.clone(),
                found: have,
                wanted: shape.to_vec(),
            });
        };
        self.report.loaded += 1;
        Ok(values)
    }

    fn missing(
        &mut self,
        path: &str,
        keys: &[String],
        size: usize,
        init: Init,
    ) -> Result<Vec<f32>, WeightsError> {
        if self.optional {
            self.report.new.push(path.to_string());
            return Ok(self.fresh(path, size, init));
        }
        let names = || self.checkpoint.into_iter().flat_map(Checkpoint::names);
        Err(WeightsError::Missing {
            key: keys.first().cloned().unwrap_or_default(),
            have: names().count(),
            example: names().next().unwrap_or_default().to_string(),
        })
    }

    fn fresh(&self, path: &str, size: usize, init: Init) -> Vec<f32> {
        match init {
            Init::Zeros => vec![0.0; size],
            Init::Ones => vec![1.0; size],
            Init::Normal => normal(self.seed, path, size, self.std),
            Init::Spread { std } => normal(self.seed, path, size, std),
            Init::Uniform { fan_in } => {
                let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
                let unit = units(self.seed, path);
                let value = |i| (bound * (2.0 * unit(i) - 1.0)) as f32;
                (0..size as u64).map(value).collect()
            }
        }
    }

    /// Ends loading: what came from where. `ignored` names checkpoint keys that never count as unused.
    pub fn finish(mut self, ignored: &dyn Fn(&str) -> bool) -> LoadReport {
        if let Some(checkpoint) = self.checkpoint {
            self.report.unused = checkpoint
                .names()
                .filter(|name| !self.used.contains(*name) && !ignored(name))
                .map(str::to_string)
                .collect();
        }
        self.report
    }
}

/// Uniform numbers in [0, 1) that depend on seed and name only.
fn units(seed: u64, name: &str) -> impl Fn(u64) -> f64 {
    let start = name.bytes().fold(mix(seed), |h, b| mix(h ^ u64::from(b)));
    move |counter| (mix(start.wrapping_add(counter)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Normal numbers that depend on seed and name only (Box & Muller, 1958).
fn normal(seed: u64, name: &str, size: usize, std: f64) -> Vec<f32> {
    let unit = units(seed, name);
    (0..size as u64)
        .map(|i| {
            let radius = (-2.0 * (1.0 - unit(2 * i)).ln()).sqrt();
            let angle = std::f64::consts::TAU * unit(2 * i + 1);
            (std * radius * angle.cos()) as f32
        })
        .collect()
}

/// A parameter's value with its name, outside the gradient graph.
#[derive(Debug, Clone)]
pub struct Named {
    /// Path in the module tree.
    pub path: String,
    /// Burn's identity of the parameter.
    pub id: ParamId,
    /// Shape.
    pub shape: Vec<usize>,
    /// Values, flat.
    pub value: Tensor<1>,
    /// Whether training changes it.
    pub trained: bool,
}

/// Every float parameter of a module, in module order.
pub fn params<M: Module>(module: &M) -> Vec<Named> {
    let mut list = List::default();
    module.visit(&mut list);
    list.found
}

/// A tensor as it is saved: name, shape, values in row-major order.
pub type HostTensor = (String, Vec<usize>, Vec<f32>);

/// The parameters' values on the host, by path.
pub fn host_values<M: Module>(module: &M) -> Vec<HostTensor> {
    let read = |named: Named| (named.path, named.shape, host(named.value));
    params(module).into_iter().map(read).collect()
}

/// The values of a flat tensor on the host.
#[expect(
    clippy::disallowed_methods,
    reason = "saving a model or the state of a run reads every parameter once"
)]
pub fn host(value: Tensor<1>) -> Vec<f32> {
    if let Some(values) = ops::cpu::to_vec(&value) {
        return values;
    }
    let data = value.into_data().convert::<f32>();
    data.try_to_vec().unwrap_or_default()
}

/// The tensors with every low-rank update `scale up down` added to its weight, and the factors gone.
pub fn merged(tensors: Vec<HostTensor>, scale: f64) -> Vec<HostTensor> {
    let (factors, mut weights): (Vec<_>, Vec<_>) = tensors
        .into_iter()
        .partition(|(path, ..)| path.contains(".adapter."));
    let factor = |layer: &str, part: &str| {
        let path = format!("{layer}.adapter.{part}");
        factors.iter().find(|(name, ..)| *name == path)
    };
    for (path, shape, values) in &mut weights {
        let Some(layer) = path.strip_suffix(".weight") else {
            continue;
        };
        let (Some((_, down_shape, down)), Some((_, _, up))) =
            (factor(layer, "down"), factor(layer, "up"))
        else {
            continue;
        };
        let (rank, input) = (down_shape[0], shape[1]);
        for (row, up) in values.chunks_exact_mut(input).zip(up.chunks_exact(rank)) {
            for (up, down) in up.iter().zip(down.chunks_exact(input)) {
                let factor = scale * f64::from(*up);
                for (value, down) in row.iter_mut().zip(down) {
                    *value = (f64::from(*value) + factor * f64::from(*down)) as f32;
                }
            }
        }
    }
    weights
}

/// The module with other values where `values` has some for a path; each trains as before.
///
/// # Panics
/// When a value has another number of elements than its parameter.
pub fn with_values<M: Module>(module: M, values: &dyn Fn(&str) -> Option<Vec<f32>>) -> M {
    module.map(&mut Fill {
        stack: PathStack::default(),
        values,
    })
}

struct Fill<'a> {
    stack: PathStack,
    values: &'a dyn Fn(&str) -> Option<Vec<f32>>,
}

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.stack.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.stack.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = (self.values)(&self.stack.path()) else {
            return param;
        };
        param.map(|old| {
            let data = TensorData::new(values, old.dims());
            let new = Tensor::from_data(data, &old.device());
            if old.is_autodiff() {
                new.set_require_grad(old.is_require_grad())
            } else {
                new
            }
        })
    }
}

/// Names of the modules a traversal is in. An enum's variant is no part of the path: which family a
/// backbone belongs to must not show in parameter names.
#[derive(Debug, Default)]
pub struct PathStack(Vec<String>);

impl PathStack {
    /// To be called from `enter_module`.
    pub fn enter(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.push(name.to_string());
        }
    }

    /// To be called from `exit_module`.
    pub fn exit(&mut self, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.pop();
        }
    }

    /// The path of the parameter being visited.
    pub fn path(&self) -> String {
        self.0.join(".")
    }
}

#[derive(Default)]
struct List {
    stack: PathStack,
    found: Vec<Named>,
}

impl ModuleVisitor for List {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.stack.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.stack.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let shape = value.dims().to_vec();
        self.found.push(Named {
            path: self.stack.path(),
            id: param.id,
            trained: value.is_require_grad(),
            value: value
                .without_autodiff()
                .reshape([shape.iter().product::<usize>()]),
            shape,
        });
    }
}

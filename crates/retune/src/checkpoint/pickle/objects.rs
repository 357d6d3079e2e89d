//! What a pickle may build: plain data, names from a short list, and descriptions of tensors.
//!
//! Objects lie in one list and refer to one another by number, as those of a pickle do: an object may stand in
//! several places, even in itself, and nothing here is followed to a depth that a file chooses.

use safetensors::Dtype;

/// Number of an object.
pub type Id = usize;

/// Most objects that are built. A state dict has some twenty for each tensor.
const MOST: usize = 1 << 22;

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// `None`.
    Nothing,
    /// `True` or `False`.
    Flag(bool),
    /// A whole number.
    Int(i128),
    /// A number with a point, whose value nobody asks for, or bytes.
    Other,
    /// Text.
    Text(String),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A list.
    List(Vec<Id>),
    /// A dictionary, ordered or not, in the order of its keys.
    Dict(Vec<(Id, Id)>),
    /// A function or class.
    Name(Name),
    /// Values of one type, in a place of their own.
    Storage(Storage),
    /// A view of a storage.
    Tensor(Tensor),
}

/// A function or class that a pickle may name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Name {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`.
    RebuildParameter,
    /// `torch.Size`.
    Size,
    /// `torch.FloatStorage` and the like.
    Storage(Dtype),
}

/// Values of one type.
#[derive(Debug, Clone, PartialEq)]
pub struct Storage {
    /// Number type.
    pub dtype: Dtype,
    /// What the file calls it.
    pub key: String,
    /// Values.
    pub len: usize,
}

/// A view of a storage.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Whose values.
    pub storage: Storage,
    /// First value.
    pub offset: usize,
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// Values from one place to the next along each axis.
    pub strides: Vec<usize>,
}

/// Names that a pickle may use, with the types of storages.
const NAMES: &[(&str, &str, Name)] = &[
    ("collections", "OrderedDict", Name::OrderedDict),
    ("torch._utils", "_rebuild_tensor_v2", Name::RebuildTensor),
    ("torch._utils", "_rebuild_parameter", Name::RebuildParameter),
    ("torch", "Size", Name::Size),
    ("torch", "FloatStorage", Name::Storage(Dtype::F32)),
    ("torch", "HalfStorage", Name::Storage(Dtype::F16)),
    ("torch", "BFloat16Storage", Name::Storage(Dtype::BF16)),
    ("torch", "DoubleStorage", Name::Storage(Dtype::F64)),
    ("torch", "LongStorage", Name::Storage(Dtype::I64)),
    ("torch", "IntStorage", Name::Storage(Dtype::I32)),
    ("torch", "ShortStorage", Name::Storage(Dtype::I16)),
    ("torch", "CharStorage", Name::Storage(Dtype::I8)),
    ("torch", "ByteStorage", Name::Storage(Dtype::U8)),
    ("torch", "BoolStorage", Name::Storage(Dtype::BOOL)),
];

impl Name {
    /// The name, or why it is refused.
    pub fn find(module: &str, name: &str) -> Result<Self, String> {
        let known = NAMES.iter().find(|(m, n, _)| *m == module && *n == name);
        known.map(|(.., found)| *found).ok_or_else(|| {
            let shown: String = format!("{module}.{name}").chars().take(80).collect();
            format!(
                "it asks for `{}`, which would run code; only tensors and plain data are read. Save the weights alone with Python: torch.save(model.state_dict(), \"weights.pth\")",
                shown.escape_debug()
            )
        })
    }
}

/// All objects of one pickle.
#[derive(Debug, Default)]
pub struct Objects(Vec<Object>);

impl Objects {
    /// Adds an object.
    pub fn add(&mut self, object: Object) -> Result<Id, String> {
        if self.0.len() == MOST {
            return Err(format!("it builds more than {MOST} objects"));
        }
        self.0.push(object);
        Ok(self.0.len() - 1)
    }

    /// An object.
    pub fn get(&self, id: Id) -> &Object {
        &self.0[id]
    }

    /// Every storage that is referred to.
    pub fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.0.iter().filter_map(|object| match object {
            Object::Storage(storage) => Some(storage),
            _ => None,
        })
    }

    /// An object, to be changed.
    pub fn get_mut(&mut self, id: Id) -> &mut Object {
        &mut self.0[id]
    }

    /// The text of an object that is one.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a tuple.
    pub fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Object::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// A number that counts something.
    pub fn count(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Object::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    /// A tuple of such numbers.
    pub fn counts(&self, id: Id) -> Option<Vec<usize>> {
        self.tuple(id)?.iter().map(|id| self.count(*id)).collect()
    }
}

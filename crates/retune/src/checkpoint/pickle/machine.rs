//! The machine that a pickle is a program for (Python's `pickletools` documents each operation), with the
//! operations that PyTorch writes and a call for nothing but the names of [`Name`].

use std::collections::HashMap;

use super::objects::{Id, Name, Object, Objects, Storage, Tensor};

/// Most axes that a tensor may have.
const MOST_AXES: usize = 16;

/// What a pickle has built.
#[derive(Debug)]
pub struct Built {
    /// Everything.
    pub objects: Objects,
    /// The result.
    pub root: Id,
    /// Bytes read.
    pub len: usize,
}

/// Runs the pickle at the start of `bytes`.
pub fn run(bytes: &[u8]) -> Result<Built, String> {
    let mut machine = Machine {
        bytes,
        at: 0,
        objects: Objects::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let place = machine.at;
        let done = machine
            .step()
            .map_err(|what| format!("{what} (byte {place} of the pickle)"))?;
        if let Some(root) = done {
            let Machine { objects, at, .. } = machine;
            return Ok(Built {
                objects,
                root,
                len: at,
            });
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Objects,
    stack: Vec<Id>,
    /// Heights of the stack at the marks that are open.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// One operation; the result where it is the last.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let [operation] = self.number::<1>()?;
        match operation {
            b'.' => return self.pop().map(Some),
            0x80 => self.skip(1)?,
            0x95 => self.skip(8)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.marked()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.remember(operation)?,
            b'N' | 0x88 | 0x89 | b'K' | b'M' | b'J' | 0x8a | b'G' => self.constant(operation)?,
            b'X' | 0x8c | 0x8d | b'T' | b'U' | b'B' | b'C' | 0x8e => self.words(operation)?,
            b')' | b't' | 0x85..=0x87 | b']' | b'}' => self.container(operation)?,
            b'a' | b'e' | b's' | b'u' => self.fill(operation)?,
            b'c' | 0x93 => self.name(operation)?,
            b'Q' => self.storage()?,
            b'R' | 0x81 => self.call()?,
            b'b' => self.attributes()?,
            other => {
                return Err(format!(
                    "operation 0x{other:02x} is none that PyTorch writes for weights"
                ));
            }
        }
        Ok(None)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..len).ok_or_else(|| {
            format!(
                "{len} bytes are asked for and {} are left: the file was cut short",
                rest.len()
            )
        })?;
        self.at += len;
        Ok(taken)
    }

    fn skip(&mut self, len: usize) -> Result<(), String> {
        self.take(len).map(drop)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn push(&mut self, object: Object) -> Result<(), String> {
        let id = self.objects.add(object)?;
        self.stack.push(id);
        Ok(())
    }

    /// Height below which the operations since the last mark may not reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, String> {
        if self.stack.len() == self.floor() {
            return Err("it takes from an empty stack".to_string());
        }
        self.stack.pop().ok_or_else(String::new)
    }

    fn top(&self) -> Result<Id, String> {
        let here = &self.stack[self.floor()..];
        here.last()
            .copied()
            .ok_or_else(|| "it looks at an empty stack".to_string())
    }

    /// Everything since the last mark, which is closed.
    fn marked(&mut self) -> Result<Vec<Id>, String> {
        let mark = self
            .marks
            .pop()
            .ok_or("it closes a mark that is not there")?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, operation: u8) -> Result<(), String> {
        let index = match operation {
            b'q' | b'h' => u32::from(self.number::<1>()?[0]),
            b'r' | b'j' => u32::from_le_bytes(self.number()?),
            _ => self.memo.len() as u32,
        };
        if matches!(operation, b'h' | b'j') {
            let id = self.memo.get(&index).copied();
            let id = id.ok_or_else(|| format!("it recalls number {index}, which it never kept"))?;
            self.stack.push(id);
            return Ok(());
        }
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn constant(&mut self, operation: u8) -> Result<(), String> {
        let object = match operation {
            b'N' => Object::Nothing,
            0x88 => Object::Flag(true),
            0x89 => Object::Flag(false),
            b'K' => Object::Int(i128::from(self.number::<1>()?[0])),
            b'M' => Object::Int(i128::from(u16::from_le_bytes(self.number()?))),
            b'J' => Object::Int(i128::from(i32::from_le_bytes(self.number()?))),
            b'G' => {
                self.skip(8)?;
                Object::Other
            }
            _ => Object::Int(self.long()?),
        };
        self.push(object)
    }

    /// A whole number of up to 16 bytes, in two's complement.
    fn long(&mut self) -> Result<i128, String> {
        let [len] = self.number::<1>()?;
        let digits = self.take(usize::from(len))?;
        let sign = digits.last().is_some_and(|byte| *byte >= 0x80);
        let mut bytes = [if sign { 0xff } else { 0 }; 16];
        let places = bytes.get_mut(..digits.len());
        places
            .ok_or_else(|| format!("a number of {len} bytes is larger than any that is expected"))?
            .copy_from_slice(digits);
        Ok(i128::from_le_bytes(bytes))
    }

    /// Text and bytes, after their length.
    fn words(&mut self, operation: u8) -> Result<(), String> {
        let len = match operation {
            0x8c | b'U' | b'C' => u64::from(self.number::<1>()?[0]),
            0x8d | 0x8e => u64::from_le_bytes(self.number()?),
            _ => u64::from(u32::from_le_bytes(self.number()?)),
        };
        let bytes = self.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        if matches!(operation, b'B' | b'C' | 0x8e) {
            return self.push(Object::Other);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?;
        self.push(Object::Text(text.to_string()))
    }

    fn container(&mut self, operation: u8) -> Result<(), String> {
        let object = match operation {
            b'}' => Object::Dict(Vec::new()),
            b']' => Object::List(Vec::new()),
            b')' => Object::Tuple(Vec::new()),
            b't' => Object::Tuple(self.marked()?),
            _ => {
                let len = usize::from(operation - 0x84);
                let mut items = Vec::with_capacity(len);
                for _ in 0..len {
                    items.push(self.pop()?);
                }
                items.reverse();
                Object::Tuple(items)
            }
        };
        self.push(object)
    }

    /// Puts items into the list or dictionary below them.
    fn fill(&mut self, operation: u8) -> Result<(), String> {
        let items = match operation {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.marked()?,
        };
        let top = self.top()?;
        match (self.objects.get_mut(top), operation) {
            (Object::List(list), b'a' | b'e') => list.extend(items),
            (Object::Dict(dict), b's' | b'u') => {
                let (pairs, rest) = items.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err("a key has no value".to_string());
                }
                dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
            }
            _ => return Err("it puts items into something that holds none".to_string()),
        }
        Ok(())
    }

    fn name(&mut self, operation: u8) -> Result<(), String> {
        let name = if operation == b'c' {
            let (module, name) = (self.line()?, self.line()?);
            Name::find(module, name)?
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            let text = |id| self.objects.text(id).ok_or("it names something by no text");
            Name::find(text(module)?, text(name)?)?
        };
        self.push(Object::Name(name))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = self.take(end.ok_or("a name does not end")?)?;
        self.skip(1)?;
        std::str::from_utf8(line).map_err(|_| "a name is not UTF-8".to_string())
    }

    /// `("storage", type, key, device, length)`, and in old files a view, of which none may be left.
    fn storage(&mut self) -> Result<(), String> {
        let top = self.pop()?;
        let objects = &self.objects;
        let found = objects.tuple(top).and_then(|items| {
            let [tag, kind, key, _, len, view @ ..] = items else {
                return None;
            };
            let Object::Name(Name::Storage(dtype)) = objects.get(*kind) else {
                return None;
            };
            let whole = view.iter().all(|id| *objects.get(*id) == Object::Nothing);
            (objects.text(*tag) == Some("storage") && whole).then_some(Storage {
                dtype: *dtype,
                key: objects.text(*key)?.to_string(),
                len: objects.count(*len)?,
            })
        });
        let storage = found.ok_or("it refers to something that is no storage of numbers")?;
        self.push(Object::Storage(storage))
    }

    fn call(&mut self) -> Result<(), String> {
        let (given, called) = (self.pop()?, self.pop()?);
        let objects = &self.objects;
        let items = objects
            .tuple(given)
            .ok_or("it calls without a tuple of arguments")?;
        let object = match (objects.get(called), items) {
            (Object::Name(Name::OrderedDict), []) => Object::Dict(Vec::new()),
            (Object::Name(Name::Size), [sizes]) => objects.get(*sizes).clone(),
            (Object::Name(Name::RebuildParameter), [tensor, ..]) => objects.get(*tensor).clone(),
            (Object::Name(Name::RebuildTensor), [storage, offset, shape, strides, ..]) => {
                let tensor = self.tensor([*storage, *offset, *shape, *strides]);
                Object::Tensor(tensor.ok_or("a tensor is described in an unknown way")?)
            }
            _ => {
                return Err(
                    "it makes an object that is neither a tensor nor plain data".to_string()
                );
            }
        };
        self.push(object)
    }

    fn tensor(&self, [storage, offset, shape, strides]: [Id; 4]) -> Option<Tensor> {
        let objects = &self.objects;
        let Object::Storage(storage) = objects.get(storage) else {
            return None;
        };
        let (shape, strides) = (objects.counts(shape)?, objects.counts(strides)?);
        (shape.len() == strides.len() && shape.len() <= MOST_AXES).then_some(Tensor {
            storage: storage.clone(),
            offset: objects.count(offset)?,
            shape,
            strides,
        })
    }

    /// Attributes of a dictionary, such as the versions of a state dict, are passed over.
    fn attributes(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.objects.get(self.top()?) {
            Object::Dict(_) => Ok(()),
            _ => Err("it sets attributes of something that is no dictionary".to_string()),
        }
    }
}

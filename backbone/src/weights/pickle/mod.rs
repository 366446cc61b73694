//! Pickles as data.
//!
//! A pickle is a program for a stack machine (Python's `pickletools` documents its opcodes). Python's own machine imports any
//! function that a pickle names and calls it, which is why loading a stranger's `.pth` can run anything. [`parse`] runs the same
//! program over an arena of inert [`Value`]s: the few constructors that tensors need (`torch._utils._rebuild_tensor_v2`,
//! `collections.OrderedDict`, …) are understood, and a call of anything else becomes a [`Value::Object`] that remembers the name.
//!
//! Values refer to each other by index, so that neither cycles nor depth in a hostile file can hurt.

mod error;
mod machine;
mod torch;

use std::collections::BTreeSet;

use tch::Kind;

pub use self::error::PickleError;
pub use self::machine::parse;
pub use super::storage::Geometry;

/// Index of a [`Value`] in its [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(u32);

/// A parsed pickle.
#[derive(Debug)]
pub struct Pickle {
    values: Vec<Value>,
    /// The value that the program left.
    pub root: Id,
    /// Bytes of the program, so that pickles in a row can be read one by one.
    pub length: usize,
    /// Globals that were named and are not understood.
    pub foreign: BTreeSet<String>,
}

impl Pickle {
    /// The value at `id`.
    pub fn get(&self, id: Id) -> &Value {
        // Ids are only made by the machine, for values that it holds.
        &self.values[id.0 as usize]
    }

    /// Every value, in the order of making.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.values.iter()
    }

    /// The text at `id`, if it is one.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The entries of the dict at `id` that have text keys; of equal keys the last counts, as in Python.
    pub fn entries(&self, id: Id) -> Option<Vec<(&str, Id)>> {
        let Value::Dict(items) = self.get(id) else { return None };
        let mut place = std::collections::HashMap::new();
        let mut entries: Vec<(&str, Id)> = vec![];
        for (key, value) in items {
            let Some(key) = self.text(*key) else { continue };
            match place.get(key) {
                Some(i) => {
                    let entry: &mut (&str, Id) = &mut entries[*i];
                    entry.1 = *value;
                }
                None => {
                    place.insert(key, entries.len());
                    entries.push((key, *value));
                }
            }
        }
        Some(entries)
    }
}

/// The values that a program has made so far, and the byte of its present opcode.
#[derive(Debug, Default)]
struct Values {
    items: Vec<Value>,
    at: usize,
}

impl Value {
    /// Bytes on the heap.
    fn heap(&self) -> usize {
        let ids = size_of::<Id>();
        match self {
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
            Value::BigInt(bytes) | Value::Bytes(bytes) => bytes.len(),
            Value::Str(text) | Value::Global(text) => text.len(),
            Value::Tuple(items) | Value::List(items) | Value::Set(items) => items.len() * ids,
            Value::Dict(items) => items.len() * 2 * ids,
            Value::Storage(storage) => storage.heap(),
            Value::Tensor(t) => {
                t.storage.heap() + size_of::<TensorRef>() + (t.geometry.size.len() + t.geometry.stride.len()) * size_of::<i64>()
            }
            Value::Object { class, .. } => class.len(),
        }
    }
}

impl StorageRef {
    fn heap(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.class.len()
    }
}

impl Values {
    fn get(&self, id: Id) -> &Value {
        // Ids are only made by the machine, for values that it holds.
        &self.items[id.0 as usize]
    }
}

/// A value without behaviour.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// A longer integer: little-endian two's complement.
    BigInt(Vec<u8>),
    /// A float.
    Float(f64),
    /// Text.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A list.
    List(Vec<Id>),
    /// A dict, or an `OrderedDict`, as it was filled.
    Dict(Vec<(Id, Id)>),
    /// A set or frozenset.
    Set(Vec<Id>),
    /// A name that Python would import: `module.name`.
    Global(String),
    /// A reference to raw data outside the pickle.
    Storage(Box<StorageRef>),
    /// A tensor over a storage.
    Tensor(Box<TensorRef>),
    /// An inert record of a call that Python would make.
    Object {
        /// The callable's name.
        class: String,
        /// Constructor arguments (never executed).
        arguments: Id,
        /// The state that Python would restore.
        state: Option<Id>,
    },
}

/// Raw data outside the pickle.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StorageRef {
    /// Its name in the file.
    pub key: String,
    /// Kind of the elements, where it is one that we have.
    pub kind: Option<Kind>,
    /// Python's name of the storage class.
    pub class: String,
    /// Number of elements.
    pub elements: u64,
}

/// A tensor over a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRef {
    /// Its data.
    pub storage: StorageRef,
    /// Its place in the data.
    pub geometry: Geometry,
}

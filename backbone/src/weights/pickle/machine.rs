//! The stack machine.

use std::collections::{BTreeSet, HashMap};

use super::{torch, Id, Pickle, PickleError, Value, Values};

/// Values of one pickle; the largest checkpoints (optimizer state included) have some ten thousand. The stack, the marks and the memo
/// have the same limit: each holds at most every value once.
const MAX_VALUES: usize = 1 << 22;
/// Bytes of all values together. A program of a few bytes can copy a long text again and again.
const MAX_BYTES: usize = 256 << 20;
const NEWEST_PROTOCOL: u8 = 5;

/// Opcodes, by the names of Python's `pickletools`.
mod op {
    pub const MARK: u8 = b'(';
    pub const STOP: u8 = b'.';
    pub const POP: u8 = b'0';
    pub const POP_MARK: u8 = b'1';
    pub const DUP: u8 = b'2';
    pub const BINFLOAT: u8 = b'G';
    pub const BININT: u8 = b'J';
    pub const BININT1: u8 = b'K';
    pub const BININT2: u8 = b'M';
    pub const NONE: u8 = b'N';
    pub const BINPERSID: u8 = b'Q';
    pub const REDUCE: u8 = b'R';
    pub const BINSTRING: u8 = b'T';
    pub const SHORT_BINSTRING: u8 = b'U';
    pub const BINUNICODE: u8 = b'X';
    pub const EMPTY_LIST: u8 = b']';
    pub const APPEND: u8 = b'a';
    pub const BUILD: u8 = b'b';
    pub const GLOBAL: u8 = b'c';
    pub const DICT: u8 = b'd';
    pub const APPENDS: u8 = b'e';
    pub const BINGET: u8 = b'h';
    pub const LONG_BINGET: u8 = b'j';
    pub const LIST: u8 = b'l';
    pub const BINPUT: u8 = b'q';
    pub const LONG_BINPUT: u8 = b'r';
    pub const SETITEM: u8 = b's';
    pub const TUPLE: u8 = b't';
    pub const SETITEMS: u8 = b'u';
    pub const EMPTY_DICT: u8 = b'}';
    pub const EMPTY_TUPLE: u8 = b')';
    pub const BINBYTES: u8 = b'B';
    pub const SHORT_BINBYTES: u8 = b'C';
    pub const PROTO: u8 = 0x80;
    pub const NEWOBJ: u8 = 0x81;
    pub const TUPLE1: u8 = 0x85;
    pub const TUPLE2: u8 = 0x86;
    pub const TUPLE3: u8 = 0x87;
    pub const NEWTRUE: u8 = 0x88;
    pub const NEWFALSE: u8 = 0x89;
    pub const LONG1: u8 = 0x8a;
    pub const LONG4: u8 = 0x8b;
    pub const SHORT_BINUNICODE: u8 = 0x8c;
    pub const BINUNICODE8: u8 = 0x8d;
    pub const BINBYTES8: u8 = 0x8e;
    pub const EMPTY_SET: u8 = 0x8f;
    pub const ADDITEMS: u8 = 0x90;
    pub const FROZENSET: u8 = 0x91;
    pub const NEWOBJ_EX: u8 = 0x92;
    pub const STACK_GLOBAL: u8 = 0x93;
    pub const MEMOIZE: u8 = 0x94;
    pub const FRAME: u8 = 0x95;
    pub const BYTEARRAY8: u8 = 0x96;
}

/// Parses the pickle at the start of `bytes`.
///
/// # Errors
/// See [`PickleError`].
pub fn parse(bytes: &[u8]) -> Result<Pickle, PickleError> {
    let mut machine = Machine {
        bytes,
        next: 0,
        values: Values::default(),
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
        foreign: BTreeSet::new(),
        heap: 0,
    };
    let root = machine.run()?;
    Ok(Pickle { values: machine.values.items, root, length: machine.next, foreign: machine.foreign })
}

struct Machine<'a> {
    bytes: &'a [u8],
    /// First byte not yet read.
    next: usize,
    values: Values,
    stack: Vec<Id>,
    /// Heights of the stack at each mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    foreign: BTreeSet<String>,
    /// Bytes of all values so far.
    heap: usize,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Id, PickleError> {
        loop {
            self.values.at = self.next;
            let opcode = self.byte()?;
            if opcode == op::STOP {
                return self.pop();
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            op::PROTO => match self.byte()? {
                0..=NEWEST_PROTOCOL => Ok(()),
                newer => Err(PickleError::Protocol(newer)),
            },
            op::FRAME => self.take(8).map(|_| ()),
            op::MARK => {
                self.marks.push(self.stack.len());
                within_limit(self.marks.len())
            }
            op::POP => match self.marks.last() {
                // As in Python: popping right behind a mark pops the mark.
                Some(height) if *height == self.stack.len() => {
                    self.marks.pop();
                    Ok(())
                }
                _ => self.pop().map(|_| ()),
            },
            op::POP_MARK => self.above_mark().map(|_| ()),
            op::DUP => {
                let top = self.top()?;
                self.push_id(top)
            }
            op::BINGET | op::LONG_BINGET | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.remember(opcode),
            op::NONE
            | op::NEWTRUE
            | op::NEWFALSE
            | op::BINFLOAT
            | op::BININT
            | op::BININT1
            | op::BININT2
            | op::LONG1
            | op::LONG4 => self.number(opcode),
            op::BINSTRING | op::SHORT_BINSTRING | op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => self.string(opcode),
            op::BINBYTES | op::SHORT_BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => self.binary(opcode),
            op::EMPTY_TUPLE
            | op::TUPLE1
            | op::TUPLE2
            | op::TUPLE3
            | op::TUPLE
            | op::EMPTY_LIST
            | op::LIST
            | op::EMPTY_DICT
            | op::DICT
            | op::EMPTY_SET
            | op::FROZENSET => self.collection(opcode),
            op::APPEND | op::APPENDS | op::ADDITEMS | op::SETITEM | op::SETITEMS => self.fill(opcode),
            op::GLOBAL | op::STACK_GLOBAL | op::REDUCE | op::NEWOBJ | op::NEWOBJ_EX | op::BUILD | op::BINPERSID => {
                self.call(opcode)
            }
            _ => Err(PickleError::Opcode { opcode, at: self.values.at }),
        }
    }

    fn remember(&mut self, opcode: u8) -> Result<(), PickleError> {
        let index = match opcode {
            op::BINGET | op::BINPUT => u64::from(self.byte()?),
            op::LONG_BINGET | op::LONG_BINPUT => self.length(4)?,
            _ => self.memo.len() as u64,
        };
        if matches!(opcode, op::BINGET | op::LONG_BINGET) {
            let id = *self.memo.get(&index).ok_or(PickleError::Memo { index, at: self.values.at })?;
            return self.push_id(id);
        }
        let top = self.top()?;
        self.memo.insert(index, top);
        // Python remembers an object once, when it has made it.
        match self.memo.len() > self.values.items.len() {
            true => Err(PickleError::Memo { index, at: self.values.at }),
            false => Ok(()),
        }
    }

    fn number(&mut self, opcode: u8) -> Result<(), PickleError> {
        let value = match opcode {
            op::NONE => Value::None,
            op::NEWTRUE => Value::Bool(true),
            op::NEWFALSE => Value::Bool(false),
            op::BINFLOAT => Value::Float(f64::from_bits(self.take(8)?.iter().fold(0, |n, b| n << 8 | u64::from(*b)))),
            op::BININT => Value::Int(i64::from(self.length(4)? as u32 as i32)),
            op::BININT1 => Value::Int(self.length(1)? as i64),
            op::BININT2 => Value::Int(self.length(2)? as i64),
            _ => {
                let width = if opcode == op::LONG1 { 1 } else { 4 };
                let length = self.length(width)?;
                long(self.take(length)?)
            }
        };
        self.push(value)
    }

    fn string(&mut self, opcode: u8) -> Result<(), PickleError> {
        let width = match opcode {
            op::SHORT_BINSTRING | op::SHORT_BINUNICODE => 1,
            op::BINUNICODE8 => 8,
            _ => 4,
        };
        let length = self.length(width)?;
        let at = self.values.at;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| PickleError::Utf8 { at })?.to_string();
        self.push(Value::Str(text))
    }

    fn binary(&mut self, opcode: u8) -> Result<(), PickleError> {
        let width = match opcode {
            op::SHORT_BINBYTES => 1,
            op::BINBYTES => 4,
            _ => 8,
        };
        let length = self.length(width)?;
        let bytes = self.take(length)?.to_vec();
        self.push(Value::Bytes(bytes))
    }

    fn collection(&mut self, opcode: u8) -> Result<(), PickleError> {
        let value = match opcode {
            op::EMPTY_TUPLE => Value::Tuple(vec![]),
            op::TUPLE1 => Value::Tuple(self.pop_n(1)?),
            op::TUPLE2 => Value::Tuple(self.pop_n(2)?),
            op::TUPLE3 => Value::Tuple(self.pop_n(3)?),
            op::TUPLE => Value::Tuple(self.above_mark()?),
            op::EMPTY_LIST => Value::List(vec![]),
            op::LIST => Value::List(self.above_mark()?),
            op::EMPTY_DICT => Value::Dict(vec![]),
            op::DICT => Value::Dict(self.pairs_above_mark()?),
            op::EMPTY_SET => Value::Set(vec![]),
            _ => Value::Set(self.above_mark()?),
        };
        self.push(value)
    }

    fn fill(&mut self, opcode: u8) -> Result<(), PickleError> {
        if matches!(opcode, op::SETITEM | op::SETITEMS) {
            let items = if opcode == op::SETITEMS {
                self.pairs_above_mark()?
            } else {
                let pair = self.pop_n(2)?;
                vec![(pair[0], pair[1])]
            };
            return match self.top_value()? {
                Value::Dict(dict) => {
                    dict.extend(items);
                    Ok(())
                }
                // A dict of a foreign class: what is in it does not matter to us.
                Value::Object { .. } => Ok(()),
                _ => Err(PickleError::Type { expected: "a dict to put items in", at: self.values.at }),
            };
        }
        let items = if opcode == op::APPEND { self.pop_n(1)? } else { self.above_mark()? };
        match self.top_value()? {
            Value::List(list) | Value::Set(list) => {
                list.extend(items);
                Ok(())
            }
            Value::Object { .. } => Ok(()),
            _ => Err(PickleError::Type { expected: "a list or set to append to", at: self.values.at }),
        }
    }

    fn call(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            op::GLOBAL => {
                let module = self.line()?;
                let name = self.line()?;
                self.global(&module, &name)
            }
            op::STACK_GLOBAL => {
                let pair = self.pop_n(2)?;
                let text = |id: Id| match self.values.get(id) {
                    Value::Str(s) => Ok(s.clone()),
                    _ => Err(PickleError::Type { expected: "a module and a name", at: self.values.at }),
                };
                let (module, name) = (text(pair[0])?, text(pair[1])?);
                self.global(&module, &name)
            }
            op::BUILD => {
                let state = self.pop()?;
                // Only a foreign object keeps its state; a dict's (`_metadata` of a state dict) is dropped.
                if let Value::Object { state: slot, .. } = self.top_value()? {
                    *slot = Some(state);
                }
                Ok(())
            }
            op::BINPERSID => {
                let id = self.pop()?;
                let storage = torch::storage(&self.values, id)?;
                self.push(Value::Storage(Box::new(storage)))
            }
            _ => {
                if opcode == op::NEWOBJ_EX {
                    let _keyword_arguments = self.pop()?;
                }
                let arguments = self.pop()?;
                let callable = self.pop()?;
                let value = torch::construct(&self.values, callable, arguments)?;
                self.push(value)
            }
        }
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), PickleError> {
        let path = format!("{module}.{name}");
        if !torch::is_known(&path) {
            self.foreign.insert(path.clone());
        }
        self.push(Value::Global(path))
    }

    fn push(&mut self, value: Value) -> Result<(), PickleError> {
        within_limit(self.values.items.len() + 1)?;
        self.heap += value.heap();
        if self.heap > MAX_BYTES {
            return Err(PickleError::TooLarge { limit: MAX_BYTES });
        }
        let id = Id(self.values.items.len() as u32);
        self.values.items.push(value);
        self.push_id(id)
    }

    fn push_id(&mut self, id: Id) -> Result<(), PickleError> {
        self.stack.push(id);
        within_limit(self.stack.len())
    }

    /// Takes the topmost value; those below the last mark are out of reach.
    fn pop(&mut self) -> Result<Id, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(PickleError::Stack { at: self.values.at });
        }
        self.stack.pop().ok_or(PickleError::Stack { at: self.values.at })
    }

    fn pop_n(&mut self, n: usize) -> Result<Vec<Id>, PickleError> {
        let mut ids = (0..n).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        ids.reverse();
        Ok(ids)
    }

    fn top(&self) -> Result<Id, PickleError> {
        self.stack.last().copied().ok_or(PickleError::Stack { at: self.values.at })
    }

    fn top_value(&mut self) -> Result<&mut Value, PickleError> {
        let top = self.top()?;
        Ok(&mut self.values.items[top.0 as usize])
    }

    fn above_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let height = self.marks.pop().ok_or(PickleError::Mark { at: self.values.at })?;
        if height > self.stack.len() {
            return Err(PickleError::Stack { at: self.values.at });
        }
        Ok(self.stack.split_off(height))
    }

    fn pairs_above_mark(&mut self) -> Result<Vec<(Id, Id)>, PickleError> {
        let ids = self.above_mark()?;
        if ids.len() % 2 != 0 {
            return Err(PickleError::Type { expected: "keys and values in pairs", at: self.values.at });
        }
        Ok(ids.chunks_exact(2).map(|p| (p[0], p[1])).collect())
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.take(1)?[0])
    }

    fn take(&mut self, n: u64) -> Result<&[u8], PickleError> {
        let cut = PickleError::Truncated { at: self.values.at };
        let rest = self.bytes.get(self.next..).unwrap_or_default();
        if n > rest.len() as u64 {
            return Err(cut);
        }
        self.next += n as usize;
        Ok(&rest[..n as usize])
    }

    /// A little-endian number of `width` bytes.
    fn length(&mut self, width: u64) -> Result<u64, PickleError> {
        Ok(self.take(width)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let rest = self.bytes.get(self.next..).unwrap_or_default();
        let end = rest.iter().position(|b| *b == b'\n').ok_or(PickleError::Truncated { at: self.values.at })?;
        let text = std::str::from_utf8(&rest[..end]).map_err(|_| PickleError::Utf8 { at: self.values.at })?.to_string();
        self.next += end + 1;
        Ok(text)
    }
}

fn within_limit(count: usize) -> Result<(), PickleError> {
    match count > MAX_VALUES {
        true => Err(PickleError::TooManyValues { limit: MAX_VALUES }),
        false => Ok(()),
    }
}

/// A Python integer from little-endian two's complement.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::BigInt(bytes.to_vec());
    }
    let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    Value::Int(bytes.iter().rev().fold(start, |n: i64, b| n << 8 | i64::from(*b)))
}

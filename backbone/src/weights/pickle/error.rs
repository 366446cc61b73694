//! One variant for each way a pickle can be wrong.

/// Why a pickle cannot be read as data. `at` is the byte of the opcode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The program ends before its `STOP`.
    #[error("pickle cut off at byte {at}")]
    Truncated {
        /// Byte.
        at: usize,
    },
    /// An opcode that `torch.save` never writes.
    #[error("pickle opcode {opcode:#04x} at byte {at} is not supported")]
    Opcode {
        /// The opcode.
        opcode: u8,
        /// Byte.
        at: usize,
    },
    /// A newer protocol than 5.
    #[error("pickle protocol {0} is not known (up to 5 are)")]
    Protocol(u8),
    /// An opcode takes more than is on the stack.
    #[error("pickle takes from an empty stack at byte {at}")]
    Stack {
        /// Byte.
        at: usize,
    },
    /// An opcode that needs a mark, without one.
    #[error("pickle without a mark at byte {at}")]
    Mark {
        /// Byte.
        at: usize,
    },
    /// A memo entry that was never made, or more entries than values.
    #[error("pickle at byte {at}: memo entry {index} has no value of its own")]
    Memo {
        /// The entry.
        index: u64,
        /// Byte.
        at: usize,
    },
    /// Text that is not UTF-8.
    #[error("pickle text at byte {at} is not UTF-8")]
    Utf8 {
        /// Byte.
        at: usize,
    },
    /// A value of another type than the opcode needs.
    #[error("pickle at byte {at}: expected {expected}")]
    Type {
        /// What is needed.
        expected: &'static str,
        /// Byte.
        at: usize,
    },
    /// A persistent id that is not a storage as `torch.save` writes it.
    #[error("pickle at byte {at}: a persistent id that is not a torch storage ({reason})")]
    Storage {
        /// The field that does not fit.
        reason: &'static str,
        /// Byte.
        at: usize,
    },
    /// Arguments of a tensor constructor that make no tensor.
    #[error("pickle at byte {at}: bad arguments of {constructor}")]
    Tensor {
        /// The constructor.
        constructor: String,
        /// Byte.
        at: usize,
    },
    /// More values than any checkpoint has.
    #[error("pickle makes more than {limit} values")]
    TooManyValues {
        /// The limit.
        limit: usize,
    },
    /// Values of more bytes than any checkpoint's.
    #[error("pickle makes values of more than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A pickle of more bytes than any checkpoint's.
    #[error("pickle of {bytes} bytes; at most {limit} are read")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
}

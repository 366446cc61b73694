//! What goes wrong between processes.

/// Why processes cannot work together any more. Each is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DistributedError {
    /// A variable of the launcher is missing or is no number.
    #[error("{variable}: {problem}")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The processes did not meet.
    #[error("rank {rank} of {size} did not meet the others at {address}:{port} within {seconds} s: {reason}")]
    Connect {
        /// This process.
        rank: usize,
        /// Processes.
        size: usize,
        /// Host of rank 0.
        address: String,
        /// Its port.
        port: u16,
        /// How long it waited.
        seconds: u64,
        /// libtorch's message.
        reason: String,
    },
    /// A process failed and left the cause.
    #[error("rank {rank} failed: {cause}")]
    Peer {
        /// The process.
        rank: usize,
        /// Its error.
        cause: String,
    },
    /// A process is gone, or does not answer.
    #[error(
        "rank {rank} lost the others: one has died, or did not answer within {seconds} s (train.distributed.timeout_s): {reason}"
    )]
    Lost {
        /// This process.
        rank: usize,
        /// The longest wait.
        seconds: u64,
        /// libtorch's message.
        reason: String,
    },
    /// The processes were started with different things.
    #[error("{what} differs: rank 0 has {first}, rank {rank} has {other}; start all processes alike")]
    Differs {
        /// What.
        what: String,
        /// Rank 0's.
        first: String,
        /// The first rank that has another.
        rank: usize,
        /// Its value.
        other: String,
    },
    /// A child process could not be started.
    #[error("a process could not be started: {0}")]
    Spawn(String),
}

//! Variables that libtorch's libraries should start with.
//!
//! They read them while they are loaded, which is before `main`. So the program that people call is a small one without libtorch, which
//! sets them and then becomes the large one. What the user has set stays.

/// Names and values.
///
/// - `OMP_WAIT_POLICY`: OpenMP's threads spin while they wait for each other. As soon as anything else wants the processors (the
///   loader's own threads will do), they spin away the time that the thread they wait for needs: on 2 busy cores a training step took 30 s
///   instead of 4 s; with enough work in an operation, an idle machine was equally fast both ways. `bench` is the exception: it times
///   networks with nothing beside them, and one image of RepGhostNet 0.5x on two threads took 8 ms where its threads spin, 19 ms where not.
/// - `ONEDNN_PRIMITIVE_CACHE_CAPACITY`: oneDNN compiles a kernel for every new shape and keeps 1024 of them, so that memory grows for
///   hours with images of many sizes. So many are enough for the shapes of one step.
/// - `CUBLAS_WORKSPACE_CONFIG`: cuBLAS gives the same bits each time only with a workspace of fixed size per stream, which it reads when it
///   starts (`train.deterministic` needs it; 32 MiB of a card).
/// - `MALLOC_*`: by default glibc hands every large block back to the system when it is freed and clears it when it is asked for again,
///   which a training step does a thousand times. Kept blocks save a tenth of a step's processor time (19.2 s instead of 20.6 s for 30
///   steps of the demo and their start), for 2 % more memory.
/// - `MALLOC_ARENA_MAX`: glibc gives new threads arenas of their own, up to eight per processor, and each keeps the most that was ever asked of
///   it. Evaluations start new threads, so the memory of a Mask R-CNN run grew for hours.
pub const SETTINGS: [(&str, &str); 7] = [
    ("OMP_WAIT_POLICY", "PASSIVE"),
    ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256"),
    ("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
    ("MALLOC_MMAP_THRESHOLD_", "4294967296"),
    ("MALLOC_TRIM_THRESHOLD_", "8589934592"),
    ("MALLOC_TOP_PAD_", "67108864"),
    ("MALLOC_ARENA_MAX", "4"),
];

/// The settings of a command that are not set, neither by us nor by the user.
pub fn missing(command: &str) -> Vec<(&'static str, &'static str)> {
    let spins = command == "bench";
    let wanted = SETTINGS.into_iter().filter(|(name, _)| !(spins && *name == "OMP_WAIT_POLICY"));
    wanted.filter(|(name, _)| std::env::var_os(name).is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_benchmark_lets_threads_spin() {
        let names = |command| missing(command).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let (bench, train) = (names("bench"), names("train"));
        assert!(!bench.contains(&"OMP_WAIT_POLICY"));
        assert_eq!(train.contains(&"OMP_WAIT_POLICY"), std::env::var_os("OMP_WAIT_POLICY").is_none());
        assert_eq!(train.into_iter().filter(|n| *n != "OMP_WAIT_POLICY").collect::<Vec<_>>(), bench);
    }
}

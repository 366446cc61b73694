//! Random streams that are named by numbers: the same name gives the same draws, in any order and on any thread.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What keeps the samples' streams apart from others that are made of the same seed.
const AUGMENT_STREAM: u64 = 0x6175_676D_656E_7401;
const PIXEL_STREAM: u64 = 0x7069_7865_6C73_0001;

/// The random stream of one sample in one epoch.
pub fn sample_rng(seed: u64, epoch: usize, index: usize) -> ChaCha8Rng {
    stream([seed, epoch as u64, index as u64, AUGMENT_STREAM])
}

/// The random stream of one sample's normalised pixels in one epoch.
pub(crate) fn pixel_rng(seed: u64, epoch: usize, index: usize) -> ChaCha8Rng {
    stream([seed, epoch as u64, index as u64, PIXEL_STREAM])
}

/// A random stream that is named by four numbers.
pub(crate) fn stream(name: [u64; 4]) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, number) in key.chunks_exact_mut(8).zip(name) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

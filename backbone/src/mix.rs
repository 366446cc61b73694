//! SplitMix64 (Steele et al., 2014): a bijection of 64-bit numbers whose outputs look random, for seeds and repeatable values.

/// The generator's increment, `2^64` divided by the golden ratio.
pub(crate) const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser: neighbouring inputs have unrelated outputs.
pub(crate) fn mix64(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

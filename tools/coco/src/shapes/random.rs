//! Random numbers that are the same on every machine and for every version of the libraries around.

use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// `tan(15° / 2)`, the most that objects are tilted by.
const MAX_TILT: f32 = 0.131_652_5;

/// A stream of its own for each picture.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64, index: u64) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&index.to_le_bytes());
        key[16..24].copy_from_slice(b"shapes 2");
        Random(ChaCha8Rng::from_seed(key))
    }

    /// 32 random bits.
    pub fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// An integer below `limit` (0 for a limit of 0), by multiplication: the tiny unevenness does not matter here.
    pub fn below(&mut self, limit: u32) -> u32 {
        ((u64::from(self.bits()) * u64::from(limit)) >> 32) as u32
    }

    /// A number in [0, 1) in steps of 2^-24, which `f32` holds exactly.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / 16_777_216.0
    }

    /// A number between `low` and `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Whether one of `n` equal chances came up.
    pub fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// Any colour.
    pub fn colour(&mut self) -> [i32; 3] {
        let bits = self.bits();
        [bits & 255, bits >> 8 & 255, bits >> 16 & 255].map(|channel| channel as i32)
    }

    /// A colour of the middle range, not far from grey: what walls, grass and cloth have.
    pub fn muted(&mut self) -> [i32; 3] {
        let grey = 80 + self.below(96) as i32;
        [0; 3].map(|_| grey + self.below(56) as i32 - 28)
    }

    /// A turn of up to 15 degrees to either side, as cosine and sine (the half-angle formula needs neither function).
    pub fn tilt(&mut self) -> [f32; 2] {
        let t = self.between(-MAX_TILT, MAX_TILT);
        [(1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)]
    }

    /// Cosine and sine of a random angle, by the rational parametrisation of the circle.
    pub fn direction(&mut self) -> [f32; 2] {
        let t = self.unit();
        let (cos, sin) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        match self.below(4) {
            0 => [cos, sin],
            1 => [-sin, cos],
            2 => [-cos, -sin],
            _ => [sin, -cos],
        }
    }
}

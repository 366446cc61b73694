//! A loss scale for gradients in 16-bit floats (Micikevicius et al. 2018, section 3.2).
//!
//! Small gradients vanish in 16-bit floats, which end at 6e-8. So the loss is multiplied by a large power of two before the backward, and
//! the gradients, in 32 bits by then, are divided by it. Where that overflows, the step is left out and the scale halved; after many
//! sound steps it is doubled. PyTorch's `GradScaler` has the same rule and constants. The state is two numbers, kept in checkpoints.

use serde::{Deserialize, Serialize};

/// The scale, and how it moves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// Factor of the loss.
    pub scale: f64,
    /// Sound steps since it last moved.
    pub sound_steps: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: 65_536.0, sound_steps: 0 }
    }
}

impl LossScale {
    /// Sound steps before the scale is doubled.
    const INTERVAL: u32 = 2000;
    /// Below, overflows are no matter of scale any more: the run itself diverges.
    const LOWEST: f64 = 1.0 / 65_536.0;

    /// After a step whose gradients were finite.
    pub fn sound(&mut self) {
        self.sound_steps += 1;
        if self.sound_steps == Self::INTERVAL {
            self.scale *= 2.0;
            self.sound_steps = 0;
        }
    }

    /// After a step that overflowed. False once halving does not help any more.
    pub fn overflowed(&mut self) -> bool {
        self.scale /= 2.0;
        self.sound_steps = 0;
        self.scale >= Self::LOWEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halved_at_once_doubled_after_long() {
        let mut s = LossScale::default();
        assert!(s.overflowed());
        assert_eq!(s.scale, 32_768.0);
        for _ in 0..1999 {
            s.sound();
        }
        assert_eq!(s.scale, 32_768.0);
        s.sound();
        assert_eq!((s.scale, s.sound_steps), (65_536.0, 0));
        for _ in 0..32 {
            assert!(s.overflowed());
        }
        assert!(!s.overflowed(), "2^-17 is no scale");
    }
}

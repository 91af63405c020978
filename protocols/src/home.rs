//! Public session numbers that say which core has the session, so that another core can hand over what
//! arrives at it (decision 7).

use crate::machine::CoreId;
use rand_chacha::rand_core::RngCore;

/// What a session's number says about where the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// On this core.
    Here,
    /// On that one.
    Core(u8),
}

/// The numbers of one core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdSpace {
    core: u8,
    cores: u8,
    bits: u32,
}

impl IdSpace {
    /// Those of `core` among `cores`. The bits at the top name the core: enough for `cores`, at most
    /// eight, so that 24 random ones remain (WMSP-47, MMSP-21).
    pub fn new(core: CoreId, cores: u8) -> IdSpace {
        IdSpace {
            core: core.0,
            cores,
            bits: u8::BITS - cores.saturating_sub(1).leading_zeros(),
        }
    }

    /// Where the session of this number is, if it is anywhere.
    pub fn home(self, id: u32) -> Home {
        let core = id.checked_shr(u32::BITS - self.bits).unwrap_or(0);
        match u8::try_from(core) {
            Ok(core) if core < self.cores && core != self.core => Home::Core(core),
            _ => Home::Here,
        }
    }

    /// A random number of this core, not 0, that is not taken.
    pub fn draw(self, rng: &mut impl RngCore, taken: impl Fn(u32) -> bool) -> u32 {
        let core = match self.bits {
            0 => 0,
            bits => u32::from(self.core)
                .checked_shl(u32::BITS - bits)
                .unwrap_or(0),
        };
        let random = u32::MAX.checked_shr(self.bits).unwrap_or(0);
        loop {
            let id = core | rng.next_u32() & random;
            if id != 0 && !taken(id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn bits_for_cores() {
        let bits = [1, 2, 3, 4, 5, 128, 129, 255].map(|n| IdSpace::new(CoreId(0), n).bits);
        assert_eq!(bits, [0, 1, 2, 2, 3, 7, 8, 8]);
    }

    // WMSP-47, MMSP-21
    #[test]
    fn numbers_lead_home() {
        let mut rng = ChaCha8Rng::from_seed([1; 32]);
        for cores in [1, 2, 3, 200] {
            for core in 0..cores.min(5) {
                let mine = IdSpace::new(CoreId(core), cores);
                let id = mine.draw(&mut rng, |_| false);
                assert_eq!(mine.home(id), Home::Here);
                for other in (0..cores.min(5)).filter(|o| *o != core) {
                    let theirs = IdSpace::new(CoreId(other), cores);
                    assert_eq!(theirs.home(id), Home::Core(core));
                }
            }
        }
        let drawn = std::cell::Cell::new(0);
        IdSpace::new(CoreId(0), 1).draw(&mut rng, |_| {
            drawn.set(drawn.get() + 1);
            drawn.get() < 3
        });
        assert_eq!(drawn.get(), 3, "a number that is taken is drawn again");
    }
}

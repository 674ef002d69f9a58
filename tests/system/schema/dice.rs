//! Draws that are the same in every run of the tests.

/// A small generator (splitmix64), or one that always draws the least.
pub(crate) struct Dice(Option<u64>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Some(seed))
    }

    pub(crate) fn least() -> Self {
        Self(None)
    }

    /// A number from 0 up to but not including `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let Some(state) = &mut self.0 else { return 0 };
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

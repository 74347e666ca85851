//! Numbers that are as good as random, and the same for the same seed (xorshift).

/// A source of such numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// One that begins at this seed.
    pub const fn new(seed: u64) -> Self {
        // Zero would stay zero; close seeds are torn apart.
        Self((seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Whether the one of so many cases is it.
    pub fn one_in(&mut self, cases: u64) -> bool {
        self.below(cases) == 0
    }
}

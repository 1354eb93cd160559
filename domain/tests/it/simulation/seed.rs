//! Chance from a seed (`splitmix64`), so that a failure can be seen again.

/// Where chance comes from.
#[derive(Clone, Debug)]
pub(super) struct Seed {
    /// What it began as, for messages.
    pub(super) name: u64,
    state: u64,
}

impl Seed {
    pub(super) fn new(name: u64) -> Self {
        // Mixed, or the story of one seed would be that of the next from its second word on.
        Self { name, state: mixed(name ^ 0x5377_6974_6368_6261) }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.state)
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.next() % u64::from(limit.max(1))).expect("it is below a u32")
    }

    /// True once in so many times.
    pub(super) fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// A place in something of this length.
    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % length.max(1)
    }
}

fn mixed(word: u64) -> u64 {
    let mut z = word;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

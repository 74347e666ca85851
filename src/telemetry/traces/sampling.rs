//! Which requests are recorded: decided at the head of each, by its caller's word or by its trace's id.

use super::context::Context;

/// How many random values a trace id can hold where samplers look.
const ALL: u64 = 1 << 56;

/// Which requests are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampler {
    /// Whether a caller that is traced decides for its children.
    by_parent: bool,
    /// The least random value that is recorded: the same traces in every process with the same ratio.
    least: u64,
}

impl Sampler {
    /// This share of traces, from 0 to 1.
    #[must_use]
    pub fn of_ratio(ratio: f64) -> Self {
        // Both are exact, and what is outside becomes the nearer end.
        Self { by_parent: false, least: ALL - ((ratio * ALL as f64) as u64).min(ALL) }
    }

    /// The same, but a child is what its parent is.
    #[must_use]
    pub const fn by_parent(self) -> Self {
        Self { by_parent: true, ..self }
    }

    /// Whether a request is recorded: a child, with its caller's word, or the first of a trace.
    #[must_use]
    pub fn records(self, context: Context, is_child: bool) -> bool {
        if self.by_parent && is_child { context.is_sampled() } else { context.randomness() >= self.least }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_share_of_traces_that_are_recorded() {
        let share = |sampler: Sampler| (0..4000).filter(|_| sampler.records(Context::root().unwrap(), false)).count();
        assert_eq!((share(Sampler::of_ratio(1.0)), share(Sampler::of_ratio(0.0))), (4000, 0));
        let quarter = share(Sampler::of_ratio(0.25));
        // Six standard deviations.
        assert!((836..1164).contains(&quarter), "{quarter}");
    }

    #[test]
    fn a_parent_decides_where_it_is_asked() {
        let root = Context::root().unwrap();
        for sampled in [true, false] {
            let context = root.sampled(sampled);
            for (ratio, alone) in [(1.0, true), (0.0, false)] {
                let sampler = Sampler::of_ratio(ratio);
                assert_eq!(sampler.records(context, true), alone);
                assert_eq!(sampler.by_parent().records(context, true), sampled);
                assert_eq!(sampler.by_parent().records(context, false), alone);
            }
        }
    }
}

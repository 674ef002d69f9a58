//! Layers that look at one value at a time.

/// A layer without parameters that maps each value by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// `max(x, 0)`, written so that a value that is no number stays one.
    Relu,
    Tanh,
}

impl Activation {
    /// Replaces each value `v` by the activation at `inner(v)`.
    #[inline(always)]
    pub(super) fn apply<'a>(
        self,
        values: impl Iterator<Item = &'a mut f32>,
        inner: impl Fn(f32) -> f32,
    ) {
        match self {
            Self::Relu => values.for_each(|v| {
                let x = inner(*v);
                *v = if x < 0.0 { 0.0 } else { x };
            }),
            Self::Tanh => values.for_each(|v| *v = inner(*v).tanh()),
        }
    }

    /// Takes a slope to in front of the activation; its derivative follows from its output.
    #[inline(always)]
    pub(super) fn walk_back(self, output: &[f32], slope: &mut [f32]) {
        let sites = slope.iter_mut().zip(output);
        match self {
            Self::Relu => sites.for_each(|(s, &o)| *s = if o > 0.0 { *s } else { 0.0 }),
            Self::Tanh => sites.for_each(|(s, &o)| *s *= 1.0 - o * o),
        }
    }
}

/// Sum over sixteen lanes, which compilers turn into vector code without changing the order.
#[inline(always)]
pub(super) fn sum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut lanes = [0.0_f32; 16];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(l, v)| *l += v);
    }
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

//! Wide vectors for plain passes over slices.

use pulp::{Arch, Simd, WithSimd};

/// Runs a pass over slices, compiled for the widest vectors of this processor. The bits are those of the plain code:
/// only the width changes, never an order of additions.
///
/// Write `#[inline(always)]` before the closure, and on the functions that it calls: what is not inlined keeps the
/// narrow vectors. (`FnMut`, not `FnOnce`: a closure is called once through a shim that the compiler would not inline.)
#[inline(always)]
pub fn wide<R>(pass: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Pass(pass))
}

struct Pass<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Pass<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        self.0()
    }
}

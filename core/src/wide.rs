//! Wide vectors for plain passes over slices.

use pulp::{Arch, Simd, WithSimd};
#[cfg(target_arch = "x86_64")]
use std::any::TypeId;

/// Runs a pass over slices, compiled for the widest vectors of this processor. The bits are those of the plain code:
/// only the width changes, never an order of additions.
///
/// Write `#[inline(always)]` before the closure, and on the functions that it calls: what is not inlined keeps the
/// narrow vectors. (`FnMut`, not `FnOnce`: a closure is called once through a shim that the compiler would not inline.)
#[inline(always)]
pub fn wide<R>(pass: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Pass(pass))
}

/// As [`wide`], and tells the pass whether `f64::mul_add` is one instruction here. Only where both roundings are the same
/// may the pass make anything of it.
#[inline(always)]
pub(crate) fn wide_fused<R>(pass: impl FnMut(bool) -> R) -> R {
    Arch::new().dispatch(FusedPass(pass))
}

struct FusedPass<F>(F);

impl<R, F: FnMut(bool) -> R> WithSimd for FusedPass<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        self.0(multiplies_and_adds::<S>())
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn multiplies_and_adds<S: Simd>() -> bool {
    use pulp::x86::{V3, V4};
    let here = TypeId::of::<S>();
    here == TypeId::of::<V3>() || here == TypeId::of::<V4>()
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn multiplies_and_adds<S: Simd>() -> bool {
    cfg!(target_arch = "aarch64")
}

struct Pass<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Pass<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        self.0()
    }
}

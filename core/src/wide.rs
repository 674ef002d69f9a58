//! Wide vectors for plain passes over slices.

use pulp::{Arch, NullaryFnOnce};

/// Runs a pass over slices, compiled for the widest vectors of this processor. The bits are those of the plain code:
/// only the width changes, never an order of additions.
///
/// Write `#[inline(always)]` before the closure, and on the functions that it calls: what is not inlined keeps the
/// narrow vectors.
#[inline(always)]
pub fn wide<R>(pass: impl NullaryFnOnce<Output = R>) -> R {
    Arch::new().dispatch(pass)
}

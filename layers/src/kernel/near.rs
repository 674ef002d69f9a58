//! Hints to the caches.

/// Asks for what will be read at once. The address need not be one of the program's.
#[inline(always)]
pub(super) fn near<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this kind has the instruction, and it touches nothing.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    let _ = at;
}

/// Asks for what will be read soon.
pub fn all_near<T>(values: &[T]) {
    const LINE: usize = 64;
    for line in values.chunks(LINE / size_of::<T>()) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above. Not into the smallest cache, which something else needs until then.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast());
        }
        let _ = line;
    }
}

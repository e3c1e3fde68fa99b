//! [`prefetch`]: asks the processor for a cache line that is needed soon.

pub(crate) use imp::prefetch;

#[cfg(all(target_arch = "x86_64", not(any(miri, loom))))]
mod imp {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    /// Starts loading the line of `place`, and does not wait for it.
    #[inline(always)]
    pub(crate) fn prefetch<T>(place: &T) {
        // SAFETY: a hint, which reads nothing; SSE is part of the architecture.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(place).cast()) };
    }
}

#[cfg(all(target_arch = "aarch64", not(any(miri, loom))))]
mod imp {
    use core::arch::asm;

    /// Starts loading the line of `place`, and does not wait for it.
    #[inline(always)]
    pub(crate) fn prefetch<T>(place: &T) {
        // SAFETY: a hint, which reads nothing.
        unsafe {
            asm!(
                "prfm pldl1keep, [{place}]",
                place = in(reg) core::ptr::from_ref(place),
                options(nostack, preserves_flags, readonly),
            );
        }
    }
}

#[cfg(any(miri, loom, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod imp {
    /// Nothing: there is no such hint.
    #[inline(always)]
    pub(crate) fn prefetch<T>(_: &T) {}
}

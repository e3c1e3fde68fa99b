//! [`thread_mark`]: a number that tells the calling thread from every other thread alive.

/// The mark of the calling thread: never 0 or 1, and no other living thread has it.
///
/// It is the address of a thread-local without destructor and with a constant initial value, so
/// reading it runs nothing and cannot fail, in a destructor of a thread-local neither. Platforms
/// on which the compiler has no thread-locals of its own allocate it on the thread's first call.
///
/// A mark is used again after its thread has ended, and only then; the end of the one thread
/// happens before the start of the other.
#[cfg(all(feature = "std", not(loom)))]
#[inline]
pub fn thread_mark() -> Option<usize> {
    std::thread_local! {
        static MARK: u16 = const { 0 };
    }
    Some(MARK.with(|mark| core::ptr::from_ref(mark).addr()))
}

/// The mark of the calling thread.
///
/// The models' threads share the thread-locals of one real thread; loom's own tell them apart.
#[cfg(loom)]
pub fn thread_mark() -> Option<usize> {
    loom::thread_local! {
        static MARK: u16 = 0;
    }
    Some(MARK.with(|mark| core::ptr::from_ref(mark).addr()))
}

/// The mark of the calling thread: none, since threads cannot be told apart without `std`.
#[cfg(not(any(feature = "std", loom)))]
#[inline]
pub fn thread_mark() -> Option<usize> {
    None
}

//! [`ThreadEnd`]: what a thread does when it ends.

use drystone_core::OsError;

/// Has a function called at the end of each thread that asked for it, after the destructors of its
/// thread-locals.
///
/// Without an allocation of its own. The system's C library may allocate in [`ask`](Self::ask) if the
/// process has many keys of this kind. At the end of the process itself nothing is called in the
/// thread that ends it.
pub struct ThreadEnd {
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is nobody to call it"))]
    at_end: extern "C" fn(),
    /// The system's key and one; 0 before there is one.
    #[cfg(unix)]
    key: drystone_sync::atomic::AtomicUsize,
}

impl ThreadEnd {
    /// Calls `at_end`, in each thread that has asked.
    #[must_use]
    pub const fn new(at_end: extern "C" fn()) -> Self {
        Self {
            at_end,
            #[cfg(unix)]
            key: drystone_sync::atomic::AtomicUsize::new(0),
        }
    }
}

#[cfg(unix)]
impl ThreadEnd {
    /// The function is called when the calling thread ends: once for each time that this was
    /// called since it was called last.
    ///
    /// # Errors
    ///
    /// [`OsError::Call`] if the process has no more keys, or no memory for the thread's value.
    pub fn ask(&'static self) -> Result<(), OsError> {
        let key = self.key()?;
        let this: *const Self = self;
        // SAFETY: the key was created and is never deleted.
        match unsafe { libc::pthread_setspecific(key, this.cast()) } {
            0 => Ok(()),
            code => Err(OsError::Call {
                call: "pthread_setspecific",
                code,
            }),
        }
    }

    fn key(&self) -> Result<libc::pthread_key_t, OsError> {
        use drystone_sync::atomic::Ordering;

        // Relaxed: the number is all there is.
        if let Some(key) = key_of(self.key.load(Ordering::Relaxed)) {
            return Ok(key);
        }
        let mut made = 0;
        // SAFETY: the place for the key is valid, and the function is of the type that is called.
        let code = unsafe { libc::pthread_key_create(&raw mut made, Some(call)) };
        if code != 0 {
            return Err(OsError::Call {
                call: "pthread_key_create",
                code,
            });
        }
        let number = made as usize + 1;
        let set = self
            .key
            .compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
        match set.err().and_then(key_of) {
            None => Ok(made),
            Some(other) => {
                // SAFETY: the key was created above, and nobody has used it.
                unsafe { libc::pthread_key_delete(made) };
                Ok(other)
            }
        }
    }
}

/// The key behind the number that stands for it.
#[cfg(unix)]
fn key_of(number: usize) -> Option<libc::pthread_key_t> {
    number.checked_sub(1)?.try_into().ok()
}

#[cfg(unix)]
extern "C" fn call(this: *mut libc::c_void) {
    let this: *const ThreadEnd = this.cast();
    // SAFETY: `ask` stored a static one.
    let at_end = unsafe { (*this).at_end };
    at_end();
}

#[cfg(not(unix))]
impl ThreadEnd {
    /// Not on this platform.
    ///
    /// # Errors
    ///
    /// [`OsError::Unsupported`].
    pub fn ask(&'static self) -> Result<(), OsError> {
        Err(OsError::Unsupported {
            what: "a function at the end of a thread",
        })
    }
}

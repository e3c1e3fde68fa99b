//! The C library's allocator, as Rust programs reach it.

use crate::lab::Lab;
use crate::target::{Description, FromGlobal};

pub(super) fn add(lab: Lab) -> Lab {
    let description = Description::new("system", "the C library's malloc, as std calls it")
        .version(version())
        .flags("as installed");
    lab.target(description, |_| Ok(FromGlobal(std::alloc::System)))
}

fn version() -> String {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: no requirements; the answer is a static string.
        let text = unsafe { libc::gnu_get_libc_version() };
        // SAFETY: the C library returns a string that ends in NUL and lives for ever.
        let text = unsafe { core::ffi::CStr::from_ptr(text) };
        format!("glibc {}", text.to_string_lossy())
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    {
        format!(
            "{} {}",
            std::env::consts::OS,
            if cfg!(target_env = "musl") {
                "musl"
            } else {
                "libc"
            }
        )
    }
}

//! Rivals that need a C++ compiler and make.

use crate::lab::Lab;
use crate::target::{Description, FromGlobal};

pub(super) fn add(lab: Lab) -> Lab {
    let snmalloc = Description::new("snmalloc", "snmalloc through its Rust wrapper")
        .version("snmalloc-rs 0.7.6")
        .flags("static, release");
    let jemalloc = Description::new("jemalloc", "jemalloc through its Rust wrapper, sized frees")
        .version(jemalloc_version())
        .flags("static, release");
    lab.target(snmalloc, |_| Ok(FromGlobal(snmalloc_rs::SnMalloc)))
        .target(jemalloc, |_| Ok(FromGlobal(tikv_jemallocator::Jemalloc)))
}

fn jemalloc_version() -> String {
    let mut text: *const core::ffi::c_char = core::ptr::null();
    let mut length = size_of_val(&text);
    // SAFETY: the name is a C string, `text` has room for the pointer that `version` yields,
    // `length` says so, and nothing is written to the control.
    let failed = unsafe {
        tikv_jemalloc_sys::mallctl(
            c"version".as_ptr(),
            (&raw mut text).cast(),
            &raw mut length,
            core::ptr::null_mut(),
            0,
        )
    };
    if failed != 0 || text.is_null() {
        return "tikv-jemallocator 0.7.0".to_owned();
    }
    // SAFETY: the control yields a static string that ends in NUL.
    let text = unsafe { core::ffi::CStr::from_ptr(text) };
    text.to_string_lossy()
        .chars()
        .take_while(|&c| c != '-')
        .collect()
}

//! Tells the linker what an allocator's library needs.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The test programs build the library for the target that they are built for.
    let target = std::env::var("TARGET").expect("cargo says for what it builds");
    println!("cargo::rustc-env=BUILT_FOR={target}");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // Blocks, keys of threads and fork handlers outlive a `dlclose`.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libdrystone_malloc.so");
    }
}

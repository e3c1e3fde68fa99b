//! Finds out, for the feature `nightly`, which form of the standard library's `Allocator` the
//! compiler has. Without the feature it asks nothing.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!(
        "cargo::rustc-check-cfg=cfg(std_allocator, std_allocator_gated, std_allocator_markers)"
    );
    #[cfg(feature = "nightly")]
    probe::report();
}

#[cfg(feature = "nightly")]
mod probe {
    use autocfg::AutoCfg;

    /// The shape of the trait that the adapters are written for.
    const ALLOCATOR: &str = "
        use core::alloc::{AllocError, Allocator, Layout};
        use core::ptr::NonNull;
        #[derive(Clone)]
        pub struct Probe;
        unsafe impl Allocator for Probe {
            fn allocate(&self, _: Layout) -> Result<NonNull<[u8]>, AllocError> { Err(AllocError) }
            unsafe fn deallocate(&self, _: NonNull<u8>, _: Layout) {}
        }
    ";

    /// The promises that came after the trait.
    const MARKERS: &str = "
        unsafe impl core::alloc::AllocatorClone for Probe {}
        unsafe impl core::alloc::StaticAllocator for Probe {}
    ";

    pub(super) fn report() {
        let compiler = match AutoCfg::new() {
            Ok(compiler) => compiler,
            Err(error) => return refuse(&error.to_string()),
        };
        let has = |features: &str, code: &[&str]| {
            let source = format!("#![no_std]\n{features}\n{}", code.concat());
            compiler.probe_raw(&source).is_ok()
        };
        if !has("", &[ALLOCATOR]) {
            if !has("#![feature(allocator_api)]", &[ALLOCATOR]) {
                return refuse("no `core::alloc::Allocator` of a known shape");
            }
            println!("cargo::rustc-cfg=std_allocator_gated");
        }
        println!("cargo::rustc-cfg=std_allocator");
        if has("#![feature(allocator_ext)]", &[ALLOCATOR, MARKERS]) {
            println!("cargo::rustc-cfg=std_allocator_markers");
        }
    }

    fn refuse(reason: &str) {
        println!(
            "cargo::warning=the feature `nightly` adds nothing with this compiler: {reason}; \
             `ForeignStd` and the impl of the standard trait for `StdCompat` are left out"
        );
    }
}

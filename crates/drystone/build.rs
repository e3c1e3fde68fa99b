//! Finds out, for the tests of the feature `nightly`, whether the compiler has the standard library's
//! `Allocator`, and behind which feature. The library itself asks nothing.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!(
        "cargo::rustc-check-cfg=cfg(std_allocator, std_allocator_gated, std_allocator_markers)"
    );
    #[cfg(feature = "nightly")]
    report();
}

#[cfg(feature = "nightly")]
fn report() {
    let Ok(compiler) = autocfg::AutoCfg::new() else {
        return;
    };
    let has = |features: &str, name: &str| {
        let source = format!("#![no_std]\n{features}\npub use core::alloc::{name};");
        compiler.probe_raw(&source).is_ok()
    };
    let gated = !has("", "Allocator");
    if gated && !has("#![feature(allocator_api)]", "Allocator") {
        return;
    }
    println!("cargo::rustc-cfg=std_allocator");
    if gated {
        println!("cargo::rustc-cfg=std_allocator_gated");
    }
    if has("#![feature(allocator_ext)]", "AllocatorClone") {
        println!("cargo::rustc-cfg=std_allocator_markers");
    }
}

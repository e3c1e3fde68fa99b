//! Tells the linker what an allocator's library needs.

use std::env;
use std::path::Path;
use std::process::Command;

/// The unwinder that std's reports of panics refer to, as objects to link.
const UNWINDER: &str = "libgcc_eh.a";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The test programs build the library for the target that they are built for.
    let target = env::var("TARGET").expect("cargo says for what it builds");
    println!("cargo::rustc-env=BUILT_FOR={target}");
    if variable("CARGO_CFG_TARGET_OS") == "linux" {
        // Blocks, keys of threads and fork handlers outlive a `dlclose`.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libdrystone_malloc.so");
        let links_unwinder = variable("CARGO_CFG_TARGET_ENV") == "gnu" && has_unwinder(&target);
        let answer = if links_unwinder { "yes" } else { "no" };
        println!("cargo::rustc-env=HAS_UNWINDER={answer}");
        if links_unwinder {
            // Otherwise every program that the library is preloaded into loads `libgcc_s.so` too, which
            // takes longer than all else of its start. The objects' names are not exported.
            println!(
                "cargo::rustc-cdylib-link-arg=-Wl,--whole-archive,-l:{UNWINDER},--no-whole-archive"
            );
        }
    }
}

/// What a variable says; nothing if it is not set.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// Whether the C compiler that links has the unwinder for this target.
fn has_unwinder(target: &str) -> bool {
    let linker = match variable("RUSTC_LINKER") {
        linker if !linker.is_empty() => linker,
        _ if variable("HOST") == target => String::from("cc"),
        _ => return false,
    };
    let answer = Command::new(linker)
        .arg(format!("-print-file-name={UNWINDER}"))
        .output();
    // A compiler that has no such file answers with its bare name.
    answer.is_ok_and(|answer| {
        let path = String::from_utf8_lossy(&answer.stdout).into_owned();
        answer.status.success() && Path::new(path.trim()).is_absolute()
    })
}

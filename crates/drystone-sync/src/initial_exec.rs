//! [`initial_exec_address!`](crate::initial_exec_address): where a thread-local lies that a shared library
//! reaches without a call.

/// The address, in the calling thread, of a thread-local that the caller's assembly defines, as a
/// `*const ()`.
///
/// In a shared library the compiler reaches a thread-local by a call of the loader (`__tls_get_addr`), which
/// may itself allocate when a thread comes there for the first time. A symbol of the library's own block of
/// thread-locals has a distance from the thread pointer that the loader fixes and writes into a table: the
/// access model *initial-exec*. This reads it there, with two instructions on x86-64 and four on AArch64. The
/// static linker turns that into a constant when the code becomes part of a program.
///
/// A library that is loaded by `dlopen` gets such thread-locals from a reserve that the loader keeps for
/// that.
///
/// Only for Linux on 64-bit x86-64 and on AArch64, and not under Miri. Source: Ulrich Drepper, *ELF Handling
/// For Thread-Local Storage*, 2013, section 4.3.
#[macro_export]
#[cfg(target_arch = "x86_64")]
macro_rules! initial_exec_address {
    ($symbol:literal) => {{
        let address: *const ();
        // SAFETY: reads two words that stay as they are as long as the thread runs: the distance of
        // the symbol, from the table that the loader has filled, and the thread pointer.
        unsafe {
            core::arch::asm!(
                concat!("mov {address}, qword ptr [rip + ", $symbol, "@GOTTPOFF]"),
                "add {address}, qword ptr fs:[0]",
                address = out(reg) address,
                options(pure, nomem, nostack),
            );
        }
        address
    }};
}

/// The address, in the calling thread, of a thread-local that the caller's assembly defines.
#[macro_export]
#[cfg(target_arch = "aarch64")]
macro_rules! initial_exec_address {
    ($symbol:literal) => {{
        let address: *const ();
        // SAFETY: reads a word that stays as it is as long as the thread runs, the distance of the
        // symbol from the table that the loader has filled, and the thread pointer.
        unsafe {
            core::arch::asm!(
                concat!("adrp {address}, :gottprel:", $symbol),
                concat!("ldr {address}, [{address}, #:gottprel_lo12:", $symbol, "]"),
                "mrs {pointer}, tpidr_el0",
                "add {address}, {address}, {pointer}",
                address = out(reg) address,
                pointer = out(reg) _,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        address
    }};
}

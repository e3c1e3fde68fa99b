//! Measures containers that grow: over the number of segments, while growing, between threads.
//!
//! `extendable sweep [fifo-64x10 ...]`, `extendable grow [objects]`, `extendable two`; each prints
//! CSV.

use std::process::ExitCode;

use drystone_benches::rows::extendable_sweep;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let mode = args.next().unwrap_or_default();
    let rest = args.next();
    let csv = match mode.as_str() {
        "sweep" => extendable_sweep::sweep(&rest.unwrap_or_default()),
        "grow" => {
            let objects = rest.and_then(|text| text.parse().ok());
            extendable_sweep::grow(objects.unwrap_or(10_000_000))
        }
        #[cfg(target_os = "linux")]
        "two" => extendable_sweep::two_threads(),
        _ => {
            eprintln!("usage: extendable sweep [BEGINNING] | grow [OBJECTS] | two");
            return ExitCode::FAILURE;
        }
    };
    print!("{csv}");
    ExitCode::SUCCESS
}

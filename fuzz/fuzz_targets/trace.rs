//! The trace readers: nothing they accept is lost, nothing they refuse is vague.
#![no_main]

use drystone_trace::fuzz_target::target_trace;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| target_trace(data));

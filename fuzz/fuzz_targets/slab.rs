//! Operations on a slab, against the oracle.
#![no_main]

use drystone_testkit::targets::target_slab;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| target_slab(data));

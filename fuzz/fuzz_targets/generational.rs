//! Generational slabs against a table of every handle given out.
#![no_main]

use drystone_testkit::targets::target_generational;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| target_generational(data));

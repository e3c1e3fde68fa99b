//! Growth, trims, failing sources and misuse of an extendable slab, beside a model.
#![no_main]

use drystone_testkit::targets::target_extendable_slab;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| target_extendable_slab(data));

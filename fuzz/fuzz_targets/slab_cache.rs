//! A slab cache over a provider with a script.
#![no_main]

use drystone_testkit::targets::target_slab_cache;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| target_slab_cache(data));

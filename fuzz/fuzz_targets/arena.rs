//! An arena with two caches.
#![no_main]

use drystone_testkit::targets::target_arena;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| target_arena(data));

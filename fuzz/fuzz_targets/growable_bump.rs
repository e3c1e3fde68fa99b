//! Operations on a growing bump arena, against the oracle.
#![no_main]

use drystone_testkit::targets::target_growable_bump;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| target_growable_bump(data));

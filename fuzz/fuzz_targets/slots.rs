//! Slots in any buffer, against a list.
#![no_main]

use drystone_testkit::targets::target_slots;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| target_slots(data));

//! The size-class table, against its definition.
#![no_main]

use drystone_testkit::targets::target_class_table;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| target_class_table(data));

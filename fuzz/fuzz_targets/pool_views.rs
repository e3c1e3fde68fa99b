//! Views over buffers, against vectors of bytes.
#![no_main]

use drystone_testkit::targets::target_pool_views;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| target_pool_views(data));

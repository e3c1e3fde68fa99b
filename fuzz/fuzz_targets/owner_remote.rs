//! An owner's slab and its remotes on three threads, against a model of where every block is.
#![no_main]

use drystone_testkit::targets::target_owner_remote;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| target_owner_remote(data));

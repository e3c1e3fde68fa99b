//! The fuzz target under proptest: arbitrary bytes, and valid traces with damage.

mod common;

use common::compress;
use drystone_trace::Trace;
use drystone_trace::fuzz_target::target_trace;
use drystone_trace::synth::Scenario;
use proptest::prelude::*;
use proptest::sample::{Index, select};

// The interpreter takes seconds for what takes a millisecond otherwise.
const BYTES: usize = if cfg!(miri) { 64 } else { 600 };
const RECORDS: usize = if cfg!(miri) { 12 } else { 48 };

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 512 },
        // Its regression files need a file system that the interpreter has not.
        failure_persistence: if cfg!(miri) {
            None
        } else {
            ProptestConfig::default().failure_persistence
        },
        ..ProptestConfig::default()
    }
}

fn damage(mut bytes: Vec<u8>, edits: &[(Index, u8)]) -> Vec<u8> {
    for (index, value) in edits {
        let at = index.index(bytes.len());
        bytes[at] = *value;
    }
    bytes
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arbitrary_bytes(data in proptest::collection::vec(any::<u8>(), 0..BYTES)) {
        target_trace(&data);
    }

    #[test]
    fn damaged_traces(
        scenario in select(&Scenario::ALL[..]),
        seed in any::<u64>(),
        records in 1_usize..RECORDS,
        edits in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4),
    ) {
        let raw = scenario.generate(seed, records).to_bytes();
        target_trace(&damage(raw.clone(), &edits));
        target_trace(&damage(compress(&raw), &edits));
    }

    #[test]
    fn damaged_dumps(
        scenario in select(&Scenario::ALL[..]),
        seed in any::<u64>(),
        edits in proptest::collection::vec((any::<Index>(), select(&b"0129 \n#aez"[..])), 0..4),
    ) {
        let mut dump = Vec::new();
        scenario.generate(seed, RECORDS / 4).write_dump(&mut dump).expect("writing to memory succeeds");
        target_trace(&damage(dump, &edits));
    }

    #[test]
    fn every_length_of_every_scenario_is_valid(
        scenario in select(&Scenario::ALL[..]),
        seed in any::<u64>(),
        records in 0_usize..if cfg!(miri) { 40 } else { 3000 },
    ) {
        let trace = scenario.generate(seed, records);
        prop_assert_eq!(trace.records().len(), records);
        prop_assert_eq!(&Trace::from_bytes(&trace.to_bytes()).unwrap(), &trace);
    }
}

//! Each scenario is fixed by its seed and shows its pattern.
#![cfg(not(miri))] // Patterns need many records. The generators run interpreted in dump.rs.

use std::collections::{BTreeMap, HashMap};

use drystone_trace::synth::Scenario;
use drystone_trace::{Figures, Op, Record, Trace};

/// Records for the properties.
const RECORDS: usize = 60_000;

fn figures(scenario: Scenario) -> (Trace, Figures) {
    let trace = scenario.generate(7, RECORDS);
    let figures = Figures::of(&trace);
    assert_eq!(figures.records, RECORDS as u64);
    (trace, figures)
}

/// FNV-1a, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, step)
}

#[test]
fn names() {
    for scenario in Scenario::ALL {
        assert_eq!(Scenario::from_name(scenario.name()), Some(scenario));
        assert!(!scenario.about().is_empty() && scenario.about().len() <= 90);
    }
    assert_eq!(Scenario::from_name("server_churn"), None);
}

#[test]
fn the_bytes_are_the_same_on_every_machine() {
    let hashes = Scenario::ALL.map(|s| (s.name(), fnv1a(&s.generate(1, 1000).to_bytes())));
    let golden: [(&str, u64); 8] = [
        ("server-churn", 0x5B60_C9E0_2BDD_AF82),
        ("parser-phase", 0xD08C_D143_D6D9_FDCF),
        ("producer-consumer", 0xC410_76BB_7818_4893),
        ("tensor-batch", 0x0AC1_0E7C_009A_68E6),
        ("json-tree", 0xD129_5D64_19E8_2090),
        ("growing-vectors", 0x19AC_4211_2E46_4EA9),
        ("larson-like", 0x6D51_88BD_13A3_EFE8),
        ("fragmentation-adversary", 0xA42D_3357_A403_860D),
    ];
    assert_eq!(hashes, golden, "{hashes:#x?}");
}

#[test]
fn seeds_matter() {
    for scenario in Scenario::ALL {
        assert_eq!(scenario.generate(1, 600), scenario.generate(1, 600));
        assert_ne!(
            scenario.generate(1, 600),
            scenario.generate(2, 600),
            "{}",
            scenario.name()
        );
    }
}

/// For each record the number of live objects after it.
fn live_curve(trace: &Trace) -> Vec<u64> {
    let live = |live: &mut u64, record: &Record| {
        *live = match record.op {
            Op::Allocate | Op::AllocateZeroed => *live + 1,
            Op::Free => *live - 1,
            Op::Reallocate => *live,
        };
        Some(*live)
    };
    trace.records().iter().scan(0, live).collect()
}

fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[test]
fn server_churn() {
    let (_, f) = figures(Scenario::ServerChurn);
    assert_eq!(f.threads, 4);
    let births = f.allocations + f.zeroed;
    assert!(f.zeroed > 0 && ratio(f.zeroed, births) < 0.1);
    // Nearly everything goes again, and fewer than one block in ten is live at once.
    assert!(ratio(f.frees, births) > 0.95);
    assert!(ratio(f.peak_live_objects, births) < 0.1);
    // Small requests are common, sessions are replaced by other workers, responses grow.
    let small: u64 = f
        .size_histogram
        .iter()
        .filter(|b| b.size_max_bytes <= 128)
        .map(|b| b.requests)
        .sum();
    assert!(ratio(small, births) > 0.6);
    assert!((0.001..0.1).contains(&ratio(f.cross_thread_frees, f.frees)));
    assert!(f.reallocations.grow > 0 && f.reallocations.shrink == 0);
}

#[test]
fn parser_phase() {
    let (trace, f) = figures(Scenario::ParserPhase);
    assert_eq!(f.threads, 1);
    assert!(f.freed_within_63_records_ratio < 0.02);
    // Once the frees begin they go on until nothing is left.
    let live = live_curve(&trace);
    let phases = live.iter().filter(|&&n| n == 0).count();
    assert!((4..=40).contains(&phases), "{phases} phases");
    let records = trace.records();
    let stops = (1..records.len())
        .filter(|&i| records[i - 1].op == Op::Free && records[i].op != Op::Free)
        .map(|i| live[i - 1])
        .collect::<Vec<_>>();
    assert!(stops.iter().all(|&n| n == 0), "{stops:?}");
    assert!(f.sizes.max <= 128);
}

#[test]
fn producer_consumer() {
    let (trace, f) = figures(Scenario::ProducerConsumer);
    assert_eq!(f.threads, 4);
    let crossing = ratio(f.cross_thread_frees, f.frees);
    assert!((0.6..0.7).contains(&crossing), "{crossing}");
    // Messages go one way: from two threads to the two others.
    let mut born = HashMap::new();
    let mut ways: HashMap<(u16, u16), u64> = HashMap::new();
    for record in trace.records() {
        if record.op.allocates() {
            born.insert(record.object, record.thread);
        } else if born[&record.object] != record.thread {
            *ways
                .entry((born[&record.object], record.thread))
                .or_default() += 1;
        }
    }
    assert_eq!(ways.len(), 4);
    assert!(
        ways.keys()
            .all(|&(from, to)| !ways.contains_key(&(to, from)))
    );
}

#[test]
fn tensor_batch() {
    let (trace, f) = figures(Scenario::TensorBatch);
    assert_eq!(f.threads, 1);
    assert!(f.sizes.distinct <= 24 && f.size_histogram[0].size_max_bytes >= 16 * 1024);
    assert!(ratio(f.zeroed, f.allocations) > 0.3);
    let births = trace
        .records()
        .iter()
        .filter(|record| record.op.allocates());
    assert!(births.clone().all(|record| record.align_log2 == 6));
    assert!(f.peak_live_bytes < 64 << 20, "{}", f.peak_live_bytes);
    assert!(f.peak_live_objects <= 25);
}

#[test]
fn json_tree() {
    let (trace, f) = figures(Scenario::JsonTree);
    assert_eq!(f.threads, 1);
    let documents = live_curve(&trace).iter().filter(|&&n| n == 0).count();
    assert!(documents >= 50, "{documents} documents");
    assert!(f.reallocations.grow > 0 && f.reallocations.shrink == 0);
    let small: u64 = f
        .size_histogram
        .iter()
        .filter(|b| b.size_max_bytes <= 128)
        .map(|b| b.requests)
        .sum();
    assert!(ratio(small, f.requested()) > 0.9);
    // Strings of many sizes, some aligned to one byte.
    let align_1 = trace
        .records()
        .iter()
        .filter(|r| r.op.allocates() && r.align_log2 == 0)
        .count();
    assert!(f.sizes.distinct > 40 && align_1 > 0);
}

/// Requests, by their sum over the histogram.
trait Requested {
    fn requested(&self) -> u64;
}

impl Requested for Figures {
    fn requested(&self) -> u64 {
        self.size_histogram
            .iter()
            .map(|bucket| bucket.requests)
            .sum()
    }
}

#[test]
fn growing_vectors() {
    let (trace, f) = figures(Scenario::GrowingVectors);
    assert_eq!(f.threads, 1);
    assert!(ratio(f.reallocations.grow, f.records) > 0.5);
    assert!(ratio(f.reallocations.shrink, f.records) > 0.02);
    assert!(f.peak_live_objects <= 33);
    // A growth is a doubling.
    let mut sizes = HashMap::new();
    for record in trace.records() {
        let before = sizes.insert(record.object, record.size).unwrap_or(0);
        if record.op == Op::Reallocate && record.size > before {
            assert_eq!(record.size, 2 * before);
        }
    }
}

#[test]
fn larson_like() {
    let (trace, f) = figures(Scenario::LarsonLike);
    assert_eq!(f.threads, 4);
    assert!(ratio(f.cross_thread_frees, f.frees) > 0.1);
    assert_eq!(f.reallocations, Default::default());
    assert!((10..=500).contains(&f.sizes.max) && f.sizes.distinct > 200);
    // Once the populations are there, the number of live blocks stands still.
    let live = live_curve(&trace);
    let full = live.iter().position(|&n| n == f.peak_live_objects).unwrap();
    assert!(full < live.len() / 3);
    assert!(live[full..].iter().all(|&n| f.peak_live_objects - n <= 1));
}

#[test]
fn fragmentation_adversary() {
    let (trace, f) = figures(Scenario::FragmentationAdversary);
    assert_eq!(f.threads, 1);
    let adversary = ratio(first_fit_heap_bytes(&trace), f.peak_live_bytes);
    let (tame_trace, tame) = figures(Scenario::ParserPhase);
    let tame = ratio(first_fit_heap_bytes(&tame_trace), tame.peak_live_bytes);
    assert!(
        adversary > 4.0 && tame < 1.2,
        "heap over live: {adversary:.2} against {tame:.2}"
    );
}

/// The end of the highest block that a first-fit heap with coalescing ever places, in bytes.
fn first_fit_heap_bytes(trace: &Trace) -> u64 {
    let mut gaps: BTreeMap<u64, u64> = BTreeMap::from([(0, u64::MAX)]);
    let mut placed: HashMap<u32, (u64, u64)> = HashMap::new();
    let mut high = 0;
    for record in trace.records() {
        if !record.op.allocates() {
            let (start, end) = placed.remove(&record.object).expect("a valid trace");
            give_back(&mut gaps, start, end);
        }
        if record.op != Op::Free {
            let bytes = record.size.next_multiple_of(16);
            let fits = |gap: &(&u64, &u64)| gap.1 - gap.0 >= bytes;
            let (&start, &end) = gaps.iter().find(fits).expect("the last gap is endless");
            gaps.remove(&start);
            if start + bytes < end {
                gaps.insert(start + bytes, end);
            }
            placed.insert(record.object, (start, start + bytes));
            high = high.max(start + bytes);
        }
    }
    high
}

fn give_back(gaps: &mut BTreeMap<u64, u64>, mut start: u64, mut end: u64) {
    if let Some(behind) = gaps.remove(&end) {
        end = behind;
    }
    if let Some((&before, _)) = gaps
        .range(..start)
        .next_back()
        .filter(|(_, e)| **e == start)
    {
        start = before;
    }
    gaps.insert(start, end);
}

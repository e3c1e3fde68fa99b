//! The rows under criterion, one contestant after the other: for local tuning. The comparison
//! tables come from the `rows` program, which interleaves.

use std::time::Instant;

use criterion::Criterion;
use drystone_benches::rows;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for id in rows::IDS {
        let row = rows::build(id).expect("names come from the list");
        let mut group = criterion.benchmark_group(id);
        for mut arm in row.arms {
            group.bench_function(arm.name, |bencher| {
                bencher.iter_custom(|units| {
                    let start = Instant::now();
                    (arm.run)(units);
                    start.elapsed()
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
}

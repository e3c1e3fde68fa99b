//! What allocators make of memory: figures that are not times. Each is taken in a process that
//! serves one contestant only.

mod growth;
pub mod program;
mod resident;
mod threads;
mod trim;

use drystone_arena::GlobalArena;
use drystone_core::{Checked, Fast, Hardened};

use crate::Kind;
use crate::report::Contestant;
use crate::rivals::{Heap, Rivals, Visitor};
use crate::rows::{large_churn, touched_20m};
use resident::page_faults;

/// One figure.
pub struct Experiment {
    /// The stable name, such as `memory-24`.
    pub id: &'static str,
    /// The unit of the figure. Less is better.
    pub unit: &'static str,
    /// How it is taken.
    pub about: &'static str,
    measure: Measure,
}

#[derive(Clone, Copy)]
enum Measure {
    Growth(growth::Blocks),
    Trim,
    Threads,
    Faults,
    FaultsOf20MiB,
}

/// All figures.
pub const EXPERIMENTS: [Experiment; 7] = [
    Experiment {
        id: "memory-24",
        unit: "bytes resident for each requested",
        about: "1 000 000 blocks of 24 B, every byte written",
        measure: Measure::Growth(growth::Blocks::Equal(24)),
    },
    Experiment {
        id: "memory-40",
        unit: "bytes resident for each requested",
        about: "1 000 000 blocks of 40 B, every byte written",
        measure: Measure::Growth(growth::Blocks::Equal(40)),
    },
    Experiment {
        id: "memory-pareto",
        unit: "bytes resident for each requested",
        about: "1 000 000 blocks of 16 B to 64 KiB by a Pareto distribution, 4 in 5 then freed at random and drawn again",
        measure: Measure::Growth(growth::Blocks::Pareto),
    },
    Experiment {
        id: "memory-trim",
        unit: "% of the peak resident",
        about: "1 GiB of blocks of 64 B to 4 KiB allocated, written and freed, 100 ms after the call that gives memory back",
        measure: Measure::Trim,
    },
    Experiment {
        id: "memory-threads",
        unit: "KiB more for each 1000 threads",
        about: "200 000 threads, one after the other, each leaving 10 blocks that another thread frees after its end: slope over the last 50 000",
        measure: Measure::Threads,
    },
    Experiment {
        id: "memory-faults",
        unit: "page faults for each pair",
        about: "random blocks of 64 KiB to 1 MiB replaced, 32 live, a byte of each page written: after 20 000 pairs",
        measure: Measure::Faults,
    },
    Experiment {
        id: "memory-faults-20m",
        unit: "page faults for each pair",
        about: "a block of 20 MiB taken and given back, a byte of each page written: after 10 pairs",
        measure: Measure::FaultsOf20MiB,
    },
];

impl Measure {
    fn of<A: Heap>(self, heap: A) -> f64 {
        match self {
            Self::Growth(blocks) => growth::measure(heap, blocks),
            Self::Trim => trim::measure(heap),
            Self::Threads => threads::measure(heap),
            Self::Faults => faults(large_churn(heap), 20_000, 5000),
            Self::FaultsOf20MiB => faults(touched_20m(heap), 10, 100),
        }
    }
}

/// The page faults of one of so many units, after a warm-up.
fn faults(mut work: impl FnMut(u64), warm_up: u64, units: u64) -> f64 {
    work(warm_up);
    let before = page_faults();
    work(units);
    (page_faults() - before) as f64 / units as f64
}

/// Visits the contestants of a program: ours, if it shall measure them, and its rivals.
fn visit_all<R: Rivals>(ours: bool, visitor: &mut (impl Visitor + Ranks)) {
    if ours {
        visitor.rank(Kind::Ours);
        visitor.heap("drystone GlobalArena", GlobalArena::<Fast>::new());
        visitor.heap(
            "drystone GlobalArena<Checked>",
            GlobalArena::<Checked>::new(),
        );
        visitor.heap(
            "drystone GlobalArena<Hardened>",
            GlobalArena::<Hardened>::new(),
        );
    }
    visitor.rank(Kind::Rival);
    R::visit(visitor);
}

/// Whoever wants to know what kind of contestant comes next.
trait Ranks {
    fn rank(&mut self, kind: Kind);
}

/// The contestants of a program.
fn contestants<R: Rivals>(ours: bool) -> Vec<Contestant> {
    struct Names {
        kind: Kind,
        found: Vec<Contestant>,
    }
    impl Ranks for Names {
        fn rank(&mut self, kind: Kind) {
            self.kind = kind;
        }
    }
    impl Visitor for Names {
        fn heap<A: Heap>(&mut self, name: &'static str, _: A) {
            self.found.push(Contestant {
                name: name.to_owned(),
                kind: self.kind,
            });
        }
    }
    let mut names = Names {
        kind: Kind::Ours,
        found: Vec::new(),
    };
    visit_all::<R>(ours, &mut names);
    names.found
}

/// Takes a figure of the contestant of this name, in this process; `None` if there is none.
fn figure<R: Rivals>(experiment: &Experiment, ours: bool, arm: &str) -> Option<f64> {
    struct Chosen<'a> {
        arm: &'a str,
        measure: Measure,
        figure: Option<f64>,
    }
    impl Ranks for Chosen<'_> {
        fn rank(&mut self, _: Kind) {}
    }
    impl Visitor for Chosen<'_> {
        fn heap<A: Heap>(&mut self, name: &'static str, heap: A) {
            if name == self.arm {
                self.figure = Some(self.measure.of(heap));
            }
        }
    }
    let mut chosen = Chosen {
        arm,
        measure: experiment.measure,
        figure: None,
    };
    visit_all::<R>(ours, &mut chosen);
    chosen.figure
}

//! Rows, arms and the interleaving of rounds.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// What an arm is in its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A drystone type.
    Ours,
    /// The first of our arms again: its ratio to itself is the noise floor.
    Control,
    /// Another project's type that does the same work.
    Rival,
    /// The least work that any implementation must do.
    Limit,
}

impl Kind {
    /// The word used in tables and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Control => "control",
            Self::Rival => "rival",
            Self::Limit => "limit",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Ours, Self::Control, Self::Rival, Self::Limit]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// One contestant: runs the workload for a number of units.
pub struct Arm {
    /// The contestant's name.
    pub name: &'static str,
    /// Its part in the row.
    pub kind: Kind,
    /// Performs that many units of work.
    pub run: Box<dyn FnMut(u64)>,
}

impl Arm {
    /// An arm that runs `run`.
    pub fn new(name: &'static str, kind: Kind, run: impl FnMut(u64) + 'static) -> Self {
        Self {
            name,
            kind,
            run: Box::new(run),
        }
    }
}

/// One workload and its contestants.
pub struct Row {
    /// The stable name, such as `slab-hot`.
    pub id: &'static str,
    /// What one unit is.
    pub unit: &'static str,
    /// What the workload does.
    pub about: &'static str,
    /// The contestants.
    pub arms: Vec<Arm>,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds in one process; each runs every arm once.
    pub rounds: u32,
    /// How long one run of one arm shall take.
    pub slice: Duration,
    /// Seeds the order of the arms.
    pub seed: u64,
}

/// One timed run.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The round, counted over all processes.
    pub round: u32,
    /// The index of the arm in its row.
    pub arm: usize,
    /// Nanoseconds for one unit.
    pub ns: f64,
}

impl Row {
    /// Runs every arm once in each round, in a fresh random order each time.
    pub fn measure(&mut self, plan: Plan) -> Vec<Sample> {
        let units: Vec<u64> = self
            .arms
            .iter_mut()
            .map(|arm| calibrate(arm, plan.slice))
            .collect();
        let mut order: Vec<usize> = (0..self.arms.len()).collect();
        let mut random = Random::new(plan.seed);
        let mut samples = Vec::with_capacity(order.len() * plan.rounds as usize);
        for round in 0..plan.rounds {
            random.shuffle(&mut order);
            for &arm in &order {
                let elapsed = time(&mut self.arms[arm], units[arm]);
                let ns = elapsed.as_nanos() as f64 / units[arm] as f64;
                samples.push(Sample { round, arm, ns });
            }
        }
        samples
    }
}

/// How many units take about `slice`; also warms the arm up.
fn calibrate(arm: &mut Arm, slice: Duration) -> u64 {
    // Few, because a unit may take milliseconds.
    let mut units = 16;
    loop {
        let elapsed = time(arm, units);
        if elapsed >= slice / 2 {
            let scale = slice.as_secs_f64() / elapsed.as_secs_f64();
            return ((units as f64 * scale) as u64).max(1);
        }
        units *= 2;
    }
}

fn time(arm: &mut Arm, units: u64) -> Duration {
    let start = Instant::now();
    (arm.run)(units);
    let elapsed = start.elapsed();
    OWN_TIME.take().unwrap_or(elapsed)
}

thread_local! {
    static OWN_TIME: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// For an arm whose figure is only a part of its run: says how long that part took.
pub fn own_time(elapsed: Duration) {
    OWN_TIME.set(Some(elapsed));
}

/// Does `units` of work in whole batches of `batch_units`, and says what `units` of it took; `batch`
/// says how long one took.
pub fn in_batches(units: u64, batch_units: u64, mut batch: impl FnMut() -> Duration) {
    let batches = units.div_ceil(batch_units);
    let total: Duration = (0..batches).map(|_| batch()).sum();
    own_time(total.mul_f64(units as f64 / (batches * batch_units) as f64));
}

/// How long `work` took.
pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator that starts from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// Puts `items` into random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

//! Each thread replaces random blocks of its own population. After as many replacements as the
//! population has blocks, another thread takes it over, blocks of its former owner included.

use super::rng::SplitMix64;
use super::script::{Object, Script};

const THREADS: usize = 4;
const BLOCKS_MAX: usize = 1000;
const BLOCK_BYTES_MIN: u64 = 10;
const BLOCK_BYTES_MAX: u64 = 500;

struct Population {
    owner: u16,
    blocks: Vec<Object>,
    replacements: usize,
}

pub(super) fn play(script: &mut Script, rng: &mut SplitMix64) {
    // At most a quarter of the records fill the populations.
    let blocks = BLOCKS_MAX.min(script.wanted() / (4 * THREADS)).max(1);
    let mut populations: Vec<Population> = (0..THREADS as u16)
        .map(|owner| {
            let blocks = (0..blocks).map(|_| allocate(script, rng, owner)).collect();
            Population {
                owner,
                blocks,
                replacements: 0,
            }
        })
        .collect();
    while !script.is_full() {
        let population = &mut populations[rng.index(THREADS)];
        population.replace_one(script, rng);
        if population.replacements == blocks {
            population.replacements = 0;
            population.owner = (population.owner + 1) % THREADS as u16;
        }
    }
}

impl Population {
    fn replace_one(&mut self, script: &mut Script, rng: &mut SplitMix64) {
        let slot = rng.index(self.blocks.len());
        // The free comes first, as in the original program.
        let former = self.blocks.swap_remove(slot);
        script.free(self.owner, former);
        self.blocks.push(allocate(script, rng, self.owner));
        self.replacements += 1;
    }
}

fn allocate(script: &mut Script, rng: &mut SplitMix64, thread: u16) -> Object {
    script.allocate(thread, rng.within(BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX))
}

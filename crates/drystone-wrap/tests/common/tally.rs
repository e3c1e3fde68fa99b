//! What a watermark's handler has heard.

use core::cell::Cell;

use drystone_wrap::WatermarkHandler;

/// How often a watermark's handler has heard each of its edges: warn, critical, out of memory.
#[derive(Debug, Default)]
pub(crate) struct Tally([Cell<u32>; 3]);

impl Tally {
    pub(crate) fn heard(&self) -> [u32; 3] {
        self.0.each_ref().map(Cell::get)
    }

    fn hear(&self, edge: usize) {
        self.0[edge].set(self.0[edge].get() + 1);
    }
}

impl WatermarkHandler for Tally {
    fn on_warn(&self, _used: usize, _capacity: usize) {
        self.hear(0);
    }

    fn on_critical(&self, _used: usize, _capacity: usize) {
        self.hear(1);
    }

    fn on_oom(&self, _used: usize, _capacity: usize) {
        self.hear(2);
    }
}

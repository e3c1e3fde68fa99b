//! Buffers for network and storage I/O: pooled, aligned, under a budget, shared without copying.

mod record;
mod slot;

use record::Record;
use slot::Slot;

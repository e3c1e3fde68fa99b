//! Which types may change threads and which may be shared: the positive cases. The
//! negative ones are pinned in `src/pins.rs`.

mod common;

use drystone_core::{
    AllocatedRegion, CachePadded, HeapSegment, NoProtection, Region, SourceFrom, Stats,
};

fn send<T: Send>() {}
fn sync<T: Sync>() {}

#[test]
fn ranges_may_change_threads_and_be_shared() {
    send::<Region<'static>>();
    sync::<Region<'static>>();
    send::<HeapSegment>();
    sync::<HeapSegment>();
    send::<AllocatedRegion<&'static (dyn drystone_core::Allocator + Sync)>>();
    sync::<AllocatedRegion<std::rc::Rc<common::Recording>>>();
    send::<SourceFrom<&'static (dyn drystone_core::Allocator + Sync)>>();
    send::<Stats>();
    sync::<CachePadded<NoProtection>>();
}

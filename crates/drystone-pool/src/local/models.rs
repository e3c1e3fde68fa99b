//! The thread-local fast path as a whole: a thread opens caches, uses its ring by the table, and ends,
//! while another steals from it.

use core::mem::MaybeUninit;

use drystone_sync::atomic::{AtomicUsize, Ordering};
use drystone_sync::cell::UnsafeCell;
use loom::sync::Arc as LoomArc;
use loom::sync::Mutex;
use loom::thread;

use super::*;
use crate::asymmetric::Protocol;
use crate::slot::Slot;

/// A home with one slot, which is nowhere followed as a slot: its address stands for it.
struct OneSlot {
    slot: MaybeUninit<Slot>,
    /// Touched by whoever has the slot.
    witness: UnsafeCell<()>,
    /// How often it was touched.
    touches: AtomicUsize,
    /// The caches of threads.
    list: Mutex<Vec<Arc<ThreadCaches>>>,
}

// SAFETY: the witness is touched by who has the slot, which is what the models check.
unsafe impl Sync for OneSlot {}
// SAFETY: as above.
unsafe impl Send for OneSlot {}

impl OneSlot {
    fn slot(&self) -> NonNull<Slot> {
        NonNull::from(&self.slot).cast()
    }

    fn touch(&self) {
        self.witness.with_mut(|_| ());
        self.touches.fetch_add(1, Ordering::Relaxed);
    }

    fn steal(&self) -> usize {
        let listed = self.list.lock().expect("sound").clone();
        let steal = |caches: &Arc<ThreadCaches>| {
            let take = |_| self.touch();
            caches.classes()[0].steal(1, take).expect("a fence")
        };
        listed.iter().map(steal).sum()
    }
}

impl Home for OneSlot {
    fn open_caches(&self) -> Option<Arc<ThreadCaches>> {
        let rings = Box::new([ClassCache::new(1, Protocol::Fenced)]);
        let caches = Arc::new(ThreadCaches::new(rings));
        self.list.lock().expect("sound").push(Arc::clone(&caches));
        Some(caches)
    }

    fn flush_caches(&self, caches: &ThreadCaches) {
        // SAFETY: the owner calls.
        unsafe { caches.classes()[0].drain(|_| self.touch()) };
    }

    fn close_caches(&self, caches: &Arc<ThreadCaches>) {
        self.list
            .lock()
            .expect("sound")
            .retain(|listed| !Arc::ptr_eq(listed, caches));
        self.flush_caches(caches);
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn spot(&self) -> Spot {
        Spot::of(0)
    }
}

/// Runs when everyone has let go, behind the destructors of thread-locals, which a join does not
/// wait for.
impl Drop for OneSlot {
    fn drop(&mut self) {
        assert!(self.list.lock().expect("sound").is_empty());
        // By a read-modify-write, which reads the newest.
        let touches = self.touches.fetch_add(0, Ordering::Relaxed);
        assert_eq!(touches, 2, "by who put it there, and by who took it");
    }
}

/// The slot goes to the thief, or comes back at the end of the thread, or is popped by its owner.
#[test]
fn loom2_a_thread_ends_beside_a_thief() {
    for pops in [false, true] {
        loom::model(move || {
            let home = Arc::new(OneSlot {
                slot: MaybeUninit::uninit(),
                witness: UnsafeCell::new(()),
                touches: AtomicUsize::new(0),
                list: Mutex::new(Vec::new()),
            });
            let shared: LoomArc<Arc<OneSlot>> = LoomArc::new(Arc::clone(&home));
            let owner = {
                let shared = LoomArc::clone(&shared);
                thread::spawn(move || {
                    let home: Arc<dyn Home> = Arc::<OneSlot>::clone(&shared);
                    find_or_open(&home).expect("opens");
                    let rings = find(key_of(&home), Spot::of(0)).expect("in the table");
                    // SAFETY: the thread's caches live while the table has them.
                    let ring = unsafe { rings.as_ref() };
                    shared.touch();
                    // SAFETY: the ring is this thread's.
                    unsafe { ring.push(shared.slot()) }.expect("room");
                    if pops {
                        // SAFETY: the ring is this thread's.
                        if unsafe { ring.pop() }.is_some() {
                            shared.touch();
                        }
                    }
                })
            };
            home.steal();
            owner.join().expect("ends");
        });
    }
}

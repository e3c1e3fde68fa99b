//! Threads at one list. Each slot has a witness that whoever takes it touches. Under loom two
//! threads have thread slots, so two stripes have homes.

use core::ptr::NonNull;

use drystone_sync::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::batch::BATCH_MAX;

struct Node {
    index: u32,
    touched: UnsafeCell<usize>,
}

// SAFETY: the index never changes and differs from node to node; the links are never asked for.
unsafe impl Link for Node {
    unsafe fn index(slot: NonNull<Self>) -> u32 {
        // SAFETY: the models' nodes outlive their lists.
        unsafe { slot.as_ref() }.index
    }

    unsafe fn next(_: NonNull<Self>) -> Option<NonNull<Self>> {
        unreachable!("the list does not link slots")
    }

    unsafe fn set_next(_: NonNull<Self>, _: Option<NonNull<Self>>) {
        unreachable!("the list does not link slots")
    }
}

struct Setting {
    list: SharedList<Node>,
    nodes: Box<[Node]>,
}

// SAFETY: a node is touched by who took it off the list, which is what the models check.
unsafe impl Sync for Setting {}
// SAFETY: as above.
unsafe impl Send for Setting {}

impl Setting {
    fn new(nodes: u32, stripes: usize) -> Arc<Self> {
        let node = |index| Node {
            index,
            touched: UnsafeCell::new(0),
        };
        Arc::new(Self {
            list: SharedList::new(nodes, stripes, BATCH_MAX).expect("memory"),
            nodes: (0..nodes).map(node).collect(),
        })
    }

    fn put(&self, indices: &[usize]) {
        let mut batch = Batch::new();
        for &index in indices {
            let node = NonNull::from(&self.nodes[index]);
            touch(node);
            batch.push(node);
        }
        self.list.push_batch(&mut batch, None);
    }

    fn take(&self) -> usize {
        self.list.pop(None).map_or(0, touch_all)
    }

    /// Takes a chain and puts it back.
    fn cycle(&self) -> bool {
        let spares = Spares::new();
        let Some(mut batch) = self.list.pop(Some(&spares)) else {
            return false;
        };
        let mut again = Batch::new();
        while let Some(node) = batch.pop() {
            touch(node);
            again.push(node);
        }
        drop(batch);
        self.list.push_batch(&mut again, Some(&spares));
        self.list.give_up(&spares);
        true
    }

    fn take_all(&self) -> usize {
        let mut taken = 0;
        self.list.take_all(|node| {
            touch(node);
            taken += 1;
        });
        taken
    }
}

fn touch_all(mut batch: Taken<'_, Node>) -> usize {
    let len = batch.len() as usize;
    let mut touched = 0;
    while let Some(node) = batch.pop() {
        touch(node);
        touched += 1;
    }
    assert_eq!(touched, len);
    touched
}

fn touch(node: NonNull<Node>) {
    // SAFETY: the nodes live as long as the setting.
    let node = unsafe { node.as_ref() };
    node.touched.with_mut(|count| {
        // SAFETY: who has the node has its witness, which is what the models check.
        unsafe { *count += 1 };
    });
}

/// A pop beside a push, of the same stripe and of another.
#[test]
fn loom2_a_pop_beside_a_push() {
    for stripes in [1, 2] {
        loom::model(move || {
            let setting = Setting::new(3, stripes);
            setting.put(&[0]);
            let other = {
                let setting = Arc::clone(&setting);
                thread::spawn(move || {
                    setting.put(&[1, 2]);
                    setting.take()
                })
            };
            let here = setting.take();
            assert_ne!(here, 0, "there was a chain all the time");
            let there = other.join().expect("ends");
            assert_eq!(here + there + setting.take(), 3);
            assert_eq!(setting.take(), 0);
        });
    }
}

/// Two pops never get the same chain, and get both between them.
#[test]
fn loom2_two_pops_share_two_chains() {
    for stripes in [1, 2] {
        loom::model(move || {
            let setting = Setting::new(3, stripes);
            setting.put(&[0]);
            setting.put(&[1, 2]);
            let other = {
                let setting = Arc::clone(&setting);
                thread::spawn(move || setting.take())
            };
            let here = setting.take();
            let there = other.join().expect("ends");
            assert_eq!(here + there, 3);
            assert!(setting.list.pop(None).is_none());
        });
    }
}

/// A chain is taken off and put on again below a pop that has seen it there: the tag tells.
#[test]
fn loom2_a_top_that_comes_back_does_no_harm() {
    loom::model(|| {
        let setting = Setting::new(3, 1);
        setting.put(&[0]);
        setting.put(&[1]);
        let other = {
            let setting = Arc::clone(&setting);
            thread::spawn(move || setting.take())
        };
        let first = setting.list.pop(None).map(|mut batch| {
            let node = batch.pop().expect("one");
            touch(node);
            node
        });
        let second = setting.take();
        if let Some(node) = first {
            // SAFETY: taken off.
            unsafe { setting.list.push(node) };
        }
        let there = other.join().expect("ends");
        assert_eq!(there + second + setting.take(), 2);
    });
}

/// A thread searches, finds stripes empty and clears their bits while another puts a chain on: who
/// comes after the push finds it, at every moment.
#[test]
fn loom2_a_chain_that_is_there_is_found() {
    loom::model(|| {
        let setting = Setting::new(1, 2);
        setting.put(&[0]);
        assert_eq!(setting.take(), 1);
        // The stripe is empty and its bit still set.
        let other = {
            let setting = Arc::clone(&setting);
            thread::spawn(move || setting.take())
        };
        setting.put(&[0]);
        let shown = !setting.list.is_empty();
        let there = other.join().expect("ends");
        assert!(shown || there == 1, "put on, not taken, and not to be seen");
        assert_eq!(there + setting.take(), 1);
    });
}

/// As before, with the search as what finds it, beside a thread that clears.
#[test]
fn loom2_a_search_finds_what_a_clearer_hides() {
    use loom::sync::atomic::{AtomicBool, Ordering};

    loom::model(|| {
        let setting = Setting::new(1, 2);
        let put = Arc::new(AtomicBool::new(false));
        let other = {
            let (setting, put) = (Arc::clone(&setting), Arc::clone(&put));
            thread::spawn(move || {
                setting.list.summary.fetch_or(1, Ordering::SeqCst);
                setting.put(&[0]);
                put.store(true, Ordering::Release);
            })
        };
        setting.list.hide(0);
        if put.load(Ordering::Acquire) {
            assert_eq!(setting.take(), 1);
        }
        other.join().expect("ends");
    });
}

/// Everything is taken while a thread takes a chain and puts it back.
#[test]
fn loom2_take_all_beside_a_cycle() {
    for stripes in [1, 2] {
        loom::model(move || {
            let setting = Setting::new(3, stripes);
            setting.put(&[0]);
            setting.put(&[1, 2]);
            let other = {
                let setting = Arc::clone(&setting);
                thread::spawn(move || setting.cycle())
            };
            let here = setting.take_all();
            other.join().expect("ends");
            assert_eq!(here + setting.take_all(), 3);
            assert!(setting.list.pop(None).is_none());
            assert!(setting.list.is_empty());
        });
    }
}

/// One clears and searches, one puts on, one looks: the chain is seen by who comes after the push.
#[test]
fn loom3_a_looker_beside_a_clearer_and_a_push() {
    use loom::sync::atomic::{AtomicBool, Ordering};

    loom::model(|| {
        let setting = Setting::new(1, 2);
        setting.list.summary.fetch_or(1, Ordering::SeqCst);
        let put = Arc::new(AtomicBool::new(false));
        let clearer = {
            let setting = Arc::clone(&setting);
            thread::spawn(move || setting.list.hide(0))
        };
        let pusher = {
            let (setting, put) = (Arc::clone(&setting), Arc::clone(&put));
            thread::spawn(move || {
                touch(NonNull::from(&setting.nodes[0]));
                // SAFETY: nobody else has the node.
                unsafe {
                    setting
                        .list
                        .push_single(0, NonNull::from(&setting.nodes[0]))
                };
                setting.list.show(0);
                put.store(true, Ordering::Release);
            })
        };
        if put.load(Ordering::Acquire) {
            assert!(!setting.list.is_empty());
            // From the other stripe, so that only the summary leads here.
            assert_eq!(setting.list.search(1).map_or(0, touch_all), 1);
        }
        clearer.join().expect("ends");
        pusher.join().expect("ends");
    });
}

/// A thread counts itself and takes the only slot: who finds the slot gone finds the count.
#[test]
fn loom2_who_misses_a_slot_sees_who_has_it() {
    loom::model(|| {
        let setting = Setting::new(1, 1);
        setting.put(&[0]);
        let other = {
            let setting = Arc::clone(&setting);
            thread::spawn(move || {
                setting.list.transit().fetch_add(1, Ordering::SeqCst);
                setting.take()
            })
        };
        let here = setting.take();
        if here == 0 {
            assert!(setting.list.has_transit(), "a slot that nobody has is gone");
        }
        assert_eq!(here + other.join().expect("ends"), 1);
    });
}

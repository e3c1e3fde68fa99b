use core::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Debug)]
struct Node {
    index: u32,
    next: Cell<Option<NonNull<Node>>>,
    /// Whether it is on the list, checked at each way on and off.
    on: drystone_sync::atomic::AtomicBool,
}

// SAFETY: `next` belongs to who has the node, which the tests check by `on`.
unsafe impl Sync for Node {}
// SAFETY: as above.
unsafe impl Send for Node {}

// SAFETY: the index never changes and differs from node to node; the cell holds what was set.
unsafe impl Link for Node {
    unsafe fn index(slot: NonNull<Self>) -> u32 {
        // SAFETY: the tests' nodes outlive their lists.
        unsafe { slot.as_ref() }.index
    }

    unsafe fn next(slot: NonNull<Self>) -> Option<NonNull<Self>> {
        // SAFETY: as above.
        unsafe { slot.as_ref() }.next.get()
    }

    unsafe fn set_next(slot: NonNull<Self>, next: Option<NonNull<Self>>) {
        // SAFETY: as above.
        unsafe { slot.as_ref() }.next.set(next);
    }
}

fn nodes(count: u32) -> Vec<Node> {
    let node = |index| Node {
        index,
        next: Cell::new(None),
        on: drystone_sync::atomic::AtomicBool::new(false),
    };
    (0..count).map(node).collect()
}

fn put(list: &SharedList<Node>, nodes: &[Node], indices: &[u32], spares: Option<&Spares>) {
    let mut batch = Batch::new();
    for &index in indices {
        let node = &nodes[index as usize];
        assert!(!node.on.swap(true, Ordering::Relaxed), "on twice");
        batch.push(NonNull::from(node));
    }
    match *indices {
        // SAFETY: it was not on the list, and this thread puts it there.
        [index] => unsafe { list.push(NonNull::from(&nodes[index as usize])) },
        _ => list.push_batch(&mut batch, spares),
    }
}

fn index_off(node: NonNull<Node>) -> u32 {
    // SAFETY: the nodes outlive the list.
    let node = unsafe { node.as_ref() };
    assert!(node.on.swap(false, Ordering::Relaxed), "off twice");
    node.index
}

fn indices(mut batch: Taken<'_, Node>) -> Vec<u32> {
    let len = batch.len() as usize;
    let mut indices = Vec::new();
    while let Some(node) = batch.pop() {
        indices.push(index_off(node));
    }
    assert_eq!(batch.len(), 0);
    assert_eq!(indices.len(), len);
    indices.reverse();
    indices
}

#[derive(Clone, Debug)]
enum Step {
    Put(u32),
    Take,
    TakeAll,
    Widen(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..5_u32).prop_map(Step::Put),
        5 => Just(Step::Take),
        1 => Just(Step::TakeAll),
        1 => (0..9_usize).prop_map(Step::Widen),
    ];
    prop::collection::vec(step, 0..if cfg!(miri) { 16 } else { 100 })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever is put on comes off, chain by chain, and an empty list says so.
    #[test]
    fn a_list_gives_back_the_chains_it_got(stripes in 1..9_usize, steps in steps()) {
        const CAPACITY: u32 = 400;
        let nodes = nodes(CAPACITY);
        let list = SharedList::new(CAPACITY, stripes, 62).expect("memory");
        let mut off: BTreeSet<u32> = (0..CAPACITY).collect();
        let mut chains: Vec<Vec<u32>> = Vec::new();
        // Two threads that keep spares, and one that keeps none.
        let kept = [Spares::new(), Spares::new()];
        for (number, step) in steps.into_iter().enumerate() {
            let spares = kept.get(number % 3);
            match step {
                Step::Put(count) => {
                    let picked: Vec<u32> = off.iter().copied().take(count as usize).collect();
                    off.retain(|index| !picked.contains(index));
                    put(&list, &nodes, &picked, spares);
                    if !picked.is_empty() {
                        chains.push(picked);
                    }
                }
                Step::Take => match list.pop(spares) {
                    Some(batch) => {
                        let got = indices(batch);
                        let at = chains.iter().position(|chain| *chain == got);
                        chains.swap_remove(at.expect("put on as it is"));
                        off.extend(got);
                    }
                    None => {
                        prop_assert!(chains.is_empty());
                        prop_assert!(list.is_empty());
                    }
                },
                Step::TakeAll => {
                    list.take_all(|node| {
                        off.insert(index_off(node));
                    });
                    chains.clear();
                    prop_assert_eq!(off.len(), CAPACITY as usize);
                }
                Step::Widen(thread) => {
                    list.widen(thread);
                }
            }
            prop_assert!(chains.is_empty() || !list.is_empty());
        }
        list.take_all(|_| {});
        kept.iter().for_each(|spares| list.give_up(spares));
        let made = list.made.load(Ordering::Relaxed) as usize;
        prop_assert_eq!(empties(&list), made.min(list.magazines.len()), "I1");
    }
}

/// Takes the empty magazines off all stripes and counts them.
fn empties(list: &SharedList<Node>) -> usize {
    let mut count = 0;
    for stripe in &list.stripes {
        while let Some(chain) = list.take_off(&stripe.empties) {
            let next = |node: &u32| list.magazine(*node).map(|magazine| magazine.len());
            let nodes = core::iter::successors(Some(chain), next);
            count += nodes.take_while(|&node| node != 0).count();
        }
    }
    count
}

#[test]
fn an_empty_list_is_empty_at_every_size() {
    for capacity in [0, 1, 2, 3, 63, 64, 65] {
        for stripes in [0, 1, 3, STRIPES_MAX, 1000] {
            let list = SharedList::<Node>::new(capacity, stripes, 62).expect("memory");
            assert!(list.is_empty());
            assert!(list.pop(None).is_none());
            list.push_batch(&mut Batch::new(), None);
            assert!(list.is_empty());
            assert!(list.stripes.len() <= STRIPES_MAX);
        }
    }
}

/// More batches at a time than there are magazines: the rest goes on as single slots.
#[test]
fn batches_without_a_magazine_are_single_slots() {
    const SLOTS: u32 = 64;
    let nodes = nodes(SLOTS);
    let list = SharedList::new(SLOTS, 2, 62).expect("memory");
    let magazines = list.magazines.len();
    assert!(magazines < SLOTS as usize / 2);
    for turn in 0..3 {
        for pair in 0..SLOTS / 2 {
            put(&list, &nodes, &[2 * pair, 2 * pair + 1], None);
        }
        assert_eq!(list.len_hint(), SLOTS as usize);
        let (mut pairs, mut alone) = (0, 0);
        while let Some(batch) = list.pop(None) {
            match indices(batch).len() {
                1 => alone += 1,
                _ => pairs += 1,
            }
        }
        assert_eq!((pairs, alone), (magazines, SLOTS as usize - 2 * magazines));
        assert_eq!(list.len_hint(), 0, "{turn}");
    }
}

/// A batch of one goes on as a single slot, and costs no magazine.
#[test]
fn batches_of_one_leave_the_magazines() {
    const SLOTS: u32 = 32;
    let nodes = nodes(SLOTS);
    let list = SharedList::new(SLOTS, 2, 62).expect("memory");
    for _ in 0..2 * list.magazines.len() {
        let mut one = Batch::new();
        assert!(!nodes[0].on.swap(true, Ordering::Relaxed));
        one.push(NonNull::from(&nodes[0]));
        list.push_batch(&mut one, None);
        assert!(one.is_empty());
        assert_eq!(list.pop(None).map(indices), Some(vec![0]));
    }
    put(&list, &nodes, &[1, 2], None);
    assert_eq!(list.pop(None).map(indices), Some(vec![1, 2]));
}

/// One slot at a time, off single ones and off a magazine, whose others stay.
#[test]
fn one_slot_leaves_the_others_of_its_magazine() {
    const SLOTS: u32 = 8;
    let nodes = nodes(SLOTS);
    let list = SharedList::new(SLOTS, 2, 62).expect("memory");
    assert_eq!(list.pop_one(), None);
    put(&list, &nodes, &[0], None);
    put(&list, &nodes, &[1, 2, 3], None);
    put(&list, &nodes, &[4], None);
    let mut off = Vec::new();
    while let Some(node) = list.pop_one() {
        off.push(index_off(node));
        assert_eq!(list.len_hint(), 5 - off.len());
    }
    assert_eq!(off, [4, 3, 2, 1, 0]);
    put(&list, &nodes, &[5, 6], None);
    assert_eq!(
        list.pop(None).map(indices),
        Some(vec![5, 6]),
        "the magazine is free again"
    );
}

#[test]
fn the_tag_has_all_bits_that_indices_leave() {
    let list = SharedList::<Node>::new(4096, 1, 62).expect("memory");
    // 4096 single slots and 266 magazines.
    assert_eq!(list.tag_unit, 8192);
    let nodes = nodes(1);
    let (word, node) = (&list.stripes[0].top, NonNull::from(&nodes[0]));
    let before = word.load(Ordering::Relaxed);
    // SAFETY: nobody else has the node.
    unsafe { list.push_single(0, node) };
    assert_eq!(list.pop_of(0).expect("one").pop(), Some(node));
    assert_eq!(word.load(Ordering::Relaxed) - before, 2 * list.tag_unit);
    // The last tag is followed by the first.
    word.store(!(list.tag_unit - 1), Ordering::Relaxed);
    // SAFETY: as above.
    unsafe { list.push_single(0, node) };
    assert_eq!(word.load(Ordering::Relaxed), 1);
    assert_eq!(list.pop_of(0).expect("one").pop(), Some(node));
}

/// Threads take chains and put them back, split or joined: nothing is lost or doubled.
#[test]
fn threads_share_a_list() {
    const THREADS: u32 = 4;
    const NODES: u32 = 64;
    const LEN_MAX: usize = 8;
    let turns = if cfg!(miri) { 40 } else { 30_000 };
    for stripes in [1, 4] {
        let nodes = nodes(NODES);
        let list = SharedList::new(NODES, stripes, 62).expect("memory");
        for index in 0..NODES {
            put(&list, &nodes, &[index], None);
        }
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (list, nodes) = (&list, &nodes);
                scope.spawn(move || {
                    let kept = Spares::new();
                    for turn in 0..turns {
                        // The last thread keeps none.
                        let spares = (thread + 1 < THREADS).then_some(&kept);
                        let mut got = list.pop(spares).map_or(Vec::new(), indices);
                        let more = list.pop(spares).map_or(Vec::new(), indices);
                        if got.len() + more.len() <= LEN_MAX {
                            got.extend(&more);
                        } else {
                            put(list, nodes, &more, spares);
                        }
                        let parts = 1 + (turn + thread) as usize % 3;
                        for part in got.chunks(got.len().div_ceil(parts).max(1)) {
                            put(list, nodes, part, spares);
                        }
                    }
                    list.give_up(&kept);
                });
            }
        });
        let mut all = BTreeSet::new();
        list.take_all(|node| {
            all.insert(index_off(node));
        });
        assert_eq!(all.len(), NODES as usize);
        assert!(list.pop(None).is_none());
        assert!(list.is_empty());
        let made = list.made.load(Ordering::Relaxed) as usize;
        assert_eq!(empties(&list), made.min(list.magazines.len()), "I1");
    }
}

//! Every call to the system made to fail in turn: the error arrives, nothing is left behind, and
//! the same request succeeds afterwards.
#![cfg(all(feature = "testing", any(unix, windows)))]

#[cfg(not(miri))]
use drystone_backing::GuardedMmapBacked;
use drystone_backing::fault_os::{FaultOs, OsCall};
use drystone_backing::{
    BackingError, FlaggedMmapSource, LockedMmapBacked, MmapBacked, MmapFlags, MmapSource, page_size,
};
use drystone_core::{
    Advice, FixedRange, NonZeroLayout, OsBacked, OsError, Protection, SegmentSource,
};

#[cfg(unix)]
const OUT_OF_MEMORY: i32 = libc::ENOMEM;
#[cfg(windows)]
const OUT_OF_MEMORY: i32 = 8;

const BYTES: usize = 1 << 20;

/// What a request answers: the code of the system's refusal.
type Answer = Result<(), Option<i32>>;
type Request = (&'static str, fn() -> Answer);

fn made<B: FixedRange>(made: Result<B, BackingError>) -> Answer {
    match made {
        Ok(backing) => {
            assert!(backing.size() >= BYTES);
            Ok(())
        }
        Err(BackingError::Os(error)) => Err(error.code()),
        Err(other) => panic!("{other:?}"),
    }
}

/// Makes a backing, hence at least one call, and then one more.
fn with_backing(request: fn(&MmapBacked) -> Result<(), OsError>) -> Answer {
    match MmapBacked::new(BYTES) {
        Ok(backing) => request(&backing).map_err(|error| error.code()),
        Err(error) => made::<MmapBacked>(Err(error)),
    }
}

/// What every system and Miri can do.
const REQUESTS: &[Request] = &[
    ("new", || made(MmapBacked::new(BYTES))),
    ("populate", || {
        made(MmapBacked::with_flags(BYTES, MmapFlags::new().populate()))
    }),
    ("align", || {
        made(MmapBacked::with_align(BYTES, BYTES, MmapFlags::new()))
    }),
    // Less than anybody may lock.
    ("locked", || {
        let locked = LockedMmapBacked::new(1).map(drop);
        locked.or_else(|error| made::<MmapBacked>(Err(error)))
    }),
    ("segment", || {
        let layout = NonZeroLayout::from_size_align(BYTES, 1).expect("a block");
        let segment = MmapSource.segment(layout);
        segment.map(drop).map_err(|_| Some(OUT_OF_MEMORY))
    }),
    ("flagged segment", || {
        let layout = NonZeroLayout::from_size_align(BYTES, 1).expect("a block");
        let segment = FlaggedMmapSource::new(MmapFlags::new().populate()).segment(layout);
        segment.map(drop).map_err(|_| Some(OUT_OF_MEMORY))
    }),
    ("release", || {
        with_backing(|backing| {
            // SAFETY: nothing lives in the pages.
            unsafe { backing.release(0, BYTES) }
        })
    }),
    ("protect", || {
        with_backing(|backing| {
            // SAFETY: the protection is the one that the pages have.
            unsafe { backing.protect(0, BYTES, Protection::ReadWrite) }
        })
    }),
    ("advise", || {
        with_backing(|backing| backing.advise(0, BYTES, Advice::Normal))
    }),
];

/// What needs pages that fault, which Miri has not.
#[cfg(not(miri))]
const GUARDED: &[Request] = &[("guarded", || made(GuardedMmapBacked::new(BYTES)))];
#[cfg(miri)]
const GUARDED: &[Request] = &[];

/// What Linux can do besides.
#[cfg(all(target_os = "linux", not(miri)))]
const MORE_REQUESTS: &[Request] = &[("every flag", || {
    let flags = MmapFlags::new().populate().no_reserve().dont_dump();
    made(MmapBacked::with_flags(BYTES, flags))
})];
#[cfg(not(all(target_os = "linux", not(miri))))]
const MORE_REQUESTS: &[Request] = &[];

fn requests() -> impl Iterator<Item = &'static Request> {
    REQUESTS.iter().chain(GUARDED).chain(MORE_REQUESTS)
}

/// Fails call `n` by `script` for n = 1, 2, … until the request gets through without a fault;
/// answers how many calls that took.
fn fail_each_call(request: &Request, script: fn(u64) -> FaultOs) -> u64 {
    let (name, request) = request;
    for n in 1.. {
        let faults = script(n);
        let answer = request();
        if faults.faults() == 0 {
            assert_eq!(answer, Ok(()), "{name}");
            return n - 1;
        }
        assert_eq!(answer, Err(Some(OUT_OF_MEMORY)), "{name}, call {n}");
        drop(faults);
        assert_eq!(request(), Ok(()), "{name} after the fault at call {n}");
    }
    unreachable!("a request makes finitely many calls");
}

#[test]
fn every_call_can_fail_and_the_next_request_succeeds() {
    for request in requests() {
        let calls = fail_each_call(request, FaultOs::fail_nth);
        assert!(calls >= 1, "{}", request.0);
        assert_eq!(fail_each_call(request, FaultOs::fail_from), calls);
    }
}

/// The three calls of a locked mapping, and of a guarded one; a huge one has one, which fails anyway
/// where no pages are set aside.
#[test]
fn the_special_backings_make_the_calls_they_say() {
    let calls = |request: fn() -> bool| {
        let faults = FaultOs::fail_nth(u64::MAX);
        assert!(request());
        faults.calls()
    };
    assert_eq!(calls(|| LockedMmapBacked::new(1).is_ok()), 3);
    #[cfg(not(miri))]
    assert_eq!(calls(|| GuardedMmapBacked::new(1).is_ok()), 3);

    let faults = FaultOs::fail_from(1).only(OsCall::Lock);
    let error = LockedMmapBacked::new(1).expect_err("not locked");
    assert_eq!(made::<MmapBacked>(Err(error)), Err(Some(OUT_OF_MEMORY)));
    assert_eq!(faults.faults(), 1);
    drop(faults);
    let _faults = FaultOs::fail_from(1).only(OsCall::Map);
    let error = drystone_backing::HugePageBacked::new(1).expect_err("not mapped");
    assert_eq!(made::<MmapBacked>(Err(error)), Err(Some(OUT_OF_MEMORY)));
}

#[test]
fn a_kind_of_call_fails_alone() {
    let faults = FaultOs::fail_from(1).only(OsCall::Release);
    let backing = MmapBacked::new(BYTES).expect("not a release");
    backing
        .advise(0, BYTES, Advice::Normal)
        .expect("not a release");
    assert_eq!((faults.calls(), faults.faults()), (0, 0));
    // SAFETY: nothing lives in the pages.
    let released = unsafe { backing.release(0, BYTES) };
    assert_eq!(
        released.map_err(|error| error.code()),
        Err(Some(OUT_OF_MEMORY))
    );
    assert_eq!((faults.calls(), faults.faults()), (1, 1));
}

#[test]
fn a_failed_request_changes_no_page() {
    let page = page_size();
    let backing = MmapBacked::new(2 * page).expect("small");
    // SAFETY: the range is exclusive and writable.
    unsafe { backing.base().write_bytes(0x77, 2 * page) };
    let faults = FaultOs::fail_from(1);
    // SAFETY: refused, so the content stays.
    assert!(unsafe { backing.release(0, page) }.is_err());
    // SAFETY: refused, so the page stays accessible.
    assert!(unsafe { backing.protect(0, page, Protection::None) }.is_err());
    assert_eq!(faults.faults(), 2);
    for offset in 0..2 * page {
        // SAFETY: the offset lies in the range.
        let byte = unsafe { backing.base().add(offset) };
        // SAFETY: written above.
        assert_eq!(unsafe { byte.read() }, 0x77);
    }
}

#[test]
fn a_range_check_asks_the_system_nothing() {
    let backing = MmapBacked::new(1).expect("a page");
    let faults = FaultOs::fail_from(1);
    assert!(matches!(
        backing.advise(1, 1, Advice::Normal),
        Err(OsError::OutOfRange { .. })
    ));
    assert_eq!(
        MmapBacked::new(0).expect_err("no bytes"),
        BackingError::ZeroSize
    );
    assert_eq!(faults.calls(), 0);
}

#[test]
fn random_faults_repeat_with_their_seed_and_follow_their_probability() {
    let run = |seed, percent| {
        let faults = FaultOs::fail_at_random(seed, percent);
        let failed: Vec<bool> = (0..200).map(|_| MmapBacked::new(1).is_err()).collect();
        assert_eq!(faults.calls(), 200);
        assert_eq!(
            faults.faults(),
            failed.iter().filter(|failed| **failed).count() as u64
        );
        failed
    };
    assert_eq!(run(7, 30), run(7, 30));
    assert_ne!(run(7, 30), run(8, 30));
    assert!(run(1, 0).iter().all(|failed| !failed));
    assert!(run(1, 100).iter().all(|failed| *failed));
    let some = run(3, 30).iter().filter(|failed| **failed).count();
    assert!((20..100).contains(&some), "{some} of 200");
}

#[test]
fn a_script_sees_only_its_own_thread() {
    let _faults = FaultOs::fail_from(1);
    let there = std::thread::spawn(|| MmapBacked::new(1).is_ok());
    assert!(there.join().expect("joins"));
    assert!(MmapBacked::new(1).is_err());
}

#[test]
#[should_panic(expected = "a fault script already")]
fn two_scripts_at_once_are_a_mistake() {
    let _first = FaultOs::fail_nth(1);
    let _second = FaultOs::fail_nth(1);
}

/// Faults after the mapping was made must not leave it behind.
#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn failed_constructors_leave_no_mapping() {
    let mapped_bytes = || {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("readable");
        let total = pages.split(' ').next().expect("the first number");
        total.parse::<usize>().expect("a number") * page_size()
    };
    let before = mapped_bytes();
    for _ in 0..100 {
        for request in requests() {
            fail_each_call(request, FaultOs::fail_nth);
        }
    }
    // Each round makes several faults over a mapping of 1 MiB; other tests hold a few at a time.
    assert!(mapped_bytes() < before + 100 * BYTES);
}

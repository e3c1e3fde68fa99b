//! Processes that run on the library: what the loader, threads, forks, limits and exits do to it.
//!
//! `MALLOC_FORKS=2000 cargo test --release -p drystone-malloc --test preload fork` forks as often.
#![cfg(target_os = "linux")]

mod common;

use std::ffi::c_void;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{count, errno, library, preloaded, run, run_preloaded, set_errno, text};

/// The library's own word that it serves: the C library's allocator answers 1.
fn assert_served() {
    // SAFETY: no requirements.
    assert_eq!(unsafe { libc::mallopt(libc::M_ARENA_MAX, 8) }, 0);
}

/// Blocks of many sizes, each filled and freed.
fn work(rounds: usize) {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for round in 0..rounds {
        kept.push(vec![1; 1 << (round % 18)]);
        if round % 3 == 2 {
            kept.swap_remove(round % kept.len());
        }
        if kept.len() > 100 {
            kept.clear();
        }
    }
}

#[test]
fn a_program_is_served() {
    on_the_library!("a_program_is_served");
    assert_served();
    work(1000);
    let words: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(words.concat().len(), 2890);
}

#[test]
fn a_program_loads_no_unwinder_for_the_library() {
    // A program that needs the C library only.
    let maps = Command::new("cat")
        .arg("/proc/self/maps")
        .env("LD_PRELOAD", library())
        .output()
        .expect("cat starts");
    let maps = text(&maps.stdout);
    assert!(maps.contains("/libdrystone_malloc.so"), "{maps}");
    if env!("HAS_UNWINDER") == "yes" {
        assert!(!maps.contains("/libgcc_s.so"), "{maps}");
    }
}

/// A child of a process whose other threads allocate: allocates, frees what the parent had, makes a
/// thread and a child of its own.
fn child(inherited: Vec<Vec<u8>>, depth: u32) -> ! {
    drop(inherited);
    work(1000);
    thread::spawn(|| work(100))
        .join()
        .expect("a thread of the child");
    let mut ok = true;
    if depth == 0 {
        // SAFETY: the child of the child only does what its only thread can.
        match unsafe { libc::fork() } {
            0 => child(vec![vec![1; 100]], depth + 1),
            grandchild => ok = ends_well(grandchild),
        }
    }
    // SAFETY: no requirements.
    unsafe { libc::_exit(if ok { 0 } else { 1 }) }
}

/// Whether the process ends well within ten seconds.
fn ends_well(process: libc::pid_t) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut status = 0;
    loop {
        // SAFETY: a child of this process, and a valid place.
        let ended = unsafe { libc::waitpid(process, &raw mut status, libc::WNOHANG) };
        if ended == process {
            return libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
        }
        if Instant::now() > deadline {
            // SAFETY: a child of this process that hangs.
            unsafe { libc::kill(process, libc::SIGKILL) };
            return false;
        }
        thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn forks_under_allocating_threads_never_hang() {
    on_the_library!("forks_under_allocating_threads_never_hang");
    assert_served();
    static DONE: AtomicBool = AtomicBool::new(false);
    let workers: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(|| {
                while !DONE.load(Ordering::Relaxed) {
                    work(200);
                }
            })
        })
        .collect();
    for fork in 0..count("MALLOC_FORKS", 40) {
        let inherited: Vec<Vec<u8>> = (0..100).map(|i| vec![1; 1 << (i % 16)]).collect();
        // SAFETY: the child does what the library promises for one.
        match unsafe { libc::fork() } {
            0 => child(inherited, 0),
            process => assert!(ends_well(process), "fork {fork}"),
        }
    }
    DONE.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().expect("a worker");
    }
}

/// Destructors of keys of the system's run in turns, before and after that of the library.
static KEYS: [AtomicU64; 40] = [const { AtomicU64::new(0) }; 40];
static LATE: AtomicU64 = AtomicU64::new(0);

extern "C" fn late(block: *mut c_void) {
    // SAFETY: the key's value is a block.
    unsafe { libc::free(block) };
    // SAFETY: no requirements.
    let more = unsafe { libc::calloc(3, 100) };
    assert!(!more.is_null());
    // SAFETY: the block is live.
    let more = unsafe { libc::realloc(more, 5000) };
    // SAFETY: as above.
    unsafe { libc::free(more) };
    LATE.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn threads_are_served_after_their_heaps_are_gone() {
    on_the_library!("threads_are_served_after_their_heaps_are_gone");
    assert_served();
    for key in &KEYS {
        let mut made = 0;
        // SAFETY: a valid place, and a function of the type that is called.
        let code = unsafe { libc::pthread_key_create(&raw mut made, Some(late)) };
        assert_eq!(code, 0);
        key.store(u64::from(made), Ordering::Relaxed);
    }
    let threads = 200;
    for _ in 0..threads / 4 {
        let some: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(|| {
                    for key in &KEYS {
                        let key = u32::try_from(key.load(Ordering::Relaxed)).expect("a key");
                        // SAFETY: no requirements.
                        let block = unsafe { libc::malloc(64) };
                        // SAFETY: the key was made.
                        assert_eq!(unsafe { libc::pthread_setspecific(key, block) }, 0);
                    }
                })
            })
            .collect();
        for thread in some {
            thread.join().expect("a thread");
        }
    }
    assert_eq!(LATE.load(Ordering::Relaxed), threads * 40);
}

#[test]
fn threads_that_come_and_go_leave_nothing() {
    on_the_library!("threads_that_come_and_go_leave_nothing");
    assert_served();
    let churn = || {
        for _ in 0..100 {
            let some: Vec<_> = (0..4).map(|_| thread::spawn(|| work(60))).collect();
            for thread in some {
                thread.join().expect("a thread");
            }
        }
    };
    churn();
    let before = kept_pages();
    churn();
    churn();
    let grown = kept_pages().saturating_sub(before);
    assert!(grown < 2048, "{grown} pages more");
}

/// In a child of a fork neighbouring mappings do not become one again, so that those of freed blocks
/// count on.
#[cfg(feature = "guard")]
#[test]
fn children_leave_the_program_a_part_of_the_mappings() {
    on_the_library!("children_leave_the_program_a_part_of_the_mappings");
    assert_served();
    let setting = std::fs::read_to_string("/proc/sys/vm/max_map_count").expect("Linux has it");
    let most: usize = setting.trim().parse().expect("a number");
    let blocks = most / 2;
    let turn = |live: &mut Vec<Box<[u8]>>, seed: usize| {
        live.clear();
        live.extend((0..blocks).map(|n| vec![0; (n * 7 + seed * 1000) % 9000].into_boxed_slice()));
    };
    let mut live = Vec::with_capacity(blocks);
    let mut seed = 0;
    while seed < 3 {
        turn(&mut live, seed);
        seed += 1;
    }
    for _ in 0..3 {
        // SAFETY: the child uses no lock that another thread may have had.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child > 0 {
            let mut status = 0;
            // SAFETY: a child of this process, and a valid place.
            let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!((waited, status), (child, 0), "more mappings than stated");
            if seed > 3 {
                // SAFETY: a child, which ends.
                unsafe { libc::_exit(0) };
            }
            return;
        }
        for _ in 0..3 {
            turn(&mut live, seed);
            seed += 1;
        }
        let maps = std::fs::read("/proc/self/maps").expect("a process has it");
        let mappings = maps.iter().filter(|byte| **byte == b'\n').count();
        if mappings > most / 8 * 7 {
            // SAFETY: a child, which ends.
            unsafe { libc::_exit(1) };
        }
    }
    // SAFETY: the last child, which ends.
    unsafe { libc::_exit(0) };
}

/// What the process has in memory, less what the sealed builds keep: a block in the quarantine keeps the
/// page around it, of a heap that is gone too, until it has its turn.
fn kept_pages() -> u64 {
    if cfg!(feature = "hardened") {
        // SAFETY: no requirements.
        unsafe { libc::malloc_trim(0) };
    }
    resident_pages()
}

/// The second number of `statm`: what the process has in memory.
fn resident_pages() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("a process has it");
    let number = statm.split_whitespace().nth(1).expect("a second number");
    number.parse().expect("a number")
}

extern "C" fn small_thread(_: *mut c_void) -> *mut c_void {
    for size in [1_usize, 100, 5000, 70_000, 300_000, 4 << 20] {
        // SAFETY: no requirements.
        let block = unsafe { libc::malloc(size) };
        assert!(!block.is_null());
        // SAFETY: the block is live.
        let block = unsafe { libc::realloc(block, size * 2) };
        // SAFETY: as above.
        unsafe { libc::free(block) };
    }
    ptr::null_mut()
}

#[test]
fn the_smallest_stack_is_enough() {
    on_the_library!("the_smallest_stack_is_enough");
    assert_served();
    for _ in 0..20 {
        // SAFETY: zero bytes are valid for what the next call fills.
        let mut attributes = unsafe { std::mem::zeroed() };
        // SAFETY: a valid place.
        unsafe { libc::pthread_attr_init(&raw mut attributes) };
        // SAFETY: initialised attributes.
        let set = unsafe {
            libc::pthread_attr_setstacksize(&raw mut attributes, libc::PTHREAD_STACK_MIN)
        };
        assert_eq!(set, 0);
        let mut thread = 0;
        // SAFETY: valid places, and a function of the type that is called.
        let made = unsafe {
            libc::pthread_create(
                &raw mut thread,
                &raw const attributes,
                small_thread,
                ptr::null_mut(),
            )
        };
        assert_eq!(made, 0);
        // SAFETY: the thread was made, and is joined once.
        assert_eq!(unsafe { libc::pthread_join(thread, ptr::null_mut()) }, 0);
    }
}

/// What a process does under a limit of its address space: takes all there is, is told so, gives it
/// back, and is served again.
#[test]
fn a_limit_is_an_answer() {
    if !common::is_preloaded() {
        for mib in [64, 128, 300] {
            let mut program = preloaded("a_limit_is_an_answer");
            let limit = libc::rlimit {
                rlim_cur: mib << 20,
                rlim_max: mib << 20,
            };
            let limited = move || {
                // SAFETY: a valid limit.
                match unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) } {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            };
            // SAFETY: between fork and exec the function calls the system and nothing else.
            unsafe { program.pre_exec(limited) };
            run(program);
        }
        return;
    }
    assert_served();
    for size in [64_usize, 3000, 100_000, 1 << 20, 5 << 20] {
        let mut all: Vec<*mut c_void> = Vec::with_capacity(1 << 20);
        set_errno(0);
        while all.len() < all.capacity() {
            // SAFETY: no requirements.
            let block = unsafe { libc::malloc(size) };
            if block.is_null() {
                assert_eq!(errno(), libc::ENOMEM);
                break;
            }
            all.push(block);
        }
        let served = all.len();
        for block in all {
            // SAFETY: the block is live.
            unsafe { libc::free(block) };
        }
        // SAFETY: no requirements.
        unsafe { libc::malloc_trim(0) };
        // Only now: a failed assertion allocates.
        assert!(served * size > 4 << 20, "{served} blocks of {size}");
    }
    // A thread needs a stack of its own beside its heap.
    let small = thread::Builder::new().stack_size(64 << 10);
    let thread = small.spawn(|| work(100)).expect("room for a thread");
    thread.join().expect("the thread is served");
}

static AT_EXIT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

extern "C" fn at_exit() {
    // SAFETY: the block is live.
    unsafe { libc::free(AT_EXIT.load(Ordering::Relaxed)) };
    // SAFETY: no requirements.
    let block = unsafe { libc::malloc(1000) };
    assert!(!block.is_null());
    // SAFETY: the block is live.
    unsafe { libc::free(block) };
    // Not through a buffer that is gone.
    let mut err = std::io::stderr();
    err.write_all(b"served at exit\n").expect("standard error");
}

#[test]
fn functions_at_exit_are_served() {
    if !common::is_preloaded() {
        let output = run_preloaded("functions_at_exit_are_served");
        assert!(text(&output.stderr).contains("served at exit"));
        return;
    }
    // SAFETY: no requirements.
    AT_EXIT.store(unsafe { libc::malloc(50) }, Ordering::Relaxed);
    // SAFETY: a function of the type that is called.
    assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
}

#[test]
fn settings_are_obeyed_or_named() {
    if common::is_preloaded() {
        work(100);
        return;
    }
    let with = |variables: &[(&str, &str)]| {
        let mut program = preloaded("settings_are_obeyed_or_named");
        program.envs(variables.iter().copied());
        text(&run(program).stderr)
    };
    assert_eq!(with(&[]), "");
    assert_eq!(with(&[("DRYSTONE_STATS", "0")]), "");
    let table = with(&[("DRYSTONE_STATS", "1")]);
    assert_eq!(table.matches("drystone-malloc\n").count(), 1, "{table}");
    for row in ["live", "cached", "resident", "mapped"] {
        assert!(table.contains(&format!("\n{row} ")), "{row} in {table}");
    }
    assert_eq!(
        with(&[("DRYSTONE_STATS", "yes")]),
        "drystone: DRYSTONE_STATS must be 0 or 1; it is not obeyed\n"
    );
    assert_eq!(
        with(&[("DRYSTONE_STAT", "1")]),
        "drystone: DRYSTONE_STAT is no setting; it is not obeyed\n"
    );
}

#[test]
fn a_handler_that_does_not_allocate_may_interrupt() {
    on_the_library!("a_handler_that_does_not_allocate_may_interrupt");
    assert_served();
    static SEEN: AtomicU64 = AtomicU64::new(0);
    extern "C" fn note(_: libc::c_int) {
        SEEN.fetch_add(1, Ordering::Relaxed);
    }
    let handler: extern "C" fn(libc::c_int) = note;
    // SAFETY: a handler that only counts.
    unsafe { libc::signal(libc::SIGALRM, handler as libc::sighandler_t) };
    let every = libc::timeval {
        tv_sec: 0,
        tv_usec: 200,
    };
    let timer = libc::itimerval {
        it_interval: every,
        it_value: every,
    };
    // SAFETY: a valid timer.
    let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
    assert_eq!(set, 0);
    while SEEN.load(Ordering::Relaxed) < 500 {
        work(100);
    }
}

//! Handles that go, come and are turned into the only one, on several threads.
//!
//! The storage is a value with a witness: reading the bytes reads it, writing them writes it, and so
//! does giving them back. A write that is not ordered behind every read is reported.

use core::ptr::NonNull;
use std::sync::{Arc, Mutex};

use drystone_sync::cell::UnsafeCell;
use loom::thread;

use crate::adopted;
use crate::record::Kind;
use crate::{IoBuf, IoBufMut};

const LEN: usize = 4;

/// Shared by the storage and the model. A lock that loom does not know orders nothing in it.
#[derive(Default)]
struct Log {
    witness: UnsafeCell<()>,
    given_back: Mutex<usize>,
}

// SAFETY: the cell is touched as the bytes are, which is what the models check.
unsafe impl Send for Log {}
// SAFETY: as above.
unsafe impl Sync for Log {}

impl Log {
    fn read(&self) {
        self.witness.with(|_| ());
    }

    fn write(&self) {
        self.witness.with_mut(|_| ());
    }
}

/// What owns the bytes.
struct Storage {
    _bytes: Vec<u8>,
    log: Arc<Log>,
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.log.write();
        *self.log.given_back.lock().expect("no panic while held") += 1;
    }
}

/// The only view of new storage.
fn view() -> (IoBuf, Arc<Log>) {
    let log = Arc::new(Log::default());
    let mut bytes = vec![0; LEN];
    let base = NonNull::new(bytes.as_mut_ptr()).expect("memory for a test");
    let storage = Storage {
        _bytes: bytes,
        log: log.clone(),
    };
    let record = adopted::adopt(storage, base, LEN, Kind::Adopted);
    // SAFETY: a new record of bytes that the storage owns alone.
    let mut buf = unsafe { IoBufMut::from_record(record) };
    // SAFETY: the vector has as many zeros.
    unsafe { buf.set_len(LEN) };
    (buf.freeze(), log)
}

fn given_back(log: &Log) -> usize {
    *log.given_back.lock().expect("no panic while held")
}

/// Reads, then drops.
fn read_and_drop(view: IoBuf, log: &Log) {
    log.read();
    drop(view);
}

/// Writes if the view is the only one, else reads. Then drops.
fn write_or_read(view: IoBuf, log: &Log) {
    match view.try_into_mut() {
        Ok(buf) => {
            log.write();
            drop(buf);
        }
        Err(view) => read_and_drop(view, log),
    }
}

#[test]
fn loom2_two_handles_go() {
    loom::model(|| {
        let (view, log) = view();
        let (other, its_log) = (view.clone(), log.clone());
        let reader = thread::spawn(move || read_and_drop(other, &its_log));
        read_and_drop(view, &log);
        reader.join().expect("the other thread");
        assert_eq!(given_back(&log), 1);
    });
}

#[test]
fn loom2_a_handle_is_shared_while_another_goes() {
    loom::model(|| {
        let (view, log) = view();
        let (other, its_log) = (view.clone(), log.clone());
        let sharer = thread::spawn(move || {
            let part = other.slice(1..3);
            read_and_drop(other, &its_log);
            read_and_drop(part, &its_log);
        });
        read_and_drop(view, &log);
        sharer.join().expect("the other thread");
        assert_eq!(given_back(&log), 1);
    });
}

#[test]
fn loom2_the_only_handle_writes_after_the_other_read() {
    loom::model(|| {
        let (view, log) = view();
        let (other, its_log) = (view.clone(), log.clone());
        let reader = thread::spawn(move || read_and_drop(other, &its_log));
        write_or_read(view, &log);
        reader.join().expect("the other thread");
        assert_eq!(given_back(&log), 1);
    });
}

#[test]
fn loom2_two_want_to_write() {
    loom::model(|| {
        let (view, log) = view();
        let (other, its_log) = (view.clone(), log.clone());
        let writer = thread::spawn(move || write_or_read(other, &its_log));
        write_or_read(view, &log);
        writer.join().expect("the other thread");
        assert_eq!(given_back(&log), 1);
    });
}

#[test]
fn loom3_three_handles_go() {
    loom::model(|| {
        let (view, log) = view();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (other, its_log) = (view.clone(), log.clone());
                thread::spawn(move || read_and_drop(other, &its_log))
            })
            .collect();
        write_or_read(view, &log);
        for thread in threads {
            thread.join().expect("the other threads");
        }
        assert_eq!(given_back(&log), 1);
    });
}

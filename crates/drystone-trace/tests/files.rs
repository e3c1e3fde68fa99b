//! Reading from the file system: which errors are unreadable, which invalid, and their names.
#![cfg(not(miri))] // The interpreter's isolation has no file system.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{compress, sample};
use drystone_trace::{Fault, Trace, TraceErrorKind};

/// A file of this test run, removed at the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, bytes: &[u8]) -> TempFile {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = directory.join(format!("{}-{name}", std::process::id()));
        fs::write(&path, bytes).expect("the target directory is writable");
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("the file is there");
    }
}

#[test]
fn the_form_is_told_by_the_bytes_and_not_by_the_name() {
    let raw = sample().to_bytes();
    let misnamed_raw = TempFile::new("raw.satrace.zst", &raw);
    let misnamed_compressed = TempFile::new("compressed.satrace", &compress(&raw));
    assert_eq!(Trace::read(&misnamed_raw.0).unwrap(), sample());
    assert_eq!(Trace::read(&misnamed_compressed.0).unwrap(), sample());
}

#[test]
fn a_damaged_file_is_named() {
    let mut raw = sample().to_bytes();
    raw[32 + 6] = 2;
    let file = TempFile::new("damaged", &raw);
    let error = Trace::read(&file.0).unwrap_err();
    assert_eq!(error.kind(), TraceErrorKind::Invalid);
    assert_eq!(error.file(), Some(&*file.0));
    let text = format!(
        "{}: record 0 (byte 32): free with alignment byte 4, which must be 0",
        file.0.display()
    );
    assert_eq!(error.to_string(), text);
}

#[test]
fn an_empty_file_is_invalid() {
    let file = TempFile::new("empty", b"");
    let error = Trace::read(&file.0).unwrap_err();
    assert_eq!(error.kind(), TraceErrorKind::Invalid);
    assert!(matches!(error.fault(), Fault::Empty));
}

#[test]
fn a_directory_is_unreadable() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let error = Trace::read(directory).unwrap_err();
    assert_eq!(error.kind(), TraceErrorKind::Unreadable);
    assert_eq!(
        error.to_string(),
        format!("{}: is a directory", directory.display())
    );
    assert_eq!((error.record(), error.byte()), (None, None));
}

#[test]
fn a_missing_file_is_unreadable() {
    let path = Path::new("no-such-directory/no-such-file");
    let error = Trace::read(path).unwrap_err();
    assert_eq!(error.kind(), TraceErrorKind::Unreadable);
    assert!(
        error
            .to_string()
            .starts_with("no-such-directory/no-such-file: cannot read: ")
    );
    assert!(std::error::Error::source(&error).is_some());
}

/// The first read of this file fails with an I/O error for every user, root included, because
/// nothing is mapped at address 0.
#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_reading_fails_is_unreadable() {
    let error = Trace::read(Path::new("/proc/self/mem")).unwrap_err();
    assert_eq!(error.kind(), TraceErrorKind::Unreadable);
    assert!(matches!(error.fault(), Fault::Io(_)), "{error}");
}

#[cfg(unix)]
#[test]
fn a_file_without_permission_is_unreadable() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = TempFile::new("forbidden", &sample().to_bytes());
    fs::set_permissions(&file.0, fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser may read it all the same: then the file is read, and equal.
    match (fs::read(&file.0), Trace::read(&file.0)) {
        (Ok(_), read) => assert_eq!(read.unwrap(), sample()),
        (Err(_), read) => assert_eq!(read.unwrap_err().kind(), TraceErrorKind::Unreadable),
    }
}

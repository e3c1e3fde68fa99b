//! The library as it is built, and its functions without being replaced by them.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]

use std::ffi::{CString, c_int, c_void};
use std::io::ErrorKind;
use std::mem::transmute_copy;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The features that the test program was built with: the library gets the same.
const FEATURES: &[&str] = &[
    #[cfg(feature = "unchecked")]
    "unchecked",
    #[cfg(feature = "hardened")]
    "hardened",
    #[cfg(feature = "guard")]
    "guard",
    #[cfg(feature = "record")]
    "record",
];

/// Builds the library, which a test program is not linked with, and says where it is.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        // A program that runs on the library does not build it.
        if let Some(built) = std::env::var_os(PRELOADED) {
            return built.into();
        }
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("library");
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--lib", "--manifest-path"]);
        build.arg(manifest).arg("--target-dir").arg(&dir);
        build.args(["--features", &FEATURES.join(",")]);
        build.args(["--target", env!("BUILT_FOR")]);
        let mut profile = "debug";
        if !cfg!(debug_assertions) {
            build.arg("--release");
            profile = "release";
        }
        let built = build.output().expect("cargo starts");
        assert!(built.status.success(), "{}", text(&built.stderr));
        let built = dir.join(env!("BUILT_FOR")).join(profile);
        built.join("libdrystone_malloc.so")
    })
}

/// Compiles a program below `tests/c`. `None`, and a line that says so, without the compiler.
pub fn compile(compiler: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
    compile_as(compiler, &sources.join(source), source, flags)
}

/// As [`compile`], of a program that is anywhere, under a name.
pub fn compile_as(compiler: &str, source: &Path, name: &str, flags: &[&str]) -> Option<PathBuf> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name.replace('.', "-"));
    let compiled = Command::new(compiler)
        .args([
            "-O1",
            "-fno-builtin",
            "-pthread",
            "-Wno-deprecated-declarations",
        ])
        .args(flags)
        .args(if cfg!(target_arch = "x86") {
            &["-m32"][..]
        } else {
            &[]
        })
        .arg("-I")
        .arg(crate_dir.join("include"))
        .arg(source)
        .arg("-o")
        .arg(&program)
        // What the C library lacks is the library's.
        .arg(library())
        .output();
    match compiled {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("not run: there is no compiler `{compiler}` for {name}");
            None
        }
        Err(error) => panic!("{compiler}: {error}"),
        Ok(output) => {
            assert!(output.status.success(), "{}", text(&output.stderr));
            Some(program)
        }
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What marks a process that runs on the library, and says which.
const PRELOADED: &str = "RUNS_ON_THE_LIBRARY";

/// Whether this process runs on the library.
pub fn is_preloaded() -> bool {
    std::env::var_os(PRELOADED).is_some()
}

/// This program again, to run one test on the library.
pub fn preloaded(test: &str) -> Command {
    let mut program = Command::new(std::env::current_exe().expect("the program has a path"));
    program.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    program
        .env(PRELOADED, library())
        .env("LD_PRELOAD", library());
    program
}

/// Runs a test on the library, in a process of its own.
pub fn run_preloaded(test: &str) -> Output {
    run(preloaded(test))
}

/// Runs a command that [`preloaded`] gave, which has to run its test.
pub fn run(mut program: Command) -> Output {
    let output = program.output().expect("the program starts");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let ran = output.status.success() && out.contains("1 passed");
    assert!(ran, "{:?}\n{out}\n{err}", output.status);
    output
}

/// The test's body is for a process that runs on the library: starts one, or goes on in it.
#[macro_export]
macro_rules! on_the_library {
    ($test:literal) => {
        if !$crate::common::is_preloaded() {
            $crate::common::run_preloaded($test);
            return;
        }
    };
}

macro_rules! family {
    ($($name:ident: fn($($argument:ty),*) $(-> $answer:ty)?;)+) => {
        /// The functions of a library that was loaded beside the process's own allocator.
        pub struct Family {
            $(pub $name: unsafe extern "C" fn($($argument),*) $(-> $answer)?,)+
        }

        impl Family {
            fn load(path: &Path) -> Self {
                let path = CString::new(path.as_os_str().as_bytes()).expect("no zero byte");
                // SAFETY: the string ends with a zero byte; what the library does when it is
                // loaded is to read its settings.
                let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
                assert!(!library.is_null(), "the library can be loaded");
                Self {
                    $($name: {
                        let symbol = find(library, stringify!($name));
                        // SAFETY: the library's function of that name has this type.
                        unsafe { transmute_copy(&symbol) }
                    },)+
                }
            }
        }
    };
}

fn find(library: *mut c_void, name: &str) -> *mut c_void {
    let name = CString::new(name).expect("no zero byte");
    // SAFETY: a loaded library, and a string that ends with a zero byte.
    let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!symbol.is_null(), "{name:?} is in the library");
    symbol
}

family! {
    malloc: fn(usize) -> *mut c_void;
    calloc: fn(usize, usize) -> *mut c_void;
    free: fn(*mut c_void);
    realloc: fn(*mut c_void, usize) -> *mut c_void;
    reallocarray: fn(*mut c_void, usize, usize) -> *mut c_void;
    posix_memalign: fn(*mut *mut c_void, usize, usize) -> c_int;
    aligned_alloc: fn(usize, usize) -> *mut c_void;
    memalign: fn(usize, usize) -> *mut c_void;
    valloc: fn(usize) -> *mut c_void;
    pvalloc: fn(usize) -> *mut c_void;
    malloc_usable_size: fn(*mut c_void) -> usize;
    malloc_trim: fn(usize) -> c_int;
    free_sized: fn(*mut c_void, usize);
    free_aligned_sized: fn(*mut c_void, usize, usize);
    mallopt: fn(c_int, c_int) -> c_int;
}

/// The functions, beside the test's own allocator.
pub fn family() -> &'static Family {
    static FAMILY: OnceLock<Family> = OnceLock::new();
    FAMILY.get_or_init(|| Family::load(library()))
}

pub fn errno() -> c_int {
    // SAFETY: no requirements.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the thread's own.
    unsafe { place.read() }
}

pub fn set_errno(code: c_int) {
    // SAFETY: no requirements.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the thread's own.
    unsafe { place.write(code) };
}

/// A count that the environment may raise for a long run.
pub fn count(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(value) => value.parse().expect("a number"),
        Err(_) => default,
    }
}

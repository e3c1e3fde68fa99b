//! What the system says about this process.

/// Resident bytes that cannot be taken away: without the pages that were offered to the system,
/// which it takes only when it is short of memory.
#[cfg(target_os = "linux")]
pub(super) fn resident_bytes() -> f64 {
    use std::io::Read as _;

    // A buffer on the stack, so that reading does not change what is read.
    let mut text = [0; 4096];
    let mut file = std::fs::File::open("/proc/self/smaps_rollup").expect("Linux has this summary");
    let length = file.read(&mut text).expect("the summary can be read");
    let text = std::str::from_utf8(&text[..length]).expect("the summary is ASCII");
    let kilobytes = |field: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
        number
            .and_then(|number| number.parse().ok())
            .expect("the summary has this field")
    };
    1024.0 * (kilobytes("Rss:") - kilobytes("LazyFree:"))
}

/// Faults that this process took without reading a file.
#[cfg(unix)]
pub(super) fn page_faults() -> i64 {
    // SAFETY: an all-zero record is a valid one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the record is writable.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    usage.ru_minflt
}

#[cfg(not(target_os = "linux"))]
pub(super) fn resident_bytes() -> f64 {
    panic!("only Linux has the summary that these figures are made of")
}

#[cfg(not(unix))]
pub(super) fn page_faults() -> i64 {
    panic!("this system does not count page faults")
}

//! What the process takes of the machine's memory, as the system says, asked without the heap.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::event::Sample;

/// A sample; `None` where the system does not say.
pub(super) fn sample() -> Option<Sample> {
    let mut text = [0; 2048];
    let mut file = File::open(Path::new("/proc/self/smaps_rollup")).ok()?;
    let mut length = 0;
    while length < text.len() {
        match file.read(&mut text[length..]).ok()? {
            0 => break,
            bytes => length += bytes,
        }
    }
    parsed(&text[..length])
}

/// The lines `Rss:`, `Pss:` and `LazyFree:`, which are in KiB.
fn parsed(text: &[u8]) -> Option<Sample> {
    let line = |key: &[u8]| {
        let mut lines = text.split(|byte| *byte == b'\n');
        let line = lines.find_map(|line| line.strip_prefix(key))?;
        let mut digits = line.iter().filter(|byte| byte.is_ascii_digit());
        digits.try_fold(0_u64, |number, digit| {
            number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
    };
    Some(Sample {
        rss_bytes: line(b"Rss:")?.checked_mul(1024)?,
        pss_bytes: line(b"Pss:")?.checked_mul(1024)?,
        lazy_free_bytes: line(b"LazyFree:")?.checked_mul(1024)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_found() {
        let text = b"55d0-7ffd ---p 00000000 00:00 0 [rollup]\n\
            Rss:                1724 kB\nPss:                 322 kB\nPss_Dirty:           244 kB\n\
            LazyFree:             12 kB\nLocked:                0 kB\n";
        let expected = Sample {
            rss_bytes: 1724 << 10,
            pss_bytes: 322 << 10,
            lazy_free_bytes: 12 << 10,
        };
        assert_eq!(parsed(text), Some(expected));
        assert_eq!(parsed(b"Rss: 1 kB\n"), None);
    }
}

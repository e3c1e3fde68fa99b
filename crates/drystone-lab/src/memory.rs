//! What this process keeps resident, read without allocating.
//!
//! # What
//! [`MemoryReader`] holds the kernel's summary of the process's mappings open and reads it into a
//! buffer on the stack.
//!
//! # Threads
//! Reads are positioned: any thread may read at any time.
//!
//! # Cost
//! The kernel walks the page tables: tens of microseconds for each ten megabytes resident.

/// What is resident, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Usage {
    /// Pages in memory.
    pub(crate) rss_bytes: u64,
    /// The same with shared pages split among their users.
    pub(crate) pss_bytes: u64,
    /// Pages without a file behind them.
    pub(crate) anonymous_bytes: u64,
    /// Pages given back with `MADV_FREE` that the kernel has not taken yet.
    pub(crate) lazy_free_bytes: u64,
    /// Pages in transparent huge pages.
    pub(crate) anon_huge_bytes: u64,
}

impl Usage {
    pub(crate) fn fields(&self) -> [u64; 5] {
        [
            self.rss_bytes,
            self.pss_bytes,
            self.anonymous_bytes,
            self.lazy_free_bytes,
            self.anon_huge_bytes,
        ]
    }

    pub(crate) fn from_fields(fields: [u64; 5]) -> Self {
        let [
            rss_bytes,
            pss_bytes,
            anonymous_bytes,
            lazy_free_bytes,
            anon_huge_bytes,
        ] = fields;
        Self {
            rss_bytes,
            pss_bytes,
            anonymous_bytes,
            lazy_free_bytes,
            anon_huge_bytes,
        }
    }

    /// Resident and not already given back, in bytes.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.rss_bytes.saturating_sub(self.lazy_free_bytes)
    }

    #[cfg(any(target_os = "linux", test))]
    fn parse(text: &[u8]) -> Option<Self> {
        let mut usage = Self::default();
        let mut seen = false;
        for line in text.split(|&b| b == b'\n') {
            let field = match line.split(|&b| b == b':').next() {
                Some(b"Rss") => {
                    seen = true;
                    &mut usage.rss_bytes
                }
                Some(b"Pss") => &mut usage.pss_bytes,
                Some(b"Anonymous") => &mut usage.anonymous_bytes,
                Some(b"LazyFree") => &mut usage.lazy_free_bytes,
                Some(b"AnonHugePages") => &mut usage.anon_huge_bytes,
                _ => continue,
            };
            let digits = line.iter().filter(|b| b.is_ascii_digit());
            *field = digits.fold(0u64, |n, b| n * 10 + u64::from(b - b'0')) * 1024;
        }
        seen.then_some(usage)
    }
}

pub(crate) use imp::MemoryReader;

#[cfg(target_os = "linux")]
mod imp {
    use super::Usage;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    /// The open summary.
    pub(crate) struct MemoryReader(File);

    impl MemoryReader {
        /// `None` where the kernel has no such summary.
        pub(crate) fn open() -> Option<Self> {
            let reader = Self(File::open("/proc/self/smaps_rollup").ok()?);
            reader.read().map(|_| reader)
        }

        /// What is resident now.
        pub(crate) fn read(&self) -> Option<Usage> {
            let mut text = [0u8; 4096];
            let length = self.0.read_at(&mut text, 0).ok()?;
            Usage::parse(&text[..length])
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use super::Usage;

    /// No system but Linux has the summary that memory figures are made of.
    pub(crate) enum MemoryReader {}

    impl MemoryReader {
        pub(crate) fn open() -> Option<Self> {
            None
        }

        pub(crate) fn read(&self) -> Option<Usage> {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_kernels_summary() {
        let text =
            b"55d0-7ffd ---p 00000000 00:00 0    [rollup]\nRss:    1234 kB\nPss:   1000 kB\n\
            Pss_Dirty:  9 kB\nAnonymous:  200 kB\nLazyFree:  34 kB\nAnonHugePages:  2048 kB\n";
        let usage = Usage::parse(text).unwrap();
        assert_eq!(
            usage.fields(),
            [1234, 1000, 200, 34, 2048].map(|kb| kb * 1024)
        );
        assert_eq!(usage.held_bytes(), 1200 * 1024);
        assert_eq!(Usage::parse(b"nothing here"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn sees_memory_that_was_written() {
        let reader = MemoryReader::open().expect("Linux has the summary");
        let before = reader.read().unwrap();
        let mut mapping = memmap2::MmapMut::map_anon(32 << 20).unwrap();
        mapping.fill(1);
        let after = reader.read().unwrap();
        assert!(after.held_bytes() >= before.held_bytes() + (30 << 20));
    }
}

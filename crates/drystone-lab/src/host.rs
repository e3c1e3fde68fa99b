//! What of this machine and this build the figures depend on. No host name, no user name.

use std::collections::BTreeMap;
use std::fs;

use drystone_backing::page_size;
use serde::{Deserialize, Serialize};

/// Facts of the machine and the build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) arch: String,
    pub(crate) os: String,
    pub(crate) kernel: String,
    /// Mode of transparent huge pages.
    pub(crate) transparent_huge_pages: String,
    /// Frequency governor of the first core.
    pub(crate) governor: String,
    pub(crate) page_bytes: usize,
    pub(crate) compiler: String,
    pub(crate) profile: String,
    /// Commit that the program was built from.
    pub(crate) commit: String,
    /// Settings of allocators in the environment.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Beginnings of the environment variables that allocators obey.
const ALLOCATOR_VARIABLES: [&str; 5] = [
    "MALLOC_",
    "_RJEM_MALLOC_CONF",
    "MIMALLOC_",
    "GLIBC_TUNABLES",
    "SNMALLOC_",
];

impl Host {
    pub(crate) fn of_this_machine() -> Self {
        Self {
            cpu: cpu(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            arch: std::env::consts::ARCH.to_owned(),
            os: std::env::consts::OS.to_owned(),
            kernel: first_line("/proc/sys/kernel/osrelease"),
            transparent_huge_pages: chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
            governor: first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            page_bytes: page_size(),
            compiler: env!("DRYSTONE_COMPILER").to_owned(),
            profile: env!("DRYSTONE_PROFILE").to_owned(),
            commit: env!("DRYSTONE_COMMIT").to_owned(),
            environment: allocator_settings(),
        }
    }

    /// The facts as pairs, for the head of a report.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let environment = if self.environment.is_empty() {
            "no allocator settings".to_owned()
        } else {
            let all: Vec<String> = self
                .environment
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            all.join(" ")
        };
        vec![
            ("CPU", format!("{} ({})", self.cpu, self.arch)),
            ("cores", self.cores.to_string()),
            ("kernel", format!("{} {}", self.os, self.kernel)),
            (
                "transparent huge pages",
                self.transparent_huge_pages.clone(),
            ),
            ("governor", self.governor.clone()),
            ("page size", format!("{} B", self.page_bytes)),
            (
                "compiler",
                format!("{}, {} build", self.compiler, self.profile),
            ),
            ("commit", self.commit.clone()),
            ("environment", environment),
        ]
    }

    /// What must be said of figures made here.
    pub(crate) fn labels(&self) -> Vec<String> {
        let mut labels = Vec::new();
        if self.cores <= 2 {
            let cores = if self.cores == 1 {
                "one core"
            } else {
                "two cores"
            };
            labels.push(format!("{cores}: no contention result"));
        }
        if self.profile != "release" {
            labels.push(format!("{} build: no speed result", self.profile));
        }
        labels
    }
}

fn unknown() -> String {
    "not told".to_owned()
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    match text.lines().next() {
        Some(line) if !line.trim().is_empty() => line.trim().to_owned(),
        _ => unknown(),
    }
}

/// The bracketed word of a kernel setting.
fn chosen(path: &str) -> String {
    let line = first_line(path);
    match line
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
    {
        Some((word, _)) => word.to_owned(),
        None => line,
    }
}

fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    model.unwrap_or_else(unknown)
}

fn allocator_settings() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(key, value)| {
            let key = key.into_string().ok()?;
            let known = ALLOCATOR_VARIABLES
                .iter()
                .any(|start| key.starts_with(start));
            known.then(|| (key, value.to_string_lossy().into_owned()))
        })
        .collect()
}

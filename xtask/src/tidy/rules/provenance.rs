//! Allocator code makes pointers from pointers, never from integers.

use super::wherever;
use crate::tidy::Finding;
use crate::tidy::source::{Source, words};
use crate::tidy::tree::Tree;

const EXPOSED: &[&str] = &[
    "with_exposed_provenance",
    "with_exposed_provenance_mut",
    "expose_provenance",
];

/// The ends of the paths of files that may expose provenance and find it again: the system's allocator has no base, and a
/// process-wide arena finds its segments by addresses alone.
const HOMES: &[&str] = &["/src/segment_map.rs", "/src/system.rs"];

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in tree.stone_sources() {
        let is_home = HOMES.iter().any(|home| source.path.ends_with(home));
        for name in EXPOSED.iter().filter(|_| !is_home) {
            found.extend(wherever(source, name, &message(name)));
        }
        for at in thin_casts(source) {
            let message = message("as *");
            found.push(Finding::new(&source.path, source.line_of(at), message));
        }
    }
    found
}

fn message(what: &str) -> String {
    format!(
        "`{what}`: derive pointers from the allocator's own base (`with_addr`, `add`, `cast`), \
         which keeps their provenance"
    )
}

/// Where `as *mut T` or `as *const T` stands. It also turns integers into pointers, and a reader
/// cannot tell which it is without the type on its left; `cast`, `from_ref` and `&raw` cannot.
/// Pointers to slices and trait objects are left alone: no integer casts to them.
fn thin_casts(source: &Source) -> Vec<usize> {
    words(&source.code)
        .windows(4)
        .filter(|window| {
            let [(_, first), (_, star), (_, kind), (_, pointee)] = window else {
                return false;
            };
            let to_pointer = *first == "as" && *star == "*" && matches!(*kind, "mut" | "const");
            to_pointer && !matches!(*pointee, "[" | "dyn" | "str")
        })
        .map(|window| window[0].0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        find(&Tree::sample(&[(path, text)])).len()
    }

    #[test]
    fn catches_casts_to_pointers_in_allocator_code() {
        for text in [
            "a as *mut u8",
            "a as\n*const u8",
            "ptr::with_exposed_provenance(a)",
        ] {
            assert_eq!(found("crates/s/src/a.rs", text), 1, "{text}");
            assert_eq!(found("crates/s/tests/a.rs", text), 1, "{text}");
        }
        assert_eq!(found("crates/s/src/a.rs", "p.expose_provenance()"), 1);
    }

    #[test]
    fn two_files_may_expose_but_not_cast() {
        for home in ["crates/s/src/system.rs", "crates/s/src/segment_map.rs"] {
            assert_eq!(found(home, "p.expose_provenance()"), 0);
            assert_eq!(found(home, "a as *mut u8"), 1);
        }
    }

    #[test]
    fn leaves_other_code_alone() {
        assert_eq!(
            found(
                "crates/s/src/a.rs",
                "f(p: *mut u8, q: *const T) { p.cast() }"
            ),
            0
        );
        assert_eq!(
            found("crates/s/src/a.rs", "p as *mut [u8] as *const dyn Any"),
            0
        );
        assert_eq!(found("crates/lab/src/a.rs", "a as *mut u8"), 0);
    }
}

//! Allocator code makes pointers from pointers, never from integers.

use super::wherever;
use crate::tidy::Finding;
use crate::tidy::tree::Tree;

/// The one documented home of such casts; there is none.
const HOMES: &[&str] = &[];

/// `as *mut T` also turns integers into pointers, and a reader cannot tell which it is without
/// the type on its left; `cast`, `from_ref` and `&raw` cannot.
const PHRASES: &[&str] = &[
    "as *mut",
    "as *const",
    "with_exposed_provenance",
    "with_exposed_provenance_mut",
    "expose_provenance",
];

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in tree
        .stone_sources()
        .filter(|source| !HOMES.contains(&source.path.as_str()))
    {
        for phrase in PHRASES {
            let message = format!(
                "`{phrase}`: derive pointers from the allocator's own base (`with_addr`, `add`, \
                 `cast`), which keeps their provenance"
            );
            found.extend(wherever(source, phrase, &message));
        }
    }
    found
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
    fn leaves_other_code_alone() {
        assert_eq!(
            found(
                "crates/s/src/a.rs",
                "f(p: *mut u8, q: *const T) { p.cast() }"
            ),
            0
        );
        assert_eq!(found("crates/lab/src/a.rs", "a as *mut u8"), 0);
    }
}

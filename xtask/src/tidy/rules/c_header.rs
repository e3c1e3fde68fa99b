//! The C header is what its sources say.

use crate::checks::c_header::{HEADER, SOURCES, header};
use crate::tidy::Finding;
use crate::tidy::tree::Tree;

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    let texts: Vec<&str> = SOURCES
        .iter()
        .filter_map(|path| tree.sources.iter().find(|source| source.path == *path))
        .map(|source| source.text.as_str())
        .collect();
    let message = match header(&texts) {
        Ok(header) if tree.text_of(HEADER) == Some(header.as_str()) => return Vec::new(),
        Ok(_) => "not what its sources say: `cargo xtask c-header --write` writes it".to_owned(),
        Err(reason) => reason,
    };
    vec![Finding::new(HEADER, 0, message)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        let source = "/// Frees.\n#[unsafe(no_mangle)]\npub extern \"C\" fn f() {\n}\n";
        find(&Tree::sample(&[(SOURCES[0], source), (HEADER, text)])).len()
    }

    #[test]
    fn catches_a_header_that_is_not_of_its_sources() {
        let source = "/// Frees.\n#[unsafe(no_mangle)]\npub extern \"C\" fn f() {\n}\n";
        let whole = header(&[source]).unwrap();
        assert_eq!(found(&whole), 0);
        assert_eq!(found(&whole.replace("Frees", "Takes")), 1);
        assert_eq!(found(""), 1);
    }
}

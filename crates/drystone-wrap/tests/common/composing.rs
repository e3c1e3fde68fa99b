//! The tables of `docs/COMPOSING.md`.

use std::collections::BTreeMap;

const PAGE: &str = include_str!("../../../../docs/COMPOSING.md");

/// The rows of the table under `header`: the first cell, and the rest.
pub(crate) fn table(header: &str) -> BTreeMap<&'static str, Vec<&'static str>> {
    let rows = PAGE.lines().skip_while(|line| *line != header).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            (cells.next().expect("a first cell"), cells.collect())
        })
        .collect()
}

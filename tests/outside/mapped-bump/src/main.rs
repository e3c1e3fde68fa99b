//! A bump arena over mapped pages: what one request needs lives in a scope and goes with it.

use std::process::ExitCode;

use drystone_backing::MmapBacked;
use drystone_layout::BumpArena;

const TEXT: &str = "a dry stone wall stands by how its stones fit without mortar";

fn main() -> ExitCode {
    let pages = match MmapBacked::new(1 << 20) {
        Ok(pages) => pages,
        Err(error) => {
            eprintln!("mapped-bump: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut arena = BumpArena::new(pages);
    let before = arena.remaining_bytes();
    // More requests than the arena could hold side by side.
    let letters: usize = (0..10_000)
        .map(|_| letters_of_longest_word(&mut arena))
        .sum();
    let after = arena.remaining_bytes();
    if (letters, after) != (70_000, before) {
        eprintln!("mapped-bump: {letters} letters, {before} bytes before, {after} after");
        return ExitCode::FAILURE;
    }
    println!("mapped-bump: ok");
    ExitCode::SUCCESS
}

/// Splits the text into words in a scope of `arena`.
fn letters_of_longest_word(arena: &mut BumpArena<MmapBacked>) -> usize {
    let scope = arena.scope();
    let text: &str = scope.alloc_str(TEXT);
    let mut longest = "";
    for word in text.split(' ') {
        let word: &str = scope.alloc_str(word);
        if word.len() > longest.len() {
            longest = word;
        }
    }
    longest.len()
}

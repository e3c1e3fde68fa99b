//! A Rust source file, split into code and comments.

use std::ops::Range;

/// One file. `code` and `comments` have the same length and lines as `text`: what belongs to
/// the other is blanked, and so is what stands inside string literals in `code`.
pub(crate) struct Source {
    /// From the root of the workspace, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) code: String,
    pub(crate) comments: String,
}

impl Source {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let (code, comments) = split(&text);
        Self {
            path: path.into(),
            text,
            code,
            comments,
        }
    }

    /// Library or program code, as opposed to tests, benches and examples.
    pub(crate) fn is_in_src(&self) -> bool {
        self.path.contains("/src/")
    }

    /// The number, from 1, of the line that holds the byte `at`.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        1 + self.text.as_bytes()[..at]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
    }

    /// The bytes of the modules that only test builds compile.
    pub(crate) fn test_modules(&self) -> Vec<Range<usize>> {
        let words = words(&self.code);
        let opens = (0..words.len()).filter(|index| opens_test_module(&words, *index));
        opens
            .map(|index| words[index].0..end_of_block(&words[index..]).unwrap_or(self.code.len()))
            .collect()
    }

    /// The doc comment of the module itself, without the comment marks.
    pub(crate) fn module_docs(&self) -> String {
        let docs = self
            .text
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("//!"));
        docs.map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned() + "\n")
            .collect()
    }
}

/// Whether the word at `index` opens the body of a `#[cfg(test)] mod …` or of one whose condition
/// begins with `all(test`.
fn opens_test_module(words: &[(usize, &str)], index: usize) -> bool {
    let before = |length: usize| {
        let start = index.checked_sub(length)?;
        Some(
            words[start..index]
                .iter()
                .map(|(_, word)| *word)
                .collect::<Vec<_>>(),
        )
    };
    let named = |length: usize| before(length).filter(|words| words[length - 2] == "mod");
    let plain = ["#", "[", "cfg", "(", "test", ")", "]"];
    let all = ["#", "[", "cfg", "(", "all", "(", "test", ","];
    words[index].1 == "{"
        && (named(9).is_some_and(|words| words[..7] == plain)
            || (9..32).any(|length| named(length).is_some_and(|words| words.starts_with(&all))))
}

/// Where the block that the first word opens ends.
fn end_of_block(words: &[(usize, &str)]) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, word) in words {
        match *word {
            "{" => depth += 1,
            "}" if depth == 1 => return Some(*at),
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The words of `code` with their positions: identifiers, numbers and lifetimes, and every other
/// visible character alone.
pub(crate) fn words(code: &str) -> Vec<(usize, &str)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        at += 1;
        if is_word(bytes[start]) || bytes[start] == b'\'' {
            while at < bytes.len() && is_word(bytes[at]) {
                at += 1;
            }
        } else if bytes[start].is_ascii_whitespace() {
            continue;
        }
        found.push((start, &code[start..at]));
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What the splitter is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    LineComment,
    BlockComment { depth: usize },
    Text { hashes: Option<usize> },
}

fn split(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let mut code = blank(bytes);
    let mut comments = code.clone();
    let mut inside = Inside::Code;
    let mut at = 0;
    while at < bytes.len() {
        let (length, next) = step(bytes, at, inside);
        let end = (at + length).min(bytes.len());
        let kept = match (inside, next) {
            (Inside::Code, Inside::Code | Inside::Text { .. }) => Some(&mut code),
            (Inside::Text { .. }, Inside::Code) => Some(&mut code),
            (Inside::Text { .. }, _) => None,
            _ => Some(&mut comments),
        };
        if let Some(kept) = kept {
            kept[at..end].copy_from_slice(&bytes[at..end]);
        }
        at = end;
        inside = next;
    }
    (ascii(code), ascii(comments))
}

/// Spaces, with the line ends where they were.
fn blank(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .map(|byte| if *byte == b'\n' { b'\n' } else { b' ' })
        .collect()
}

/// Bytes outside ASCII become `?`, so that positions in the result are positions in the file.
fn ascii(bytes: Vec<u8>) -> String {
    bytes
        .into_iter()
        .map(|byte| {
            if byte.is_ascii() {
                char::from(byte)
            } else {
                '?'
            }
        })
        .collect()
}

/// How many bytes at `at` belong together, and what follows them.
fn step(bytes: &[u8], at: usize, inside: Inside) -> (usize, Inside) {
    let rest = &bytes[at..];
    match inside {
        Inside::Code => step_in_code(bytes, at),
        Inside::LineComment if rest[0] == b'\n' => (1, Inside::Code),
        Inside::LineComment => (1, Inside::LineComment),
        Inside::BlockComment { depth } if rest.starts_with(b"/*") => {
            (2, Inside::BlockComment { depth: depth + 1 })
        }
        Inside::BlockComment { depth: 1 } if rest.starts_with(b"*/") => (2, Inside::Code),
        Inside::BlockComment { depth } if rest.starts_with(b"*/") => {
            (2, Inside::BlockComment { depth: depth - 1 })
        }
        Inside::BlockComment { .. } => (1, inside),
        Inside::Text { hashes: None } if rest[0] == b'\\' => (2, inside),
        Inside::Text { hashes } if closes_text(rest, hashes.unwrap_or(0)) => {
            (1 + hashes.unwrap_or(0), Inside::Code)
        }
        Inside::Text { .. } => (1, inside),
    }
}

fn step_in_code(bytes: &[u8], at: usize) -> (usize, Inside) {
    let rest = &bytes[at..];
    let after_word = at > 0 && is_word(bytes[at - 1]);
    if rest.starts_with(b"//") {
        return (2, Inside::LineComment);
    }
    if rest.starts_with(b"/*") {
        return (2, Inside::BlockComment { depth: 1 });
    }
    if rest[0] == b'"' {
        return (1, Inside::Text { hashes: None });
    }
    if let Some((length, hashes)) = raw_text_opening(rest).filter(|_| !after_word) {
        return (
            length,
            Inside::Text {
                hashes: Some(hashes),
            },
        );
    }
    // A character literal is taken whole: its content may be a quote.
    (character_length(rest).unwrap_or(1), Inside::Code)
}

/// The length of `r"`, `br#"`, … and its number of hashes.
fn raw_text_opening(rest: &[u8]) -> Option<(usize, usize)> {
    let prefix = [&b"br"[..], b"cr", b"r"]
        .into_iter()
        .find(|prefix| rest.starts_with(prefix))?;
    let hashes = rest[prefix.len()..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    let quote = prefix.len() + hashes;
    (rest.get(quote) == Some(&b'"')).then_some((quote + 1, hashes))
}

fn closes_text(rest: &[u8], hashes: usize) -> bool {
    rest[0] == b'"' && rest.len() > hashes && rest[1..=hashes].iter().all(|byte| *byte == b'#')
}

/// The length of a character literal at the start of `rest`; `None` for a lifetime.
fn character_length(rest: &[u8]) -> Option<usize> {
    if rest[0] != b'\'' {
        return None;
    }
    let content = match *rest.get(1)? {
        b'\\' => 2,
        first => utf8_length(first),
    };
    let close = rest
        .iter()
        .skip(1 + content)
        .take(9)
        .position(|byte| *byte == b'\'')?;
    (close == 0 || rest[1] == b'\\').then_some(1 + content + close + 1)
}

fn utf8_length(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new("x.rs", text).code
    }

    #[test]
    fn comments_leave_the_code() {
        assert_eq!(code("a // b\nc"), "a     \nc");
        assert_eq!(code("a /* b /* c */ d */ e"), "a                   e");
        let source = Source::new("x.rs", "a // b\nc /* d */");
        assert_eq!(source.comments, "  // b\n  /* d */");
    }

    #[test]
    fn text_is_blanked_and_its_quotes_stay() {
        assert_eq!(code(r#"f("a // b", c)"#), r#"f("      ", c)"#);
        assert_eq!(code(r#"f("\"a", c)"#), r#"f("   ", c)"#);
        assert_eq!(code("f(r#\"a\"b\"#, c)"), "f(r#\"   \"#, c)");
        assert_eq!(code("f(br\"a\\\", c)"), "f(br\"  \", c)");
        assert_eq!(code("f(var\"a\")"), "f(var\" \")");
    }

    #[test]
    fn characters_and_lifetimes_are_told_apart() {
        for text in [
            "('\"', x)",
            "('\\'', x)",
            "('\\u{1f600}', x)",
            "<'a, 'b>(x: &'a str)",
        ] {
            assert_eq!(code(text), text);
        }
        assert_eq!(code("'é' // a"), "'??'     ");
        assert_eq!(code("&'static str // '"), "&'static str     ");
    }

    #[test]
    fn lines_and_module_docs() {
        let source = Source::new("x.rs", "//! # What\n//! It.\n\nfn f() {}\n");
        assert_eq!(source.module_docs(), "# What\nIt.\n");
        assert_eq!(source.line_of(source.code.find("fn").unwrap()), 4);
    }

    #[test]
    fn finds_test_modules() {
        let spans = |text: &str| Source::new("x.rs", text).test_modules().len();
        assert_eq!(spans("#[cfg(test)]\nmod tests { fn f() {} }\nmod b { }"), 1);
        assert_eq!(spans("#[cfg(all(test, loom))] mod models { fn f() {} }"), 1);
        assert_eq!(
            spans("#[cfg(all(test, not(loom)))] mod tests { fn f() {} }"),
            1
        );
        assert_eq!(
            spans("#[cfg(not(test))] mod b { } #[cfg(loom)] mod c { }"),
            0
        );
        let text = "#[cfg(test)] mod tests { {} } x";
        let span = Source::new("x.rs", text).test_modules().remove(0);
        assert_eq!(&text[span], "{ {} ");
    }

    #[test]
    fn splits_words() {
        let words: Vec<&str> = words("unsafe{ a_1::b }")
            .into_iter()
            .map(|(_, w)| w)
            .collect();
        assert_eq!(words, ["unsafe", "{", "a_1", ":", ":", "b", "}"]);
    }
}

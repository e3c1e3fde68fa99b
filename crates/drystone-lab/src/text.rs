//! Numbers as people read them.

/// With thin groups of three digits: `1 234 567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Names that one line holds.
const NAMES: usize = 8;

/// The first names of a list, and how many more there are.
pub(crate) fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(NAMES).cloned().collect::<Vec<_>>();
    match names.len() - shown.len() {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

/// A name as a terminal and a page may show it: nothing in it moves the cursor or turns the text.
pub(crate) fn printable(name: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| {
        if c.is_control() || turns(c) {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    name.chars().map(shown).collect()
}

/// Bytes in the unit that fits: `14.9 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// Three significant digits, no exponent.
pub(crate) fn three_digits(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Nanoseconds in at most five characters: `87`, `9999`, `12.3k`, `4.56M`.
pub(crate) fn nanoseconds(ns: u64) -> String {
    match ns {
        0..10_000 => ns.to_string(),
        10_000..1_000_000 => three_digits(ns as f64 / 1e3) + "k",
        1_000_000..1_000_000_000 => three_digits(ns as f64 / 1e6) + "M",
        _ => three_digits(ns as f64 / 1e9) + "G",
    }
}

/// Ratios from here on are told as such, not as differences.
const MANIFOLD: f64 = 4.0;

/// A ratio as a signed difference in percent, `+12.3%`, or as a multiple, `7.85x`.
pub(crate) fn percent(ratio: f64) -> String {
    if ratio >= MANIFOLD {
        return three_digits(ratio) + "x";
    }
    let difference = (ratio - 1.0) * 100.0;
    if difference.abs() >= 9.95 {
        format!("{difference:+.0}%")
    } else {
        format!("{difference:+.1}%")
    }
}

/// Two ratios as signed differences in percent, `-3.1..+2.0`, or as multiples, `3.90..5.12x`.
pub(crate) fn interval(low: f64, high: f64) -> String {
    if high >= MANIFOLD {
        return format!("{}..{}x", three_digits(low), three_digits(high));
    }
    let side = |ratio: f64| percent(ratio).trim_end_matches('%').to_owned();
    format!("{}..{}", side(low), side(high))
}

/// Values as a row of `width` bars, scaled to `top`.
pub(crate) fn sparkline(values: &[u64], width: usize, top: u64) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if values.is_empty() || top == 0 {
        return String::new();
    }
    (0..width)
        .map(|column| {
            let from = column * values.len() / width;
            let to = ((column + 1) * values.len() / width)
                .max(from + 1)
                .min(values.len());
            let highest = values[from.min(values.len() - 1)..to].iter().max().copied();
            let share = highest.unwrap_or(0) as f64 / top as f64;
            BARS[((share * 8.0) as usize).min(7)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(15_571_996), "14.9 MiB");
        assert_eq!(
            [9.5, 12.34, 456.7].map(three_digits),
            ["9.50", "12.3", "457"]
        );
        assert_eq!(
            [87, 12_345, 4_560_000].map(nanoseconds),
            ["87", "12.3k", "4.56M"]
        );
        assert_eq!([1.0, 1.123, 0.5].map(percent), ["+0.0%", "+12%", "-50%"]);
        assert_eq!(interval(0.969, 1.02), "-3.1..+2.0");
        assert_eq!(
            (percent(7.853), interval(3.9, 12.3)),
            ("7.85x".to_owned(), "3.90..12.3x".to_owned())
        );
    }

    #[test]
    fn names_cannot_command_a_terminal() {
        assert_eq!(printable("a\u{1b}[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
        assert_eq!(printable("x\u{202e}y"), "x\u{fffd}y");
        assert_eq!(printable("Grün 漢"), "Grün 漢");
    }

    #[test]
    fn long_lists_are_cut_and_say_so() {
        let names = |count: usize| vec!["n".to_owned(); count];
        assert_eq!(some_of(&names(2)), "n; n");
        assert!(some_of(&names(11)).ends_with("; n; and 3 more"));
    }

    #[test]
    fn sparklines_follow_their_values() {
        assert_eq!(sparkline(&[0, 4, 8], 3, 8), "▁▅█");
        assert_eq!(sparkline(&[1, 1, 1, 8], 2, 8), "▂█");
        assert_eq!(sparkline(&[5], 3, 5), "███");
        assert_eq!(sparkline(&[], 3, 5), "");
    }
}

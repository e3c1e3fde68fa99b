//! Colours that the colour-blind tell apart, on light and on dark ground.

use plotters::style::RGBColor;

/// After Okabe and Ito, "Color universal design" (2008), without black and yellow, and a grey.
const TONES: [(u8, u8, u8); 7] = [
    (0x00, 0x72, 0xB2),
    (0xD5, 0x5E, 0x00),
    (0x00, 0x9E, 0x73),
    (0xCC, 0x79, 0xA7),
    (0xE6, 0x9F, 0x00),
    (0x56, 0xB4, 0xE9),
    (0x8A, 0x8A, 0x8A),
];

/// Text and axes: the page gives it the ground's contrary.
pub(crate) const INK: RGBColor = RGBColor(0, 0, 0);

/// Grid lines.
pub(crate) const LINE: RGBColor = RGBColor(0xD4, 0xD4, 0xD4);

/// The colour of row `at` of a trace.
pub(crate) fn tone(at: usize) -> RGBColor {
    let (r, g, b) = TONES[at % TONES.len()];
    RGBColor(r, g, b)
}

/// Whether the row's marks are hollow, because the colours have come round.
pub(crate) fn is_hollow(at: usize) -> bool {
    at / TONES.len() % 2 == 1
}

/// The colour in a style sheet.
pub(crate) fn css(at: usize) -> String {
    let (r, g, b) = TONES[at % TONES.len()];
    format!("#{r:02X}{g:02X}{b:02X}")
}

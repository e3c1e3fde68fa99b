//! The plots of a report, as SVG text without fonts, scripts or references.

pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod palette;
pub(crate) mod sizes;
pub(crate) mod throughput;

use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend};

/// Width of every plot, in pixels.
const WIDTH: u32 = 800;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Why a plot could not be drawn. The page then has its table alone.
type Undrawn = Box<dyn core::error::Error>;

/// Draws into a string of SVG, for a page that holds it inline.
fn drawn(height: u32, draw: impl FnOnce(&Area<'_>) -> Result<(), Undrawn>) -> Option<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&area).ok()?;
        area.present().ok()?;
    }
    // A name space is needed in files only, and looks like a reference.
    Some(svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1))
}

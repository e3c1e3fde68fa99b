//! Speed against the baseline: a mark and an interval for each target.

use plotters::prelude::{ChartBuilder, Circle, Color, PathElement, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{IntoFont, ShapeStyle, TextStyle};

use super::drawn;
use super::palette::{INK, LINE, is_hollow, tone};
use crate::results::{Row, TraceResult};

/// Height of a row, in pixels.
const ROW: u32 = 26;

/// Median, low and high ratio of a row; the baseline's are of itself. Without an interval all
/// three are the median.
fn ratio(trace: &TraceResult, row: &Row) -> Option<(f64, f64, f64)> {
    row.throughput.as_ref()?;
    let (median, ratio) = match &row.versus {
        Some(versus) => (versus.ratio.median, versus.ratio),
        None if row.target == trace.baseline => (1.0, trace.noise.against_itself),
        None => return None,
    };
    let (low, high) = ratio.interval().unwrap_or((median, median));
    Some((median, low, high))
}

pub(crate) fn svg(trace: &TraceResult) -> Option<String> {
    let rows: Vec<(usize, &Row, (f64, f64, f64))> = trace
        .rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| Some((at, row, ratio(trace, row)?)))
        .collect();
    let count = u32::try_from(rows.len()).ok().filter(|&count| count > 0)?;
    let right = rows.iter().map(|(_, _, r)| r.2).fold(1.0, f64::max) * 1.05;
    drawn(ROW * count + 50, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_left(150)
            .x_label_area_size(30)
            .build_cartesian_2d(0.0..right, f64::from(count) - 0.5..-0.5)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .light_line_style(LINE.mix(0.0))
            .bold_line_style(LINE)
            .axis_style(INK)
            .x_label_formatter(&|ratio| format!("{:.0} %", ratio * 100.0))
            .label_style(("sans-serif", 14))
            .draw()?;
        let bottom = f64::from(count) - 0.5;
        chart.draw_series([PathElement::new(vec![(1.0, -0.5), (1.0, bottom)], INK)])?;
        let names = TextStyle::from(("sans-serif", 15).into_font())
            .color(&INK)
            .pos(Pos::new(HPos::Right, VPos::Center));
        for (place, (at, row, (median, low, high))) in rows.iter().enumerate() {
            let y = place as f64;
            let style = ShapeStyle::from(tone(*at)).stroke_width(3);
            chart.draw_series([PathElement::new(vec![(*low, y), (*high, y)], style)])?;
            let mark = if is_hollow(*at) {
                style
            } else {
                style.filled()
            };
            chart.draw_series([Circle::new((*median, y), 6, mark)])?;
            let (x, y) = chart.backend_coord(&(0.0, y));
            area.draw(&Text::new(row.target.clone(), (x - 8, y), names.clone()))?;
        }
        Ok(())
    })
}

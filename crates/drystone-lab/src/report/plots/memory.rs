//! Memory over the records, of every target, and the recorded live bytes.

use plotters::prelude::{ChartBuilder, Circle, Color, LineSeries};
use plotters::style::ShapeStyle;

use super::drawn;
use super::palette::{INK, LINE, is_hollow, tone};
use crate::results::TraceResult;

const MIB: f64 = (1 << 20) as f64;

/// Samples from one mark of a hollow line to the next.
const MARK_EVERY: usize = 24;

pub(crate) fn svg(trace: &TraceResult) -> Option<String> {
    let lines: Vec<(usize, Vec<(f64, f64)>)> = trace
        .rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| {
            let samples = &row.memory.as_ref()?.samples;
            let point =
                |s: &crate::results::MemoryPoint| (s.record as f64, s.held_bytes as f64 / MIB);
            Some((at, samples.iter().map(point).collect()))
        })
        .collect();
    let live: Vec<(f64, f64)> = trace
        .live_curve
        .live_bytes
        .iter()
        .enumerate()
        .map(|(at, &bytes)| {
            let record = at as f64 * f64::from(trace.live_curve.sample_every_records);
            (record, bytes as f64 / MIB)
        })
        .collect();
    if lines.is_empty() {
        return None;
    }
    let points = || lines.iter().flat_map(|(_, points)| points).chain(&live);
    let right = points().map(|p| p.0).fold(1.0, f64::max);
    let top = points().map(|p| p.1).fold(0.01, f64::max) * 1.05;
    drawn(340, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..right, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(LINE.mix(0.0))
            .bold_line_style(LINE)
            .axis_style(INK)
            .x_desc("record")
            .y_desc("MiB")
            .x_label_formatter(&|record| format!("{record:.0}"))
            .label_style(("sans-serif", 14))
            .draw()?;
        for (at, points) in &lines {
            let style = ShapeStyle::from(tone(*at)).stroke_width(2);
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
            if is_hollow(*at) {
                let marks = points.iter().step_by(MARK_EVERY);
                chart.draw_series(marks.map(|&point| Circle::new(point, 4, style)))?;
            }
        }
        let style = ShapeStyle::from(INK).stroke_width(3);
        chart.draw_series(LineSeries::new(live.iter().copied(), style))?;
        Ok(())
    })
}

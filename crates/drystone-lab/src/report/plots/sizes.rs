//! How often each range of sizes was asked for.

use plotters::prelude::{ChartBuilder, Color, Rectangle};
use plotters::style::ShapeStyle;

use super::drawn;
use super::palette::{INK, LINE, tone};
use crate::report::grids::histogram;
use crate::results::TraceResult;
use crate::text::bytes;

pub(crate) fn svg(trace: &TraceResult) -> Option<String> {
    let buckets = histogram(trace);
    let exponent = |size: u64| size.max(1).ilog2() as i32;
    let (first, last) = (buckets.first()?, buckets.last()?);
    let (left, right) = (
        exponent(first.size_max_bytes),
        exponent(last.size_max_bytes) + 1,
    );
    let top = buckets.iter().map(|bucket| bucket.requests).max()? as f64 * 1.05;
    drawn(260, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(f64::from(left)..f64::from(right), 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(LINE.mix(0.0))
            .bold_line_style(LINE)
            .axis_style(INK)
            .x_desc("size up to")
            .y_desc("requests")
            .x_labels(10)
            .x_label_formatter(&|exponent| bytes(1 << (*exponent as u32).min(62)))
            .y_label_formatter(&|requests| format!("{requests:.0}"))
            .label_style(("sans-serif", 14))
            .draw()?;
        let bars = buckets.iter().map(|bucket| {
            let x = f64::from(exponent(bucket.size_max_bytes));
            let corners = [(x + 0.1, 0.0), (x + 0.9, bucket.requests as f64)];
            Rectangle::new(corners, ShapeStyle::from(tone(0)).filled())
        });
        chart.draw_series(bars)?;
        Ok(())
    })
}

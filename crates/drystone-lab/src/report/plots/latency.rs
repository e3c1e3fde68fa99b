//! Latency by the share of operations that stay within it, on a logarithmic axis.

use plotters::prelude::{ChartBuilder, Circle, Color, IntoLogRange, LineSeries};
use plotters::style::ShapeStyle;

use super::drawn;
use super::palette::{INK, LINE, is_hollow, tone};
use crate::results::TraceResult;

/// Distance from the left: each further nine of the share is as wide as the last.
fn nines(percent: f64) -> f64 {
    -(1.0 - percent / 100.0).log10()
}

/// The share at a distance.
fn share(nines: f64) -> String {
    let percent = 100.0 * (1.0 - 10f64.powf(-nines));
    // A little less: three nines may come as 3.0000000001.
    let digits = ((nines - 0.01).ceil() as usize).saturating_sub(2);
    format!("{percent:.digits$} %")
}

pub(crate) fn svg(trace: &TraceResult) -> Option<String> {
    let lines: Vec<(usize, Vec<(f64, f64)>)> = trace
        .rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| {
            let curve = &row.latency.as_ref()?.curve;
            let point = |&(percent, ns): &(f64, u64)| (nines(percent), ns.max(1) as f64);
            Some((at, curve.iter().map(point).collect()))
        })
        .collect();
    let points = || lines.iter().flat_map(|(_, points)| points);
    let right = points().map(|p| p.0).fold(0.0, f64::max);
    if right == 0.0 {
        return None;
    }
    let bottom = points().map(|p| p.1).fold(f64::INFINITY, f64::min) * 0.8;
    let top = points().map(|p| p.1).fold(0.0, f64::max) * 1.25;
    drawn(320, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(30)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(0.0..right, (bottom..top).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(LINE.mix(0.0))
            .bold_line_style(LINE)
            .axis_style(INK)
            .x_desc("share of operations")
            .y_desc("ns")
            .x_labels(5)
            .x_label_formatter(&|nines| share(*nines))
            .y_label_formatter(&|ns| format!("{ns:.0}"))
            .label_style(("sans-serif", 14))
            .draw()?;
        for (at, points) in &lines {
            let style = ShapeStyle::from(tone(*at)).stroke_width(2);
            let mark = if is_hollow(*at) {
                style
            } else {
                style.filled()
            };
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
            chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, mark)))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_distances_agree() {
        assert_eq!(share(nines(90.0)), "90 %");
        assert_eq!(share(nines(99.0)), "99 %");
        assert_eq!(share(nines(99.9)), "99.9 %");
        assert_eq!(share(nines(99.99)), "99.99 %");
        assert_eq!(share(0.0), "0 %");
    }
}

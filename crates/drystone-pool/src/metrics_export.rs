//! Figures of a pool for whatever recorder the `metrics` facade has.

use metrics::{counter, gauge};

use crate::PoolStats;
use crate::stats::Figure;

impl PoolStats {
    /// Records every figure with the `metrics` facade: `drystone_pool_…` with the label `pool`, and
    /// `drystone_pool_class_…` with the label `size` besides. Call it as often as figures are to be fresh.
    pub fn record_metrics(&self, pool: &str) {
        for figure in self.figures() {
            let labels = [("pool", pool.to_owned())];
            record(format!("drystone_pool_{}", figure.name), &labels, figure);
        }
        for class in &self.classes {
            let labels = [
                ("pool", pool.to_owned()),
                ("size", class.size_bytes.to_string()),
            ];
            for figure in class.figures() {
                record(
                    format!("drystone_pool_class_{}", figure.name),
                    &labels,
                    figure,
                );
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating-point numbers"
)]
fn record(name: String, labels: &[(&'static str, String)], figure: Figure) {
    if figure.is_counter {
        counter!(name, labels).absolute(figure.value);
    } else {
        gauge!(name, labels).set(figure.value as f64);
    }
}

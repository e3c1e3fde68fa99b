//! Figures of a pool for a registry of `prometheus-client`.

use core::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::stats::Figure;
use crate::{BufferPool, ClassStats};

/// Gathers the figures of a pool whenever its registry is encoded: `drystone_pool_…` with the label
/// `pool`, and `drystone_pool_class_…` with the label `size` besides.
///
/// ```
/// use drystone_pool::{BufferPool, BufferPoolConfig, PoolCollector};
/// use prometheus_client::{encoding::text, registry::Registry};
///
/// let pool = BufferPool::new(BufferPoolConfig::for_network())?;
/// let mut registry = Registry::default();
/// registry.register_collector(Box::new(PoolCollector::new("network", pool)));
/// let mut page = String::new();
/// text::encode(&mut page, &registry)?;
/// assert!(page.contains(r#"drystone_pool_class_created{pool="network",size="1024"} 0"#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PoolCollector {
    name: String,
    pool: BufferPool,
}

impl PoolCollector {
    /// The figures of `pool`, under this name.
    pub fn new(name: impl Into<String>, pool: BufferPool) -> Self {
        let name = name.into();
        Self { name, pool }
    }

    /// One figure of every class: all with one descriptor, as the format wants it.
    fn encode_classes(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        classes: &[ClassStats],
        at: usize,
    ) -> fmt::Result {
        let Figure {
            name, is_counter, ..
        } = ClassStats::default().figures()[at];
        let name = format!("drystone_pool_class_{name}");
        let mut metric = encoder.encode_descriptor(&name, HELP, None, kind(is_counter))?;
        for class in classes {
            let labels = [
                ("pool", self.name.clone()),
                ("size", class.size_bytes.to_string()),
            ];
            let value = class.figures()[at].value;
            let mut of_class = metric.encode_family(&labels)?;
            if is_counter {
                of_class.encode_counter::<[(&str, &str); 0], _, u64>(&value, None)?;
            } else {
                of_class.encode_gauge(&value.cast_signed())?;
            }
        }
        Ok(())
    }
}

const HELP: &str = "Figure of a drystone buffer pool";

fn kind(is_counter: bool) -> MetricType {
    if is_counter {
        MetricType::Counter
    } else {
        MetricType::Gauge
    }
}

impl Collector for PoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.pool.stats();
        for figure in stats.figures() {
            let name = format!("drystone_pool_{}", figure.name);
            let kind = kind(figure.is_counter);
            let mut metric = encoder.encode_descriptor(&name, HELP, None, kind)?;
            let labels = [("pool", self.name.as_str())];
            let mut of_pool = metric.encode_family(&labels)?;
            if figure.is_counter {
                of_pool.encode_counter::<[(&str, &str); 0], _, u64>(&figure.value, None)?;
            } else {
                of_pool.encode_gauge(&figure.value.cast_signed())?;
            }
        }
        for at in 0..ClassStats::default().figures().len() {
            self.encode_classes(&mut encoder, &stats.classes, at)?;
        }
        Ok(())
    }
}

//! Statistics as they leave the program: as a table, serialised, and by exporters.

mod pool_kit;

use drystone_pool::BufferPool;
use pool_kit::small;

#[test]
fn the_table_has_a_line_for_each_class_and_each_figure() {
    let pool = BufferPool::new(small(7).with_budget_bytes(4096)).expect("valid");
    let _held = pool.try_alloc(100).expect("room");
    let text = pool.stats().to_string();
    assert_eq!(text.lines().count(), 1 + 5 + 13, "{text}");
    for word in [
        "in_use",
        "exhausted",
        "fallbacks",
        "oversized",
        "pinned_bytes",
        "budget_limit_bytes",
        "4096",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[cfg(feature = "serde")]
#[test]
fn statistics_survive_serialisation() {
    let pool = BufferPool::new(small(7)).expect("valid");
    let _held = pool.try_alloc(100).expect("room");
    let stats = pool.stats();
    let text = serde_json::to_string(&stats).expect("plain data");
    let back: drystone_pool::PoolStats = serde_json::from_str(&text).expect("the same");
    assert_eq!(back, stats);
}

#[cfg(feature = "prometheus")]
#[test]
fn prometheus_sees_every_figure() {
    use drystone_pool::PoolCollector;
    use prometheus_client::{encoding::text, registry::Registry};

    let pool = BufferPool::new(small(7)).expect("valid");
    let _held = pool.try_alloc(100).expect("room");
    assert!(pool.try_alloc(5000).is_err());
    let _untracked = pool.alloc(5000);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(PoolCollector::new("p", pool)));
    let mut page = String::new();
    text::encode(&mut page, &registry).expect("text");
    for line in [
        r#"drystone_pool_class_in_use{pool="p",size="128"} 1"#,
        r#"drystone_pool_class_misses_total{pool="p",size="128"} 1"#,
        r#"drystone_pool_class_pinned_bytes{pool="p",size="128"} 128"#,
        r#"drystone_pool_class_oversized_total{pool="p",size="1024"} 2"#,
        r#"drystone_pool_class_fallbacks_total{pool="p",size="1024"} 1"#,
        r#"drystone_pool_fallbacks_total{pool="p"} 1"#,
        r#"drystone_pool_oversized_total{pool="p"} 2"#,
        r#"drystone_pool_pinned_bytes{pool="p"} 128"#,
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    assert!(page.ends_with("# EOF\n"));
}

#[cfg(feature = "metrics")]
#[test]
fn metrics_see_every_figure() {
    use std::sync::{Arc, Mutex};

    use metrics::{
        Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder,
        SharedString, Unit,
    };

    /// Keeps what is recorded as lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    struct Line(String, Lines);

    impl Line {
        fn add(&self, value: f64) {
            let line = format!("{} {value}", self.0);
            self.1.0.lock().expect("sound").push(line);
        }
    }

    impl CounterFn for Line {
        fn increment(&self, _value: u64) {
            panic!("counters are set to what they are");
        }

        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        fn absolute(&self, value: u64) {
            self.add(value as f64);
        }
    }

    impl GaugeFn for Line {
        fn increment(&self, _value: f64) {
            panic!("gauges are set to what they are");
        }

        fn decrement(&self, _value: f64) {
            panic!("gauges are set to what they are");
        }

        fn set(&self, value: f64) {
            self.add(value);
        }
    }

    impl Lines {
        fn line(&self, key: &Key) -> Arc<Line> {
            let labels: Vec<_> = key
                .labels()
                .map(|l| format!("{}={}", l.key(), l.value()))
                .collect();
            Arc::new(Line(
                format!("{} {}", key.name(), labels.join(",")),
                self.clone(),
            ))
        }
    }

    impl Recorder for Lines {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.line(key))
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.line(key))
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            panic!("the pool has no histograms");
        }
    }

    let pool = BufferPool::new(small(7)).expect("valid");
    let _held = pool.try_alloc(100).expect("room");
    let _untracked = pool.alloc(5000);
    let lines = Lines::default();
    metrics::with_local_recorder(&lines, || pool.stats().record_metrics("p"));
    let lines = lines.0.lock().expect("sound");
    for line in [
        "drystone_pool_class_in_use pool=p,size=128 1",
        "drystone_pool_class_misses pool=p,size=128 1",
        "drystone_pool_class_pinned_bytes pool=p,size=128 128",
        "drystone_pool_class_fallbacks pool=p,size=1024 1",
        "drystone_pool_class_oversized pool=p,size=1024 1",
        "drystone_pool_pinned_bytes pool=p 128",
    ] {
        assert!(lines.iter().any(|known| known == line), "{line}: {lines:?}");
    }
}

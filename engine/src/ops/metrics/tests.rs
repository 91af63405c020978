use super::*;

#[test]
fn the_reasons_table_is_in_the_order_of_the_enum() {
    for (i, reason) in RefusedReason::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, i);
    }
}

#[test]
fn a_send_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
    let lateness = Lateness::default();
    for ms in [0, 1, 2, 3, 100, 101, 5000, 5001, u32::MAX] {
        lateness.record(ms);
    }
    let counts: Vec<u64> = lateness.buckets.iter().map(Counter::get).collect();
    assert_eq!(counts, [2, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 2]);
}

#[test]
fn the_same_label_gives_the_same_counters() {
    let metrics = Metrics::new();
    let a = metrics.point(CoreId(0), "live", Protocol::Wmsp);
    a.bytes.add(5);
    metrics
        .point(CoreId(0), "live", Protocol::Wmsp)
        .bytes
        .add(6);
    metrics
        .point(CoreId(1), "live", Protocol::Wmsp)
        .bytes
        .add(7);
    metrics
        .point(CoreId(0), "live", Protocol::Http)
        .bytes
        .add(8);
    assert_eq!(a.bytes.get(), 11);
    let totals = metrics.point_totals();
    let sums: Vec<(&str, u64)> = totals.iter().map(|t| (t.protocol, t.bytes)).collect();
    assert_eq!(sums, [("http", 8), ("wmsp", 18)]);
    metrics.forget_point("live");
    assert!(metrics.point_totals().is_empty());
}

#[test]
fn labels_are_bounded() {
    let metrics = Metrics::new();
    for i in 0..SERIES_COUNT_MAX + 50 {
        metrics
            .point(CoreId(0), &format!("p{i}"), Protocol::Wmsp)
            .connects
            .inc();
    }
    let totals = metrics.point_totals();
    assert_eq!(totals.len(), SERIES_COUNT_MAX + 1);
    let other = totals.iter().find(|t| t.point == OTHER_POINT);
    assert_eq!(other.map(|t| t.connects), Some(50));
}

#[test]
fn a_core_that_does_not_tick_is_stalled() {
    let metrics = Metrics::new();
    let core = metrics.core(CoreId(3));
    core.beat();
    assert!(metrics.stalled(Duration::from_secs(60)).is_empty());
    // As if the last beat lay at the origin, and the origin in the past.
    core.last_beat_ms.store(0, Relaxed);
    while metrics.origin.elapsed() == Duration::ZERO {}
    let stalled = metrics.stalled(Duration::ZERO);
    assert_eq!(stalled.len(), 1);
    assert_eq!(stalled[0].0, CoreId(3));
}

/// Words of a text that are names of our metrics.
fn metric_names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|w| w.starts_with("ringcast_") || w.starts_with("process_"))
}

#[test]
fn dashboards_and_alerts_ask_for_metrics_that_exist() {
    let metrics = Metrics::new();
    metrics.core(CoreId(0)).bind_thread();
    metrics.point(CoreId(0), "live", Protocol::Wmsp);
    let exposition = metrics.exposition();
    let known: std::collections::HashSet<&str> = exposition
        .lines()
        .filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let mut asked = 0;
    for text in [
        include_str!("../../../../deploy/grafana/ringcast.json"),
        include_str!("../../../../deploy/prometheus/ringcast-alerts.yml"),
        include_str!("../../../../deploy/ringcast.toml"),
    ] {
        for name in metric_names(text) {
            let base = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(known.contains(base), "{name} does not exist");
            asked += 1;
        }
    }
    assert!(asked > 30, "only {asked} names were found");
}

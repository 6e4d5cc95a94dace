use super::*;

#[test]
fn the_text_shows_counts_and_values_read_at_the_scrape() {
    let metrics = Metrics::new();
    metrics.request("DoGet", "OK");
    metrics.request("DoGet", "OK");
    metrics.reject("memory");
    metrics.ingest_rows.inc_by(7);
    metrics.ingest_bytes.inc_by(70);
    metrics.query_seconds.observe(0.5);
    metrics.active_streams.inc();
    metrics.gauge("wal_bytes", "Size of all live log files", || 42);
    metrics.counter("flushed_segments", "Segments written", || 3);
    let text = metrics.text();
    for line in [
        "quiver_requests_total{method=\"DoGet\",code=\"OK\"} 2",
        "quiver_rejected_total{reason=\"memory\"} 1",
        "quiver_ingest_rows_total 7",
        "quiver_ingest_bytes_total 70",
        "quiver_query_seconds_count 1",
        "quiver_active_streams 1",
        "quiver_wal_bytes 42",
        "quiver_flushed_segments_total 3",
        "# EOF",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is missing in\n{text}"
        );
    }
}

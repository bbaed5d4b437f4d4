//! Decodes bytes as OTLP of any sender, in JSON and protobuf: an accepted message can be exposed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use metric::Kind;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use otlp::{Amount, Encoding, Identities, Labels, Point, PointValue, SpanRoutes};
use prost::Message;
use request_counts::LabelSpace;

const SPACE: LabelSpace = LabelSpace {
    max_series: 100,
    max_label_len: 50,
};

fuzz_target!(|body: &[u8]| {
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        if let Ok(decoded) = otlp::decode::<ExportMetricsServiceRequest>(encoding, body) {
            check_metrics(decoded.message);
        }
        if let Ok(decoded) = otlp::decode::<ExportTraceServiceRequest>(encoding, body) {
            check_spans(&decoded.message);
        }
        _ = otlp::decode::<ExportLogsServiceRequest>(encoding, body);
    }
});

fn check_metrics(message: ExportMetricsServiceRequest) {
    let again = otlp::decode(Encoding::Protobuf, &message.encode_to_vec());
    let again = again.expect("an encoded message decodes");
    assert_eq!((again.malformed, again.repaired_strings), (0, 0));
    let read = |message: &ExportMetricsServiceRequest| {
        let (bytes, identities) = (message.encode_to_vec(), Identities::new(100));
        let read = otlp::decode_metrics(Encoding::Protobuf, &bytes, &identities, SPACE);
        read.expect("an encoded message decodes").message
    };
    let (read, read_again) = (read(&message), read(&again.message));
    assert_eq!(read.uncounted, read_again.uncounted);
    assert_eq!(read.points.len(), read_again.points.len());
    for point in &read.points {
        let family = &*point.identity.family;
        assert!(is_name(&family.name), "{point:?}");
        assert!(family.name.len() <= SPACE.max_label_len && !family.help.is_empty());
        check_labels(&point.identity.labels);
        check_value(point, family.kind);
    }
}

fn check_labels(labels: &Labels) {
    assert!(labels.pairs().is_sorted_by(|a, b| a.0 < b.0), "{labels:?}");
    for (name, value) in labels.pairs() {
        assert!(is_name(name) && !value.is_empty(), "{labels:?}");
        assert!(name.len().max(value.len()) <= SPACE.max_label_len);
    }
}

fn check_value(point: &Point, kind: Kind) {
    match &point.value {
        PointValue::Now(_) | PointValue::Level(_) => assert!(matches!(kind, Kind::Gauge | Kind::Untyped)),
        PointValue::End => {}
        PointValue::More(amount) | PointValue::Total(amount) | PointValue::Summary(amount, _) => match amount {
            Amount::Number(number) => {
                assert!(number.is_finite() && (kind != Kind::Counter || *number >= 0.0), "{point:?}");
            }
            Amount::Histogram(buckets) => {
                assert_eq!(buckets.counts.len(), buckets.bounds.len() + 1);
                assert!(buckets.bounds.is_sorted_by(|a, b| a < b));
                let mut twice = (**buckets).clone();
                twice.merge(buckets);
                assert_eq!(twice.count(), buckets.count().saturating_mul(2));
                assert!(buckets.sum.is_none_or(f64::is_finite), "{point:?}");
            }
        },
    }
}

fn check_spans(message: &ExportTraceServiceRequest) {
    let spans = otlp::requests(message, &mut SpanRoutes::default());
    let requests: u64 = spans.requests.values().map(|of| of.requests.requests()).sum();
    let ends: usize = spans.requests.values().map(|of| of.ends_unix_nanos.len()).sum();
    assert_eq!(requests, ends as u64);
    let all = message
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .map(|scope| scope.spans.len() as u64)
        .sum::<u64>();
    assert_eq!(requests + spans.skipped + spans.foreign + spans.rejected, all);
}

/// Returns whether `name` is valid in Prometheus; source: <https://prometheus.io/docs/concepts/data_model/>.
fn is_name(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) && name.chars().all(fits)
}

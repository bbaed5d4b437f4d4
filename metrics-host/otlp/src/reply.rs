//! What a sender is told of a message that was taken.

use super::Encoding;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse},
    metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse},
    trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse},
};
use prost::Message;
use serde::Serialize;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `/v1/metrics`
    Metrics,
    /// `/v1/traces`
    Traces,
    /// `/v1/logs`
    Logs,
}

/// Returns the body of a 200; with `rejected`, how many parts were not taken, and why.
pub fn reply(signal: Signal, encoding: Encoding, rejected: Option<(u64, String)>) -> Vec<u8> {
    let rejected =
        rejected.map(|(count, reason)| (i64::try_from(count).unwrap_or(i64::MAX), reason));
    match signal {
        Signal::Metrics => encode(
            encoding,
            &ExportMetricsServiceResponse {
                partial_success: rejected.map(|(rejected_data_points, error_message)| {
                    ExportMetricsPartialSuccess {
                        rejected_data_points,
                        error_message,
                    }
                }),
            },
        ),
        Signal::Traces => encode(
            encoding,
            &ExportTraceServiceResponse {
                partial_success: rejected.map(|(rejected_spans, error_message)| {
                    ExportTracePartialSuccess {
                        rejected_spans,
                        error_message,
                    }
                }),
            },
        ),
        Signal::Logs => encode(
            encoding,
            &ExportLogsServiceResponse {
                partial_success: rejected.map(|(rejected_log_records, error_message)| {
                    ExportLogsPartialSuccess {
                        rejected_log_records,
                        error_message,
                    }
                }),
            },
        ),
    }
}

fn encode<M: Message + Serialize>(encoding: Encoding, message: &M) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => message.encode_to_vec(),
        Encoding::Json => {
            let json = serde_json::to_value(message).expect("numbers and strings always serialize");
            // What is empty is left out, as the protobuf mapping has it.
            let present = json.as_object().into_iter().flatten();
            let present: serde_json::Map<_, _> = present
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            serde_json::Value::from(present).to_string().into_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_taken_is_an_empty_message() {
        for signal in [Signal::Metrics, Signal::Traces, Signal::Logs] {
            assert_eq!(reply(signal, Encoding::Json, None), b"{}");
            assert_eq!(reply(signal, Encoding::Protobuf, None), b"");
        }
        let some = reply(Signal::Metrics, Encoding::Json, Some((2, "why".into())));
        let some: serde_json::Value = serde_json::from_slice(&some).unwrap();
        assert_eq!(some["partialSuccess"]["errorMessage"], "why");
        assert_eq!(
            some["partialSuccess"]["rejectedDataPoints"]
                .to_string()
                .trim_matches('"'),
            "2"
        );
    }
}

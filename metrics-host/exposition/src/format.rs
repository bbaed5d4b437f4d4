//! Content negotiation of the page.

/// A format of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The Prometheus text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics {
        /// Whether the time is told at which a series began, in samples such as `app_requests_created`. A Prometheus that
        /// does not ask for them would keep each as a series of its own.
        created: bool,
    },
}

impl Format {
    /// Returns the format that a client prefers by its `Accept`. Prometheus also asks for protobuf if it makes use of the
    /// time at which series began (`created-timestamp-zero-ingestion`).
    pub fn of(accept: &str) -> Self {
        let mut text = 0.0f32;
        let mut open_metrics = 0.0f32;
        let mut created = false;
        for offer in accept.split(',') {
            let mut parts = offer.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let mut quality = 1.0;
            let mut version = None;
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name {
                    "q" => quality = value.parse().unwrap_or(0.0),
                    "version" => version = Some(value),
                    _ => {}
                }
            }
            match (&*media, version) {
                ("application/openmetrics-text", None | Some("1.0.0")) => {
                    open_metrics = open_metrics.max(quality);
                }
                ("text/plain", None | Some("0.0.4")) => text = text.max(quality),
                ("application/vnd.google.protobuf", _) => created |= quality > 0.0,
                _ => {}
            }
        }
        if open_metrics > text {
            Self::OpenMetrics { created }
        } else {
            Self::Text
        }
    }

    /// Returns the content type of the page.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => prometheus::TEXT_FORMAT,
            Self::OpenMetrics { .. } => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_what_it_prefers() {
        let plain = Format::OpenMetrics { created: false };
        for (accept, format) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html, */*;q=0.8", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            (
                "application/openmetrics-text;version=1.0.0;q=0",
                Format::Text,
            ),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            (
                "text/plain, application/openmetrics-text;q=0.9",
                Format::Text,
            ),
            ("Application/OpenMetrics-Text", plain),
            // Prometheus 2.42.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                plain,
            ),
            // Prometheus 3.5, without and with `created-timestamp-zero-ingestion`.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                plain,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                 application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2",
                Format::OpenMetrics { created: true },
            ),
        ] {
            assert_eq!(Format::of(accept), format, "{accept}");
        }
    }
}

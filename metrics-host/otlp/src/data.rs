//! The values of data points.

use super::{
    Buckets,
    attribute::text,
    buckets::Zero,
    decode::wire::{self, Raw},
    name::Suffix,
    point::{Amount, PointValue},
};
use metric::Kind;
use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, ExponentialHistogramDataPoint, HistogramDataPoint, SummaryDataPoint,
    },
};
use prost::Message;

/// The type of a metric's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    Gauge,
    Sum(AggregationTemporality, bool),
    Histogram(AggregationTemporality),
    ExponentialHistogram(AggregationTemporality),
    Summary,
}

/// A data point without its attributes.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) start_unix_nanos: u64,
    pub(super) time_unix_nanos: u64,
    pub(super) flags: u32,
    /// `None` if it is not valid.
    pub(super) value: Option<PointValue>,
}

macro_rules! measured {
    ($point:expr, $value:expr) => {
        Measured {
            start_unix_nanos: $point.start_time_unix_nano,
            time_unix_nanos: $point.time_unix_nano,
            flags: $point.flags,
            value: $value,
        }
    };
}
impl Data {
    /// Returns the type of the data in a metric's field `number`; `None` if it is another field.
    pub(super) fn of(number: u32, temporality: i32, is_monotonic: bool) -> Option<Self> {
        let temporality = AggregationTemporality::try_from(temporality);
        let temporality = temporality.unwrap_or(AggregationTemporality::Unspecified);
        Some(match number {
            5 => Self::Gauge,
            7 => Self::Sum(temporality, is_monotonic),
            9 => Self::Histogram(temporality),
            10 => Self::ExponentialHistogram(temporality),
            11 => Self::Summary,
            _ => return None,
        })
    }

    /// Returns whether the temporality is missing.
    pub(super) fn is_unspecified(self) -> bool {
        let unspecified = AggregationTemporality::Unspecified;
        match self {
            Self::Gauge | Self::Summary => false,
            Self::Sum(temporality, _)
            | Self::Histogram(temporality)
            | Self::ExponentialHistogram(temporality) => temporality == unspecified,
        }
    }

    /// Returns the Prometheus type, the suffix of the name, and the word for this type in a stream's identity.
    pub(super) fn kind(self, metadata: &[KeyValue]) -> (Kind, Suffix, &'static str) {
        use AggregationTemporality::Delta;
        match self {
            Self::Gauge => {
                let (kind, suffix) = gauge_kind(metadata);
                (kind, suffix, "gauge")
            }
            Self::Sum(Delta, true) => (Kind::Counter, Suffix::Counter, "delta"),
            Self::Sum(_, true) => (Kind::Counter, Suffix::Counter, "total"),
            Self::Sum(Delta, false) => (gauge_kind(metadata).0, Suffix::None, "level delta"),
            Self::Sum(_, false) => (gauge_kind(metadata).0, Suffix::None, "level"),
            Self::Histogram(Delta) | Self::ExponentialHistogram(Delta) => {
                (Kind::Histogram, Suffix::None, "histogram delta")
            }
            Self::Histogram(_) | Self::ExponentialHistogram(_) => {
                (Kind::Histogram, Suffix::None, "histogram")
            }
            Self::Summary => (Kind::Summary, Suffix::None, "summary"),
        }
    }

    /// Reads a point and finds the bytes of its attributes; `None` if it is not protobuf.
    pub(super) fn measured<'a>(
        self,
        point: &'a [u8],
        attributes: &mut Vec<&'a [u8]>,
    ) -> Option<Measured> {
        attributes.clear();
        let value = match self {
            Self::Gauge | Self::Sum(..) => return self.number(point, attributes),
            Self::Histogram(temporality) => {
                find_attributes(9, point, attributes)?;
                let point = HistogramDataPoint::decode(point).ok()?;
                let value = explicit(&point).map(|amount| amount_of(temporality, amount));
                measured!(point, value)
            }
            Self::ExponentialHistogram(temporality) => {
                find_attributes(1, point, attributes)?;
                let point = ExponentialHistogramDataPoint::decode(point).ok()?;
                let value = exponential(&point).map(|amount| amount_of(temporality, amount));
                measured!(point, value)
            }
            Self::Summary => {
                find_attributes(7, point, attributes)?;
                let point = SummaryDataPoint::decode(point).ok()?;
                measured!(point, quantiles(&point))
            }
        };
        Some(value)
    }

    /// Reads a point of a sum or a gauge.
    fn number<'a>(self, mut bytes: &'a [u8], attributes: &mut Vec<&'a [u8]>) -> Option<Measured> {
        let mut measured = Measured {
            start_unix_nanos: 0,
            time_unix_nanos: 0,
            flags: 0,
            value: None,
        };
        let mut number = None;
        while !bytes.is_empty() {
            match wire::field(&mut bytes)? {
                (2, Raw::SixtyFourBits(nanos)) => measured.start_unix_nanos = nanos,
                (3, Raw::SixtyFourBits(nanos)) => measured.time_unix_nanos = nanos,
                (4, Raw::SixtyFourBits(bits)) => number = Some(f64::from_bits(bits)),
                (6, Raw::SixtyFourBits(bits)) => number = Some(bits.cast_signed() as f64),
                // As prost reads it.
                (8, Raw::Varint(flags)) => measured.flags = flags as u32,
                (7, Raw::Bytes(attribute)) => attributes.push(attribute),
                // Exemplars are not shown.
                (5, Raw::Bytes(_)) => {}
                (2..=8, _) => return None,
                _ => {}
            }
        }
        measured.value = number.and_then(|number| self.of_number(number));
        Some(measured)
    }

    fn of_number(self, number: f64) -> Option<PointValue> {
        use AggregationTemporality::Delta;
        let (value, is_valid): (fn(f64) -> PointValue, bool) = match self {
            Self::Gauge => (PointValue::Now, true),
            Self::Sum(Delta, is_monotonic) => (
                |number| PointValue::More(Amount::Number(number)),
                number.is_finite() && (!is_monotonic || number >= 0.0),
            ),
            Self::Sum(_, true) => (
                |number| PointValue::Total(Amount::Number(number)),
                number.is_finite() && number >= 0.0,
            ),
            Self::Sum(_, false) => (PointValue::Level, true),
            Self::Histogram(_) | Self::ExponentialHistogram(_) | Self::Summary => return None,
        };
        is_valid.then(|| value(number))
    }
}

/// Finds the attributes of a point in the field `number`.
fn find_attributes<'a>(
    number: u32,
    mut bytes: &'a [u8],
    attributes: &mut Vec<&'a [u8]>,
) -> Option<()> {
    while !bytes.is_empty() {
        if let (found, Raw::Bytes(attribute)) = wire::field(&mut bytes)?
            && found == number
        {
            attributes.push(attribute);
        }
    }
    Some(())
}

fn amount_of(temporality: AggregationTemporality, amount: Amount) -> PointValue {
    match temporality {
        AggregationTemporality::Delta => PointValue::More(amount),
        _ => PointValue::Total(amount),
    }
}

/// Returns type and suffix of a gauge, which may have been something else in Prometheus.
fn gauge_kind(metadata: &[KeyValue]) -> (Kind, Suffix) {
    let is_original = |key: &&KeyValue| key.key == "prometheus.type";
    let original = metadata.iter().find(is_original);
    match &*text(original.and_then(|original| original.value.as_ref())) {
        "unknown" => (Kind::Untyped, Suffix::Gauge),
        "info" => (Kind::Gauge, Suffix::Info),
        _ => (Kind::Gauge, Suffix::Gauge),
    }
}

fn explicit(point: &HistogramDataPoint) -> Option<Amount> {
    let (bounds, counts) = match &*point.bucket_counts {
        // No buckets means a single one without a bound.
        [] => (vec![], vec![point.count]),
        counts => (point.explicit_bounds.clone(), counts.to_vec()),
    };
    let buckets = Buckets::new(bounds, counts, point.sum)?;
    (buckets.count() == point.count).then_some(Amount::Histogram(buckets.into()))
}

fn exponential(point: &ExponentialHistogramDataPoint) -> Option<Amount> {
    let (positive, negative) = (point.positive.as_ref(), point.negative.as_ref());
    let negative = negative.map_or(&[][..], |buckets| &buckets.bucket_counts);
    let buckets = Buckets::exponential(
        point.scale,
        positive.map_or(0, |buckets| buckets.offset),
        positive.map_or(&[][..], |buckets| &buckets.bucket_counts),
        negative
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count)),
        Zero {
            count: point.zero_count,
            threshold: point.zero_threshold,
        },
        point.sum,
    )?;
    (buckets.count() == point.count).then_some(Amount::Histogram(buckets.into()))
}

fn quantiles(point: &SummaryDataPoint) -> Option<PointValue> {
    let quantiles = point.quantile_values.iter();
    let mut quantiles: Vec<_> = quantiles.map(|at| (at.quantile, at.value)).collect();
    quantiles.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let are_valid = quantiles.iter().all(|(at, _)| (0.0..=1.0).contains(at))
        && quantiles.is_sorted_by(|a, b| a.0 < b.0);
    let total = Buckets::new(vec![], vec![point.count], Some(point.sum))?;
    are_valid.then_some(PointValue::Summary(
        Amount::Histogram(total.into()),
        quantiles,
    ))
}

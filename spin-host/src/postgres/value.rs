//! Values of guests and values of PostgreSQL.

mod sql;

use super::api::{Column, DbDataType, DbValue, ParameterValue, RangeBoundKind};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
use postgres_range::{BoundSided, BoundType, Normalizable, Range, RangeBound};
use rust_decimal::Decimal;
use sql::{AnyNull, Interval, Json, RangeDecimal, Raw};
use tokio_postgres::{
    Row,
    types::{FromSql, ToSql, Type},
};
use uuid::Uuid;

pub(super) type Parameter = Box<dyn ToSql + Send + Sync>;
type Bound<T> = Option<(T, RangeBoundKind)>;

/// Translates the parameters of a statement.
///
/// # Errors
/// Fails if a value cannot be one of PostgreSQL, such as a date that does not exist.
pub(super) fn parameters(values: &[ParameterValue]) -> Result<Vec<Parameter>, String> {
    values.iter().map(parameter).collect()
}

/// Returns the name and the type of a column.
pub(super) fn column(column: &tokio_postgres::Column) -> Column {
    Column {
        name: column.name().to_owned(),
        data_type: data_type(column.type_()),
    }
}

/// Translates the values of a row.
///
/// # Errors
/// Fails if the guest has no such value, such as a date before its calendar.
pub(super) fn row(row: &Row) -> Result<Vec<DbValue>, String> {
    (0..row.len()).map(|column| value(row, column)).collect()
}

/// Returns the memory that the values of a row take.
pub(super) fn size(row: &[DbValue]) -> usize {
    let texts = |texts: &[Option<String>]| -> usize {
        let content = |text: &Option<String>| {
            size_of::<Option<String>>() + text.as_ref().map_or(0, String::len)
        };
        texts.iter().map(content).sum()
    };
    let content = |value: &DbValue| match value {
        DbValue::Str(text) | DbValue::Uuid(text) | DbValue::Decimal(text) => text.len(),
        DbValue::Binary(bytes) | DbValue::Jsonb(bytes) | DbValue::Unsupported(bytes) => bytes.len(),
        DbValue::ArrayInt32(values) => size_of_val(values.as_slice()),
        DbValue::ArrayInt64(values) => size_of_val(values.as_slice()),
        DbValue::ArrayDecimal(values) | DbValue::ArrayStr(values) => texts(values),
        _ => 0,
    };
    size_of_val(row) + row.iter().map(content).sum::<usize>()
}

fn data_type(sql: &Type) -> DbDataType {
    match *sql {
        Type::BOOL => DbDataType::Boolean,
        Type::INT2 => DbDataType::Int16,
        Type::INT4 => DbDataType::Int32,
        Type::INT8 => DbDataType::Int64,
        Type::FLOAT4 => DbDataType::Floating32,
        Type::FLOAT8 => DbDataType::Floating64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => DbDataType::Str,
        Type::BYTEA => DbDataType::Binary,
        Type::DATE => DbDataType::Date,
        Type::TIME => DbDataType::Time,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DbDataType::Datetime,
        Type::UUID => DbDataType::Uuid,
        Type::JSONB => DbDataType::Jsonb,
        Type::NUMERIC => DbDataType::Decimal,
        Type::INT4_RANGE => DbDataType::RangeInt32,
        Type::INT8_RANGE => DbDataType::RangeInt64,
        Type::NUM_RANGE => DbDataType::RangeDecimal,
        Type::INT4_ARRAY => DbDataType::ArrayInt32,
        Type::INT8_ARRAY => DbDataType::ArrayInt64,
        Type::NUMERIC_ARRAY => DbDataType::ArrayDecimal,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => DbDataType::ArrayStr,
        Type::INTERVAL => DbDataType::Interval,
        _ => DbDataType::Other(sql.name().to_owned()),
    }
}

fn value(row: &Row, column: usize) -> Result<DbValue, String> {
    let read = Reader { row, column };
    match data_type(row.columns()[column].type_()) {
        DbDataType::Boolean => read.plain(DbValue::Boolean),
        DbDataType::Int16 => read.plain(DbValue::Int16),
        DbDataType::Int32 => read.plain(DbValue::Int32),
        DbDataType::Int64 => read.plain(DbValue::Int64),
        DbDataType::Floating32 => read.plain(DbValue::Floating32),
        DbDataType::Floating64 => read.plain(DbValue::Floating64),
        DbDataType::Str => read.plain(DbValue::Str),
        DbDataType::Binary => read.plain(DbValue::Binary),
        DbDataType::Date => read.plain(|date| DbValue::Date(date_parts(date))),
        DbDataType::Time => read.plain(|time| DbValue::Time(time_parts(time))),
        DbDataType::Datetime if *row.columns()[column].type_() == Type::TIMESTAMPTZ => {
            read.plain(|time: DateTime<Utc>| datetime(time.naive_utc()))
        }
        DbDataType::Datetime => read.plain(datetime),
        DbDataType::Uuid => read.plain(|uuid: Uuid| DbValue::Uuid(uuid.to_string())),
        DbDataType::Jsonb => read.plain(|Json(json)| DbValue::Jsonb(json)),
        DbDataType::Decimal => read.plain(|value: Decimal| DbValue::Decimal(value.to_string())),
        DbDataType::RangeInt32 => {
            read.plain(|range| DbValue::RangeInt32(bounds(&range, |value| *value)))
        }
        DbDataType::RangeInt64 => {
            read.plain(|range| DbValue::RangeInt64(bounds(&range, |value| *value)))
        }
        DbDataType::RangeDecimal => read.plain(|range| {
            let text = |RangeDecimal(value): &RangeDecimal| value.to_string();
            DbValue::RangeDecimal(bounds(&range, text))
        }),
        DbDataType::ArrayInt32 => read.plain(DbValue::ArrayInt32),
        DbDataType::ArrayInt64 => read.plain(DbValue::ArrayInt64),
        DbDataType::ArrayDecimal => read.plain(|values: Vec<Option<Decimal>>| {
            let text = |value: Option<Decimal>| Some(value?.to_string());
            DbValue::ArrayDecimal(values.into_iter().map(text).collect())
        }),
        DbDataType::ArrayStr => read.plain(DbValue::ArrayStr),
        DbDataType::Interval => read.plain(|Interval(interval)| DbValue::Interval(interval)),
        DbDataType::Int8 | DbDataType::Timestamp | DbDataType::Other(_) => {
            read.plain(|Raw(bytes)| DbValue::Unsupported(bytes))
        }
    }
}

struct Reader<'a> {
    row: &'a Row,
    column: usize,
}

impl<'a> Reader<'a> {
    fn plain<T: FromSql<'a>>(&self, value: impl Fn(T) -> DbValue) -> Result<DbValue, String> {
        let read: Result<Option<T>, _> = self.row.try_get(self.column);
        let read = read.map_err(|error| format!("{error:?}"))?;
        Ok(read.map_or(DbValue::DbNull, value))
    }
}

fn parameter(value: &ParameterValue) -> Result<Parameter, String> {
    Ok(match value {
        ParameterValue::Boolean(value) => Box::new(*value),
        ParameterValue::Int8(value) => Box::new(*value),
        ParameterValue::Int16(value) => Box::new(*value),
        ParameterValue::Int32(value) => Box::new(*value),
        ParameterValue::Int64(value) => Box::new(*value),
        ParameterValue::Floating32(value) => Box::new(*value),
        ParameterValue::Floating64(value) => Box::new(*value),
        ParameterValue::Str(text) => Box::new(text.clone()),
        ParameterValue::Binary(bytes) => Box::new(bytes.clone()),
        ParameterValue::Date(parts) => Box::new(date(*parts)?),
        ParameterValue::Time(parts) => Box::new(time(*parts)?),
        ParameterValue::Datetime((year, month, day, hour, minute, second, nanosecond)) => {
            let date = date((*year, *month, *day))?;
            let time = time((*hour, *minute, *second, *nanosecond))?;
            Box::new(NaiveDateTime::new(date, time))
        }
        ParameterValue::Timestamp(seconds) => {
            let time = DateTime::<Utc>::from_timestamp(*seconds, 0);
            Box::new(time.ok_or_else(|| format!("invalid epoch timestamp {seconds}"))?)
        }
        ParameterValue::Uuid(text) => Box::new(
            Uuid::parse_str(text).map_err(|error| format!("invalid UUID {text}: {error}"))?,
        ),
        ParameterValue::Jsonb(bytes) => Box::new(Json::parse(bytes)?),
        ParameterValue::Decimal(text) => Box::new(decimal(text)?),
        ParameterValue::RangeInt32((lower, upper)) => {
            Box::new(Range::new(lower.map(bound), upper.map(bound)))
        }
        ParameterValue::RangeInt64((lower, upper)) => {
            Box::new(Range::new(lower.map(bound), upper.map(bound)))
        }
        ParameterValue::RangeDecimal((lower, upper)) => {
            Box::new(Range::new(decimal_bound(lower)?, decimal_bound(upper)?))
        }
        ParameterValue::ArrayInt32(values) => Box::new(values.clone()),
        ParameterValue::ArrayInt64(values) => Box::new(values.clone()),
        ParameterValue::ArrayDecimal(values) => {
            let values = values.iter();
            let decimals = values.map(|value| value.as_deref().map(decimal).transpose());
            Box::new(decimals.collect::<Result<Vec<_>, _>>()?)
        }
        ParameterValue::ArrayStr(values) => Box::new(values.clone()),
        ParameterValue::Interval(interval) => Box::new(Interval(*interval)),
        ParameterValue::DbNull => Box::new(AnyNull),
    })
}

fn date((year, month, day): (i32, u8, u8)) -> Result<NaiveDate, String> {
    NaiveDate::from_ymd_opt(year, month.into(), day.into())
        .ok_or_else(|| format!("invalid date y={year}, m={month}, d={day}"))
}

fn time((hour, minute, second, nanosecond): (u8, u8, u8, u32)) -> Result<NaiveTime, String> {
    NaiveTime::from_hms_nano_opt(hour.into(), minute.into(), second.into(), nanosecond)
        .ok_or_else(|| format!("invalid time {hour}:{minute}:{second}:{nanosecond}"))
}

fn decimal(text: &str) -> Result<Decimal, String> {
    Decimal::from_str_exact(text).map_err(|error| format!("invalid decimal {text}: {error}"))
}

/// The parts of a date or a time fit: chrono has no month 256.
fn small(part: u32) -> u8 {
    u8::try_from(part).unwrap_or(u8::MAX)
}

fn date_parts(date: NaiveDate) -> (i32, u8, u8) {
    (date.year(), small(date.month()), small(date.day()))
}

fn time_parts(time: NaiveTime) -> (u8, u8, u8, u32) {
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    (small(hour), small(minute), small(second), time.nanosecond())
}

fn datetime(value: NaiveDateTime) -> DbValue {
    let (year, month, day) = date_parts(value.date());
    let (hour, minute, second, nanosecond) = time_parts(value.time());
    DbValue::Datetime((year, month, day, hour, minute, second, nanosecond))
}

/// Returns the bounds of a range. An empty one has none, as under Spin.
fn bounds<T: Normalizable + PartialOrd, U>(
    range: &Range<T>,
    value: impl Fn(&T) -> U,
) -> (Bound<U>, Bound<U>) {
    let lower = range.lower();
    let upper = range.upper();
    (
        lower.map(|bound| (value(&bound.value), kind(bound.type_))),
        upper.map(|bound| (value(&bound.value), kind(bound.type_))),
    )
}

fn kind(bound: BoundType) -> RangeBoundKind {
    match bound {
        BoundType::Inclusive => RangeBoundKind::Inclusive,
        BoundType::Exclusive => RangeBoundKind::Exclusive,
    }
}

fn bound<S: BoundSided, T: PartialOrd>((value, kind): (T, RangeBoundKind)) -> RangeBound<S, T> {
    let kind = match kind {
        RangeBoundKind::Inclusive => BoundType::Inclusive,
        RangeBoundKind::Exclusive => BoundType::Exclusive,
    };
    RangeBound::new(value, kind)
}

fn decimal_bound<S: BoundSided>(
    given: &Bound<String>,
) -> Result<Option<RangeBound<S, RangeDecimal>>, String> {
    let Some((text, kind)) = given else {
        return Ok(None);
    };
    Ok(Some(bound((RangeDecimal(decimal(text)?), *kind))))
}

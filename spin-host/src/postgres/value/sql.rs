//! Types of PostgreSQL that the client does not have, or not in the form that guests have them.

use crate::bindings::spin::postgres4_2_0::postgres as api;
use bytes::{Buf, BufMut, BytesMut};
use postgres_range::{BoundSided, Normalizable, RangeBound};
use rust_decimal::Decimal;
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

type SqlError = Box<dyn Error + Sync + Send>;

/// A value of any other type, as the server sends it.
#[derive(Debug)]
pub(super) struct Raw(pub Vec<u8>);

/// NULL for a parameter of any type.
#[derive(Debug)]
pub(super) struct AnyNull;

/// JSON without white space.
#[derive(Debug)]
pub(super) struct Json(pub Vec<u8>);

/// A span of time.
#[derive(Debug)]
pub(super) struct Interval(pub api::Interval);

/// A decimal number as the bound of a range.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct RangeDecimal(pub Decimal);

/// The version of JSONB's format, before the text.
const JSONB_VERSION: u8 = 1;

impl FromSql<'_> for Raw {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, SqlError> {
        Ok(Self(raw.to_owned()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for AnyNull {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, SqlError> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl Json {
    /// Checks the syntax of a guest's JSON.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let parsed: serde_json::Value = serde_json::from_slice(json)
            .map_err(|error| format!("invalid JSON {}: {error}", String::from_utf8_lossy(json)))?;
        Ok(Self(parsed.to_string().into_bytes()))
    }
}

impl FromSql<'_> for Json {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, SqlError> {
        match raw.split_first() {
            Some((&JSONB_VERSION, json)) => Ok(Self::parse(json)?),
            _ => Err("unsupported version of JSONB".into()),
        }
    }

    fn accepts(sql: &Type) -> bool {
        *sql == Type::JSONB
    }
}

impl ToSql for Json {
    fn to_sql(&self, sql: &Type, out: &mut BytesMut) -> Result<IsNull, SqlError> {
        if *sql == Type::JSONB {
            out.put_u8(JSONB_VERSION);
        }
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(sql: &Type) -> bool {
        matches!(*sql, Type::JSON | Type::JSONB)
    }

    to_sql_checked!();
}

impl FromSql<'_> for Interval {
    fn from_sql(_: &Type, mut raw: &[u8]) -> Result<Self, SqlError> {
        Ok(Self(api::Interval {
            micros: raw.try_get_i64()?,
            days: raw.try_get_i32()?,
            months: raw.try_get_i32()?,
        }))
    }

    fn accepts(sql: &Type) -> bool {
        *sql == Type::INTERVAL
    }
}

impl ToSql for Interval {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, SqlError> {
        out.put_i64(self.0.micros);
        out.put_i32(self.0.days);
        out.put_i32(self.0.months);
        Ok(IsNull::No)
    }

    fn accepts(sql: &Type) -> bool {
        *sql == Type::INTERVAL
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for RangeDecimal {
    fn from_sql(sql: &Type, raw: &'a [u8]) -> Result<Self, SqlError> {
        Decimal::from_sql(sql, raw).map(Self)
    }

    fn accepts(sql: &Type) -> bool {
        <Decimal as FromSql>::accepts(sql)
    }
}

impl ToSql for RangeDecimal {
    fn to_sql(&self, sql: &Type, out: &mut BytesMut) -> Result<IsNull, SqlError> {
        self.0.to_sql(sql, out)
    }

    fn accepts(sql: &Type) -> bool {
        <Decimal as ToSql>::accepts(sql)
    }

    to_sql_checked!();
}

impl Normalizable for RangeDecimal {
    /// There is no next decimal number, so a bound stays as it is.
    fn normalize<S: BoundSided>(bound: RangeBound<S, Self>) -> RangeBound<S, Self> {
        bound
    }
}

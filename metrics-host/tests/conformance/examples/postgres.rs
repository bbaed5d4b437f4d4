//! Values of PostgreSQL: as the server writes them, and as a parameter carries them.

#![cfg(target_arch = "wasm32")]

use conformance_component::{
    Failure,
    bindings::spin::postgres::postgres::{
        Connection, DbValue, Error, Interval, ParameterValue, QueryError, RangeBoundKind,
    },
    ensure, header,
};
use wasip2::http::types::IncomingRequest;

conformance_component::case!(handle);

fn handle(request: &IncomingRequest) -> Result<(), Failure> {
    let database = Connection::open(&header(request, "address")?)?;
    for (kind, literal, value) in values() {
        database.execute("DROP TABLE IF EXISTS conformance", &[])?;
        let table = format!("CREATE TABLE conformance (id serial, value {kind})");
        database.execute(&table, &[])?;
        let insert = format!("INSERT INTO conformance (value) VALUES ({literal})");
        ensure!(database.execute(&insert, &[])? == 1);
        let insert = "INSERT INTO conformance (value) VALUES ($1)";
        ensure!(database.execute(insert, &[parameter(&value)])? == 1);
        let found = database.query("SELECT id, value FROM conformance ORDER BY id", &[])?;
        ensure!(found.columns.len() == 2 && found.columns[1].name == "value");
        for (row, id) in found.rows.into_iter().zip(1..) {
            let read = [DbValue::Int32(id), value.clone()];
            if row.iter().map(plain).ne(read.iter().map(plain)) {
                return Err(format!("{kind}: {row:?} and not {read:?}").into());
            }
        }
    }
    ensure!(session(&database)? == session(&database)?);
    // Spin 4.1 does not return from a query without rows, so this one has a row in either case.
    let contained = "SELECT $1::int4 <@ int4range(10, 20)";
    for (number, within) in [(10, true), (20, false)] {
        let found = database.query(contained, &[ParameterValue::Int32(number)])?;
        ensure!(found.rows == [[DbValue::Boolean(within)]]);
    }
    let missing = database.query("SELECT * FROM nowhere", &[]);
    ensure!(matches!(
        missing,
        Err(Error::QueryFailed(QueryError::DbError(error))) if error.code == "42P01"
    ));
    Ok(())
}

/// Returns kinds of columns, each with a literal and the value that it is.
fn values() -> Vec<(&'static str, &'static str, DbValue)> {
    let text = |text: &str| DbValue::Str(text.into());
    let decimal = |text: &str| text.to_owned();
    let inclusive = |bound| Some((bound, RangeBoundKind::Inclusive));
    vec![
        ("bool", "true", DbValue::Boolean(true)),
        ("smallint", "-13", DbValue::Int16(-13)),
        ("int2", "14", DbValue::Int16(14)),
        ("int", "-2000000000", DbValue::Int32(-2_000_000_000)),
        (
            "int8",
            "9000000000000000000",
            DbValue::Int64(9_000_000_000_000_000_000),
        ),
        ("real", "0.5", DbValue::Floating32(0.5)),
        ("double precision", "20.3", DbValue::Floating64(20.3)),
        (
            "numeric",
            "123456789.123456789",
            DbValue::Decimal("123456789.123456789".into()),
        ),
        ("varchar(40)", "'some text'", text("some text")),
        ("text", "'größer'", text("größer")),
        // Padded to the width of the column.
        ("char(6)", "'four'", text("four  ")),
        ("bytea", "'\\x00ff'", DbValue::Binary(vec![0, 255])),
        ("date", "'2525-12-25'", DbValue::Date((2525, 12, 25))),
        (
            "time",
            "'04:05:06.789'",
            DbValue::Time((4, 5, 6, 789_000_000)),
        ),
        (
            "timestamp",
            "'1989-11-24 01:02:03'",
            DbValue::Datetime((1989, 11, 24, 1, 2, 3, 0)),
        ),
        (
            "interval",
            "'1 year 2 months 3 days 6.5 seconds'",
            DbValue::Interval(Interval {
                micros: 6_500_000,
                days: 3,
                months: 14,
            }),
        ),
        (
            "jsonb",
            "'{\"a\": [1, null]}'",
            DbValue::Jsonb(br#"{"a":[1,null]}"#.to_vec()),
        ),
        (
            "uuid",
            "'12345678-1234-1234-1234-123456789abc'",
            DbValue::Uuid("12345678-1234-1234-1234-123456789abc".into()),
        ),
        ("varchar(5)", "NULL", DbValue::DbNull),
        // The server makes discrete ranges inclusive below and exclusive above.
        (
            "int4range",
            "'(1, 40]'",
            DbValue::RangeInt32((inclusive(2), Some((41, RangeBoundKind::Exclusive)))),
        ),
        (
            "int8range",
            "'[123456789012,)'",
            DbValue::RangeInt64((Some((123_456_789_012, RangeBoundKind::Inclusive)), None)),
        ),
        (
            "numrange",
            "'(,100.5]'",
            DbValue::RangeDecimal((None, Some((decimal("100.5"), RangeBoundKind::Inclusive)))),
        ),
        (
            "int4[]",
            "'{1,NULL,3}'",
            DbValue::ArrayInt32(vec![Some(1), None, Some(3)]),
        ),
        (
            "int8[]",
            "'{123456789012}'",
            DbValue::ArrayInt64(vec![Some(123_456_789_012)]),
        ),
        (
            "numeric[]",
            "'{1.234,NULL}'",
            DbValue::ArrayDecimal(vec![Some(decimal("1.234")), None]),
        ),
        (
            "text[]",
            "'{one,NULL,\"three, four\"}'",
            DbValue::ArrayStr(vec![Some("one".into()), None, Some("three, four".into())]),
        ),
    ]
}

fn parameter(value: &DbValue) -> ParameterValue {
    match value.clone() {
        DbValue::Boolean(value) => ParameterValue::Boolean(value),
        DbValue::Int8(value) => ParameterValue::Int8(value),
        DbValue::Int16(value) => ParameterValue::Int16(value),
        DbValue::Int32(value) => ParameterValue::Int32(value),
        DbValue::Int64(value) => ParameterValue::Int64(value),
        DbValue::Floating32(value) => ParameterValue::Floating32(value),
        DbValue::Floating64(value) => ParameterValue::Floating64(value),
        DbValue::Str(value) => ParameterValue::Str(value),
        DbValue::Binary(value) => ParameterValue::Binary(value),
        DbValue::Date(value) => ParameterValue::Date(value),
        DbValue::Time(value) => ParameterValue::Time(value),
        DbValue::Datetime(value) => ParameterValue::Datetime(value),
        DbValue::Timestamp(value) => ParameterValue::Timestamp(value),
        DbValue::Uuid(value) => ParameterValue::Uuid(value),
        DbValue::Jsonb(value) => ParameterValue::Jsonb(value),
        DbValue::Decimal(value) => ParameterValue::Decimal(value),
        DbValue::RangeInt32(value) => ParameterValue::RangeInt32(value),
        DbValue::RangeInt64(value) => ParameterValue::RangeInt64(value),
        DbValue::RangeDecimal(value) => ParameterValue::RangeDecimal(value),
        DbValue::ArrayInt32(value) => ParameterValue::ArrayInt32(value),
        DbValue::ArrayInt64(value) => ParameterValue::ArrayInt64(value),
        DbValue::ArrayDecimal(value) => ParameterValue::ArrayDecimal(value),
        DbValue::ArrayStr(value) => ParameterValue::ArrayStr(value),
        DbValue::Interval(value) => ParameterValue::Interval(value),
        DbValue::DbNull | DbValue::Unsupported(_) => ParameterValue::DbNull,
    }
}

/// Returns the value without the spaces that JSON may have.
fn plain(value: &DbValue) -> DbValue {
    let DbValue::Jsonb(text) = value else {
        return value.clone();
    };
    let words = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    DbValue::Jsonb(words.copied().collect())
}

/// Returns the number of the server's process for this connection.
fn session(database: &Connection) -> Result<DbValue, Failure> {
    let found = database.query("SELECT pg_backend_pid()", &[])?;
    Ok(found.rows[0][0].clone())
}

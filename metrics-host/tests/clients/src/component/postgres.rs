//! Statements, values of all types, and errors.

use super::wit::{
    fermyon::{
        spin::{postgres as postgres1, rdbms_types as v1},
        spin2_0_0::{postgres as postgres2, rdbms_types as v2},
    },
    spin::{postgres3_0_0::postgres as v3, postgres4_2_0::postgres as v4},
};
use std::str::Lines;

/// Statements without rows, one of which fails in each of several ways.
const STATEMENTS: &[&str] = &[
    "CREATE TEMPORARY TABLE clients (id int primary key, name text)",
    "INSERT INTO clients VALUES (1, 'a'), (2, 'b')",
    "INSERT INTO clients VALUES (1, 'again')",
    "UPDATE clients SET name = 'c'",
    "SELECT nonsense",
    "SELEC 1",
];

/// A value of each type.
const VALUES: &[&str] = &[
    "true",
    "1::int2",
    "2::int4",
    "3::int8",
    "1.5::float4",
    "-2.5::float8",
    "'text'::text",
    "'varchar'::varchar",
    "'pad'::char(5)",
    "'\\x00ff'::bytea",
    "'2024-02-29'::date",
    "'23:59:58.123456'::time",
    "'2024-02-29 12:34:56.789'::timestamp",
    "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid",
    r#"'{"b": [1, 2.5], "a": null}'::jsonb"#,
    r#"'{"b": 1}'::json"#,
    "123456.7890::numeric",
    "'[1,5)'::int4range",
    "'(,7]'::int8range",
    "'empty'::int4range",
    "'[1.5,2.5]'::numrange",
    "'{1,NULL,3}'::int4[]",
    "'{4,5}'::int8[]",
    "'{1.10,NULL}'::numeric[]",
    r#"'{a,NULL,"b c"}'::text[]"#,
    "'{v}'::varchar[]",
    "'1 year 2 days 03:04:05.678'::interval",
    "NULL::int4",
    "NULL::jsonb",
    "'127.0.0.1'::inet",
    "'x'::name",
    "'5 minutes'::interval::text",
    "'0001-01-01 BC'::date",
];

macro_rules! calls {
    ($api:ident, $connection:ident, $parameters:expr) => {{
        let mut told = Vec::new();
        for statement in STATEMENTS {
            let changed = $connection.execute(statement, &[]);
            told.push(format!("{statement}: {changed:?}"));
        }
        let rows = $connection.query("SELECT id, name FROM clients ORDER BY id", &[]);
        told.push(format!("rows: {rows:?}"));
        for value in VALUES {
            let row = $connection.query(&format!("SELECT {value} AS value"), &[]);
            told.push(format!("{value}: {row:?}"));
        }
        for (statement, parameter) in $parameters {
            let row = $connection.query(statement, std::slice::from_ref(&parameter));
            told.push(format!("{statement} {parameter:?}: {row:?}"));
        }
        told
    }};
}

/// The functions of Spin 1, which open a connection for each statement.
pub(super) fn version_1(address: &str) -> Vec<String> {
    use v1::ParameterValue as P;
    let parameters = [P::Int32(1), P::Str("a".into()), P::DbNull];
    let all = "SELECT $1::int4 AS number, $2::text AS text, $3::text AS nothing";
    vec![
        format!("{:?}", postgres1::query(address, all, &parameters)),
        format!(
            "{:?}",
            postgres1::query(address, "SELECT $1::int4", &[P::Uint8(1)])
        ),
        format!(
            "{:?}",
            postgres1::query(address, "SELECT now()::date", &[]).map(|rows| rows.columns)
        ),
        format!(
            "{:?}",
            postgres1::execute(address, "SET application_name = 'a'", &[])
        ),
        format!("{:?}", postgres1::execute(address, "SELEC 1", &[])),
    ]
}

/// `fermyon:spin/postgres@2.0.0`.
pub(super) fn version_2(address: &str) -> Vec<String> {
    use v2::ParameterValue as P;
    let connection = match postgres2::Connection::open(address) {
        Ok(connection) => connection,
        Err(error) => return vec![format!("open: {error:?}")],
    };
    let parameters = [
        ("SELECT $1::bool", P::Boolean(true)),
        (r#"SELECT $1::"char""#, P::Int8(65)),
        ("SELECT $1::int2", P::Int16(-2)),
        ("SELECT $1::int4", P::Int32(7)),
        ("SELECT $1::int8", P::Int64(1 << 40)),
        ("SELECT $1::float4", P::Floating32(0.5)),
        ("SELECT $1::float8", P::Floating64(-0.25)),
        ("SELECT $1::text", P::Str("é".into())),
        ("SELECT $1::bytea", P::Binary(vec![0, 255])),
        ("SELECT $1::text", P::DbNull),
        ("SELECT $1::int4", P::DbNull),
        ("SELECT $1::int4", P::Str("7".into())),
        ("SELECT $1::int8", P::Int32(7)),
        ("SELECT $1::int4", P::Uint32(1)),
    ];
    calls!(v2, connection, parameters)
}

/// `spin:postgres@3.0.0`.
pub(super) fn version_3(address: &str) -> Vec<String> {
    use v3::ParameterValue as P;
    let connection = match v3::Connection::open(address) {
        Ok(connection) => connection,
        Err(error) => return vec![format!("open: {error:?}")],
    };
    let parameters = [
        ("SELECT $1::bool", P::Boolean(true)),
        (r#"SELECT $1::"char""#, P::Int8(65)),
        ("SELECT $1::int2", P::Int16(-2)),
        ("SELECT $1::int4", P::Int32(7)),
        ("SELECT $1::int8", P::Int64(1 << 40)),
        ("SELECT $1::float4", P::Floating32(0.5)),
        ("SELECT $1::float8", P::Floating64(-0.25)),
        ("SELECT $1::text", P::Str("é".into())),
        ("SELECT $1::bytea", P::Binary(vec![0, 255])),
        ("SELECT $1::text", P::DbNull),
        ("SELECT $1::int4", P::DbNull),
        ("SELECT $1::int4", P::Str("7".into())),
        ("SELECT $1::int8", P::Int32(7)),
        ("SELECT $1::date", P::Date((2024, 2, 29))),
        ("SELECT $1::date", P::Date((2023, 2, 29))),
        ("SELECT $1::time", P::Time((1, 2, 3, 4000))),
        (
            "SELECT $1::timestamp",
            P::Datetime((2024, 12, 31, 23, 59, 59, 999_000)),
        ),
        ("SELECT $1::timestamptz::timestamp", P::Timestamp(0)),
    ];
    calls!(v3, connection, parameters)
}

/// `spin:postgres@4.2.0`.
pub(super) fn version_4(address: &str) -> Vec<String> {
    use v4::{
        ParameterValue as P,
        RangeBoundKind::{Exclusive, Inclusive},
    };
    let connection = match v4::Connection::open(address) {
        Ok(connection) => connection,
        Err(error) => return vec![format!("open: {error:?}")],
    };
    let parameters = [
        ("SELECT $1::bool", P::Boolean(true)),
        (r#"SELECT $1::"char""#, P::Int8(65)),
        ("SELECT $1::int2", P::Int16(-2)),
        ("SELECT $1::int4", P::Int32(7)),
        ("SELECT $1::int8", P::Int64(1 << 40)),
        ("SELECT $1::float4", P::Floating32(0.5)),
        ("SELECT $1::float8", P::Floating64(-0.25)),
        ("SELECT $1::text", P::Str("é".into())),
        ("SELECT $1::bytea", P::Binary(vec![0, 255])),
        ("SELECT $1::text", P::DbNull),
        ("SELECT $1::int4", P::DbNull),
        ("SELECT $1::int4", P::Str("7".into())),
        ("SELECT $1::int8", P::Int32(7)),
        ("SELECT $1::date", P::Date((2024, 2, 29))),
        ("SELECT $1::date", P::Date((2023, 2, 29))),
        ("SELECT $1::time", P::Time((1, 2, 3, 4000))),
        (
            "SELECT $1::timestamp",
            P::Datetime((2024, 12, 31, 23, 59, 59, 999_000)),
        ),
        ("SELECT $1::timestamptz::timestamp", P::Timestamp(0)),
        (
            "SELECT $1::uuid",
            P::Uuid("6BA7B810-9dad-11d1-80b4-00c04fd430c8".into()),
        ),
        ("SELECT $1::uuid", P::Uuid("none".into())),
        (
            "SELECT $1::jsonb",
            P::Jsonb(b"{\"b\": 1, \"a\": []}".to_vec()),
        ),
        ("SELECT $1::json::text", P::Jsonb(b" [1] ".to_vec())),
        ("SELECT $1::jsonb", P::Jsonb(b"{".to_vec())),
        ("SELECT $1::numeric", P::Decimal("-12.340".into())),
        ("SELECT $1::numeric", P::Decimal("ten".into())),
        (
            "SELECT $1::int4range",
            P::RangeInt32((Some((1, Inclusive)), Some((3, Inclusive)))),
        ),
        (
            "SELECT $1::int8range",
            P::RangeInt64((None, Some((9, Exclusive)))),
        ),
        (
            "SELECT $1::numrange",
            P::RangeDecimal((Some(("1.5".into(), Exclusive)), None)),
        ),
        ("SELECT $1::int4[]", P::ArrayInt32(vec![Some(1), None])),
        ("SELECT $1::int8[]", P::ArrayInt64(vec![])),
        (
            "SELECT $1::numeric[]",
            P::ArrayDecimal(vec![Some("1.5".into()), None]),
        ),
        (
            "SELECT $1::text[]",
            P::ArrayStr(vec![Some("a".into()), None]),
        ),
        (
            "SELECT $1::interval",
            P::Interval(v4::Interval {
                micros: 1,
                days: 2,
                months: -3,
            }),
        ),
    ];
    calls!(v4, connection, parameters)
}

/// Each line is a query.
pub(super) fn query(address: &str, lines: Lines<'_>) -> Vec<String> {
    let connection = match v4::Connection::open(address) {
        Ok(connection) => connection,
        Err(error) => return vec![format!("open: {error:?}")],
    };
    lines
        .map(|line| format!("{:?}", connection.query(line, &[]).map(|rows| rows.rows)))
        .collect()
}

/// Each line is a query of which the rows are counted as they come.
pub(super) async fn stream(address: &str, lines: Lines<'_>) -> Vec<String> {
    match v4::Connection::open_async(address.to_owned()).await {
        Ok(connection) => streamed(connection, lines).await,
        Err(error) => vec![format!("open: {error:?}")],
    }
}

/// As `stream`, with a connection whose certificate authority is in the first line, with `|` for line ends.
pub(super) async fn built(address: &str, mut lines: Lines<'_>) -> Vec<String> {
    let builder = v4::ConnectionBuilder::new(address);
    let root = lines.next().unwrap_or_default().replace('|', "\n");
    if !root.is_empty()
        && let Err(error) = builder.set_ca_root(&root)
    {
        return vec![format!("root: {error:?}")];
    }
    match builder.build_async().await {
        Ok(connection) => streamed(connection, lines).await,
        Err(error) => vec![format!("open: {error:?}")],
    }
}

async fn streamed(connection: v4::Connection, lines: Lines<'_>) -> Vec<String> {
    let mut told = Vec::new();
    for line in lines {
        let (columns, mut rows, end) = match connection.query_async(line.to_owned(), vec![]).await {
            Ok(result) => result,
            Err(error) => {
                told.push(format!("{error:?}"));
                continue;
            }
        };
        let (mut count, mut last) = (0, None);
        while let Some(row) = rows.next().await {
            count += 1;
            last = Some(row);
        }
        drop(rows);
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        told.push(format!(
            "{names:?}, {count} rows, last {last:?}, {:?}",
            end.await
        ));
    }
    told
}

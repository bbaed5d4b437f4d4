//! Components with Redis, PostgreSQL and MQTT, on real servers, in every version of Spin's interfaces.

use crate::{
    client::{Reply, request, send, with_body},
    raw::Raw,
    servers::{mosquitto, redis_server, secure, start},
    spin::Spin,
    stack::{self, Host, Launch, free_address, workspace},
};
use futures::future::join_all;
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use testkit::{
    postgres::Postgres,
    process::Signal,
    wait::{Seen, Wait},
};

/// Time for what happens after an event.
const SOON: Duration = Duration::from_secs(20);

/// An application that may connect to `postgres`.
fn serve(postgres: &Postgres) -> Launch {
    stack::serve_clients().env("SPIN_VARIABLE_POSTGRES", &postgres.address.to_string())
}

/// Sends `lines` to the component, and returns its answer.
async fn ask(api: SocketAddr, path: &str, lines: &[&str]) -> String {
    let reply = reply(api, path, lines).await;
    assert_eq!(reply.status, 200, "{path} {lines:?}: {}", reply.text());
    reply.text().to_owned()
}

async fn reply(api: SocketAddr, path: &str, lines: &[&str]) -> Reply {
    let line = format!("POST {path}");
    send(api, with_body(request(&line), lines.join("\n"))).await
}

/// Asks until the answer is `expected`.
async fn until(host: &Host, path: &str, lines: &[&str], expected: &str) {
    let wait = Wait::up_to(SOON).every(Duration::from_millis(50));
    let answer = wait.until(expected, async || {
        let answer = ask(host.api(), path, lines).await;
        Ok(Seen::when(answer == expected, &answer))
    });
    answer.await.unwrap();
}

async fn refused(host: &Host, address: &str) {
    let logged = host.logged("the refusal", |event: &Value| {
        event["component"] == "clients"
            && event["address"] == address
            && event["message"].as_str().is_some_and(|message| {
                message.contains(&format!("add \"{address}\" to allowed_outbound_hosts"))
            })
    });
    logged.await.unwrap();
}

/// Compares two answers line by line. Spin adds causes and a backtrace to some messages, and columns only to rows.
fn compare(path: &str, ours: &str, spins: &str) {
    let (ours, spins): (Vec<_>, Vec<_>) = (ours.lines().collect(), spins.lines().collect());
    assert_eq!(ours.len(), spins.len(), "{path}: {ours:#?}");
    for (ours, spins) in ours.iter().zip(spins) {
        match spins.split_once("\\n\\n") {
            Some((start, _)) => assert!(ours.starts_with(start), "{path}: {ours} for {spins}"),
            None => assert_eq!(without_places(ours), without_places(spins), "{path}"),
        }
    }
}

/// Leaves out the names of temporary schemas.
fn without_places(line: &str) -> String {
    let words = line.split('"');
    let stable = words.filter(|word| !word.starts_with("pg_temp_"));
    stable.collect::<Vec<_>>().join("\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_of_the_interfaces_answers_as_under_spin() {
    let postgres = Postgres::volatile().await.unwrap();
    let (redis, broker) = (free_address(), free_address());
    let directory = tempfile::tempdir().unwrap();
    let _redis = start(redis_server(redis), redis).await;
    let _broker = start(mosquitto(directory.path(), broker), broker).await;
    let addresses = [
        ("SPIN_VARIABLE_POSTGRES", postgres.address.to_string()),
        ("SPIN_VARIABLE_REDIS", redis.to_string()),
        ("SPIN_VARIABLE_MQTT", broker.to_string()),
    ];
    let host = addresses
        .iter()
        .fold(stack::serve_clients(), |host, (name, value)| {
            host.env(name, value)
        });
    let host = host.start().await.unwrap();
    let spin = match Spin::version("clients under Spin") {
        Some(_) => {
            let variables = addresses
                .each_ref()
                .map(|(name, value)| (*name, value.as_str()));
            let manifest = workspace("metrics-host/tests/clients/spin.toml");
            let state = Arc::new(tempfile::tempdir().unwrap());
            Some(Spin::serve(&manifest, &variables, &state).await)
        }
        None => None,
    };
    let by_words = format!(
        "host=127.0.0.1 port={} user=postgres password=postgres",
        postgres.address.port()
    );
    let redis = format!("redis://{redis}");
    let broker = format!("mqtt://{broker}?client_id=clients");
    let cases = [
        ("/redis/1", &redis, "get: Ok([97, 98, 99])"),
        ("/redis/2", &redis, "smembers: Ok([\"c\"])"),
        ("/redis/3", &redis, "get: Ok(Some([195, 169, 0]))"),
        (
            "/postgres/1",
            &postgres.url(),
            "DbValue::Str(\"a\"), DbValue::DbNull]]",
        ),
        (
            "/postgres/2",
            &by_words,
            "Postgres does not support unsigned integers",
        ),
        (
            "/postgres/3",
            &postgres.url(),
            "DbValue::Datetime((2024, 2, 29, 12, 34, 56, 789000000))",
        ),
        (
            "/postgres/4",
            &by_words,
            "DbValue::Interval(Interval { micros: 11045678000, days: 2, months: 12 })",
        ),
        ("/mqtt/2", &broker, "Qos::ExactlyOnce: Ok(())"),
        ("/mqtt/3", &broker, "Qos::AtLeastOnce: Ok(())"),
    ];
    for (path, address, expected) in cases {
        let ours = ask(host.api(), path, &[address]).await;
        assert!(ours.contains(expected), "{path}: {ours}");
        if let Some(spin) = &spin {
            compare(path, &ours, &ask(spin.api, path, &[address]).await);
        }
    }
    // Spin has no answer to these: it does not convert the time, and waits for a row in vain.
    let zone = "SELECT timestamptz '2024-01-01 00:00:00+02'";
    assert_eq!(
        ask(host.api(), "/postgres/query", &[&by_words, zone]).await,
        "Ok([[DbValue::Datetime((2023, 12, 31, 22, 0, 0, 0))]])"
    );
    let none = "SELECT 1 AS one WHERE false";
    assert_eq!(
        ask(host.api(), "/postgres/stream", &[&by_words, none]).await,
        "[\"one\"], 0 rows, last None, Ok(())"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_the_manifest_does_not_allow_are_refused() {
    let server = free_address();
    let host = stack::serve_clients().start().await.unwrap();
    let port = server.port();
    let not_permitted =
        format!("Error::ConnectionFailed(\"address postgres://{server} is not permitted\")");
    let broker = format!(
        "Error::ConnectionFailed(\"address mqtt://{server}?client_id=a is not permitted\")"
    );
    // An address that is allowed does not permit another one beside it.
    let beside = format!("host=127.0.0.1 hostaddr=127.0.0.2 port={port}");
    let second = format!("host=127.0.0.1,127.0.0.1 port=5432,{port} user=a");
    for (path, address, error) in [
        (
            "/redis/1",
            format!("redis://{server}"),
            "set: Err(Error { code: 1",
        ),
        (
            "/redis/2",
            format!("redis://user:secret@{server}/1"),
            "Error::InvalidAddress",
        ),
        (
            "/redis/3",
            format!("redis://{server}"),
            "Error::InvalidAddress",
        ),
        ("/redis/3", "nonsense".to_owned(), "Error::InvalidAddress"),
        (
            "/redis/3",
            "redis+unix:///tmp/socket".to_owned(),
            "Error::InvalidAddress",
        ),
        (
            "/postgres/1",
            format!("postgres://u:p@{server}/d"),
            "not permitted",
        ),
        (
            "/postgres/2",
            format!("postgres://u:p@{server}/d"),
            not_permitted.as_str(),
        ),
        (
            "/postgres/3",
            format!("host=127.0.0.1 port={port}"),
            not_permitted.as_str(),
        ),
        (
            "/postgres/4",
            format!("host=127.0.0.1 port={port}"),
            not_permitted.as_str(),
        ),
        (
            "/postgres/built",
            format!("host=127.0.0.1 port={port}"),
            not_permitted.as_str(),
        ),
        ("/postgres/4", second, not_permitted.as_str()),
        ("/postgres/4", beside, "is not permitted"),
        (
            "/postgres/4",
            "host=/tmp user=a".to_owned(),
            "Unix sockets are not supported",
        ),
        (
            "/postgres/4",
            "user=a".to_owned(),
            "the address names no host",
        ),
        (
            "/postgres/4",
            "no=address".to_owned(),
            "Error::ConnectionFailed(",
        ),
        (
            "/mqtt/2",
            format!("mqtt://{server}?client_id=a"),
            broker.as_str(),
        ),
        (
            "/mqtt/3",
            format!("mqtt://{server}?client_id=a"),
            broker.as_str(),
        ),
        (
            "/mqtt/3",
            format!("mqtt://{server}"),
            "Error::InvalidAddress",
        ),
    ] {
        let answer = ask(host.api(), path, &[&address]).await;
        assert!(answer.contains(error), "{path} {address}: {answer}");
    }
    for scheme in ["redis", "postgres", "mqtt"] {
        refused(&host, &format!("{scheme}://{server}")).await;
    }
    let leaked = |event: &Value| event.to_string().contains("secret");
    assert_eq!(host.count_logged(leaked), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_leaves_nothing_to_the_next_on_its_connection() {
    let postgres = Postgres::volatile().await.unwrap();
    let host = serve(&postgres).args(&["--request-timeout", "3s"]);
    let host = host.start().await.unwrap();
    let (api, url) = (host.api(), postgres.url());
    let query = async |lines: &[&str]| {
        let lines: Vec<_> = [url.as_str()]
            .into_iter()
            .chain(lines.iter().copied())
            .collect();
        ask(api, "/postgres/query", &lines).await
    };
    query(&["CREATE TABLE kept (id int)"]).await;
    // Only one connection: what one guest leaves, the next would find.
    let left = [
        "SET application_name = 'left'",
        "CREATE TEMPORARY TABLE left_behind (id int)",
        "SELECT pg_advisory_lock(1)",
        "BEGIN",
        "INSERT INTO kept VALUES (1)",
    ];
    query(&left).await;
    for (statement, expected) in [
        ("SHOW application_name", "Ok([[DbValue::Str(\"\")]])"),
        (
            "SELECT to_regclass('left_behind')::text",
            "Ok([[DbValue::DbNull]])",
        ),
        ("SELECT count(*) FROM kept", "Ok([[DbValue::Int64(0)]])"),
        (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
            "Ok([[DbValue::Int64(0)]])",
        ),
    ] {
        until(&host, "/postgres/query", &[&url, statement], expected).await;
    }
    // A transaction that an error has ended, and a trap in the middle of one.
    query(&["BEGIN", "SELEC 1"]).await;
    let trapped = ["BEGIN", "INSERT INTO kept VALUES (2)", "LOCK TABLE kept"];
    let trapped: Vec<_> = [url.as_str()].into_iter().chain(trapped).collect();
    assert_eq!(reply(api, "/postgres/trap", &trapped).await.status, 500);
    let others = "SELECT count(*) FROM pg_stat_activity \
        WHERE state IN ('active', 'idle in transaction', 'idle in transaction (aborted)') AND pid <> pg_backend_pid() \
        AND backend_type = 'client backend'";
    let none = "Ok([[DbValue::Int64(0)]])";
    until(&host, "/postgres/query", &[&url, others], none).await;
    assert_eq!(query(&["SELECT count(*) FROM kept"]).await, none);
    // A statement ends with its guest, which has three seconds, whether its client is still there or not.
    let body = format!("{url}\nSELECT pg_sleep(600)");
    let head = format!(
        "POST /postgres/query HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let client = Raw::send(api, &head).await;
    until(
        &host,
        "/postgres/query",
        &[&url, others],
        "Ok([[DbValue::Int64(1)]])",
    )
    .await;
    drop(client);
    until(&host, "/postgres/query", &[&url, others], none).await;
    // The server does not complain about the resets.
    let warnings = postgres.process.lines();
    let warning = |line: &&String| line.contains("WARNING:  there is no transaction");
    assert_eq!(warnings.iter().find(warning), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_and_waits_are_limited() {
    let postgres = Postgres::volatile().await.unwrap();
    let redis = free_address();
    let _redis = start(redis_server(redis), redis).await;
    let host = serve(&postgres)
        .env("SPIN_VARIABLE_REDIS", &redis.to_string())
        .args(&["--instance-memory", "16MiB", "--request-timeout", "10s"])
        .start()
        .await
        .unwrap();
    let (api, url) = (host.api(), postgres.url());
    let too_large = "query result exceeds limit of 16777216 bytes";
    for statement in [
        "SELECT repeat('x', 60000000)",
        "SELECT repeat('x', 100000) FROM generate_series(1, 1000000)",
    ] {
        let answer = ask(api, "/postgres/query", &[&url, statement, "SELECT 1"]).await;
        assert!(answer.contains(too_large), "{answer}");
    }
    // Rows that are taken one by one may be more.
    let streamed = "SELECT i, repeat('x', 1000) AS x FROM generate_series(1, 30000) AS i";
    let answer = ask(
        api,
        "/postgres/stream",
        &[
            &url,
            streamed,
            "SELECT 1/(3-i) FROM generate_series(1, 5) AS i",
        ],
    )
    .await;
    let lines: Vec<_> = answer.lines().collect();
    assert!(
        lines[0].starts_with("[\"i\", \"x\"], 30000 rows"),
        "{answer}"
    );
    assert!(
        lines[1].contains("2 rows") && lines[1].contains("22012"),
        "{answer}"
    );
    let command = "eval return(string.rep('x',60000000)) 0";
    let answer = ask(
        api,
        "/redis/execute",
        &[&format!("redis://{redis}"), command],
    )
    .await;
    assert!(answer.contains(too_large), "{answer}");
    // Before the guest runs out of time, the statement does.
    let answer = reply(api, "/postgres/query", &[&url, "SELECT pg_sleep(600)"]).await;
    assert!(
        answer.status == 504 || answer.text().contains("no answer within 10s"),
        "{}",
        answer.text()
    );
    let memory = crate::scrape::Scrape::of(host.metrics())
        .await
        .sum("process_resident_memory_bytes", &[]);
    assert!(memory < 400e6, "{memory} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_under_load_is_found_again() {
    let mut postgres = Postgres::volatile().await.unwrap();
    let (redis, broker) = (free_address(), free_address());
    let directory = tempfile::tempdir().unwrap();
    let redis_process = start(redis_server(redis), redis).await;
    let broker_process = start(mosquitto(directory.path(), broker), broker).await;
    let host = serve(&postgres)
        .env("SPIN_VARIABLE_REDIS", &redis.to_string())
        .env("SPIN_VARIABLE_MQTT", &broker.to_string())
        .start()
        .await
        .unwrap();
    let api = host.api();
    let url = postgres.url();
    let redis_url = format!("redis://{redis}");
    let asks = [
        (
            "/postgres/query",
            url.clone(),
            "SELECT 7",
            "Ok([[DbValue::Int32(7)]])",
        ),
        (
            "/redis/execute",
            redis_url,
            "ping",
            "Ok([RedisResult::Status(\"PONG\")])",
        ),
        (
            "/mqtt/3",
            format!("mqtt://{broker}?client_id={{}}"),
            "news",
            "Qos::AtLeastOnce: Ok(())",
        ),
    ];
    let load = |requests: usize| {
        let asks = &asks;
        let one = move |worker: usize| async move {
            let mut failed = 0;
            for number in 0..requests {
                for (path, address, line, expected) in asks {
                    let id = format!("w{worker}n{number}");
                    let address = address.replace("{}", &id);
                    let answer = ask(api, path, &[&address, line]).await;
                    failed += usize::from(answer != *expected);
                    assert!(
                        answer == *expected || answer.contains("Err(") || answer.contains("open: "),
                        "{answer}"
                    );
                }
            }
            failed
        };
        async move { join_all((0..32).map(one)).await.iter().sum::<usize>() }
    };
    assert_eq!(load(10).await, 0);
    drop((redis_process, broker_process));
    let (failed, (_redis, _broker)) = tokio::join!(load(30), async {
        postgres
            .restart(Signal::INT, Duration::from_millis(200), &[])
            .await
            .unwrap();
        let redis_process = start(redis_server(redis), redis).await;
        (
            redis_process,
            start(mosquitto(directory.path(), broker), broker).await,
        )
    });
    assert!(failed > 0);
    for (path, address, line, expected) in &asks {
        until(
            &host,
            path,
            &[&address.replace("{}", "again"), line],
            expected,
        )
        .await;
    }
    assert_eq!(load(3).await, 0);
    // More requests than a component may have connections wait for their turn, and do not need new ones.
    let asleep = [url.as_str(), "SELECT pg_sleep(0.05)"];
    let many = (0..200).map(|_| ask(api, "/postgres/stream", &asleep));
    for answer in join_all(many).await {
        assert!(answer.contains("1 rows"), "{answer}");
    }
    let own = "SELECT count(*) <= 65 FROM pg_stat_activity WHERE backend_type = 'client backend'";
    until(
        &host,
        "/postgres/query",
        &[&url, own],
        "Ok([[DbValue::Boolean(true)]])",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_addresses_share_the_connections_of_a_component() {
    let postgres = Postgres::volatile().await.unwrap();
    let host = serve(&postgres).start().await.unwrap();
    let (api, url) = (host.api(), postgres.url());
    let other = format!("{}template1", url.strip_suffix("postgres").unwrap());
    let urls = [&*url, &*other];
    let worker = async |worker: usize| {
        for number in 0..15 {
            let url = urls[(worker + number * (1 + worker % 2)) % urls.len()];
            let answer = ask(api, "/postgres/query", &[url, "SELECT 7"]).await;
            assert_eq!(answer, "Ok([[DbValue::Int32(7)]])");
        }
    };
    join_all((0..200).map(worker)).await;
    // Each connection is a session, and few are opened anew.
    let sessions = "SELECT sum(sessions) < 300 FROM pg_stat_database";
    let few = "Ok([[DbValue::Boolean(true)]])";
    until(&host, "/postgres/query", &[&url, sessions], few).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_authenticated_by_the_authority_that_the_guest_names() {
    let mut postgres = Postgres::volatile().await.unwrap();
    let authority = secure(&mut postgres).await;
    let host = serve(&postgres).start().await.unwrap();
    let address = format!("{}?sslmode=require", postgres.url());
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let ask =
        async |root: &str| ask(host.api(), "/postgres/built", &[&address, root, encrypted]).await;
    let unknown = ask("").await;
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let malformed = ask("nonsense").await;
    assert_eq!(
        malformed,
        "root: Error::Other(\"invalid root certificate: no certificate in PEM\")"
    );
    let known = ask(&authority.replace('\n', "|")).await;
    assert_eq!(
        known,
        "[\"ssl\"], 1 rows, last Some([DbValue::Boolean(true)]), Ok(())"
    );
    // A connection of the pool goes only to a guest that trusts the same authority.
    assert_eq!(ask("").await, unknown);
}

//! One interface per path. Each response has a line per call: what it returned, without the words of an error.

#![expect(clippy::unwrap_used, reason = "a trap fails the test")]

mod bindings {
    #![allow(missing_docs, reason = "generated")]

    spin_sdk::wit_bindgen::generate!({
        runtime_path: "spin_sdk::wit_bindgen::rt",
        world: "imports",
        path: "wit",
        generate_all,
    });
}

use bindings::{
    fermyon::{spin as spin1, spin2_0_0 as spin2},
    wasi::{config, keyvalue},
};
use bytes::Bytes;
use spin_sdk::{
    http::{Error, FullBody, Request, Response},
    http_service, key_value, mysql,
};
use std::fmt::{Debug, Write};

#[http_service]
async fn handle(request: Request) -> Result<Response<FullBody<Bytes>>, Error> {
    let mut said = Said(String::new());
    match request.uri().path() {
        "/variables" => variables(&mut said),
        "/sqlite" => sqlite(&mut said),
        "/sqlite-of-spin-1" => sqlite_of_spin_1(&mut said),
        "/key-value" => key_value(&mut said),
        "/key-value-of-spin-1" => key_value_of_spin_1(&mut said),
        "/key-value-3" => key_value_3(&mut said).await,
        "/swap" => swap(&mut said),
        "/denied" => denied(&mut said).await,
        "/reasons" => reasons(&mut said),
        _ => said.line("fine"),
    }
    Ok(Response::new(FullBody::new(Bytes::from(said.0))))
}

struct Said(String);

impl Said {
    fn line(&mut self, line: impl Debug) {
        writeln!(self.0, "{line:?}").unwrap();
    }

    /// Writes a result; of an error, the name of its case.
    fn result<T: Debug, E: Debug>(&mut self, result: Result<T, E>) {
        match result {
            Ok(value) => self.line(value),
            Err(error) => {
                let error = format!("{error:?}");
                let case = error.split('(').find(|word| !word.ends_with("Error"));
                self.line(case.unwrap_or_default());
            }
        }
    }
}

fn variables(said: &mut Said) {
    for name in ["greeting", "never", "UPPER", "a__b"] {
        said.result(spin2::variables::get(name));
        said.result(spin1::config::get_config(name));
        said.result(config::store::get(name));
    }
    let mut all = config::store::get_all().unwrap();
    all.sort();
    said.line(all);
}

const STATEMENTS: [&str; 5] = [
    "DROP TABLE IF EXISTS t",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL, s TEXT, b BLOB, n TEXT)",
    "INSERT INTO t (r, s, b, n) VALUES (?, ?, ?, ?)",
    "SELECT * FROM t",
    "SELECT * FROM nowhere",
];

fn sqlite(said: &mut Said) {
    use spin2::sqlite::{Connection, Value};
    said.result(Connection::open("other").map(drop));
    let connection = Connection::open("default").unwrap();
    for statement in STATEMENTS {
        let parameters = match statement.contains('?') {
            true => vec![
                Value::Real(1.5),
                Value::Text("text".into()),
                Value::Blob(vec![0, 255]),
                Value::Null,
            ],
            false => vec![],
        };
        said.result(connection.execute(statement, &parameters));
    }
}

fn sqlite_of_spin_1(said: &mut Said) {
    use spin1::sqlite::{Value, close, execute, open};
    said.result(open("other"));
    let connection = open("default").unwrap();
    for statement in STATEMENTS {
        let parameters = match statement.contains('?') {
            true => vec![
                Value::Real(1.5),
                Value::Text("text".into()),
                Value::Blob(vec![0, 255]),
                Value::Null,
            ],
            false => vec![],
        };
        said.result(execute(connection, statement, &parameters));
    }
    close(connection);
    said.result(execute(connection, "SELECT 1", &[]));
    close(connection);
}

fn key_value(said: &mut Said) {
    let open = spin2::key_value::Store::open;
    said.result(open("other").map(drop));
    let store = open("default").unwrap();
    said.result(store.set("key", b"value"));
    said.result(store.get("key"));
    said.result(store.exists("key"));
    said.result(store.get_keys());
    said.result(store.delete("key"));
    said.result(store.get("key"));
    said.result(store.exists("key"));
    said.result(store.get_keys());
}

fn key_value_of_spin_1(said: &mut Said) {
    use spin1::key_value::{close, delete, exists, get, get_keys, open, set};
    said.result(open("other"));
    let store = open("default").unwrap();
    said.result(set(store, "key", b"value"));
    said.result(get(store, "key"));
    said.result(exists(store, "key"));
    said.result(get_keys(store));
    said.result(delete(store, "key"));
    said.result(get(store, "key"));
    close(store);
}

async fn key_value_3(said: &mut Said) {
    use key_value::Store;
    said.result(Store::open("other").await.map(drop));
    let store = Store::open_default().await.unwrap();
    said.result(store.set("key", b"value").await);
    said.result(store.get("key").await);
    said.result(store.exists("key").await);
    said.result(store.get_keys().await.collect().await);
    said.result(store.delete("key").await);
    said.result(store.get("key").await);
    said.result(store.get_keys().await.collect().await);
}

fn swap(said: &mut Said) {
    use keyvalue::atomics::{Cas, CasError, increment, swap};
    let bucket = keyvalue::store::open("default").unwrap();
    bucket.set("key", b"1").unwrap();
    let cas = Cas::new(&bucket, "key").unwrap();
    said.result(cas.current());
    bucket.set("key", b"2").unwrap();
    let Err(CasError::CasFailed(cas)) = swap(cas, b"3") else {
        panic!("swapped over another value");
    };
    said.result(cas.current());
    said.line(swap(cas, b"3").is_ok());
    said.result(Cas::new(&bucket, "key").unwrap().current());
    bucket.delete("sum").unwrap();
    said.result(increment(&bucket, "sum", 300));
    said.result(increment(&bucket, "sum", -301));
    said.result(bucket.get("sum"));
}

/// Nothing of this is allowed by the manifest, so it fails under Spin, too.
async fn denied(said: &mut Said) {
    let address = "mysql://127.0.0.1:1/db";
    said.line(spin2::mysql::Connection::open(address).is_err());
    said.line(mysql::Connection::open(address).await.is_err());
    said.line(spin1::mysql::query(address, "SELECT 1", &[]).is_err());
    said.line(spin2::llm::infer("llama2-chat", "Hello", None).is_err());
    said.line(spin1::llm::infer("llama2-chat", "Hello", None).is_err());
    let mqtt = spin2::mqtt::Connection::open("mqtt://127.0.0.1:1", "", "", 1);
    said.line(mqtt.is_err());
    said.line(spin1::redis::get("redis://127.0.0.1:1", "key").is_err());
}

/// The words of errors.
fn reasons(said: &mut Said) {
    let address = "mysql://127.0.0.1:1/db";
    said.line(spin2::mysql::Connection::open(address).map(drop));
    said.line(spin1::mysql::execute(address, "SELECT 1", &[]));
    said.line(spin2::llm::infer("llama2-chat", "Hello", None));
}

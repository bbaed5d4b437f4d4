//! Commands of a Redis server.

#![cfg(target_arch = "wasm32")]

use conformance_component::{
    Failure,
    bindings::fermyon::spin::redis::{Connection, RedisParameter, RedisResult},
    ensure, header,
};
use wasip2::http::types::IncomingRequest;

conformance_component::case!(handle);

fn handle(request: &IncomingRequest) -> Result<(), Failure> {
    let redis = Connection::open(&header(request, "address")?)?;
    let keys = ["text", "number", "set"].map(String::from);
    redis.del(&keys)?;
    ensure!(redis.get("text")?.is_none());
    redis.set("text", &[0, 159, 255])?;
    ensure!(redis.get("text")? == Some(vec![0, 159, 255]));
    redis.set("number", b"41")?;
    ensure!(redis.incr("number")? == 42);
    ensure!(redis.incr("text").is_err());
    ensure!(redis.del(&keys)? == 2);

    ensure!(redis.sadd("set", &["a".into(), "b".into()])? == 2);
    ensure!(redis.srem("set", &["a".into(), "c".into()])? == 1);
    ensure!(redis.smembers("set")? == ["b"]);
    redis.publish("channel", b"nobody listens")?;

    let execute = |command: &str, words: &[&str]| {
        let words = words
            .iter()
            .map(|word| RedisParameter::Binary(word.as_bytes().to_vec()));
        redis.execute(command, &words.collect::<Vec<_>>())
    };
    ensure!(execute("set", &["text", "one"])? == [RedisResult::Status("OK".into())]);
    ensure!(execute("append", &["text", ", two"])? == [RedisResult::Int64(8)]);
    ensure!(execute("get", &["text"])? == [RedisResult::Binary(b"one, two".to_vec())]);
    ensure!(execute("get", &["number"])? == [RedisResult::Nil]);
    let by = [
        RedisParameter::Binary(b"number".to_vec()),
        RedisParameter::Int64(7),
    ];
    ensure!(redis.execute("incrby", &by)? == [RedisResult::Int64(7)]);
    Ok(())
}

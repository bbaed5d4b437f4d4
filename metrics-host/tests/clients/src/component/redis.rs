//! Every function of the interfaces, with the errors that a server gives.

use super::{
    arguments::{borrowed, owned},
    wit::{
        fermyon::{spin::redis as v1, spin2_0_0::redis as v2},
        spin::redis::redis as v3,
    },
};
use std::str::Lines;

/// Calls every function; `$wait` is `await` for asynchronous ones.
macro_rules! calls {
    ($api:ident, $address:expr, $arg:ident, $parameters:expr $(, $wait:tt)?) => {{
        use $api::{Connection, RedisParameter};
        let binary = |text: &str| RedisParameter::Binary(text.as_bytes().to_owned());
        let int64 = RedisParameter::Int64;
        let opened = Connection::open($arg::text($address))$(.$wait)?;
        let connection = match opened {
            Ok(connection) => connection,
            Err(error) => return vec![format!("open: {error:?}")],
        };
        vec![
            format!("set: {:?}", connection.set($arg::text("clients-text"), $arg::bytes("é\0"))$(.$wait)?),
            format!("get: {:?}", connection.get($arg::text("clients-text"))$(.$wait)?),
            format!("get: {:?}", connection.get($arg::text("clients-nothing"))$(.$wait)?),
            format!("incr: {:?}", connection.incr($arg::text("clients-number"))$(.$wait)?),
            format!("incr: {:?}", connection.incr($arg::text("clients-number"))$(.$wait)?),
            format!("incr: {:?}", connection.incr($arg::text("clients-text"))$(.$wait)?),
            format!("sadd: {:?}", connection.sadd($arg::text("clients-set"), $arg::list(["a", "b"]))$(.$wait)?),
            format!("sadd: {:?}", connection.sadd($arg::text("clients-set"), $arg::list(["b", "c"]))$(.$wait)?),
            format!("sadd: {:?}", connection.sadd($arg::text("clients-text"), $arg::list(["a"]))$(.$wait)?),
            format!("srem: {:?}", connection.srem($arg::text("clients-set"), $arg::list(["a", "b", "x"]))$(.$wait)?),
            format!("smembers: {:?}", connection.smembers($arg::text("clients-set"))$(.$wait)?),
            format!("smembers: {:?}", connection.smembers($arg::text("clients-text"))$(.$wait)?),
            format!("get: {:?}", connection.get($arg::text("clients-set"))$(.$wait)?),
            format!("publish: {:?}", connection.publish($arg::text("clients-channel"), $arg::bytes("news"))$(.$wait)?),
            format!("del: {:?}", connection.del($arg::list(["clients-text", "clients-number", "clients-set", "clients-nothing"]))$(.$wait)?),
            format!("del: {:?}", connection.del($arg::list([]))$(.$wait)?),
            format!("execute ping: {:?}", connection.execute($arg::text("ping"), $parameters([]))$(.$wait)?),
            format!("execute set: {:?}", connection.execute($arg::text("set"), $parameters([binary("clients-key"), int64(-7)]))$(.$wait)?),
            format!("execute get: {:?}", connection.execute($arg::text("get"), $parameters([binary("clients-key")]))$(.$wait)?),
            format!("execute mget: {:?}", connection.execute($arg::text("mget"), $parameters([binary("clients-key"), binary("clients-nothing")]))$(.$wait)?),
            format!("execute rpush: {:?}", connection.execute($arg::text("rpush"), $parameters([binary("clients-list"), binary("x"), int64(2)]))$(.$wait)?),
            format!("execute lrange: {:?}", connection.execute($arg::text("lrange"), $parameters([binary("clients-list"), int64(0), int64(-1)]))$(.$wait)?),
            format!("execute eval: {:?}", connection.execute($arg::text("eval"), $parameters([binary("return {1, {2, {3, 'x'}}, false, {ok='fine'}, 3.5}"), int64(0)]))$(.$wait)?),
            format!("execute hset: {:?}", connection.execute($arg::text("hset"), $parameters([binary("clients-hash"), binary("a"), int64(1)]))$(.$wait)?),
            format!("execute hgetall: {:?}", connection.execute($arg::text("hgetall"), $parameters([binary("clients-hash")]))$(.$wait)?),
            format!("execute incr: {:?}", connection.execute($arg::text("incr"), $parameters([binary("clients-list")]))$(.$wait)?),
            format!("execute nonsense: {:?}", connection.execute($arg::text("nonsense"), $parameters([]))$(.$wait)?),
            format!("execute del: {:?}", connection.execute($arg::text("del"), $parameters([binary("clients-key"), binary("clients-list"), binary("clients-hash")]))$(.$wait)?),
        ]
    }};
}

/// The functions of Spin 1.
pub(super) fn version_1(address: &str) -> Vec<String> {
    let list = |texts: &[&str]| {
        texts
            .iter()
            .map(|&text| text.to_owned())
            .collect::<Vec<_>>()
    };
    let binary = |text: &str| v1::RedisParameter::Binary(text.as_bytes().to_owned());
    vec![
        format!("set: {:?}", v1::set(address, "clients-text", b"abc")),
        format!("get: {:?}", v1::get(address, "clients-text")),
        format!("get: {:?}", v1::get(address, "clients-nothing")),
        format!("incr: {:?}", v1::incr(address, "clients-number")),
        format!("incr: {:?}", v1::incr(address, "clients-text")),
        format!(
            "sadd: {:?}",
            v1::sadd(address, "clients-set", &list(&["a", "b"]))
        ),
        format!(
            "srem: {:?}",
            v1::srem(address, "clients-set", &list(&["a"]))
        ),
        format!("smembers: {:?}", v1::smembers(address, "clients-set")),
        format!(
            "publish: {:?}",
            v1::publish(address, "clients-channel", b"news")
        ),
        format!(
            "execute: {:?}",
            v1::execute(address, "get", &[binary("clients-text")])
        ),
        format!(
            "del: {:?}",
            v1::del(
                address,
                &list(&["clients-text", "clients-number", "clients-set"])
            )
        ),
    ]
}

/// `fermyon:spin/redis@2.0.0`.
pub(super) fn version_2(address: &str) -> Vec<String> {
    fn leaked<const N: usize>(
        parameters: [v2::RedisParameter; N],
    ) -> &'static [v2::RedisParameter] {
        Vec::leak(parameters.into_iter().collect())
    }
    calls!(v2, address, borrowed, leaked)
}

/// `spin:redis@3.0.0`.
pub(super) async fn version_3(address: &str) -> Vec<String> {
    fn listed<const N: usize>(parameters: [v3::RedisParameter; N]) -> Vec<v3::RedisParameter> {
        parameters.into_iter().collect()
    }
    calls!(v3, address, owned, listed, await)
}

/// Executes each line as a command.
pub(super) async fn execute(address: &str, lines: Lines<'_>) -> Vec<String> {
    let connection = match v3::Connection::open(address.to_owned()).await {
        Ok(connection) => connection,
        Err(error) => return vec![format!("open: {error:?}")],
    };
    let mut told = Vec::new();
    for line in lines {
        let mut words = line.split(' ').map(str::to_owned);
        let command = words.next().unwrap();
        let arguments = words.map(|word| v3::RedisParameter::Binary(word.into_bytes()));
        let reply = connection.execute(command, arguments.collect()).await;
        told.push(format!("{reply:?}"));
    }
    told
}

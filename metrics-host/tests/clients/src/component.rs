//! A path names an interface and its version, the first line of the body the address of the server.

#![expect(clippy::unwrap_used, reason = "a trap fails the test")]

mod arguments;
mod mqtt;
mod postgres;
mod redis;

use bytes::Bytes;
use spin_sdk::{
    http::{Error, FullBody, Request, Response, body::IncomingBodyExt},
    http_service,
};

mod wit {
    spin_sdk::wit_bindgen::generate!({
        inline: "
            package test:clients;
            world imports {
                import fermyon:spin/postgres;
                import fermyon:spin/redis;
                import fermyon:spin/mqtt@2.0.0;
                import fermyon:spin/postgres@2.0.0;
                import fermyon:spin/redis@2.0.0;
                import spin:mqtt/mqtt@3.0.0;
                import spin:postgres/postgres@3.0.0;
                import spin:postgres/postgres@4.2.0;
                import spin:redis/redis@3.0.0;
            }
        ",
        path: "../../../spin-host/wit",
        runtime_path: "spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

#[http_service]
async fn handle(request: Request) -> Result<Response<FullBody<Bytes>>, Error> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().bytes().await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let mut lines = body.lines();
    let address = lines.next().unwrap_or_default();
    let told = match path.as_str() {
        "/redis/1" => redis::version_1(address),
        "/redis/2" => redis::version_2(address),
        "/redis/3" => redis::version_3(address).await,
        "/redis/execute" => redis::execute(address, lines).await,
        "/postgres/1" => postgres::version_1(address),
        "/postgres/2" => postgres::version_2(address),
        "/postgres/3" => postgres::version_3(address),
        "/postgres/4" => postgres::version_4(address),
        "/postgres/query" => postgres::query(address, lines),
        "/postgres/stream" => postgres::stream(address, lines).await,
        "/postgres/built" => postgres::built(address, lines).await,
        "/postgres/trap" => panic!("{:?}", postgres::query(address, lines)),
        "/mqtt/2" => mqtt::version_2(address),
        "/mqtt/3" => mqtt::version_3(address, lines).await,
        _ => vec![format!("unknown path {path}")],
    };
    Ok(Response::new(FullBody::new(Bytes::from(told.join("\n")))))
}

//! One kind of response per path.

use spin_sdk::{
    http::{IntoResponse, Request, Response, body::IncomingBodyExt},
    http_service,
};

#[http_service]
async fn handle(request: Request) -> Result<impl IntoResponse, spin_sdk::http::Error> {
    let path = request.uri().path().to_owned();
    let (status, content) = match &*path {
        "/status" => (418, "a body".to_owned()),
        "/panic" => panic!("on purpose"),
        "/length" => {
            let content = request.into_body().bytes().await;
            (200, content.map_or(0, |content| content.len()).to_string())
        }
        "/long" => (200, "x".repeat(200_000)),
        _ => (200, "fine".to_owned()),
    };
    Ok(Response::builder()
        .status(status)
        .body(content)
        .unwrap_or_default())
}

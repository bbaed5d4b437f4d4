//! An application as Spin 3 had them: WASI 0.2, and version 5 of Spin's SDK. One kind of response per path.

use futures::{Sink, SinkExt, TryStreamExt};
use spin_sdk::{
    http::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam},
    http_component,
};
use std::{
    error::Error,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread::sleep,
    time::Duration,
};

/// Requests that this instance has handled.
static REQUESTS: AtomicU32 = AtomicU32::new(0);

#[http_component]
async fn handle(request: IncomingRequest, out: ResponseOutparam) {
    // A client that leaves ends the body that it gets.
    if let Err(error) = answer(request, out).await {
        println!("{error}");
    }
}

async fn answer(request: IncomingRequest, out: ResponseOutparam) -> Result<(), Box<dyn Error>> {
    let target = request.path_with_query().unwrap_or_default();
    let words: Vec<_> = target.split('/').skip(1).collect();
    let (status, content) = match words[..] {
        ["instance"] => (200, (REQUESTS.fetch_add(1, Relaxed) + 1).to_string()),
        ["echo"] => {
            let parts: Vec<Vec<u8>> = request.into_body_stream().try_collect().await?;
            (200, String::from_utf8(parts.concat())?)
        }
        ["throw"] => (500, "on purpose".into()),
        ["trap"] => panic!("on purpose"),
        ["lines", count, pause] => {
            let (count, pause) = (count.parse::<u32>()?, pause.parse()?);
            let mut body = begin(200, out);
            for line in 1..=count {
                body.send(format!("line {line}\n").into_bytes()).await?;
                sleep(Duration::from_millis(pause));
            }
            return Ok(());
        }
        _ => (404, "nothing is here".into()),
    };
    begin(status, out).send(content.into_bytes()).await?;
    Ok(())
}

/// Sends a head, and returns the body.
fn begin(
    status: u16,
    out: ResponseOutparam,
) -> impl Sink<Vec<u8>, Error = impl Error + 'static> + Unpin {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).expect("a valid status");
    let body = response.take_body();
    out.set(response);
    Box::pin(body)
}

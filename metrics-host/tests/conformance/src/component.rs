//! Requests and responses of the cases.

use std::{error::Error, io::Write};
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

#[expect(missing_docs, reason = "generated")]
pub mod bindings {
    //! The interfaces of `wit/world.wit`.
    wit_bindgen::generate!({
        path: "wit",
        world: "platform",
        generate_all,
        additional_derives: [PartialEq],
    });
}

/// An error, with the text that becomes the body of the response.
pub type Failure = Box<dyn Error>;

/// Returns a header of the request: it tells a case the address of a server.
pub fn header(request: &IncomingRequest, name: &str) -> Result<String, Failure> {
    let value = request.headers().get(name).pop();
    let value = value.ok_or_else(|| format!("the request has no header {name}"))?;
    Ok(String::from_utf8(value)?)
}

/// Answers with 200 and an empty body, or with 500 and the failure.
pub fn finish(out: ResponseOutparam, result: Result<(), Failure>) {
    let (status, body) = match result {
        Ok(()) => (200, String::new()),
        Err(failure) => (500, failure.to_string()),
    };
    let response = response(status);
    // A body that is never taken is empty, and its length known.
    let content = (!body.is_empty()).then(|| response.body().expect("taken once"));
    ResponseOutparam::set(out, Ok(response));
    if let Some(content) = content {
        end_with(content, body.as_bytes());
    }
}

/// Makes a response without headers.
pub fn response(status: u16) -> OutgoingResponse {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).expect("a valid status");
    response
}

/// Writes a body to its end.
pub fn end_with(body: OutgoingBody, content: &[u8]) {
    let mut stream = body.write().expect("taken once");
    stream.write_all(content).expect("the body is read");
    stream.flush().expect("the body is read");
    drop(stream);
    OutgoingBody::finish(body, None).expect("the body is whole");
}

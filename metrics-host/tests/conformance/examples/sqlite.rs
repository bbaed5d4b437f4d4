//! A SQLite database that is granted, and one that is not.

#![cfg(target_arch = "wasm32")]

use conformance_component::{
    Failure,
    bindings::fermyon::spin::sqlite::{Connection, Error, Value},
    ensure,
};
use wasip2::http::types::IncomingRequest;

conformance_component::case!(handle);

fn handle(_: &IncomingRequest) -> Result<(), Failure> {
    ensure!(matches!(
        Connection::open("another"),
        Err(Error::AccessDenied)
    ));
    let database = Connection::open("default")?;
    database.execute("DROP TABLE IF EXISTS planets", &[])?;
    database.execute(
        "CREATE TABLE planets (name TEXT NOT NULL, moons INTEGER, mass REAL, image BLOB, life TEXT)",
        &[],
    )?;
    let jupiter = [
        Value::Text("Jupiter".into()),
        Value::Integer(97),
        Value::Real(317.8),
        Value::Blob(vec![0, 255]),
        Value::Null,
    ];
    database.execute("INSERT INTO planets VALUES (?, ?, ?, ?, ?)", &jupiter)?;
    database.execute("INSERT INTO planets (name) VALUES ('Mars')", &[])?;
    let found = database.execute(
        "SELECT * FROM planets WHERE name = ?",
        &[Value::Text("Jupiter".into())],
    )?;
    ensure!(found.columns == ["name", "moons", "mass", "image", "life"]);
    ensure!(found.rows.len() == 1);
    ensure!(found.rows[0].values == jupiter);
    let all = database.execute("SELECT name FROM planets", &[])?;
    ensure!(all.rows.len() == 2);
    let error = database.execute("SELECT nothing FROM planets", &[]);
    ensure!(matches!(error, Err(Error::Io(text)) if text.contains("nothing")));
    Ok(())
}

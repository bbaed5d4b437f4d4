//! The compilation of a component, with log lines that tell a person why the start takes a while.

use anyhow::{Context, Result};
use futures::channel::oneshot;
use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use wasmtime::{Cache, Engine, component::Component};

/// Time after which a compilation is announced. Code from the cache is loaded sooner.
const PATIENCE: Duration = Duration::from_millis(300);
/// Interval at which a terminal shows the time that it has taken so far.
const TICK: Duration = Duration::from_millis(100);
/// Clears a line of the terminal from the cursor on.
const CLEAR: &str = "\x1b[K";

/// Compiles a component, or loads its code from the cache. It runs on a thread of its own, so that a signal can end the
/// process meanwhile.
///
/// # Errors
/// Fails if `wasm` is not a component.
pub(crate) async fn compile(
    engine: &Engine,
    cache: &Cache,
    id: &str,
    wasm: &Arc<Vec<u8>>,
) -> Result<Component> {
    let began = Instant::now();
    let hits = cache.cache_hits();
    let size = size(wasm.len());
    let (sender, mut compiled) = oneshot::channel();
    thread::Builder::new().name("compile".into()).spawn({
        let (engine, wasm) = (engine.clone(), Arc::clone(wasm));
        move || sender.send(Component::from_binary(&engine, &wasm))
    })?;
    let component = match tokio::time::timeout(PATIENCE, &mut compiled).await {
        Ok(component) => component,
        Err(_) => {
            tracing::info!(
                component = id,
                size,
                "compiling; this can take a minute, and is done once"
            );
            let is_terminal = io::stderr().is_terminal();
            tokio::select! {
                component = compiled => component,
                never = show_time(id, began), if is_terminal => never,
            }
        }
    };
    let component = component.context("the compiler panicked")??;
    if cache.cache_hits() == hits {
        let took = format!("{:.1?}", began.elapsed());
        tracing::info!(component = id, size, took, "compiled");
    }
    Ok(component)
}

/// Shows the time since `began` in a line of the terminal that lines of the log overwrite.
async fn show_time(id: &str, began: Instant) -> ! {
    let _cleared = ClearedLine;
    loop {
        let took = began.elapsed().as_secs_f64();
        _ = write!(io::stderr(), "compiling {id}: {took:.1} s{CLEAR}\r");
        tokio::time::sleep(TICK).await;
    }
}

/// Clears the rest of the line when it is dropped.
struct ClearedLine;

impl Drop for ClearedLine {
    fn drop(&mut self) {
        _ = write!(io::stderr(), "{CLEAR}");
    }
}

/// Returns a size for people.
fn size(bytes: usize) -> String {
    match bytes as f64 {
        bytes if bytes < 1e6 => format!("{:.0} kB", bytes / 1e3),
        bytes => format!("{:.1} MB", bytes / 1e6),
    }
}

//! The reference: the items service as a native program, with axum, rusqlite and the official Prometheus client.
//!
//! API, SQL, durability and allocator equal those of the component under metrics-host; there is no sandbox.

mod api;
mod metrics;
mod store;

use anyhow::Result;
use clap::Parser;
use std::{net::SocketAddr, path::PathBuf};
use store::Store;
use tokio::{
    net::TcpListener,
    select,
    signal::unix::{SignalKind, signal},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves items, and its metrics at /metrics.
#[derive(Parser)]
#[command(name = "native")]
struct Args {
    /// Address to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// SQLite file of the items
    #[arg(long)]
    database: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let store = Store::open(&args.database)?;
    let listener = TcpListener::bind(args.listen).await?;
    let mut end = signal(SignalKind::terminate())?;
    select! {
        served = api::serve(listener, store) => served,
        _ = end.recv() => Ok(()),
    }
}

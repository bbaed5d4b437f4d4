//! The yardstick: the items service as a native program, with axum, rusqlite and the official Prometheus client.
//!
//! Same API, same SQL, same durability and the same allocator as the component under metrics-host, without a sandbox.

mod api;
mod metrics;
mod store;

use anyhow::Result;
use clap::Parser;
use std::{net::SocketAddr, path::PathBuf};
use store::Store;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves items, and its metrics at /metrics.
#[derive(Parser)]
#[command(name = "native")]
struct Args {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// The items
    #[arg(long)]
    database: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let store = Store::open(&args.database)?;
    let listener = TcpListener::bind(args.listen).await?;
    api::serve(listener, store).await?;
    Ok(())
}

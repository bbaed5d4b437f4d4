//! `spin:postgres@4.2.0`, and so 4.0 and 4.1.

use super::{
    PostgresConnection,
    api::{
        Column, DbValue, Error, Host, HostConnection, HostConnectionBuilder,
        HostConnectionBuilderWithStore, HostConnectionWithStore, ParameterValue, RowSet,
    },
    connection::Rows,
    value,
};
use crate::{clients, instance::HostState};
use futures::{Stream, StreamExt, stream};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::oneshot;
use wasmtime::{
    Result, StoreContextMut,
    component::{
        Accessor, Destination, FutureReader, HasSelf, Resource, StreamProducer, StreamReader,
        StreamResult, VecBuffer,
    },
};

type Connection = Resource<PostgresConnection>;
type Builder = Resource<ConnectionBuilder>;
type Row = Vec<DbValue>;

/// The settings of a connection that is not open yet.
#[derive(Clone, Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ConnectionBuilder {
    address: String,
    root: Option<String>,
}

impl HostState {
    pub(super) fn postgres(&self, connection: &Connection) -> Result<PostgresConnection> {
        Ok(self.table.get(connection)?.clone())
    }

    pub(super) async fn open_postgres(
        &mut self,
        address: String,
        root: Option<String>,
    ) -> Result<Result<Connection, Error>> {
        let clients = Arc::clone(&self.component.clients);
        match PostgresConnection::open(clients, address, root).await {
            Ok(connection) => Ok(Ok(self.table.push(connection)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    pub(super) async fn query_postgres(
        &mut self,
        connection: &Connection,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> Result<Result<RowSet, Error>> {
        let connection = self.postgres(connection)?;
        let all = async {
            let (columns, rows) = connection.query(statement, parameters).await?;
            Ok(RowSet {
                columns,
                rows: rows.all().await?,
            })
        };
        Ok(all.await)
    }
}

impl Host for HostState {}

impl HostConnection for HostState {
    async fn open(&mut self, address: String) -> Result<Result<Connection, Error>> {
        self.open_postgres(address, None).await
    }

    async fn query(
        &mut self,
        connection: Connection,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> Result<Result<RowSet, Error>> {
        self.query_postgres(&connection, statement, parameters)
            .await
    }

    async fn execute(
        &mut self,
        connection: Connection,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> Result<Result<u64, Error>> {
        let connection = self.postgres(&connection)?;
        Ok(connection.execute(statement, parameters).await)
    }

    async fn drop(&mut self, connection: Connection) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl HostConnectionBuilder for HostState {
    async fn new(&mut self, address: String) -> Result<Builder> {
        let root = None;
        Ok(self.table.push(ConnectionBuilder { address, root })?)
    }

    async fn set_ca_root(
        &mut self,
        builder: Builder,
        certificate: String,
    ) -> Result<Result<(), Error>> {
        if let Err(error) = clients::certificates(&certificate) {
            let message = format!("invalid root certificate: {error}");
            return Ok(Err(Error::Other(message)));
        }
        self.table.get_mut(&builder)?.root = Some(certificate);
        Ok(Ok(()))
    }

    async fn build(&mut self, builder: Builder) -> Result<Result<Connection, Error>> {
        let ConnectionBuilder { address, root } = self.table.get(&builder)?.clone();
        self.open_postgres(address, root).await
    }

    async fn drop(&mut self, builder: Builder) -> Result<()> {
        self.table.delete(builder)?;
        Ok(())
    }
}

async fn open<T>(
    store: &Accessor<T, HasSelf<HostState>>,
    address: String,
    root: Option<String>,
) -> Result<Result<Connection, Error>> {
    let clients = store.with(|mut access| Arc::clone(&access.get().component.clients));
    match PostgresConnection::open(clients, address, root).await {
        Ok(connection) => {
            let connection = store.with(|mut access| access.get().table.push(connection))?;
            Ok(Ok(connection))
        }
        Err(error) => Ok(Err(error)),
    }
}

impl<T> HostConnectionBuilderWithStore<T> for HasSelf<HostState> {
    async fn build_async(
        store: &Accessor<T, Self>,
        builder: Builder,
    ) -> Result<Result<Connection, Error>> {
        let builder = store.with(|mut access| access.get().table.get(&builder).cloned())?;
        open(store, builder.address, builder.root).await
    }
}

impl<T: 'static> HostConnectionWithStore<T> for HasSelf<HostState> {
    async fn open_async(
        store: &Accessor<T, Self>,
        address: String,
    ) -> Result<Result<Connection, Error>> {
        open(store, address, None).await
    }

    async fn query_async(
        store: &Accessor<T, Self>,
        connection: Connection,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> Result<
        Result<
            (
                Vec<Column>,
                StreamReader<Row>,
                FutureReader<Result<(), Error>>,
            ),
            Error,
        >,
    > {
        let connection = store.with(|mut access| access.get().postgres(&connection))?;
        let (columns, rows) = match connection.query(statement, parameters).await {
            Ok(result) => result,
            Err(error) => return Ok(Err(error)),
        };
        let (ended, end) = oneshot::channel();
        store.with(|mut access| {
            let rows = StreamReader::new(&mut access, RowProducer::new(rows, ended))?;
            // A guest that drops the rows does not learn of their end.
            let end = async { wasmtime::error::Ok(end.await.unwrap_or(Ok(()))) };
            let end = FutureReader::new(&mut access, end)?;
            Ok(Ok((columns, rows, end)))
        })
    }

    async fn execute_async(
        store: &Accessor<T, Self>,
        connection: Connection,
        statement: String,
        parameters: Vec<ParameterValue>,
    ) -> Result<Result<u64, Error>> {
        let connection = store.with(|mut access| access.get().postgres(&connection))?;
        Ok(connection.execute(statement, parameters).await)
    }
}

/// Memory of the rows that the guest gets at once, after which it gets no further ones.
const CHUNK: usize = 64 << 10;

/// Reads the rows from the server as the guest takes them.
struct RowProducer(Pin<Box<dyn Stream<Item = Row> + Send>>);

impl RowProducer {
    /// Sends to `ended` how the rows end.
    fn new(rows: Rows, ended: oneshot::Sender<Result<(), Error>>) -> Self {
        let next = |(mut rows, ended): (Rows, oneshot::Sender<_>)| async move {
            let end = match rows.next().await {
                Ok(Some(row)) => return Some((row, (rows, ended))),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            _ = ended.send(end);
            None
        };
        Self(Box::pin(stream::unfold((rows, ended), next).fuse()))
    }
}

impl<D> StreamProducer<D> for RowProducer {
    type Item = Row;
    type Buffer = VecBuffer<Row>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Row, VecBuffer<Row>>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let room = destination.remaining(&mut store).unwrap_or(1);
        if room == 0 {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let (mut rows, mut size) = (Vec::new(), 0);
        // Each read of the guest costs as much as several rows.
        while rows.len() < room && size < CHUNK {
            match self.0.as_mut().poll_next(context) {
                Poll::Ready(Some(row)) => {
                    size += value::size(&row);
                    rows.push(row);
                }
                Poll::Ready(None) if rows.is_empty() => {
                    return Poll::Ready(Ok(StreamResult::Dropped));
                }
                Poll::Pending if rows.is_empty() && !finish => return Poll::Pending,
                Poll::Pending if rows.is_empty() => {
                    return Poll::Ready(Ok(StreamResult::Cancelled));
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        destination.set_buffer(rows.into());
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

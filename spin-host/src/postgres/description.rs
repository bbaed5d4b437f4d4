//! The types of statements, as servers describe them. A statement is described once; after that its execution is one
//! message, without a prepared statement, and so through a PgBouncer that gives each transaction another connection.

use super::{
    api,
    pool::{Address, Connection},
    value,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_postgres::{
    Error, Statement,
    error::SqlState,
    types::{ToSql, Type},
};

/// Descriptions to remember, and the longest statement to remember one of.
const CAPACITY: usize = 512;
const MAX_STATEMENT: usize = 16 << 10;
/// First words of statements that change the types of columns.
const CHANGES: [&str; 4] = ["CREATE", "ALTER", "DROP", "DO"];
/// Names of prepared statements to try. Behind PgBouncer, a server's connection can have one of another process.
const NAMES: usize = 64;

/// The parameters and columns of a statement.
#[derive(Debug)]
pub(super) struct Description {
    pub parameters: Vec<Type>,
    pub columns: Vec<api::Column>,
}

impl Description {
    /// Returns parameters with their types.
    pub(super) fn typed<'a>(
        &self,
        parameters: &'a [value::Parameter],
    ) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
        let typed = parameters.iter().zip(&self.parameters);
        typed
            .map(|(value, sql)| (&**value as &(dyn ToSql + Sync), sql.clone()))
            .collect()
    }
}

/// Descriptions of the statements that a component used lately.
#[derive(Debug, Default)]
pub(super) struct Descriptions(Mutex<Known>);

type Known = HashMap<Address, HashMap<String, Arc<Description>>>;

impl Descriptions {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is known of a statement with as many parameters as `parameters`.
    pub(super) fn known_of(
        &self,
        address: &Address,
        statement: &str,
        parameters: usize,
    ) -> Option<Arc<Description>> {
        let known = self.known().get(address)?.get(statement).cloned();
        known.filter(|known| known.parameters.len() == parameters)
    }

    /// Has the server describe a statement, which gets as many parameters as `parameters`.
    pub(super) async fn describe(
        &self,
        connection: &Connection,
        statement: &str,
        parameters: usize,
    ) -> Result<Arc<Description>, Error> {
        let described = prepare(connection, statement).await?;
        let description = Arc::new(Description {
            parameters: described.params().to_vec(),
            columns: described.columns().iter().map(value::column).collect(),
        });
        if description.parameters.len() != parameters {
            // The error of the client says how many there should be.
            let found: Vec<&(dyn ToSql + Sync)> = vec![&None::<bool>; parameters];
            connection.client.execute(&described, &found).await?;
        }
        if statement.len() <= MAX_STATEMENT {
            let mut known = self.known();
            if known.values().map(HashMap::len).sum::<usize>() >= CAPACITY {
                known.clear();
            }
            let of = known.entry(connection.address.clone()).or_default();
            of.insert(statement.to_owned(), Arc::clone(&description));
        }
        Ok(description)
    }

    /// Forgets all descriptions if a statement may have changed the types of others.
    pub(super) fn executed(&self, address: &Address, statement: &str) {
        let word = statement.split_whitespace().next().unwrap_or_default();
        if CHANGES
            .iter()
            .any(|change| word.eq_ignore_ascii_case(change))
        {
            self.known().remove(address);
        }
    }

    /// Forgets the description of a statement that failed: its types may have changed.
    pub(super) fn forget(&self, address: &Address, statement: &str) {
        if let Some(of) = self.known().get_mut(address) {
            of.remove(statement);
        }
    }
}

async fn prepare(connection: &Connection, statement: &str) -> Result<Statement, Error> {
    let mut names = 0;
    loop {
        names += 1;
        match connection.client.prepare(statement).await {
            Err(error)
                if error.code() == Some(&SqlState::DUPLICATE_PSTATEMENT) && names < NAMES => {}
            prepared => return prepared,
        }
    }
}

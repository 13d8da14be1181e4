//! The client of the database. Tests may put another server in the place of PostgreSQL, at the level of statements and the
//! values that they carry, so that all that this program decides by itself is the same.

use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Config, Socket};

#[cfg(not(test))]
pub(super) use tokio_postgres::{Client, Error, Row};

#[cfg(test)]
pub(crate) use simulated::{Answer, Connection, Refusal, Server, Value};
#[cfg(test)]
pub(super) use simulated::{Client, Error, Row};

type Opened<T> = (
    Client,
    tokio_postgres::Connection<Socket, <T as MakeTlsConnect<Socket>>::Stream>,
);

/// Connects to PostgreSQL.
pub(super) async fn connect<T: MakeTlsConnect<Socket>>(config: &Config, tls: T) -> Result<Opened<T>, Error> {
    let connected = config.connect(tls).await;
    #[cfg(test)]
    let connected = match connected {
        Ok((client, connection)) => Ok((Client::Postgres(client), connection)),
        Err(error) => Err(Error::Postgres(error)),
    };
    connected
}

#[cfg(not(test))]
pub(super) fn is_refusal(error: &Error) -> bool {
    error.as_db_error().is_some()
}

#[cfg(test)]
pub(super) fn is_refusal(error: &Error) -> bool {
    match error {
        Error::Postgres(error) => error.as_db_error().is_some(),
        Error::Simulated(refusal) => matches!(refusal, Refusal::Code(_)),
    }
}

/// Whether the statement had no effect because somebody held a lock for too long (`lock_timeout`).
pub(super) fn is_lock_timeout(error: &Error) -> bool {
    #[cfg(test)]
    let error = match error {
        Error::Postgres(error) => error,
        Error::Simulated(refusal) => return *refusal == Refusal::Code(SqlState::LOCK_NOT_AVAILABLE.code()),
    };
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

#[cfg(test)]
mod simulated {
    use std::fmt;
    use std::future::pending;

    use tokio_postgres::types::private::BytesMut;
    use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};

    /// A value as it is on the wire (PostgreSQL's binary format), and its type.
    #[derive(Debug, Clone)]
    pub(crate) struct Value {
        pub(crate) kind: Type,
        pub(crate) bytes: Option<Vec<u8>>,
    }

    /// The rows that a statement yields, and how many it changed.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Answer {
        pub(crate) rows: Vec<Vec<Value>>,
        pub(crate) changed: u64,
    }

    /// Why there is none.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) enum Refusal {
        /// An SQLSTATE.
        Code(&'static str),
        /// The connection is closed.
        Closed,
    }

    /// A database server that is not PostgreSQL.
    pub(crate) trait Server: Send + Sync {
        fn connect(&self) -> Result<Box<dyn Connection>, Refusal>;
    }

    pub(crate) trait Connection: Send + Sync {
        /// `None` if there is never an answer. Parameters are empty for simple queries.
        fn run(&self, statement: &str, parameters: &[Value]) -> Option<Result<Answer, Refusal>>;

        fn is_closed(&self) -> bool;
    }

    pub(in super::super) enum Client {
        Postgres(tokio_postgres::Client),
        Simulated(Box<dyn Connection>),
    }

    pub(in super::super) enum Row {
        Postgres(tokio_postgres::Row),
        Simulated(Vec<Value>),
    }

    #[derive(Debug)]
    pub(in super::super) enum Error {
        Postgres(tokio_postgres::Error),
        Simulated(Refusal),
    }

    impl fmt::Display for Error {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{self:?}")
        }
    }

    impl std::error::Error for Error {}

    impl From<Refusal> for Error {
        fn from(refusal: Refusal) -> Error {
            Error::Simulated(refusal)
        }
    }

    impl From<tokio_postgres::Error> for Error {
        fn from(error: tokio_postgres::Error) -> Error {
            Error::Postgres(error)
        }
    }

    /// As `tokio_postgres::Row::try_get` is written: with the column's type.
    pub(in super::super) trait Column {
        fn number(self) -> usize;
    }

    impl Column for usize {
        fn number(self) -> usize {
            self
        }
    }

    type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

    impl Value {
        pub(crate) fn new(value: &(dyn ToSql + Sync), kind: Type) -> Value {
            let mut bytes = BytesMut::new();
            let bytes = match value.to_sql_checked(&kind, &mut bytes).unwrap() {
                IsNull::Yes => None,
                IsNull::No => Some(bytes.to_vec()),
            };
            Value { kind, bytes }
        }

        pub(crate) fn get<'a, T: FromSql<'a>>(&'a self) -> T {
            T::from_sql_nullable(&self.kind, self.bytes.as_deref()).unwrap()
        }
    }

    impl Row {
        pub(in super::super) fn try_get<'a, C, T>(&'a self, column: C) -> Result<T, Error>
        where
            C: Column,
            T: FromSql<'a>,
        {
            match self {
                Row::Postgres(row) => Ok(row.try_get(column.number())?),
                Row::Simulated(values) => Ok(values[column.number()].get()),
            }
        }
    }

    impl Client {
        async fn simulate(
            connection: &dyn Connection,
            statement: &str,
            parameters: &[Parameter<'_>],
        ) -> Result<Answer, Error> {
            let parameters: Vec<_> = parameters
                .iter()
                .map(|(value, kind)| Value::new(*value, kind.clone()))
                .collect();
            match connection.run(statement, &parameters) {
                Some(answer) => answer.map_err(Error::Simulated),
                None => pending().await,
            }
        }

        pub(in super::super) async fn batch_execute(&self, statements: &str) -> Result<(), Error> {
            match self {
                Client::Postgres(client) => Ok(client.batch_execute(statements).await?),
                Client::Simulated(connection) => {
                    Client::simulate(&**connection, statements, &[]).await.map(drop)
                }
            }
        }

        pub(in super::super) async fn execute_typed(
            &self,
            statement: &str,
            parameters: &[Parameter<'_>],
        ) -> Result<u64, Error> {
            match self {
                Client::Postgres(client) => Ok(client.execute_typed(statement, parameters).await?),
                Client::Simulated(connection) => {
                    let answer = Client::simulate(&**connection, statement, parameters).await;
                    answer.map(|answer| answer.changed)
                }
            }
        }

        pub(in super::super) async fn query_typed(
            &self,
            statement: &str,
            parameters: &[Parameter<'_>],
        ) -> Result<Vec<Row>, Error> {
            match self {
                Client::Postgres(client) => {
                    let rows = client.query_typed(statement, parameters).await?;
                    Ok(rows.into_iter().map(Row::Postgres).collect())
                }
                Client::Simulated(connection) => {
                    let answer = Client::simulate(&**connection, statement, parameters).await?;
                    Ok(answer.rows.into_iter().map(Row::Simulated).collect())
                }
            }
        }

        pub(in super::super) async fn query_typed_opt(
            &self,
            statement: &str,
            parameters: &[Parameter<'_>],
        ) -> Result<Option<Row>, Error> {
            Ok(self.query_typed(statement, parameters).await?.into_iter().next())
        }

        pub(in super::super) async fn query_typed_one(
            &self,
            statement: &str,
            parameters: &[Parameter<'_>],
        ) -> Result<Row, Error> {
            let row = self.query_typed_opt(statement, parameters).await?;
            Ok(row.expect("one row"))
        }

        pub(in super::super) fn is_closed(&self) -> bool {
            match self {
                Client::Postgres(client) => client.is_closed(),
                Client::Simulated(connection) => connection.is_closed(),
            }
        }
    }
}

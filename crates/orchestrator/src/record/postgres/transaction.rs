//! Transactions whose statements are sent one behind the other, without waiting for the answers in between.

use std::{
    future::{Future, poll_fn},
    ops::Deref,
    pin::Pin,
    task::Poll,
};

use bytes::BytesMut;
use deadpool_postgres::Object;
use futures_util::{
    TryStreamExt as _,
    future::{BoxFuture, MaybeDone, maybe_done},
};
use qflow_model::ids::{Digest, Timestamp};
use tokio_postgres::{
    Row, Statement,
    types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked},
};

use super::super::Error;

/// Why a transaction was given up.
#[derive(Debug)]
pub(super) enum Stop {
    Because(Error),
    Database(Box<dyn std::error::Error + Send + Sync>),
}

impl Stop {
    pub(super) fn while_doing(self, doing: &'static str) -> Error {
        match self {
            Self::Because(error) => error,
            Self::Database(source) => Error::Database { doing, source },
        }
    }
}

impl From<tokio_postgres::Error> for Stop {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(told(&error))
    }
}

impl From<deadpool_postgres::PoolError> for Stop {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            other => Self::Database(other.into()),
        }
    }
}

impl From<serde_json::Error> for Stop {
    fn from(error: serde_json::Error) -> Self {
        Self::Database(error.into())
    }
}

pub(super) type Done<T> = Result<T, Stop>;

/// What the driver says with all its causes: by itself it says "db error".
pub(super) fn told(error: &tokio_postgres::Error) -> Box<dyn std::error::Error + Send + Sync> {
    let (mut text, mut cause) = (error.to_string(), std::error::Error::source(error));
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.into()
}

/// A parameter of a statement.
pub(super) type Param<'a> = &'a (dyn ToSql + Sync);

type Answer = Result<Vec<Row>, tokio_postgres::Error>;
type Sending<'a> = MaybeDone<BoxFuture<'a, Answer>>;

/// Statements that are on their way, in their order.
pub(super) struct Sent<'a>(Vec<Pin<Box<Sending<'a>>>>);

/// A connection within a transaction. One that is dropped before its end takes its connection with it: the server then undoes it.
pub(super) struct Tx {
    client: Option<Object>,
}

impl Deref for Tx {
    type Target = Object;
    fn deref(&self) -> &Object {
        self.client.as_ref().expect("only the end takes it")
    }
}

impl Tx {
    pub(super) fn on(client: Object) -> Self {
        Self { client: Some(client) }
    }

    /// Statements to be sent, `BEGIN` before them.
    pub(super) fn begin(&self) -> Sent<'_> {
        self.simple("BEGIN")
    }

    /// The same for reads that are to see one state.
    pub(super) fn begin_reading(&self) -> Sent<'_> {
        self.simple("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    }

    fn simple(&self, what: &'static str) -> Sent<'_> {
        let mut sent = Sent(Vec::new());
        sent.push(async move { self.batch_execute(what).await.map(|()| Vec::new()) });
        sent
    }

    /// Commits where all went well, else undoes it. A lost reply is an error: whoever wrote reads again.
    pub(super) async fn end<T>(mut self, done: Done<T>) -> Done<T> {
        let (last, done) = match done {
            Ok(done) => (self.batch_execute("COMMIT").await, Ok(done)),
            Err(stop) => (self.batch_execute("ROLLBACK").await, Err(stop)),
        };
        match (last, done) {
            (Ok(()), done) => {
                drop(self.client.take());
                done
            }
            (Err(_), Err(stop)) => Err(stop),
            (Err(lost), Ok(_)) => Err(lost.into()),
        }
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

impl<'a> Sent<'a> {
    /// Nothing yet, and no transaction around it.
    pub(super) fn nothing() -> Self {
        Self(Vec::new())
    }

    fn push(&mut self, future: impl Future<Output = Answer> + Send + 'a) {
        let future: BoxFuture<'a, _> = Box::pin(future);
        self.0.push(Box::pin(maybe_done(future)));
    }

    /// Sends a statement behind the others.
    pub(super) fn then(&mut self, client: &'a Object, statement: &'a Statement, params: Vec<Param<'a>>) {
        self.push(async move { client.query_raw(statement, params).await?.try_collect().await });
    }

    /// The answers to all, or the first refusal.
    pub(super) async fn answers(mut self) -> Result<Vec<Vec<Row>>, tokio_postgres::Error> {
        // Polled in their order: the first look at a statement is what sends it.
        poll_fn(|cx| {
            // Each is looked at, also where an earlier one waits.
            let waiting =
                self.0.iter_mut().filter_map(|sent| sent.as_mut().poll(cx).is_pending().then_some(())).count();
            if waiting > 0 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        self.0.iter_mut().filter_map(|sent| sent.as_mut().take_output()).collect()
    }
}

/// A point of time, as the database keeps it.
#[derive(Clone, Copy, Debug)]
pub(super) struct At(pub(super) Timestamp);

/// Microseconds from 1970 to 2000, where the database's count begins.
const EPOCH: i64 = 946_684_800_000_000;

impl ToSql for At {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        // The largest number is the database's infinity.
        let micros = if self.0.0 == i64::MAX { i64::MAX } else { self.0.0.saturating_sub(EPOCH) };
        out.extend_from_slice(&micros.to_be_bytes());
        Ok(IsNull::No)
    }
    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for At {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(Timestamp(micros.saturating_add(EPOCH))))
    }
    accepts!(TIMESTAMPTZ);
}

/// A digest from its bytes.
pub(super) fn digest(bytes: &[u8]) -> Done<Digest> {
    bytes.try_into().map(Digest).map_err(|_| Stop::Database("a digest in the database is not 32 bytes long".into()))
}

//! Floors of Postgres, with the driver that Qflow has.

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio_postgres::Client;

use crate::{
    clock::{median, ms, now},
    programs::Postgres,
};

/// Commits of the first floor.
const COMMITS: usize = 500;
/// Clients of the second, and for how long they commit.
const CLIENTS: usize = 64;
const TIME: Duration = Duration::from_secs(2);
/// Rows of an insert of the third.
const ROWS: usize = 1000;
/// A row's text: as long as a node run's.
const TEXT: usize = 200;

const INSERT: &str = "INSERT INTO floor (row) VALUES ($1)";
const INSERT_MANY: &str = "INSERT INTO floor (row) SELECT unnest($1::text[])";

/// A connection to the floors' own table, emptied.
async fn table(postgres: &Postgres) -> anyhow::Result<Client> {
    let client = postgres.connect("postgres").await?;
    client
        .batch_execute("CREATE TABLE IF NOT EXISTS floor (id bigserial PRIMARY KEY, row text); TRUNCATE floor")
        .await?;
    Ok(client)
}

/// Milliseconds of one row's commit, one after another: the median.
pub(super) async fn commit_ms(postgres: &Postgres) -> anyhow::Result<f64> {
    let client = table(postgres).await?;
    let insert = client.prepare(INSERT).await?;
    let (text, mut took) = ("x".repeat(TEXT), Vec::with_capacity(COMMITS));
    for _ in 0..COMMITS {
        let begun = now();
        client.execute(&insert, &[&text]).await?;
        took.push(ms(begun.elapsed()));
    }
    Ok(median(&mut took))
}

/// Commits of one row a second, many clients at once.
pub(super) async fn commits_s(postgres: &Postgres) -> anyhow::Result<f64> {
    table(postgres).await?;
    let clients = try_join_all((0..CLIENTS).map(|_| postgres.connect("postgres"))).await?;
    let begun = now();
    let commit = |client: Client| async move {
        let insert = client.prepare(INSERT).await?;
        let (text, mut count) = ("x".repeat(TEXT), 0_u32);
        while begun.elapsed() < TIME {
            client.execute(&insert, &[&text]).await?;
            count += 1;
        }
        anyhow::Ok(count)
    };
    let counts = try_join_all(clients.into_iter().map(|client| tokio::spawn(commit(client)))).await?;
    let all: u32 = counts.into_iter().sum::<anyhow::Result<u32>>()?;
    Ok(f64::from(all) / begun.elapsed().as_secs_f64())
}

/// Rows a second of one client, many in one insert.
pub(super) async fn rows_s(postgres: &Postgres) -> anyhow::Result<f64> {
    let client = table(postgres).await?;
    let insert = client.prepare(INSERT_MANY).await?;
    let (texts, mut count) = (vec!["x".repeat(TEXT); ROWS], 0);
    let begun = now();
    while begun.elapsed() < TIME {
        client.execute(&insert, &[&texts]).await?;
        count += ROWS;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

//! Each table says whose its rows are, as the database's own catalogue tells.

use super::{
    super::super::conformance::owners::{NOBODYS, Table, fill},
    server::{Server, connect},
    *,
};

/// Only the version before writes to it.
const OLD: &str = "workflow";

#[tokio::test]
async fn each_row_says_whose_it_is() {
    let Some(server) = Server::get() else { return };
    let settings = server.database().await;
    fill(&Postgres::open(&settings).await.unwrap()).await;
    let client = connect(&settings.url).await;
    let sql = "SELECT table_name::text, array_agg(column_name::text) FROM information_schema.columns
               WHERE table_schema = 'public' GROUP BY table_name";
    let rows = client.query(sql, &[]).await.unwrap();
    let tables = rows.iter().map(|row| Table { name: row.get(0), columns: row.get(1) });
    let tables: Vec<Table> = tables.filter(|table| !NOBODYS.contains(&table.name.as_str())).collect();
    assert!(tables.len() > 10, "the catalogue lists {}", tables.len());
    for table in tables {
        let name = &table.name;
        assert!(table.is_owned("username"), "`{name}` does not say whose its rows are: {:?}", table.columns);
        let owners = format!("SELECT DISTINCT tenant || '/' || username FROM {name}");
        let owners: Vec<String> = client.query(&owners, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        let expected: &[&str] = if name == OLD { &[] } else { &["t/u"] };
        assert_eq!(owners, expected, "`{name}`");
    }
}

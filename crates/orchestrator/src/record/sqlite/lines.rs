//! Lines that user code wrote, as rows.

use qflow_model::ids::{RunId, Timestamp};
use rusqlite::{Transaction, params};

use super::{
    super::StoredLine,
    Done,
    rows::{read, text},
};

/// Lines in one answer.
const TOGETHER: usize = 1000;

/// Appends lines of a run; one that is there already is left as it is.
pub(super) fn append(db: &Transaction<'_>, run: RunId, lines: &[StoredLine]) -> Done<()> {
    let mut put = db.prepare_cached(
        "INSERT INTO log_line (run, node, attempt, sequence, at, stream, text, fields, tenant, user)
         SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, tenant, user FROM run WHERE id = ?1 ON CONFLICT DO NOTHING",
    )?;
    let run = run.to_string();
    for line in lines {
        // Most lines are printed and have none: they cost no byte.
        let fields = if line.fields.is_empty() { None } else { Some(text(&line.fields)?) };
        let sequence = line.sequence as i64;
        put.execute(params![run, line.node_id, line.attempt, sequence, line.at.0, line.stream, line.text, fields])?;
    }
    Ok(())
}

/// Lines of a run after a position, and the position of the last.
pub(super) fn after(db: &Transaction<'_>, run: RunId, after: i64) -> Done<(Vec<StoredLine>, i64)> {
    let mut rows = db.prepare_cached(
        "SELECT id, node, attempt, sequence, at, stream, text, fields FROM log_line WHERE run = ? AND id > ?
         ORDER BY id LIMIT ?",
    )?;
    let mut found = rows.query(params![run.to_string(), after, TOGETHER as i64])?;
    let (mut lines, mut last) = (Vec::new(), after);
    while let Some(row) = found.next()? {
        last = row.get(0)?;
        let fields: Option<String> = row.get(7)?;
        lines.push(StoredLine {
            node_id: row.get(1)?,
            attempt: row.get(2)?,
            sequence: row.get::<_, i64>(3)? as u64,
            at: Timestamp(row.get(4)?),
            stream: row.get(5)?,
            text: row.get(6)?,
            fields: fields.map(|fields| read(&fields)).transpose()?.unwrap_or_default(),
        });
    }
    Ok((lines, last))
}

/// Removes the lines of attempts.
pub(super) fn remove(db: &Transaction<'_>, run: RunId, attempts: &[(String, u32)]) -> Done<()> {
    let mut gone = db.prepare_cached("DELETE FROM log_line WHERE run = ? AND node = ? AND attempt = ?")?;
    let run = run.to_string();
    for (node, attempt) in attempts {
        gone.execute(params![run, node, attempt])?;
    }
    Ok(())
}

//! A long value is checked without being held, and a list is converted without being held twice. By itself in a program: what is held is counted for all of it.

#[path = "../../python-source/tests/fuzzing/allocations.rs"]
mod allocations;

use std::{
    io::Read,
    sync::{Mutex, PoisonError},
};

use qflow_model::class::Classes;
use qflow_types::{Ty, value};
use serde_json::json;
use value::check_reader;

/// Rows of the list, about 50 bytes each.
const ROWS: u32 = 200_000;
/// Bytes that a check may hold, whatever the length: those that are read at once, and what it knows of the type.
const HELD_BYTES: usize = 256 << 10;

/// A list that is written while it is read.
struct Rows {
    next: u32,
    wrong: Option<u32>,
    rest: Vec<u8>,
}

impl Read for Rows {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() && self.next <= ROWS {
            let row = self.next;
            let price = if self.wrong == Some(row) { "\"7\"".to_owned() } else { format!("{row}.25") };
            self.rest = match row {
                ROWS => b"]".to_vec(),
                _ => format!("{}{{\"name\":\"row {row}\",\"price\":{price}}}", if row == 0 { '[' } else { ',' })
                    .into_bytes(),
            };
            self.next += 1;
        }
        let taken = self.rest.len().min(into.len());
        into[..taken].copy_from_slice(&self.rest[..taken]);
        self.rest.drain(..taken);
        Ok(taken)
    }
}

/// Tests count what the whole program holds.
static ONE: Mutex<()> = Mutex::new(());

#[test]
fn a_list_is_converted_without_being_held_twice() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let ty: Ty = "tuple[dict[str, float], ...]".parse().expect("a type");
    let rows = (0..ROWS / 4).map(|row| json!({"price": format!("{row}.25")})).collect();
    let before = allocations::begin();
    let made = value::convert_taken(rows, &ty, &Classes::new(), true).expect("it converts");
    let held = allocations::peak().saturating_sub(before);
    assert_eq!(made["v"][7], json!({"price": 7.25}));
    assert!(held < HELD_BYTES, "{held} bytes held");
}

#[test]
fn a_long_list_is_checked_without_being_held() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let rows = |wrong| Rows { next: 0, wrong, rest: Vec::new() };
    let classes = Classes::new();
    for ty in ["list[dict[str, str | float]]", "Sequence[dict[str, str | float]] | None", "Any"] {
        let ty = ty.parse().expect("a type");
        let before = allocations::begin();
        let found = check_reader(rows(None), &ty, &classes).expect("it fits");
        let held = allocations::peak().saturating_sub(before);
        assert_eq!(found.items, Some(ROWS), "{ty}");
        assert!(held < HELD_BYTES, "{ty}: {held} bytes held");
    }
    let classes: Classes = serde_json::from_str(
        r#"{"Row": {"name": "w.Row", "kind": "typed_dict", "fields": [
            {"name": "name", "type": "str", "required": true}, {"name": "price", "type": "float", "required": true}]}}"#,
    )
    .expect("a class");
    let ty = "list[Row]".parse().expect("a type");
    let before = allocations::begin();
    let told = check_reader(rows(Some(150_000)), &ty, &classes).map_err(|error| error.to_string());
    let held = allocations::peak().saturating_sub(before);
    assert_eq!(told, Err("at [150000][\"price\"]: expected float, got str".to_owned()));
    assert!(held < HELD_BYTES, "{held} bytes held");
}

//! Fields of a line, as they travel: an object's JSON, and nothing where there is none.

use serde_json::{Map, Value};

/// Fields as bytes; most lines have none, which cost no byte.
pub fn fields_json(fields: &Map<String, Value>) -> Vec<u8> {
    if fields.is_empty() {
        return Vec::new();
    }
    serde_json::to_vec(fields).expect("an object with names as keys has a JSON")
}

/// Bytes as fields. What does not read is a comfort less: the line's text has them too.
pub fn fields_of(json: &[u8]) -> Map<String, Value> {
    if json.is_empty() {
        return Map::new();
    }
    serde_json::from_slice(json).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_travel_and_none_cost_no_byte() {
        let fields: Map<_, _> = [("rows".to_owned(), Value::from(3))].into_iter().collect();
        assert_eq!(fields_of(&fields_json(&fields)), fields);
        assert!(fields_json(&Map::new()).is_empty());
        assert!(fields_of(b"").is_empty() && fields_of(b"[1]").is_empty());
    }
}

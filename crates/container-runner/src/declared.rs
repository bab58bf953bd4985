//! Types that orders declare, each read once: the attempts of a node declare the same by the thousand.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use qflow_model::definition::TypeText;
use qflow_types::{NotAType, Ty};

/// Types that are kept, as many as some hundred nodes declare; past them all are read anew.
const KEPT: usize = 1_000;

/// What is read so far.
#[derive(Debug, Default)]
pub struct Declared {
    read: Mutex<HashMap<TypeText, Arc<Ty>>>,
}

impl Declared {
    /// A type by its text.
    pub fn read(&self, text: &TypeText) -> Result<Arc<Ty>, NotAType> {
        // Whoever panicked left a whole table.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.get(text) {
            return Ok(Arc::clone(known));
        }
        let ty = Arc::new(text.0.parse::<Ty>()?);
        if read.len() >= KEPT {
            read.clear();
        }
        read.insert(text.clone(), Arc::clone(&ty));
        Ok(ty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_once_and_no_more_are_kept_than_the_bound() {
        let declared = Declared::default();
        let read = |text: &str| declared.read(&TypeText(text.to_owned()));
        let first = read("list[dict[str, int]]").unwrap();
        assert_eq!(first.to_string(), "list[dict[str, int]]");
        assert!(Arc::ptr_eq(&first, &read("list[dict[str, int]]").unwrap()));
        assert!(read("list[").is_err());
        for at in 0..2 * KEPT {
            read(&format!("C{at}")).unwrap();
        }
        assert!(declared.read.lock().unwrap().len() <= KEPT);
        assert!(!Arc::ptr_eq(&first, &read("list[dict[str, int]]").unwrap()), "it was forgotten, and is read again");
    }
}

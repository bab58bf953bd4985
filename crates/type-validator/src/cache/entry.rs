//! Entries as they lie where others can write: sealed by a key that only services know, so that nobody else's word is a definition.

use std::{
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use qflow_model::ids::Digest;
use sha2::{Digest as _, Sha256};

use super::ENTRY_BYTES;
use crate::validate::Inspected;

/// What every entry begins with: one of another form is none.
const FORM: &[u8] = b"qflow-definition-1\n";
/// Bytes of a seal.
const SEAL: usize = 32;

/// Seals entries, and knows its own seals.
#[derive(Clone)]
pub struct Seal(Hmac<Sha256>);

impl Seal {
    /// By the services' token: whoever can write entries and does not have it cannot make one.
    pub fn new(token: &str) -> Self {
        let mut derive = mac(token.as_bytes());
        derive.update(b"qflow definition cache");
        Self(mac(&derive.finalize().into_bytes()))
    }

    fn over(&self, key: Digest, json: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(&key.0);
        mac.update(json);
        mac
    }

    /// An entry; nothing where it would be too large.
    pub(super) fn close(&self, key: Digest, found: &Inspected) -> Option<Vec<u8>> {
        let json = serde_json::to_vec(found).ok().filter(|json| json.len() <= ENTRY_BYTES)?;
        let seal = self.over(key, &json).finalize().into_bytes();
        Some([FORM, &seal, &json].concat())
    }

    /// What an entry holds; nothing where it is damaged, of another key, another form, or not of one of ours.
    pub(super) fn open(&self, key: Digest, entry: &[u8]) -> Option<Arc<Inspected>> {
        let (seal, json) = entry.strip_prefix(FORM)?.split_at_checked(SEAL)?;
        self.over(key, json).verify_slice(seal).ok()?;
        serde_json::from_slice(json).ok().map(Arc::new)
    }
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

/// Names a program by all that it is: another build may read the same source otherwise. Takes a while; not for a thread of others.
pub fn program(path: &Path) -> io::Result<Digest> {
    let (mut file, mut hasher) = (std::fs::File::open(path)?, Sha256::new());
    let mut piece = vec![0; 1024 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Digest(hasher.finalize().into())),
            read => hasher.update(&piece[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Inspected {
        Inspected {
            edges: [("w".to_owned(), vec![("int".to_owned(), "str".to_owned(), false)])].into(),
            ..Inspected::default()
        }
    }

    #[test]
    fn an_entry_opens_for_its_key_and_its_seal_only() {
        let (seal, key) = (Seal::new("token"), Digest::of(b"k"));
        let entry = seal.close(key, &found()).unwrap();
        assert_eq!(seal.open(key, &entry).as_deref(), Some(&found()));
        assert_eq!(seal.open(Digest::of(b"other"), &entry), None, "an entry moved to another key");
        assert_eq!(Seal::new("another").open(key, &entry), None, "an entry of somebody else");
    }

    #[test]
    fn whatever_is_changed_of_an_entry_it_is_none() {
        let (seal, key) = (Seal::new("token"), Digest::of(b"k"));
        let entry = seal.close(key, &found()).unwrap();
        for at in 0..entry.len() {
            let mut changed = entry.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open(key, &changed), None, "byte {at}");
            assert_eq!(seal.open(key, &entry[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_program_is_named_by_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        std::fs::write(&path, "one").unwrap();
        assert_eq!(program(&path).unwrap(), Digest::of(b"one"));
        assert!(program(&folder.path().join("none")).is_err());
    }
}

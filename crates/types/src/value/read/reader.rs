//! What reading of one parameter shares.

use qflow_model::class::Classes;
use serde_json::Value;

use super::from;
use crate::{
    ty::Ty,
    value::{ValueError, check, tried::Tried},
};

/// What reading needs.
pub(super) struct Reader<'c> {
    pub(super) classes: &'c Classes,
    pub(super) tried: Tried,
}

impl<'c> Reader<'c> {
    pub(super) fn new(classes: &'c Classes) -> Self {
        Self { classes, tried: Tried::default() }
    }

    /// Each member is tried once: one as which the value stays as it is comes before one that takes it, and that before one that makes it
    /// another.
    pub(super) fn union(&self, plain: &Value, members: &[Ty]) -> Result<Value, Vec<(Ty, ValueError)>> {
        self.tried.members(|| {
            let (exact, others): (Vec<&Ty>, Vec<&Ty>) = members.iter().partition(|member| check(plain, member).is_ok());
            let (mut errors, mut taken) = (Vec::new(), None);
            for member in exact {
                match from(plain, member, self) {
                    Ok(read) if read == *plain => return Ok(read),
                    Ok(read) => drop(taken.get_or_insert(read)),
                    Err(error) => errors.push((member.clone(), error)),
                }
            }
            if let Some(read) = taken {
                return Ok(read);
            }
            for member in others {
                match from(plain, member, self) {
                    Ok(read) => return Ok(read),
                    Err(error) => errors.push((member.clone(), error)),
                }
            }
            Err(errors)
        })
    }
}

//! Arguments held against what their parameters declare: a producer may declare nothing, or `Any`.

use std::collections::BTreeMap;

use qflow_blobs::Blobs;
use qflow_model::{class::Classes, definition::TypeText, ids::RunId};
use qflow_proto::order::Order;
use qflow_types::{
    Ty,
    value::{self, Headers, ValueError},
};
use serde_json::{Map, Value};

use super::{Error, Used};
use crate::headers::{self, Content};

/// What arguments are held against; not those that the harness converts.
#[derive(Debug)]
pub struct Checking<'o> {
    types: BTreeMap<String, Ty>,
    classes: &'o Classes,
}

impl<'o> Checking<'o> {
    /// The declared types of an order's arguments, without those that are `left` to the harness.
    pub fn of(order: &'o Order, left: &BTreeMap<String, bool>) -> Self {
        Self::among(&order.types, &order.classes, left)
    }

    pub(super) fn among(types: &[(String, TypeText)], classes: &'o Classes, left: &BTreeMap<String, bool>) -> Self {
        let read = |(name, ty): &(String, TypeText)| Some((name.clone(), ty.0.parse().ok()?));
        let mut types: BTreeMap<String, Ty> = types.iter().filter_map(read).collect();
        types.retain(|name, ty| *ty != Ty::Any && !left.contains_key(name));
        Self { types, classes }
    }

    /// Holds all arguments against their types; `used` are the attachments that they refer to, by their numbers.
    pub(super) async fn check(
        &self,
        arguments: &Map<String, Value>,
        used: &[Used],
        blobs: &Blobs,
        run: RunId,
    ) -> Result<(), Error> {
        let mut known = Headers::new();
        if !used.is_empty() && self.types.values().any(|ty| value::declares(ty, self.classes)) {
            for (number, Used { attachment, .. }) in (0..).zip(used) {
                let content = Content::Blob(attachment.digest, attachment.size);
                let header = headers::read(blobs, run, &attachment.kind, &content).await?;
                known.extend(header.and_then(Result::ok).map(|header| (number, header)));
            }
        }
        let declared = arguments.iter().filter_map(|(name, value)| Some((name, value, self.types.get(name)?)));
        value::check_each(declared, self.classes, &known).map_err(|(name, error)| unfit(name, error))
    }
}

pub(super) fn unfit(name: &str, error: ValueError) -> Error {
    Error::Unfit {
        name: name.to_owned(),
        place: if error.path.is_empty() { String::new() } else { format!(" at {}", error.path.trim_start()) },
        message: error.message,
    }
}

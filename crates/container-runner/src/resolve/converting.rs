//! Arguments that are converted before they are handed in: all but what only Python makes. See `docs/TYPES.md`.

use std::collections::BTreeMap;

use qflow_model::{class::Classes, definition::TypeText};
use qflow_proto::order::{Converted, Order};
use qflow_types::{Ty, value};
use serde_json::Value;

use super::{Error, checking::unfit};

/// What is made of which argument.
#[derive(Debug, Default)]
pub struct Converting {
    /// The declared type of each, and whether a value that does not convert fails the attempt.
    to: BTreeMap<String, (Ty, bool)>,
    classes: Classes,
}

impl Converting {
    /// Those of an order that are made here, and of the others what the harness is told.
    pub fn of(order: &Order) -> (Self, BTreeMap<String, bool>) {
        Self::among(&order.conversions, &order.types, &order.classes)
    }

    fn among(
        conversions: &[Converted],
        types: &[(String, TypeText)],
        classes: &Classes,
    ) -> (Self, BTreeMap<String, bool>) {
        let mut asked = BTreeMap::<&str, bool>::new();
        for converted in conversions {
            *asked.entry(&converted.argument).or_default() |= converted.may_fail;
        }
        let (mut here, mut left) = (Self::default(), BTreeMap::new());
        for (argument, may_fail) in asked {
            let declared = types.iter().find(|(name, _)| name == argument);
            match declared.and_then(|(_, ty)| ty.0.parse::<Ty>().ok()).filter(|ty| value::is_made_here(ty, classes)) {
                Some(ty) => drop(here.to.insert(argument.to_owned(), (ty, may_fail))),
                None => drop(left.insert(argument.to_owned(), may_fail)),
            }
        }
        if !here.to.is_empty() {
            here.classes.clone_from(classes);
        }
        (here, left)
    }

    /// The argument as its parameter has it; nothing where it goes as it is.
    pub(super) fn convert(&self, name: &str, given: &Value) -> Option<Result<Value, Error>> {
        let (ty, may_fail) = self.to.get(name)?;
        if !may_fail {
            return Some(Ok(value::convert_surely(given, ty, &self.classes)));
        }
        let made = value::convert(given, ty, &self.classes);
        Some(made.map_err(|error| unfit(name, error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_needs_no_python_is_made_here_and_the_rest_is_left() {
        let types =
            [("sure", "tuple[str, ...]"), ("asked", "list[dict[str, int]]"), ("frame", "DataFrame"), ("plain", "int")];
        let types = types.map(|(name, ty)| (name.to_owned(), TypeText(ty.to_owned())));
        let converted = |argument: &str, may_fail: bool| Converted {
            argument: argument.to_owned(),
            from: TypeText("Any".to_owned()),
            may_fail,
        };
        // Of an argument with several sources one that may fail has all fail.
        let conversions =
            [converted("sure", false), converted("asked", false), converted("asked", true), converted("frame", true)];
        let (here, left) = Converting::among(&conversions, &types, &Classes::new());
        assert_eq!(left, BTreeMap::from([("frame".to_owned(), true)]));
        let made =
            |name: &str, value: Value| here.convert(name, &value).map(|made| made.map_err(|error| error.to_string()));
        let date = json!({"$": "date", "v": "2026-11-24"});
        assert_eq!(made("sure", json!([date])), Some(Ok(json!({"$": "tuple", "v": ["2026-11-24"]}))));
        assert_eq!(made("sure", json!(7)), Some(Ok(json!(7))));
        assert_eq!(made("asked", json!([{"a": "7"}])), Some(Ok(json!([{"a": 7}]))));
        assert_eq!(
            made("asked", json!([{}, {"a": "x"}])),
            Some(Err("argument `asked` at [1][\"a\"]: expected int, got 'x'".to_owned()))
        );
        assert_eq!(
            made("asked", json!(7)),
            Some(Err("argument `asked`: expected list[dict[str, int]], got 7".to_owned()))
        );
        assert_eq!((made("frame", json!([])), made("plain", json!("7"))), (None, None));
    }
}

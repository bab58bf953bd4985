//! Arguments that are converted before they are handed in: all but what only Python makes. See `docs/TYPES.md`.

use std::{collections::BTreeMap, sync::Arc};

use qflow_model::{class::Classes, definition::TypeText};
use qflow_proto::order::{Converted, Order};
use qflow_types::{Ty, value};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{Error, checking::unfit};
use crate::declared::Declared;

/// Conversions, and checks of what is large, at once in a runner: each keeps a processor busy, and holds its value as a tree.
const AT_ONCE: usize = 4;

/// Room for them.
pub(super) static ROOM: Semaphore = Semaphore::const_new(AT_ONCE);

/// What is made of which argument.
#[derive(Debug, Default)]
pub struct Converting {
    /// The declared type of each, and whether a value that does not convert fails the attempt.
    to: BTreeMap<String, (Arc<Ty>, bool)>,
    classes: Arc<Classes>,
}

impl Converting {
    /// Those of an order that are made here, and of the others what the harness is told.
    pub fn of(order: &Order, declared: &Declared) -> (Self, BTreeMap<String, bool>) {
        Self::among(&order.conversions, &order.types, &order.classes, declared)
    }

    fn among(
        conversions: &[Converted],
        types: &[(String, TypeText)],
        classes: &Classes,
        read: &Declared,
    ) -> (Self, BTreeMap<String, bool>) {
        let mut asked = BTreeMap::<&str, bool>::new();
        for converted in conversions {
            *asked.entry(&converted.argument).or_default() |= converted.may_fail;
        }
        let (mut here, mut left) = (Self::default(), BTreeMap::new());
        for (argument, may_fail) in asked {
            let declared = types.iter().find(|(name, _)| name == argument);
            match declared.and_then(|(_, ty)| read.read(ty).ok()).filter(|ty| value::is_made_here(ty, classes)) {
                Some(ty) => drop(here.to.insert(argument.to_owned(), (ty, may_fail))),
                None => drop(left.insert(argument.to_owned(), may_fail)),
            }
        }
        if !here.to.is_empty() {
            here.classes = Arc::new(classes.clone());
        }
        (here, left)
    }

    /// Whether an argument is converted here.
    pub(super) fn is_for(&self, name: &str) -> bool {
        self.to.contains_key(name)
    }

    /// The argument as its parameter has it. On a thread of its own, so that nothing else of the runner waits for it; one that nobody
    /// wants any more ends there by the bound of its steps.
    pub(super) async fn convert(&self, name: &str, given: Value) -> Result<Value, Error> {
        let Some((ty, may_fail)) = self.to.get(name).cloned() else { return Ok(given) };
        let stopped = || Error::Disk("the conversion stopped".to_owned());
        let room = ROOM.acquire().await.map_err(|_| stopped())?;
        let classes = Arc::clone(&self.classes);
        let made = tokio::task::spawn_blocking(move || {
            let made = value::convert_taken(given, &ty, &classes, may_fail);
            drop(room);
            made
        });
        made.await.map_err(|_| stopped())?.map_err(|error| unfit(name, error))
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::Pin, task::Poll};

    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn what_needs_no_python_is_made_here_and_the_rest_is_left() {
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
        let (here, left) = Converting::among(&conversions, &types, &Classes::new(), &Declared::default());
        assert_eq!(left, BTreeMap::from([("frame".to_owned(), true)]));
        let made = async |name: &str, value: Value| {
            assert!(here.is_for(name), "{name}");
            here.convert(name, value).await.map_err(|error| error.to_string())
        };
        let date = json!({"$": "date", "v": "2026-11-24"});
        assert_eq!(made("sure", json!([date])).await, Ok(json!({"$": "tuple", "v": ["2026-11-24"]})));
        assert_eq!(made("sure", json!(7)).await, Ok(json!(7)));
        assert_eq!(made("asked", json!([{"a": "7"}])).await, Ok(json!([{"a": 7}])));
        assert_eq!(
            made("asked", json!([{}, {"a": "x"}])).await,
            Err("argument `asked` at [1][\"a\"]: expected int, got 'x'".to_owned())
        );
        assert_eq!(
            made("asked", json!(7)).await,
            Err("argument `asked`: expected list[dict[str, int]], got 7".to_owned())
        );
        assert!(!here.is_for("frame") && !here.is_for("plain"));
    }

    async fn is_pending<F: Future>(mut future: Pin<&mut F>) -> bool {
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
    }

    /// On one thread: what else there is to do is done while a value is converted, and only so many are at once.
    #[tokio::test]
    async fn a_long_conversion_holds_nothing_else_up_and_few_are_at_once() {
        let types = [("x".to_owned(), TypeText("list[dict[str, int]]".to_owned()))];
        let asked = [Converted { argument: "x".to_owned(), from: TypeText("Any".to_owned()), may_fail: true }];
        let (here, _) = Converting::among(&asked, &types, &Classes::new(), &Declared::default());
        let rows = Value::from(vec![json!({"a": "7"}); 50_000]);
        let mut converting = std::pin::pin!(here.convert("x", rows));
        assert!(is_pending(converting.as_mut()).await, "the thread is free at once");
        assert_eq!(converting.await.unwrap()[49_999], json!({"a": 7}));

        let room = ROOM.acquire_many(AT_ONCE as u32).await.unwrap();
        let mut waiting = std::pin::pin!(here.convert("x", json!([{"a": "7"}])));
        assert!(is_pending(waiting.as_mut()).await);
        assert_eq!(ROOM.available_permits(), 0);
        drop(room);
        assert_eq!(waiting.await.unwrap(), json!([{"a": 7}]));
    }
}

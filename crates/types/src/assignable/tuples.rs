//! Tuples of a shape. Tuples: <https://typing.python.org/en/latest/spec/tuples.html>.

use super::{Among, Goes, Reason};
use crate::ty::Ty;

/// A tuple as what it begins with, what may come any number of times, and what it ends with.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    pub(crate) before: &'a [Ty],
    pub(crate) of: Option<&'a Ty>,
    pub(crate) after: &'a [Ty],
}

impl<'a> Shape<'a> {
    pub(crate) fn of(ty: &'a Ty) -> Option<Self> {
        Some(match ty {
            Ty::Tuple(items) => Self { before: items, of: None, after: &[] },
            Ty::Tuples(item) => Self { before: &[], of: Some(item), after: &[] },
            Ty::Spread(before, item, after) => Self { before, of: Some(item), after },
            _ => return None,
        })
    }

    /// Elements that are there in any case.
    pub(crate) fn least(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// What each element of one of a length is; nothing where none has that length.
    pub(crate) fn elements(&self, length: usize) -> Option<Vec<&'a Ty>> {
        let between = length.checked_sub(self.least())?;
        let any = match self.of {
            Some(of) => std::iter::repeat_n(of, between),
            None if between == 0 => std::iter::repeat_n(&Ty::Any, 0),
            None => return None,
        };
        Some(self.before.iter().chain(any).chain(self.after).collect())
    }
}

impl Among<'_> {
    /// One tuple goes for another of its length, element by element; where the target says any number, of at least what it begins and
    /// ends with. `tuple[Any, ...]` may be of any length, and so goes for every tuple.
    pub(super) fn tuple(&mut self, source: &Ty, target: &Ty) -> Goes {
        // Most are of a fixed length.
        if let (Ty::Tuple(items), Ty::Tuple(accepted)) = (source, target)
            && items.len() == accepted.len()
        {
            let mut pairs = items.iter().zip(accepted).enumerate();
            return pairs.try_for_each(|(at, (item, accepted))| {
                self.goes(item, accepted).map_err(|reason| reason.below(&format!("[{at}]")))
            });
        }
        let (Some(from), Some(to)) = (Shape::of(source), Shape::of(target)) else {
            return Err(Reason::is_not(source, target));
        };
        let gradual = from.of == Some(&Ty::Any);
        match (from.of, to.of) {
            (None, None) if from.least() != to.least() => {
                return Err(Reason::new(format!("tuple length {} ≠ {}", from.least(), to.least())));
            }
            (None, Some(_)) if from.least() < to.least() => {
                return Err(Reason::new(format!("tuple length {} < {}", from.least(), to.least())));
            }
            (Some(_), None) if !gradual => {
                return Err(Reason::new(format!("tuple of any length is not one of {}", to.least())));
            }
            (Some(_), None) if from.least() > to.least() => {
                return Err(Reason::new(format!("tuple length at least {} > {}", from.least(), to.least())));
            }
            (Some(_), Some(_))
                if !gradual && (from.before.len() < to.before.len() || from.after.len() < to.after.len()) =>
            {
                return Err(Reason::new(format!("tuple of any length is not one of at least {}", to.least())));
            }
            _ => {}
        }
        self.elements(&from, &to)
    }

    /// What stands at the same place from the front, or from the end; then what is left, with what may come any number of times.
    fn elements(&mut self, from: &Shape<'_>, to: &Shape<'_>) -> Goes {
        // Without an end of its own, what a tuple begins with is also what it ends with.
        let (mut left, mut right): (Vec<&Ty>, Vec<&Ty>) = (from.before.iter().collect(), from.after.iter().collect());
        let (mut wanted, mut ending): (Vec<&Ty>, Vec<&Ty>) = (to.before.iter().collect(), to.after.iter().collect());
        if from.of.is_none() {
            right = left.split_off(left.len().min(wanted.len()));
        }
        if to.of.is_none() {
            ending = wanted.split_off(wanted.len().min(left.len()));
        }
        for (at, (item, accepted)) in left.iter().zip(&wanted).enumerate() {
            self.goes(item, accepted).map_err(|reason| reason.below(&format!("[{at}]")))?;
        }
        for (at, (item, accepted)) in right.iter().rev().zip(ending.iter().rev()).enumerate() {
            let place = match (from.of, to.of) {
                (None, None) => format!("[{}]", from.least() - 1 - at),
                _ => format!("[-{}]", at + 1),
            };
            self.goes(item, accepted).map_err(|reason| reason.below(&place))?;
        }
        let Some(accepted) = to.of else { return Ok(()) };
        let over = left.iter().skip(wanted.len()).chain(right.iter().rev().skip(ending.len())).copied();
        let mut over = over.chain(from.of);
        over.try_for_each(|item| self.goes(item, accepted).map_err(|reason| reason.below("[…]")))
    }
}

//! Headers against what types declare: `NDArray[float64]`, `Series[float]`, `DataFrame[Sale]`.

use qflow_model::class::Classes;

use super::{Array, Column, Frame, Header};
use crate::{
    dtype::Dtypes,
    ty::{Literal, Ty},
    value::{ValueError, check::Records},
};

/// Whether a type says of frames or arrays what they hold, itself or in a field of a class; else no header need be read.
pub fn declares(ty: &Ty, classes: &Classes) -> bool {
    let fields = || classes.values().flat_map(|class| &class.fields);
    says(ty) || fields().any(|field| field.ty.0.parse().is_ok_and(|ty: Ty| says(&ty)))
}

fn says(ty: &Ty) -> bool {
    let is_it = matches!(ty, Ty::Generic(name, _) if matches!(name.as_str(), "ndarray" | "Series" | "DataFrame"));
    is_it || ty.parts().into_iter().any(says)
}

/// Whether an attachment whose header is known is what a class with parameters declares.
pub(in crate::value) fn held(
    header: &Header,
    (name, parameters): (&str, &[Ty]),
    ty: &Ty,
    records: &Records<'_>,
) -> Result<(), ValueError> {
    match (header, name, parameters) {
        (Header::Array(array), "ndarray", [shape, of]) => array.held(shape, of, ty),
        (Header::Array(array), "ndarray", [shape]) => array.held(shape, &Ty::Any, ty),
        (Header::Frame(frame), "Series", _) if !frame.is_series => Err(other(ty, "DataFrame")),
        (Header::Frame(frame), "DataFrame", _) if frame.is_series => Err(other(ty, "Series")),
        (Header::Frame(frame), "Series", [of]) => frame.columns.first().map_or(Ok(()), |column| column.held(of)),
        (Header::Frame(frame), "DataFrame", [Ty::Class(class)]) => frame.held(class, ty, records),
        _ => Ok(()),
    }
}

fn other(ty: &Ty, got: &str) -> ValueError {
    ValueError::new(format!("expected {ty}, got {got}"))
}

impl Array {
    fn held(&self, shape: &Ty, of: &Ty, ty: &Ty) -> Result<(), ValueError> {
        let is_shaped = match shape {
            Ty::Tuple(sizes) => sizes.len() == self.shape.len() && sizes.iter().zip(&self.shape).all(is_size),
            _ => true,
        };
        let element = match of {
            Ty::Generic(name, parts) if name == "dtype" => parts.first().unwrap_or(&Ty::Any),
            _ => &Ty::Any,
        };
        if is_shaped && self.of.is(element) {
            return Ok(());
        }
        let sizes: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        let comma = if sizes.len() == 1 { "," } else { "" };
        Err(other(ty, &format!("an array of {} with the shape ({}{comma})", self.of.dtype, sizes.join(", "))))
    }
}

/// Whether a dimension is as long as a literal says, where one does.
fn is_size((wanted, size): (&Ty, &u64)) -> bool {
    let is_it = |value: &Literal| matches!(value, Literal::Int(value) if u64::try_from(*value) == Ok(*size));
    !matches!(wanted, Ty::Literal(values) if !values.iter().any(is_it))
}

impl Frame {
    /// Each field is a column; a frame may have more of them.
    fn held(&self, class: &str, ty: &Ty, records: &Records<'_>) -> Result<(), ValueError> {
        let Some(record) = records.get(class) else { return Ok(()) };
        record.fields().try_for_each(|(field, of)| match self.columns.iter().find(|one| one.name == field.name) {
            Some(column) => column.held(of).map_err(|error| error.below(&format!("[{:?}]", field.name))),
            None if field.required => {
                Err(ValueError::new(format!("expected {ty}, got a frame without the column `{}`", field.name)))
            }
            None => Ok(()),
        })
    }
}

impl Column {
    fn is(&self, wanted: &Ty) -> bool {
        Dtypes::of(wanted).is_none_or(|wanted| self.kinds.meets(wanted))
    }

    fn held(&self, wanted: &Ty) -> Result<(), ValueError> {
        if self.is(wanted) {
            return Ok(());
        }
        Err(ValueError::new(format!("expected {wanted}, got a column of {}", self.dtype)))
    }
}

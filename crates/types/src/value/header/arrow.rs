//! The schema that an Arrow stream begins with: <https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format>.

use polars_arrow_format::ipc::{
    FieldRef, MessageHeaderRef, MessageRef, Precision, SchemaRef, TypeRef, planus::ReadAsRoot as _,
};
use serde_json::Value;

use super::{Column, Frame, NotAHeader};

/// What newer streams begin their messages with, before the length.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Where the schema begins and how long it is.
fn place(first: &[u8]) -> Result<(usize, usize), NotAHeader> {
    let ends = || NotAHeader::new("a frame that ends in its schema");
    let at = if first.starts_with(&CONTINUATION) { 4 } else { 0 };
    let told = first.get(at..at + 4).and_then(|told| <[u8; 4]>::try_from(told).ok()).ok_or_else(ends)?;
    Ok((at + 4, u32::from_le_bytes(told) as usize))
}

pub(super) fn size(first: &[u8]) -> Result<usize, NotAHeader> {
    place(first).map(|(at, size)| at + size)
}

pub(super) fn read(bytes: &[u8]) -> Result<Frame, NotAHeader> {
    let (at, size) = place(bytes)?;
    let message = bytes.get(at..at + size).ok_or_else(|| NotAHeader::new("a frame that ends in its schema"))?;
    let wrong = |error| NotAHeader::new(format!("a frame whose schema does not read: {error}"));
    let header = MessageRef::read_as_root(message).and_then(|message| message.header()).map_err(wrong)?;
    let Some(MessageHeaderRef::Schema(schema)) = header else {
        return Err(NotAHeader::new("a frame that does not begin with a schema"));
    };
    frame(schema).map_err(wrong)
}

fn frame(schema: SchemaRef<'_>) -> planus::Result<Frame> {
    let (mut made_of, mut index) = (String::new(), Vec::new());
    for pair in schema.custom_metadata()?.into_iter().flatten() {
        let pair = pair?;
        match (pair.key()?, pair.value()?) {
            (Some("qflow"), Some(value)) => value.clone_into(&mut made_of),
            (Some("pandas"), Some(value)) => index = index_columns(value),
            _ => {}
        }
    }
    let mut columns = Vec::new();
    for field in schema.fields()?.into_iter().flatten() {
        let column = column(field?)?;
        if !index.contains(&column.name) {
            columns.push(column);
        }
    }
    Ok(Frame { is_series: made_of.starts_with("series"), columns })
}

/// The columns that pandas keeps a frame's index in; a range has none.
fn index_columns(pandas: &str) -> Vec<String> {
    let told: Value = serde_json::from_str(pandas).unwrap_or_default();
    let names = told.get("index_columns").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn column(field: FieldRef<'_>) -> planus::Result<Column> {
    let name = field.name()?.unwrap_or_default();
    let dtype = match field.type_()? {
        Some(ty) => dtype(ty)?,
        None => "object".to_owned(),
    };
    // Of a category, the type is that of what it names.
    if field.dictionary()?.is_some() {
        return Ok(Column::new(name, format!("category of {dtype}"), &["category", &dtype]));
    }
    Ok(Column::new(name, &dtype, &[&dtype]))
}

fn dtype(ty: TypeRef<'_>) -> planus::Result<String> {
    Ok(match ty {
        TypeRef::Null(_) => "null",
        TypeRef::Bool(_) => "bool",
        TypeRef::Int(int) => {
            return Ok(format!("{}int{}", if int.is_signed()? { "" } else { "u" }, int.bit_width()?));
        }
        TypeRef::FloatingPoint(float) => match float.precision()? {
            Precision::Half => "float16",
            Precision::Single => "float32",
            Precision::Double => "float64",
        },
        TypeRef::Utf8(_) | TypeRef::LargeUtf8(_) | TypeRef::Utf8View(_) => "str",
        TypeRef::Binary(_) | TypeRef::LargeBinary(_) | TypeRef::BinaryView(_) | TypeRef::FixedSizeBinary(_) => "bytes",
        TypeRef::Decimal(_) => "decimal",
        TypeRef::Date(_) => "date",
        TypeRef::Time(_) => "time",
        TypeRef::Timestamp(_) => "datetime64",
        TypeRef::Duration(_) => "timedelta64",
        TypeRef::Struct(_) => "void",
        _ => "object",
    }
    .to_owned())
}

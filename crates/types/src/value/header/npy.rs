//! The header of an `.npy`: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use super::{Array, Column, NotAHeader};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Where the header's length stands, and in how many bytes.
fn length(first: &[u8]) -> Result<(usize, usize), NotAHeader> {
    let version = first.strip_prefix(MAGIC).and_then(|rest| rest.first());
    match version {
        Some(1) => Ok((8, 2)),
        Some(2 | 3) => Ok((8, 4)),
        Some(other) => Err(NotAHeader::new(format!("an array in a form of version {other}"))),
        None => Err(NotAHeader::new("an array that does not begin as one")),
    }
}

pub(super) fn size(first: &[u8]) -> Result<usize, NotAHeader> {
    let (at, bytes) = length(first)?;
    let told = first.get(at..at + bytes).ok_or_else(|| NotAHeader::new("an array that ends in its header"))?;
    let size = told.iter().rev().fold(0_usize, |size, byte| size << 8 | usize::from(*byte));
    Ok(at + bytes + size)
}

pub(super) fn read(bytes: &[u8]) -> Result<Array, NotAHeader> {
    let (at, width) = length(bytes)?;
    let ends = || NotAHeader::new("an array that ends in its header");
    let told = bytes.get(at + width..size(bytes)?).ok_or_else(ends)?;
    let told = std::str::from_utf8(told).map_err(|_| NotAHeader::new("a header of an array that is no text"))?;
    let wrong = || NotAHeader::new(format!("a header of an array that does not read: {}", told.trim()));
    let descr = value(told, "descr").ok_or_else(wrong)?;
    let shape = value(told, "shape").and_then(|text| text.strip_prefix('(')).ok_or_else(wrong)?;
    let (shape, _) = shape.split_once(')').ok_or_else(wrong)?;
    let shape = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape = shape.map(|size| size.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
    let of = match descr.strip_prefix('\'').and_then(|text| text.split_once('\'')) {
        Some((code, _)) => element(code).ok_or_else(wrong)?,
        // Fields with names of their own.
        None if descr.starts_with('[') => Column::new("", "void", &["void"]),
        None => return Err(wrong()),
    };
    Ok(Array { of, shape })
}

/// What stands behind a key: numpy writes a literal of Python's, whose keys no value holds.
fn value<'t>(told: &'t str, key: &str) -> Option<&'t str> {
    let at = told.find(&format!("'{key}'"))?;
    Some(told[at + key.len() + 2..].trim_start().strip_prefix(':')?.trim_start())
}

/// `<f8`: the order of bytes, the kind, the bytes of one (of a text its characters).
fn element(code: &str) -> Option<Column> {
    let code = code.trim_start_matches(['<', '>', '=', '|']);
    let mut chars = code.chars();
    let (kind, rest) = (chars.next()?, chars.as_str());
    let bits = || rest.parse::<u32>().ok()?.checked_mul(8);
    let dtype = match kind {
        'b' => "bool".to_owned(),
        'i' => format!("int{}", bits()?),
        'u' => format!("uint{}", bits()?),
        'f' => format!("float{}", bits()?),
        'c' => format!("complex{}", bits()?),
        'U' => "str".to_owned(),
        'S' | 'a' => "bytes".to_owned(),
        'M' => "datetime64".to_owned(),
        'm' => "timedelta64".to_owned(),
        'V' => "void".to_owned(),
        'O' => "object".to_owned(),
        _ => return None,
    };
    Some(Column::new("", &dtype, &[&dtype]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `numpy.save` writes it.
    fn npy(version: u8, told: &str) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        let size = told.len() as u32;
        bytes.extend(&size.to_le_bytes()[..if version == 1 { 2 } else { 4 }]);
        bytes.extend(told.as_bytes());
        bytes
    }

    #[test]
    fn an_array_says_what_it_holds() {
        for (told, dtype, shape) in [
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }  \n", "float64", vec![3, 4]),
            ("{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }\n", "bool", vec![2]),
            ("{'descr': '>i2', 'fortran_order': True, 'shape': (), }\n", "int16", vec![]),
            ("{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (0,), }\n", "datetime64", vec![0]),
            ("{'descr': '<U10', 'fortran_order': False, 'shape': (1,), }\n", "str", vec![1]),
            ("{'descr': [('a', '<i4'), ('b', '<f8')], 'fortran_order': False, 'shape': (1,), }\n", "void", vec![1]),
        ] {
            for version in [1, 2, 3] {
                let bytes = npy(version, told);
                assert_eq!(size(&bytes), Ok(bytes.len()));
                let read = read(&bytes).unwrap();
                assert_eq!((read.of.dtype.as_str(), &read.shape), (dtype, &shape), "{told}");
                assert!(read.of.kinds.meets(crate::dtype::Dtypes::named(dtype).unwrap()));
            }
        }
    }

    #[test]
    fn what_is_no_header_is_told() {
        for (bytes, why) in [
            (b"PK\x03\x04".to_vec(), "an array that does not begin as one"),
            (npy(9, "{}"), "an array in a form of version 9"),
            (npy(1, "{}"), "a header of an array that does not read: {}"),
            (
                npy(1, "{'descr': '<q8', 'shape': (1,)}"),
                "a header of an array that does not read: {'descr': '<q8', 'shape': (1,)}",
            ),
            (
                npy(1, "{'descr': '<f8', 'shape': (x,)}"),
                "a header of an array that does not read: {'descr': '<f8', 'shape': (x,)}",
            ),
            (npy(1, "{'descr': '<f8'")[..12].to_vec(), "an array that ends in its header"),
        ] {
            assert_eq!(read(&bytes).map_err(|error| error.to_string()), Err(why.to_owned()));
        }
    }
}

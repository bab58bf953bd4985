//! Values as users write them on a line.

use std::{path::PathBuf, time::Duration};

/// A value as written for a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// To be read by the declared type.
    Text(String),
    /// Plain JSON.
    Json(String),
    /// The text of a file, or the content of a file or folder.
    File(PathBuf),
}

/// A parameter as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Written,
}

/// Reads `NAME=TEXT`, `NAME:=JSON`, `NAME=@FILE`; `NAME==@x` is not special: only the first sign counts.
pub fn parameter(text: &str) -> Result<Parameter, String> {
    let (name, value) = text.split_once('=').ok_or("a parameter reads NAME=VALUE, NAME:=JSON or NAME=@FILE")?;
    let (name, value) = match (name.strip_suffix(':'), value.strip_prefix('@')) {
        (Some(name), _) => {
            qflow_types::value::json::read(value.as_bytes()).map_err(|why| format!("`{name}`: {why}"))?;
            (name, Written::Json(value.to_owned()))
        }
        (None, Some(path)) => (name, Written::File(path.into())),
        (None, None) => (name, Written::Text(value.to_owned())),
    };
    if name.is_empty() {
        Err("a parameter has a name".to_owned())
    } else {
        Ok(Parameter { name: name.to_owned(), value })
    }
}

/// Reads `90s`, `10m`, `2h`, `500ms`, and a bare number as seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let wrong = || format!("`{text}` is not a time such as 500ms, 90s, 10m or 2h");
    let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = match &text[digits..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_text_json_or_a_file_by_its_sign() {
        let value = |text| parameter(text).unwrap().value;
        assert_eq!(value("x=1:=2"), Written::Text("1:=2".to_owned()));
        assert_eq!(value("x:=[1, 2]"), Written::Json("[1, 2]".to_owned()));
        assert_eq!(value("x=@data.csv"), Written::File("data.csv".into()));
        assert_eq!(value("x="), Written::Text(String::new()));
        assert!(parameter("x").is_err());
        assert!(parameter("=1").is_err());
        assert!(parameter("x:=[1").unwrap_err().contains("not JSON"));
        assert_eq!(value("x:=36893488147419103233"), Written::Json("36893488147419103233".to_owned()));
        assert_eq!(parameter(r#"x:={"a": 1, "a": 1}"#), Err("`x`: at [\"a\"]: the key \"a\" comes twice".to_owned()));
    }

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        assert_eq!(duration("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert!(duration("10 m").is_err());
        assert!(duration("m").is_err());
        assert!(duration("99999999999999999999d").is_err());
    }
}

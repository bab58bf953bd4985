// What reading one annotation promises of every text. The fuzz target and its twin in `crates/python-source` both hold it to this.

use qflow_types::Ty;

/// Whether what a text is read as keeps every promise; else which is broken.
pub(crate) fn kept(text: &str) -> Result<(), String> {
    match qflow_python_source::annotation(text) {
        Ok(ty) => {
            let spelled = ty.to_string();
            let again: Ty = spelled.parse().map_err(|error| format!("`{spelled}` does not read back: {error}"))?;
            if again == ty { Ok(()) } else { Err(format!("`{spelled}` reads back as `{again}`")) }
        }
        Err(wrong) if wrong.why.is_empty() || wrong.remedy.is_empty() => Err("no words, or no remedy".to_owned()),
        Err(wrong) if wrong.why == "reading broke down" => Err("reading broke down".to_owned()),
        Err(wrong) if wrong.text.chars().count() > 61 => Err(format!("a text that is not cut: {}", wrong.text)),
        Err(_) => Ok(()),
    }
}

//! Names of nodes, workflows and parameters: they become ids, labels and keys, so they are short and read as they are.

use ruff_python_ast::Identifier;
use ruff_text_size::Ranged;

use super::Head;

/// Characters of a name: it becomes a part of ids and labels.
const CHARS: usize = 100;

impl Head<'_, '_> {
    /// Tells what is wrong with a name, and what may deceive a reader of it.
    pub(super) fn name(&mut self, name: &Identifier, what: &str) {
        let text = name.id.as_str();
        let chars = text.chars().count();
        if chars > CHARS {
            let message = format!("the name of {what} has {chars} characters; at most {CHARS} go");
            self.wrong(name.range(), "long-name", message, "give it a shorter name");
        }
        if mixes_scripts(text) {
            let message = format!(
                "`{}` mixes letters of several scripts, of which some look alike",
                self.text().written(name.range())
            );
            self.warn(name.range(), "mixed-scripts", message, "write it in one script");
        }
    }
}

/// Whether a name has letters of several of the scripts whose letters look alike.
fn mixes_scripts(name: &str) -> bool {
    let scripts: [fn(char) -> bool; 4] = [
        |c| c.is_ascii_alphabetic() || matches!(c, '\u{c0}'..='\u{24f}'),
        |c| matches!(c, '\u{370}'..='\u{3ff}'),
        |c| matches!(c, '\u{400}'..='\u{52f}'),
        |c| matches!(c, '\u{531}'..='\u{587}' | '\u{13a0}'..='\u{13ff}'),
    ];
    scripts.iter().filter(|script| name.chars().any(**script)).count() > 1
}

#[cfg(test)]
mod tests {
    use super::mixes_scripts;

    #[test]
    fn letters_that_look_alike_are_noticed_where_scripts_mix() {
        for name in ["f\u{435}tch", "\u{391}lpha"] {
            assert!(mixes_scripts(name), "{name}");
        }
        for name in ["fetch", "größe", "данные", "取得_1", "ελ"] {
            assert!(!mixes_scripts(name), "{name}");
        }
    }
}

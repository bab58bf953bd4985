//! Patterns of files below a folder: `sql/*.sql`, `data/**/*.json`.

use std::{collections::BTreeSet, path::Path};

/// Entries of folders that one pattern may look at: a pattern that begins with `**` in a large tree would not end.
const LOOKED_AT: usize = 100_000;

/// The files below `root` that a pattern matches, by their paths there. As in Python's `glob`, a `*` leaves out what is hidden.
pub(super) fn find(root: &Path, pattern: &str) -> Result<BTreeSet<String>, String> {
    let parts: Vec<&str> = pattern.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if pattern.starts_with('/') || parts.contains(&"..") {
        return Err("it leads out of the root".to_owned());
    }
    let mut walk = Walk { root, found: BTreeSet::new(), left: LOOKED_AT };
    walk.below("", &parts)?;
    Ok(walk.found)
}

struct Walk<'r> {
    root: &'r Path,
    found: BTreeSet<String>,
    left: usize,
}

impl Walk<'_> {
    fn below(&mut self, folder: &str, parts: &[&str]) -> Result<(), String> {
        let Some((first, rest)) = parts.split_first() else { return Ok(()) };
        if *first == "**" {
            // No folder between, or any one of them; at the end every file below.
            self.below(folder, if rest.is_empty() { &["*"] } else { rest })?;
            for (name, path) in self.entries(folder)? {
                // A link to a folder may lead round in a circle.
                let plain = self.root.join(&path).symlink_metadata().is_ok_and(|m| m.is_dir());
                if plain && !name.starts_with('.') && name != "__pycache__" {
                    self.below(&path, parts)?;
                }
            }
            return Ok(());
        }
        if !first.contains(['*', '?', '[']) {
            return self.one(&joined(folder, first), rest);
        }
        for (name, path) in self.entries(folder)? {
            if matches(first, &name) {
                self.one(&path, rest)?;
            }
        }
        Ok(())
    }

    fn one(&mut self, path: &str, rest: &[&str]) -> Result<(), String> {
        let full = self.root.join(path);
        if rest.is_empty() && full.is_file() {
            self.found.insert(path.to_owned());
        } else if !rest.is_empty() && full.is_dir() {
            return self.below(path, rest);
        }
        Ok(())
    }

    /// Names and paths in a folder, in order.
    fn entries(&mut self, folder: &str) -> Result<Vec<(String, String)>, String> {
        let shown = |e: std::io::Error| format!("list {}: {e}", if folder.is_empty() { "the root" } else { folder });
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.root.join(folder)).map_err(shown)? {
            self.left =
                self.left.checked_sub(1).ok_or(format!("it looks at more than {LOOKED_AT} files and folders"))?;
            // A name that is no text cannot be sent, nor written in a pattern.
            names.extend(entry.map_err(shown)?.file_name().into_string());
        }
        names.sort();
        Ok(names.into_iter().map(|name| (name.clone(), joined(folder, &name))).collect())
    }
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Whether a name matches a part of a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    let hidden = name.starts_with('.') && !pattern.starts_with('.');
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    !hidden && rest_matches(&pattern, &name)
}

/// Goes back to the last `*` where what follows it does not match: time is pattern × name.
fn rest_matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some(past) = one_matches(&pattern[p..], name[n]) {
            (p, n) = (p + past, n + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, n) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How many characters of the pattern stand for this one; `None` where they do not.
fn one_matches(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['[', set @ ..] => {
            let (inverse, set, before) = match set {
                ['!', set @ ..] => (true, set, 2),
                set => (false, set, 1),
            };
            // A bracket that comes first is one of the set.
            let Some(end) = set.iter().skip(1).position(|c| *c == ']').map(|at| at + 1) else {
                return (c == '[').then_some(1);
            };
            let (mut inside, mut rest) = (false, &set[..end]);
            while let Some(first) = rest.first() {
                if let [low, '-', high, more @ ..] = rest {
                    inside |= (*low..=*high).contains(&c);
                    rest = more;
                } else {
                    inside |= *first == c;
                    rest = &rest[1..];
                }
            }
            (inside != inverse).then_some(before + end + 1)
        }
        [first, ..] => (*first == c).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_pattern_matches_as_in_python() {
        for (pattern, name, matched) in [
            ("*.sql", "a.sql", true),
            ("*.sql", "a.sqlx", false),
            ("*.sql", ".sql", false),
            (".*", ".env", true),
            ("*", ".env", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?.py", "ä.py", true),
            ("[a-c]?", "bx", true),
            ("[!a-c]", "b", false),
            ("[]]", "]", true),
            ("[", "[", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), matched, "{pattern} {name}");
        }
        let (pattern, name) = ("*a".repeat(2000), "a".repeat(1999));
        assert!(!matches(&pattern, &name), "a hostile pattern ends too");
    }

    #[test]
    fn files_are_found_below_the_root_and_nowhere_else() {
        let home = tempfile::tempdir().unwrap();
        for path in ["sql/a.sql", "sql/b.sql", "sql/deep/c.sql", "sql/.hidden/d.sql", "x.txt", "__pycache__/e.sql"] {
            let path = home.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(home.path(), home.path().join("sql/loop")).unwrap();
        let found = |pattern| find(home.path(), pattern).unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(found("sql/*.sql"), ["sql/a.sql", "sql/b.sql"]);
        assert_eq!(found("./sql//a.sql"), ["sql/a.sql"]);
        assert_eq!(found("**/*.sql"), ["sql/a.sql", "sql/b.sql", "sql/deep/c.sql"]);
        assert_eq!(found("sql/**"), ["sql/a.sql", "sql/b.sql", "sql/deep/c.sql"]);
        assert_eq!(found("sql"), Vec::<String>::new());
        assert_eq!(found("absent/*"), Vec::<String>::new());
        assert!(find(home.path(), "../*").is_err() && find(home.path(), "/etc/*").is_err());
        assert!(find(home.path(), "sql/../../*").is_err());
    }
}

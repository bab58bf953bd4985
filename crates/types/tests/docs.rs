//! The tables of `docs/TYPES.md` are those of the code: `UPDATE=1` writes them.

use std::{env, fs, path::Path};

use qflow_types::{CONTAINERS, REFUSED, Refused, Row, Rule, TABLE};

#[path = "pydantic/differences.rs"]
mod differences;

const ASKED: &str = "`convert=True`";

fn scalars() -> String {
    let row = |Row { from, to, may_fail, rule }: &Row| {
        let from: Vec<_> = from.iter().map(|from| format!("`{from}`")).collect();
        format!("| {} | `{to}` | {} | {rule} |\n", from.join(", "), if *may_fail { ASKED } else { "" })
    };
    let rows: String = TABLE.iter().map(row).collect();
    format!("| From | To | Needs | What is made of it |\n|---|---|---|---|\n{rows}")
}

fn containers() -> String {
    let cell = |text: &str| if text.is_empty() { " ".to_owned() } else { format!(" {text} ") };
    let row = |Rule { from, to, needs, rule, .. }: &Rule| format!("| {from} | {to} |{}|{}|\n", cell(needs), cell(rule));
    let rows: String = CONTAINERS.iter().map(row).collect();
    format!("| From | To | Needs | |\n|---|---|---|---|\n{rows}")
}

fn refused() -> String {
    let row = |Refused { from, to, why, .. }: &Refused| format!("| {from} | {to} | {why} |\n");
    let rows: String = REFUSED.iter().map(row).collect();
    format!("| From | To | |\n|---|---|---|\n{rows}")
}

fn pydantic() -> String {
    let rows = differences::ALL.iter().map(|rule| format!("| {} | {} | {} |\n", rule.name, rule.what, rule.why));
    format!("| Rule | What differs | Why |\n|---|---|---|\n{}", rows.collect::<String>())
}

#[test]
fn the_tables_of_the_page_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/TYPES.md");
    let page = fs::read_to_string(&path).expect("docs/TYPES.md");
    let mut written = page.clone();
    for (name, table) in
        [("scalars", scalars()), ("containers", containers()), ("refused", refused()), ("pydantic", pydantic())]
    {
        let (open, close) = (format!("<!-- {name}: from the code -->\n"), format!("<!-- end of {name} -->"));
        let start = written.find(&open).expect("where the table begins") + open.len();
        let end = start + written[start..].find(&close).expect("where it ends");
        written.replace_range(start..end, &table);
    }
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, written).expect("docs/TYPES.md");
    } else {
        assert_eq!(page, written, "docs/TYPES.md is not what the code says: run this test with UPDATE=1");
    }
}

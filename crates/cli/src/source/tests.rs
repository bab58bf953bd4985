use std::path::Path;

use super::*;

/// A folder with files in it.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(path, text)| tree.write(path, text.as_bytes()));
        tree
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn collect(&self, file: &str) -> Result<Collected, Fail> {
        collect(&self.0.path().join(file))
    }

    fn sent(&self, file: &str) -> Vec<String> {
        self.collect(file).unwrap().source.files.into_keys().collect()
    }

    fn warned(&self, file: &str) -> Vec<String> {
        let warnings = self.collect(file).unwrap().warnings;
        warnings.into_iter().map(|w| format!("{}: {}", w.place, w.message)).collect()
    }

    fn refused(&self, file: &str) -> String {
        let fail = self.collect(file).unwrap_err();
        assert_eq!(fail.exit, Exit::Invalid, "{fail}");
        fail.message
    }
}

#[test]
fn imports_beside_the_file_are_sent_and_others_are_not() {
    let tree = Tree::new(&[
        ("flow.py", "import os, helper\nfrom parts.clean import (\n    f,\n)\nfrom qflow import node\n"),
        ("helper.py", "import flow\n"),
        ("parts/clean.py", "from . import names\nimport names\n"),
        ("parts/names.py", ""),
        ("unused.py", ""),
        ("qflow.py", ""),
    ]);
    assert_eq!(tree.sent("flow.py"), ["flow.py", "helper.py", "parts/clean.py", "parts/names.py"]);
    assert_eq!(tree.collect("flow.py").unwrap().source.entry, "flow.py");
}

#[test]
fn the_nearest_pyproject_is_the_root_and_its_src_is_searched() {
    let tree = Tree::new(&[
        ("pyproject.toml", ""),
        ("flows/daily.py", "import near\nimport shared\nimport app.steps as s\nfrom app import sub\n"),
        ("flows/near.py", ""),
        ("shared.py", ""),
        ("src/app/__init__.py", "from . import base\n"),
        ("src/app/steps.py", "from .deep.er import x\nfrom ... import beyond\n"),
        ("src/app/deep/er.py", ""),
        ("src/app/base.py", ""),
        ("src/app/sub/__init__.py", ""),
        ("src/app/other.py", ""),
        ("src/shared.py", ""),
    ]);
    let source = tree.collect("flows/daily.py").unwrap().source;
    assert_eq!(source.entry, "flows/daily.py");
    let names: Vec<_> = source.files.keys().map(String::as_str).collect();
    let src =
        ["src/app/__init__.py", "src/app/base.py", "src/app/deep/er.py", "src/app/steps.py", "src/app/sub/__init__.py"];
    assert_eq!(names, [&["flows/daily.py", "flows/near.py", "shared.py"][..], &src].concat());
}

#[test]
fn an_entry_with_relative_imports_brings_its_packages() {
    let tree = Tree::new(&[
        ("pyproject.toml", ""),
        ("app/__init__.py", ""),
        ("app/flows/__init__.py", "import app.config\n"),
        ("app/flows/daily.py", "from ..steps import f\nfrom . import near\nfrom .. import VERSION\n"),
        ("app/flows/near.py", ""),
        ("app/steps.py", ""),
        ("app/config.py", ""),
    ]);
    let all = [
        "app/__init__.py",
        "app/config.py",
        "app/flows/__init__.py",
        "app/flows/daily.py",
        "app/flows/near.py",
        "app/steps.py",
    ];
    assert_eq!(tree.sent("app/flows/daily.py"), all);
}

#[test]
fn a_package_comes_before_a_module_and_a_module_before_a_folder() {
    let tree = Tree::new(&[
        ("flow.py", "import a.x, b.x, c.x\nif True:\n    import d\n"),
        ("a/__init__.py", ""),
        ("a/x.py", ""),
        ("a.py", ""),
        ("b.py", ""),
        ("b/x.py", ""),
        ("c/x.py", ""),
        ("src/c/__init__.py", ""),
        ("d.py", "def f():\n    import e\n"),
        ("e.py", "import d\n"),
    ]);
    assert_eq!(
        tree.sent("flow.py"),
        ["a/__init__.py", "a/x.py", "b.py", "d.py", "e.py", "flow.py", "src/c/__init__.py"]
    );
}

#[test]
fn data_is_included_by_pattern_from_the_block_and_from_pyproject() {
    let block = "# /// script\n# [tool.qflow]\n# include = [\"sql/*.sql\", \"gone/*\", \"extra\"]\n# ///\n";
    let tree = Tree::new(&[
        ("pyproject.toml", "[tool.qflow]\ninclude = [\"plugins/*.py\"]\n"),
        ("flows/daily.py", block),
        ("sql/a.sql", "select 1\r\n"),
        ("sql/b.txt", ""),
        ("extra/x", ""),
        ("plugins/p.py", "import dep\n"),
        ("dep.py", ""),
    ]);
    assert_eq!(tree.sent("flows/daily.py"), ["dep.py", "flows/daily.py", "plugins/p.py", "sql/a.sql"]);
    assert_eq!(tree.collect("flows/daily.py").unwrap().source.files["sql/a.sql"], "select 1\r\n");
    let warned = tree.warned("flows/daily.py");
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned.iter().all(|w| w.starts_with("flows/daily.py:3:1: include") && w.contains("matches no file")));
}

#[test]
fn what_cannot_be_included_says_why() {
    let tree = Tree::new(&[
        ("out.py", "# /// script\n# [tool.qflow]\n# include = [\"../*\"]\n# ///\n"),
        ("bare.py", "# /// script\n# [tool.qflow]\n# include = \"*.sql\"\n# ///\n"),
        ("latin.py", "# /// script\n# [tool.qflow]\n# include = [\"*.bin\"]\n# ///\n"),
    ]);
    tree.write("x.bin", b"ab\xe4");
    assert!(tree.refused("out.py").contains("out.py:3: include \"../*\": it leads out of the root"));
    assert!(tree.refused("bare.py").contains("write include = [\"sql/*.sql\"]"));
    assert!(tree.refused("latin.py").contains("x.bin is not UTF-8 at byte 2"));
}

#[test]
fn a_link_out_of_the_root_is_not_followed() {
    let tree = Tree::new(&[
        ("in/flow.py", "import stolen\n"),
        ("in/ok.py", "import link\n"),
        ("secret.py", ""),
        ("in/real.py", ""),
    ]);
    let at = |path: &str| tree.0.path().join(path);
    std::os::unix::fs::symlink(at("secret.py"), at("in/stolen.py")).unwrap();
    std::os::unix::fs::symlink(at("in/real.py"), at("in/link.py")).unwrap();
    let refused = tree.refused("in/flow.py");
    assert!(refused.contains("stolen.py is a link to") && refused.contains("out of"), "{refused}");
    assert_eq!(tree.sent("in/ok.py"), ["link.py", "ok.py"]);
}

#[test]
fn a_submission_past_a_bound_names_the_bound_and_the_value() {
    let many: String = (0..600).map(|i| format!("import m{i}\n")).collect();
    let tree = Tree::new(&[("flow.py", &many)]);
    (0..600).for_each(|i| tree.write(&format!("m{i}.py"), b""));
    let refused = tree.refused("flow.py");
    assert!(refused.contains("at most 500 files") && refused.contains("has 601"), "{refused}");

    let block = "# /// script\n# [tool.qflow]\n# include = [\"data/*\"]\n# ///\n";
    let tree = Tree::new(&[("flow.py", block)]);
    (0..3).for_each(|i| tree.write(&format!("data/{i}.csv"), &vec![b'x'; 1 << 20]));
    let refused = tree.refused("flow.py");
    assert!(refused.contains("at most 2097152 bytes") && refused.contains("has 3145"), "{refused}");
    assert!(refused.contains("data/2.csv has 1048576"), "{refused}");
    tree.write("data/0.csv", &vec![b'x'; 5 << 20]);
    assert!(tree.refused("flow.py").contains("0.csv has 5242880 bytes; a submission has at most 2097152"));
}

#[test]
fn a_missing_file_is_usage_and_a_huge_one_is_invalid() {
    let tree = Tree::new(&[]);
    assert_eq!(tree.collect("absent.py").unwrap_err().exit, Exit::Usage);
    assert_eq!(collect(tree.0.path()).unwrap_err().exit, Exit::Usage);
    assert_eq!(collect(Path::new("/dev/null")).unwrap_err().exit, Exit::Usage);
    tree.write("huge.py", &vec![b'#'; 10 << 20]);
    assert!(tree.refused("huge.py").contains("262144"), "the bound is named");
    tree.write("latin.py", b"# \xe4");
    assert!(tree.refused("latin.py").contains("byte 2"));
}

#[test]
fn a_module_that_hides_another_is_told_where_it_is_imported() {
    let block = "# /// script\n# dependencies = [\"Req-Uests>=2\", \"rich\"]\n# ///\n";
    let tree = Tree::new(&[
        ("flow.py", &format!("{block}import json\nfrom . import csv\nimport req_uests\nfrom qflow import node\n")),
        ("json.py", ""),
        ("csv.py", ""),
        ("req_uests.py", ""),
    ]);
    let warned = tree.warned("flow.py");
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned[0].starts_with("flow.py:4:1: `json.py` has the name of Python's own module"), "{warned:?}");
    assert!(warned[1].contains("`req_uests` is a file of yours"), "{warned:?}");
    tree.write("qflow.py", b"");
    assert!(tree.warned("flow.py").iter().any(|w| w.contains("`qflow` is a file of yours")));
}

#[test]
fn files_are_named_as_the_user_named_them() {
    let tree = Tree::new(&[("pyproject.toml", ""), ("a/flow.py", "import b\n")]);
    tree.write("b.py", b"\xff");
    let file = tree.0.path().join("a/flow.py");
    let message = collect(&file).unwrap_err().message;
    assert!(message.starts_with(&format!("{} is not UTF-8", tree.0.path().join("b.py").display())), "{message}");
}

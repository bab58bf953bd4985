//! What the names of a file stand for: resolved through imports and definitions, never by spelling.

mod bind;
mod locals;
mod modules;
pub(crate) mod star;

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
};

use ruff_python_ast::{Alias, Expr, Stmt, StmtClassDef, StmtFunctionDef, TypeParam};
use ruff_text_size::TextRange;

use crate::{annotation, text::Text};

pub(crate) use bind::names;
pub(crate) use locals::{locals, stored};
pub(crate) use modules::Modules;

/// How many names may stand for one another before it counts as a circle.
const HOPS: usize = 16;
/// Parts of types and constants that a submission may spell out: names that stand for much, used often, would grow without bound.
const TERMS: usize = 200_000;

/// What a top-level name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Bound<'a> {
    /// `import qflow`.
    QflowModule,
    /// `from qflow import node`.
    Qflow(&'a str),
    /// A file of the submission.
    Module(usize),
    /// Folders of the submission that have no file of their own: the `a` of `import a.b`.
    Folder(Vec<String>),
    /// A name in another file of the submission.
    In(usize, &'a str),
    /// Something outside, by its dotted name: `pandas.DataFrame`.
    Foreign(String),
    /// A class in this file.
    Class(usize, &'a StmtClassDef),
    /// A function in this file.
    Function(usize, &'a StmtFunctionDef),
    /// `NAME = …`, assigned once.
    Assigned(usize, &'a Expr),
    /// `NAME = …` in an `if`, a `try` or the like: of the cases the first. As a type that is what it stands for; as a value it may be another.
    Either(usize, &'a Expr),
    /// A name of a file that could not be parsed, which has been told.
    Unread,
    /// Bound in a way that is not looked into.
    Other,
}

/// One file: its text, its statements and its top-level names.
pub(crate) struct Unit<'a> {
    pub(crate) text: Text<'a>,
    pub(crate) suite: &'a [Stmt],
    pub(crate) names: HashMap<&'a str, Bound<'a>>,
    /// Names that are bound more than once, and where again.
    pub(crate) again: Vec<(&'a str, TextRange)>,
    /// What stands in brackets behind the name of `type Pair[A] = …`, by where its value is.
    pub(crate) parameters: HashMap<TextRange, &'a [TypeParam]>,
    /// Whether a star brings names of a module that is not looked into.
    pub(crate) stars: bool,
    /// Whether it could be parsed.
    pub(crate) read: bool,
}

impl<'a> Unit<'a> {
    /// A file that could not be parsed.
    pub(crate) fn unread(text: Text<'a>) -> Self {
        Self {
            text,
            suite: &[],
            names: HashMap::new(),
            again: Vec::new(),
            parameters: HashMap::new(),
            stars: false,
            read: false,
        }
    }
}

/// Every file of a submission.
pub(crate) struct Units<'a> {
    pub(crate) files: Vec<Unit<'a>>,
    pub(crate) modules: Modules<'a>,
    /// Names of classes at the top level of files, and whether several files have one.
    classes: HashMap<&'a str, bool>,
    /// Names that types were spelt with and that stand for no class of these files.
    pub(crate) others: RefCell<HashSet<String>>,
    /// Classes that annotations name and that are not read, by file: the name, and why.
    pub(crate) unread: RefCell<Vec<(usize, TextRange, String, &'static str)>>,
    /// Names in annotations, by file, that are `Any` since what they stand for is not followed.
    pub(crate) unsure: RefCell<Vec<(usize, TextRange, String)>>,
    left: Cell<Option<usize>>,
}

/// Whether what a submission may spell out still holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    Within,
    /// It is too much from here on.
    Past,
    /// It was too much before, which has been told.
    Told,
}

impl<'a> Units<'a> {
    pub(crate) fn new(modules: Modules<'a>, files: Vec<Unit<'a>>) -> Self {
        let mut classes: HashMap<&'a str, bool> = HashMap::new();
        for (at, file) in files.iter().enumerate() {
            let made = |(name, bound): (&&'a str, &Bound<'a>)| match bound {
                Bound::Class(of, class) if *of == at => Some(class.name.id.as_str()),
                Bound::Assigned(of, Expr::Call(_)) if *of == at => Some(*name),
                _ => None,
            };
            let own: HashSet<&'a str> = file.names.iter().filter_map(made).collect();
            for name in own {
                classes.entry(name).and_modify(|is_shared| *is_shared = true).or_insert(false);
            }
        }
        Self {
            files,
            modules,
            classes,
            others: RefCell::default(),
            unread: RefCell::default(),
            unsure: RefCell::default(),
            left: Cell::new(Some(TERMS)),
        }
    }

    /// How types spell a class of a file's.
    pub(crate) fn own(&self, unit: usize, name: &str) -> String {
        let is_shared = self.classes.get(name).copied().unwrap_or_default();
        annotation::own(name, &self.files[unit].text.module(), is_shared)
    }

    /// Whether a file has a class of a name.
    pub(crate) fn has_class(&self, name: &str) -> bool {
        self.classes.contains_key(name)
    }

    /// Takes parts of types and constants from what a submission may spell out.
    pub(crate) fn spend(&self, terms: usize) -> Spent {
        let Some(left) = self.left.get() else { return Spent::Told };
        self.left.set(left.checked_sub(terms));
        if self.left.get().is_some() { Spent::Within } else { Spent::Past }
    }

    /// Begins to count anew.
    pub(crate) fn refill(&self) {
        self.left.set(Some(TERMS));
    }

    /// What an expression stands for, as far as it is a name or a dotted name.
    pub(crate) fn resolve(&self, unit: usize, expr: &Expr) -> Option<Bound<'a>> {
        let mut dotted = Vec::new();
        let mut expr = expr;
        while let Expr::Attribute(attribute) = expr {
            dotted.push(attribute.attr.id.as_str());
            expr = &attribute.value;
        }
        let mut bound = self.named(unit, expr.as_name_expr()?.id.as_str())?;
        for name in dotted.into_iter().rev() {
            bound = match bound {
                Bound::QflowModule => Bound::Qflow(crate::known_to_qflow(name)?),
                Bound::Module(at) => {
                    self.named(at, name).or_else(|| self.modules.beside(self.files[at].text.path, name))?
                }
                Bound::Folder(of) => self.modules.below(&of, name)?,
                Bound::Foreign(of) => Bound::Foreign(format!("{of}.{name}")),
                Bound::Unread => Bound::Unread,
                _ => return None,
            };
        }
        Some(bound)
    }

    /// [`Self::resolve`] inside a function, whose own names hide those of the file.
    pub(crate) fn visible(&self, unit: usize, expr: &Expr, locals: &HashSet<&str>) -> Option<Bound<'a>> {
        let hidden = locals.contains(root(expr)?);
        if hidden { None } else { self.resolve(unit, expr) }
    }

    /// What a top-level name of a file stands for.
    pub(crate) fn named(&self, unit: usize, name: &str) -> Option<Bound<'a>> {
        let mut bound = self.at(unit, name)?;
        for _ in 0..HOPS {
            match bound {
                Bound::In(at, name) => bound = self.at(at, name)?,
                Bound::Assigned(at, Expr::Name(other)) => match self.at(at, other.id.as_str()) {
                    Some(next) => bound = next,
                    None => return Some(bound),
                },
                other => return Some(other),
            }
        }
        None
    }

    /// What one name of an import stands for, wherever in a file the import is written.
    pub(crate) fn imported(&self, unit: usize, stmt: &'a Stmt, alias: &'a Alias) -> Option<Bound<'a>> {
        let own = self.files[unit].text.path;
        let dotted = alias.name.id.as_str();
        match stmt {
            Stmt::ImportFrom(import) => self.modules.member(own, import, dotted),
            _ if alias.asname.is_some() => Some(self.modules.find(own, dotted, 0)),
            // `import a.b` binds `a`, and runs both.
            _ => match self.modules.find(own, dotted, 0) {
                Bound::Module(at) => Some(Bound::Module(at)),
                _ => Some(self.modules.find(own, dotted.split('.').next().unwrap_or(dotted), 0)),
            },
        }
    }

    fn at(&self, unit: usize, name: &str) -> Option<Bound<'a>> {
        let file = &self.files[unit];
        if file.read { file.names.get(name).cloned() } else { Some(Bound::Unread) }
    }
}

/// The name that a name or a dotted name begins with.
pub(crate) fn root(expr: &Expr) -> Option<&str> {
    let mut root = expr;
    while let Expr::Attribute(attribute) = root {
        root = &attribute.value;
    }
    Some(root.as_name_expr()?.id.as_str())
}

/// `__name__ == "__main__"`.
pub(crate) fn is_main(test: &Expr) -> bool {
    let Expr::Compare(compare) = test else { return false };
    let named = |e: &Expr| e.as_name_expr().is_some_and(|n| n.id.as_str() == "__name__");
    named(&compare.left) || compare.comparators.iter().any(named)
}

/// `TYPE_CHECKING`, which never holds as code runs.
pub(crate) fn is_type_checking(test: &Expr) -> bool {
    match test {
        Expr::Name(name) => name.id.as_str() == "TYPE_CHECKING",
        Expr::Attribute(attribute) => attribute.attr.id.as_str() == "TYPE_CHECKING",
        _ => false,
    }
}

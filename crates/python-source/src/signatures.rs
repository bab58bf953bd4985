//! What functions take and return, decorated or not: of a file that nobody wrote for Qflow too.

use qflow_model::definition::{Generic, Param, Place, Problem, Source, TypeText};
use ruff_python_ast::{ExceptHandler, Stmt, StmtFunctionDef};
use ruff_text_size::Ranged;
use serde::Serialize;

use crate::{
    classes, function,
    problems::Problems,
    project::{Project, parse},
    scope::{self, Unit, Units},
    script::Script,
};

/// A function as its annotations say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Signature {
    /// Its name; of a method `Class.method`.
    pub function: String,
    /// Its parameters in order; `self` and `cls` of a method are left out.
    pub params: Vec<Param>,
    /// Its declared result.
    pub returns: TypeText,
    /// The same with its variables, where it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generic: Option<Generic>,
    /// Where its `def` stands.
    pub place: Place,
}

/// Signatures, and what was not understood of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Signatures {
    /// In the order of the files, and of the functions in them.
    pub signatures: Vec<Signature>,
    /// Ordered by place; warnings included.
    pub problems: Vec<Problem>,
}

/// Reads the signatures of all functions that files define, and of their classes, not of those within functions; runs and imports nothing.
///
/// Wants a large stack, as [`crate::read`] gives it to itself.
pub(crate) fn read(source: &Source) -> Signatures {
    let mut problems = Problems::default();
    let files = parse::files(source, &mut problems);
    let modules = scope::Modules::new(source, files.iter().map(|file| file.text.path));
    // How names are bound twice in a file is its own affair here.
    let mut bound = Problems::default();
    let units = files.iter().map(|file| match file.suite() {
        Some(suite) => scope::names(&modules, file.text.clone(), suite, &mut bound),
        None => Unit::unread(file.text.clone()),
    });
    let units = units.collect();
    let project = Project::new(Units::new(modules, units), Script::default());
    let mut all = Reading { project: &project, signatures: Vec::new(), problems: &mut problems };
    for (unit, file) in project.units.files.iter().enumerate() {
        all.block(unit, file.suite, "");
    }
    let signatures = all.signatures;
    let types = project.defaults.borrow().iter().flat_map(function::WrittenDefault::named).collect();
    let classes = classes::of(&project.units, types);
    function::check_defaults(&project, &classes, &mut problems);
    project.tell_unsure(&mut problems);
    Signatures { signatures, problems: problems.told() }
}

/// What is read so far.
struct Reading<'r, 'a> {
    project: &'r Project<'a>,
    signatures: Vec<Signature>,
    problems: &'r mut Problems,
}

impl Reading<'_, '_> {
    /// The functions that statements define, also within an `if` or a `try`; `around` are the classes that these stand in.
    fn block(&mut self, unit: usize, suite: &[Stmt], around: &str) {
        for stmt in suite {
            match stmt {
                Stmt::FunctionDef(function) if around.is_empty() => {
                    let name = function.name.id.as_str().to_owned();
                    self.signatures.push(one(self.project, unit, function, name, self.problems));
                }
                Stmt::FunctionDef(method) => {
                    let name = format!("{around}{}", method.name.id);
                    self.signatures.push(of_method(self.project, unit, name, method, self.problems));
                }
                Stmt::ClassDef(class) => self.block(unit, &class.body, &format!("{around}{}.", class.name.id)),
                Stmt::If(branch) => {
                    self.block(unit, &branch.body, around);
                    branch.elif_else_clauses.iter().for_each(|clause| self.block(unit, &clause.body, around));
                }
                Stmt::Try(attempt) => {
                    let handlers = attempt.handlers.iter().map(|ExceptHandler::ExceptHandler(handler)| &*handler.body);
                    let parts =
                        [&*attempt.body].into_iter().chain(handlers).chain([&*attempt.orelse, &*attempt.finalbody]);
                    parts.for_each(|part| self.block(unit, part, around));
                }
                Stmt::With(with) => self.block(unit, &with.body, around),
                _ => {}
            }
        }
    }
}

fn one(
    project: &Project<'_>,
    unit: usize,
    function: &StmtFunctionDef,
    name: String,
    problems: &mut Problems,
) -> Signature {
    let function::Signature { params, returns, generic } = function::signature(project, unit, function, problems);
    Signature {
        function: name,
        params: params.into_iter().map(|(param, _)| param).collect(),
        returns: TypeText(returns.to_string()),
        generic,
        place: project.units.files[unit].text.place(function.name.range()),
    }
}

fn of_method(
    project: &Project<'_>,
    unit: usize,
    name: String,
    method: &StmtFunctionDef,
    problems: &mut Problems,
) -> Signature {
    let mut bare = method.clone();
    let is_static =
        method.decorator_list.iter().any(|d| d.expression.as_name_expr().is_some_and(|n| n.id == "staticmethod"));
    if !is_static {
        let parameters = &mut bare.parameters;
        if parameters.posonlyargs.is_empty() {
            if !parameters.args.is_empty() {
                parameters.args.remove(0);
            }
        } else {
            parameters.posonlyargs.remove(0);
        }
    }
    one(project, unit, &bare, name, problems)
}

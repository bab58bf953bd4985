"""Placeholders for packages that an environment lacks: user files are compiled with them, and whatever uses one says so."""

import __future__

import ast
import builtins
import os
import sys


class Entry:
    """What the template loaded."""

    name, names, root, file, site, module, current, importing = "", [], "", "", None, None, {}, False


def compile_user(data, path, optimize=-1):
    tree = compile(data, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    body, lacking = [], False
    for statement in tree.body:
        guarded = isinstance(statement, (ast.Import, ast.ImportFrom))
        if guarded and getattr(statement, "module", "") != "__future__":
            statement, lacking = placeholder(statement), True
        body.append(statement)
    tree.body = body
    if lacking:
        Exceptions().visit(tree)
    return compile(tree, path, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True, optimize=optimize)


def placeholder(statement):
    names = [a.asname or (a.name.partition(".")[0] if isinstance(statement, ast.Import) else a.name) for a in statement.names]
    text = "try:\n pass\nexcept ModuleNotFoundError as _qflow_error:\n"
    # What `*` would bind is not known.
    text += "".join(" __qflow_missing__(_qflow_error)._fail()\n" if n == "*" else " %s = __qflow_missing__(_qflow_error)\n" % n for n in names)
    guard = ast.parse(text).body[0]
    for part in ast.walk(guard):
        if hasattr(part, "lineno"):
            ast.copy_location(part, statement)
    guard.body = [statement]
    return guard


class Exceptions(ast.NodeTransformer):
    """Lets `except X` and `raise X` ask whether `X` is a placeholder: Python itself only says that it is no exception."""

    def visit_ExceptHandler(self, handler):  # noqa: N802 (the name that ast calls)
        self.generic_visit(handler)
        handler.type = self.asked(handler.type)
        return handler

    def visit_Raise(self, statement):  # noqa: N802
        self.generic_visit(statement)
        statement.exc = self.asked(statement.exc)
        return statement

    @staticmethod
    def asked(kinds):
        names = kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]
        if not any(isinstance(name, ast.Name) and not hasattr(builtins, name.id) for name in names):
            return kinds
        call = ast.Call(ast.Name("__qflow_used__", ast.Load()), [kinds], [])
        return ast.fix_missing_locations(ast.copy_location(call, kinds))


def used(kinds):
    """The classes of an `except` or `raise`; fails where one is a placeholder."""
    for kind in kinds if type(kinds) is tuple else (kinds,):
        if type(kind) is Missing:
            kind._fail()
    return kinds


def is_submitted(parts):
    """Whether a module of that name would be a file of the submission."""
    roots = [folder for folder in sys.path if Entry.root and (folder + os.sep).startswith(Entry.root + os.sep)]
    places = [os.path.join(root, *parts) for root in roots]
    return any(os.path.exists(place + ".py") or os.path.isdir(place) for place in places)


class Missing:
    """Stands for a package that this environment lacks: using it says so."""

    def __init__(self, error):
        name = error.name or "?"
        if is_submitted(name.split(".")):
            raise error
        object.__setattr__(self, "_qflow_name", name)

    def _fail(self, *args, **kwargs):
        name, node = object.__getattribute__(self, "_qflow_name"), Entry.current.get("function")
        where = "requirements of node '%s'" % node if node else "the requirements"
        if Entry.importing:
            where += ", or use it inside the nodes that have it: it is used while the file is imported, for every node of it"
        raise ModuleNotFoundError("%s: add it to %s" % (name, where), name=name)

    def __getattr__(self, attribute):
        # Python asks for such names by itself, of whatever it looks at; only users ask for a version.
        if attribute.startswith("__") and attribute.endswith("__") and attribute != "__version__":
            raise AttributeError(attribute)
        self._fail()

    def __hash__(self):
        return object.__hash__(self) if named_in_a_type() else self._fail()

    def __eq__(self, other):
        return self is other if named_in_a_type() else self._fail()

    def __ne__(self, other):
        return self is not other if named_in_a_type() else self._fail()


def named_in_a_type():
    """Whether `typing` asks: in `Rows = List[DataFrame]` at the top of a file a placeholder is named, not used."""
    return sys._getframe(2).f_globals.get("__name__") == "typing"


OPERATORS = (
    "call getitem setitem delitem iter next reversed contains len length_hint enter exit mro_entries instancecheck subclasscheck str repr "
    "format bytes bool int float complex index round trunc floor ceil fspath lt le gt ge neg pos abs invert await aiter anext aenter aexit "
    "setattr delattr reduce reduce_ex"
).split()
BINARY = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or".split()
for _name in OPERATORS + BINARY + ["r" + name for name in BINARY] + ["i" + name for name in BINARY if name != "divmod"]:
    setattr(Missing, "__%s__" % _name, Missing._fail)

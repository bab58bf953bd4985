"""The user's code: laid out, compiled with placeholders for what is missing, imported, and its errors told."""

import __future__

import ast
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import traceback

MESSAGE_CHARS, TRACEBACK_CHARS = 16 << 10, 64 << 10
FOLDER = os.path.dirname(os.path.abspath(__file__))  # the harness's
SDK = os.environ.get("QFLOW_SDK") or os.path.dirname(FOLDER)


class Entry:
    """What the template loaded."""

    name, root, file, module, current = "", "", "", None, {}


def compile_user(data, path, optimize=-1):
    tree = compile(data, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    body = []
    for statement in tree.body:
        guarded = isinstance(statement, (ast.Import, ast.ImportFrom))
        if guarded and getattr(statement, "module", "") != "__future__" and statement.names[0].name != "*":
            statement = placeholder(statement)
        body.append(statement)
    tree.body = body
    return compile(tree, path, "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True, optimize=optimize)


class Loader(importlib.machinery.SourceFileLoader):
    """Compiles user files with annotations left as text, and missing packages as placeholders."""

    def source_to_code(self, data, path, *, _optimize=-1):
        return compile_user(data, path, _optimize)

    def exec_module(self, module):
        module.__dict__["__qflow_missing__"] = Missing
        super().exec_module(module)


def placeholder(statement):
    names = [a.asname or (a.name.partition(".")[0] if isinstance(statement, ast.Import) else a.name) for a in statement.names]
    text = "try:\n pass\nexcept ModuleNotFoundError as _qflow_error:\n"
    text += "".join(" %s = __qflow_missing__(_qflow_error)\n" % name for name in names)
    guard = ast.parse(text).body[0]
    for part in ast.walk(guard):
        if hasattr(part, "lineno"):
            ast.copy_location(part, statement)
    guard.body = [statement]
    return guard


class Missing:
    """Stands for a package that this environment lacks: using it says so."""

    def __init__(self, error):
        name = error.name or "?"
        if Entry.root and FOLDER not in sys.path:
            local = os.path.join(Entry.root, *name.split("."))
            if os.path.exists(local + ".py") or os.path.isdir(local):
                raise error
        object.__setattr__(self, "_qflow_name", name)

    def _fail(self, *args, **kwargs):
        name, node = object.__getattribute__(self, "_qflow_name"), Entry.current.get("function")
        where = "requirements of node '%s'" % node if node else "the requirements"
        raise ModuleNotFoundError("%s: add it to %s" % (name, where), name=name)

    def __getattr__(self, attribute):
        if attribute.startswith("__") and attribute.endswith("__"):
            raise AttributeError(attribute)
        self._fail()

    __call__ = __getitem__ = __iter__ = __enter__ = __len__ = __mro_entries__ = _fail


def lay_out(workdir, files):
    """Writes the submission's files read-only, as they were, into a folder of their own."""
    os.makedirs(workdir, exist_ok=True)
    root = tempfile.mkdtemp(prefix="src-", dir=workdir)
    for name, text in files.items():
        path = os.path.normpath(os.path.join(root, name))
        if not path.startswith(root + os.sep):
            raise ValueError("a file outside the submission: %s" % name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as out:
            out.write(text)
        os.chmod(path, 0o444)
    return root


def prepare(order):
    """Sets environment and paths for the user's files, without importing them."""
    Entry.root = lay_out(order["workdir"], order["files"])
    Entry.file = order["file"]
    os.environ.update({k: str(v) for k, v in (order.get("env") or {}).items()})
    site = order.get("site")
    if site:
        import site as sites

        sites.addsitedir(site)
    root, folder = Entry.root, os.path.dirname(os.path.join(Entry.root, Entry.file))
    hook = importlib.machinery.FileFinder.path_hook((Loader, [".py"]))

    def ours(path):
        if not (path + os.sep).startswith(root + os.sep):
            raise ImportError("not of the submission", path=path)
        return hook(path)

    sys.path_hooks.insert(0, ours)
    paths = [folder, root, os.path.join(root, "src")]
    sys.path[:] = [p for i, p in enumerate(paths) if p not in paths[:i]] + [p for p in sys.path if p != FOLDER]
    stem = os.path.basename(Entry.file)[:-3]
    Entry.name = stem if stem not in sys.modules else "qflow_user_" + stem


def import_entry():
    path = os.path.join(Entry.root, Entry.file)
    spec = importlib.util.spec_from_file_location(Entry.name, path, loader=Loader(Entry.name, path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[Entry.name] = module
    spec.loader.exec_module(module)
    Entry.module = module


def failure(error, error_type=None, text=None):
    """An exception as the record keeps it: the user's frames only, paths as submitted."""
    message_, trace = text, ""
    if message_ is None:
        try:
            message_ = str(error)
        except Exception:  # the user's own `__str__` may fail
            message_ = "<no message: its __str__ failed>"
    try:
        told = traceback.TracebackException(type(error), error, error.__traceback__)
        seen = set()
        hide(told, seen)
        trace = "".join(told.format()).replace(Entry.root + os.sep, "") if Entry.root else "".join(told.format())
    except Exception:  # a traceback is a courtesy
        pass
    sdk = sys.modules.get("qflow")
    after = None
    if sdk is not None and isinstance(error, sdk.Retry):
        after = error.after_ms
    return {
        "error_type": error_type or type(error).__name__,
        "message": clean(message_)[:MESSAGE_CHARS],
        "traceback": clean(trace)[-TRACEBACK_CHARS:],
        "mro": [c.__name__ for c in type(error).__mro__ if c is not object],
        "abort": bool(sdk is not None and isinstance(error, sdk.Abort)),
        "retry_after_ms": after,
    }


def clean(text):
    return text.encode("utf-8", "replace").decode()


def hide(told, seen):
    if told is None or id(told) in seen:
        return
    seen.add(id(told))
    sdk = os.path.join(SDK, "qflow") + os.sep
    kept = [f for f in told.stack if os.path.dirname(f.filename) != FOLDER and not f.filename.startswith(sdk) and "importlib" not in f.filename]
    told.stack = traceback.StackSummary.from_list(kept)
    hide(told.__cause__, seen)
    hide(told.__context__, seen)
    for inner in getattr(told, "exceptions", None) or ():
        hide(inner, seen)


def plain_failure(error_type, text):
    return {"error_type": error_type, "message": text, "traceback": "", "mro": [], "abort": False, "retry_after_ms": None}

"""The user's code: laid out, compiled with placeholders for what is missing, imported, and its errors told."""

import __future__

import ast
import errno
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import traceback

MESSAGE_CHARS, TRACEBACK_CHARS = 16 << 10, 64 << 10
UNREACHED = ("Name or service not known", "name resolution", "Network is unreachable")
FOLDER = os.path.dirname(os.path.abspath(__file__))  # the harness's
SDK = os.environ.get("QFLOW_SDK") or os.path.dirname(FOLDER)


class Entry:
    """What the template loaded."""

    name, names, root, file, module, current, importing = "", [], "", "", None, {}, False


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
    """Compiles user files with annotations left as text, and missing packages as placeholders.

    A file has several names, by the folders that it is imported from (`shop.types`, `src.shop.types`): it is one module under all of
    them, else its classes were not the same.
    """

    loaded = {}

    def create_module(self, spec):
        return self.loaded.get(self.path, (None, None))[0]

    def source_to_code(self, data, path, *, _optimize=-1):
        return compile_user(data, path, _optimize)

    def exec_module(self, module):
        known, spec = self.loaded.get(self.path, (None, None))
        if known is module and module.__spec__.name != module.__name__:
            module.__spec__ = spec  # its first name's, which its relative imports go by
            return
        self.loaded[self.path] = module, module.__spec__
        module.__dict__["__qflow_missing__"] = Missing
        try:
            super().exec_module(module)
        except BaseException:
            self.loaded.pop(self.path, None)
            raise


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
    Entry.file, Entry.current = order["file"], {"function": order.get("function")}
    os.environ.update({k: str(v) for k, v in (order.get("env") or {}).items()})
    site = order.get("site")
    if site:
        import site as sites

        sites.addsitedir(site)
    root, folder = Entry.root, os.path.dirname(os.path.join(Entry.root, order.get("entry") or Entry.file))
    hook = importlib.machinery.FileFinder.path_hook((Loader, [".py"]))

    def ours(path):
        if not (path + os.sep).startswith(root + os.sep):
            raise ImportError("not of the submission", path=path)
        return hook(path)

    sys.path_hooks.insert(0, ours)
    paths = [folder, root, os.path.join(root, "src")]
    sys.path[:] = [p for i, p in enumerate(paths) if p not in paths[:i]] + [p for p in sys.path if p != FOLDER]
    Entry.names = module_names(os.path.join(root, Entry.file), paths)
    Entry.name = Entry.names[0]


def module_names(path, folders):
    """The names that a file may be imported by, the likeliest first; one of its own where all are taken, as `json.py`'s is."""
    names = []
    for folder in folders:
        inner = os.path.relpath(path, folder)[:-3]
        if not inner.startswith(os.pardir):
            names.append(inner.replace(os.sep, "."))
    names.sort(key=lambda name: name.count("."))  # `shop.types` before `src.shop.types`
    free = [name for name in names if name not in sys.modules and name not in sys.builtin_module_names]
    return free or ["qflow_user_" + os.path.basename(path)[:-3]]


def import_entry():
    """Imports the node's file; in a package that is imported first, as Python does it, so that its relative imports hold."""
    Entry.importing = True
    try:
        import_module(os.path.join(Entry.root, Entry.file), Entry.name.rpartition(".")[0])
    finally:
        Entry.importing = False


def import_module(path, package):
    if package and all(part.isidentifier() for part in Entry.name.split(".")):
        importlib.import_module(package)
    module = sys.modules.get(Entry.name)  # its package may have imported it
    if module is None:
        spec = importlib.util.spec_from_file_location(Entry.name, path, loader=Loader(Entry.name, path))
        module = importlib.util.module_from_spec(spec)
        for name in Entry.names:  # else another file that imports it would have classes of its own
            sys.modules[name] = module
        spec.loader.exec_module(module)
        parent = sys.modules.get(package) if package else None
        if parent is not None:
            setattr(parent, Entry.name.rpartition(".")[2], module)
    Entry.module = module


def failure(error, error_type=None, text=None):
    """An exception as the record keeps it: the user's frames only, paths as submitted."""
    message_, trace, hint = text, "", ""
    if message_ is None:
        try:
            message_ = str(error)
        except Exception:  # the user's own `__str__` may fail
            message_ = "<no message: its __str__ failed>"
        hint = network_hint(error)
        message_ += hint
    try:
        told = traceback.TracebackException(type(error), error, error.__traceback__)
        seen = set()
        hide(told, seen)
        trace = "".join(told.format()).replace(Entry.root + os.sep, "") if Entry.root else "".join(told.format())
        trace = trace.rstrip("\n") + hint + "\n" if hint else trace
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


def network_hint(error):
    """What to do where the network that a node lacks, or what it is kept from there, is behind an exception; else nothing."""
    seen, networked = set(), Entry.current.get("network", True)
    kept = networked and Entry.current.get("isolated", False)
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = str(error) if isinstance(error, Exception) else ""
        if not networked and (type(error).__name__ == "gaierror" or any(sign in text for sign in UNREACHED)):
            return ": a node reaches a network only with network=True"
        # Of a file it would have a name.
        if kept and isinstance(error, PermissionError) and error.errno == errno.EACCES and error.filename is None:
            return ": if it is a private address, nodes reach it only where the runner's QFLOW_EGRESS_ALLOW lists it"
        error = error.__cause__ or error.__context__
    return ""


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

"""The user's code: laid out, imported, and its errors told."""

import errno
import importlib.machinery
import importlib.util
import linecache
import os
import sys
import tempfile
import time
import traceback
import types
import warnings

from qflow_missing import Entry, Missing, compile_user, is_submitted, used

MESSAGE_CHARS, TRACEBACK_CHARS, NAME_CHARS = 16 << 10, 64 << 10, 1 << 10
UNREACHED = ("Name or service not known", "name resolution", "Network is unreachable")
FOLDER = os.path.dirname(os.path.abspath(__file__))  # the harness's
SDK = os.environ.get("QFLOW_SDK") or os.path.dirname(FOLDER)


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
        module.__dict__.update(__qflow_missing__=Missing, __qflow_used__=used)
        try:
            super().exec_module(module)
        except BaseException:
            self.loaded.pop(self.path, None)
            raise


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
    Entry.site = order.get("site")
    if Entry.site:
        import site as sites

        sites.addsitedir(Entry.site)
    root, folder = Entry.root, os.path.dirname(os.path.join(Entry.root, order.get("entry") or Entry.file))
    find_files()
    paths = [folder, root, os.path.join(root, "src")]
    sys.path[:] = [p for i, p in enumerate(paths) if p not in paths[:i]] + [p for p in sys.path if p != FOLDER]
    Entry.names = module_names(os.path.join(root, Entry.file), paths)
    Entry.name = Entry.names[0]
    os.environ["QFLOW_SOURCE"] = "\n".join((root, Entry.file, Entry.name))
    be_main()
    warnings.formatwarning = told_warning
    set_environment({})


def told_warning(message, category, filename, lineno, line=None):
    """A warning as Python prints it, with the file's path as it was submitted."""
    line = linecache.getline(filename, lineno) if line is None else line
    return _format(message, category, filename.replace(Entry.root + os.sep, ""), lineno, line)


_format = warnings.formatwarning


def find_files():
    """Has the submission's files found and loaded as what they are; the node's own one also under a name that no path leads to."""
    hook = importlib.machinery.FileFinder.path_hook((Loader, [".py"]))

    def ours(path):
        if not (path + os.sep).startswith(Entry.root + os.sep):
            raise ImportError("not of the submission", path=path)
        return hook(path)

    sys.path_hooks.insert(0, ours)
    sys.path_importer_cache.clear()  # what was looked for before was found by others
    sys.meta_path.append(OwnFile)


class OwnFile:
    """Finds the node's file by its name."""

    @staticmethod
    def find_spec(name, _path=None, _target=None):
        if name != Entry.name:
            return None
        path = os.path.join(Entry.root, Entry.file)
        return importlib.util.spec_from_file_location(name, path, loader=Loader(name, path))


_harness = []  # keeps its main module


def be_main():
    """Another main module than the harness: processes that `multiprocessing` spawns run it first."""
    main = types.ModuleType("__main__")
    main.__file__, main.__spec__ = os.path.join(FOLDER, "qflow_spawned.py"), None
    _harness.append(sys.modules["__main__"])
    sys.modules["__main__"] = main


def set_environment(variables):
    """Sets variables, and lets programs that the node starts see the packages that it sees itself."""
    os.environ.update({name: str(value) for name, value in variables.items()})
    site = Entry.site
    prepend("PATH", [os.path.join(site, "bin")] if site else [])
    prepend("PYTHONPATH", [site, SDK] if site else [SDK])
    time.tzset()


def prepend(variable, folders):
    known = [folder for folder in os.environ.get(variable, "").split(os.pathsep) if folder and folder not in folders]
    os.environ[variable] = os.pathsep.join(folders + known)


def module_names(path, folders):
    """The names that a file may be imported by, the likeliest first; one of its own where all are taken, as `json.py`'s is."""
    names = []
    for folder in folders:
        inner = os.path.relpath(path, folder)[:-3]
        if not inner.startswith(os.pardir) and "." not in inner:  # `foo.bar.py` is no module `bar` of a package
            names.append(inner.replace(os.sep, "."))
    names.sort(key=lambda name: name.count("."))  # `shop.types` before `src.shop.types`
    free = [name for name in names if name not in sys.modules and name not in sys.builtin_module_names]
    return free or ["qflow_user_" + os.path.basename(path)[:-3].replace(".", "_")]


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
        hint = network_hint(error)
        message_ = text_of(error, "no message") + hint
    try:
        told = traceback.TracebackException(type(error), error, error.__traceback__)
        seen = set()
        hide(told, seen)
        trace = "".join(told.format()).replace(Entry.root + os.sep, "") if Entry.root else "".join(told.format())
        trace = trace.rstrip("\n") + hint + "\n" if hint else trace
    except BaseException:  # a traceback is a courtesy, and may call what is the user's own
        pass
    sdk = sys.modules.get("qflow")
    after = None
    if sdk is not None and isinstance(error, sdk.Retry):
        after = getattr(error, "after_ms", None)  # a class of the user's may leave out its initialiser
    return {
        "error_type": clean(error_type or type(error).__name__)[:NAME_CHARS],
        "message": clean(message_)[:MESSAGE_CHARS],
        "traceback": clean(trace)[-TRACEBACK_CHARS:],
        "mro": [clean(c.__name__)[:NAME_CHARS] for c in type(error).__mro__ if c is not object],
        "abort": bool(sdk is not None and isinstance(error, sdk.Abort)),
        "retry_after_ms": after,
    }


def text_of(value, what):
    """What a value's own `__str__` says; that may fail, and then it says that."""
    try:
        text = str(value)
        return text if type(text) is str else str.__str__(text)
    except BaseException as failed:  # the user's own code
        return "<%s: the __str__ of %s raised %s>" % (what, type(value).__name__, type(failed).__name__) if what else ""


def network_hint(error):
    """What to do where the network that a node lacks, or what it is kept from there, is behind an exception; else nothing."""
    seen, networked = set(), Entry.current.get("network", True)
    kept = networked and Entry.current.get("isolated", False)
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = text_of(error, "") if isinstance(error, Exception) else ""
        if not networked and (type(error).__name__ == "gaierror" or any(sign in text for sign in UNREACHED)):
            return ": a node reaches a network only with network=True"
        # Of a file it would have a name.
        if kept and isinstance(error, PermissionError) and error.errno == errno.EACCES and error.filename is None:
            return ": if it is a private address, nodes reach it only where the runner's QFLOW_EGRESS_ALLOW lists it"
        error = error.__cause__ or error.__context__
    return ""


class Struck:
    """What is struck out of whatever the attempt says: its secrets, and each line of those, as the runner does. Here too, since what is cut
    here may have half of one at its end, which the runner does not know again."""

    parts, longest = (), 0


def parts_of(secrets):
    """What is struck out of texts that may have these secrets, the longest first."""
    parts = {part for secret in secrets for part in [secret] + [line.strip() for line in secret.splitlines()] if len(part) >= 4}
    return sorted(parts, key=len, reverse=True)


def strike_out(secrets):
    Struck.parts = parts_of(secrets)
    Struck.longest = max(map(len, Struck.parts), default=0)


def clean(text):
    for part in Struck.parts:
        text = text.replace(part, "***")
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

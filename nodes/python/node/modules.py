# Part of the node's one program, behind those before it in embed.py: all share one namespace.
# Importing from the near side; the start.

MAIN_ALIAS = "__remora_main__"  # under this name the near side's main script is imported: its main guard stays shut


class Finder:
    """Imports from the near side: what this side lacks, and before anything else the package `remora`."""

    def __init__(self, own):
        self.own = own

    def find_spec(self, name, path=None, target=None):  # later
        if name == "logging" and self.own and up.logs:
            return up.logs.find(name)
        if (name == "remora" or name[:7] == "remora.") != self.own:
            return None
        parent = name.rpartition(".")[0]
        if name in getattr(sys, "stdlib_module_names", NONE):
            return None  # the standard library never comes from there
        if parent and not self.own:
            # Part of a package that is here: it is complete, unless it came from there or is a namespace.
            spec = getattr(sys.modules.get(parent), "__spec__", None)
            if spec and spec.origin not in (None, "namespace") and not hasattr(spec.loader, "found"):
                return None
        found = module_source("__main__" if name == MAIN_ALIAS else name)
        kind = found and found.get("kind")
        if not found or kind == "missing":
            return None
        if kind in ("denied", "extension"):
            reason = found.get("reason") or "the near side has only a compiled extension module %s" % found.get("path")
            error = ModuleNotFoundError("No module named %r here, and from the near side: %s" % (name, reason), name=name)
            error.reason = reason
            raise error
        from _frozen_importlib import ModuleSpec
        origin = "<remora>/" + name if self.own else found.get("path") or "<near side>/" + name
        loader = None if kind == "namespace" else Loader(found, name, kind == "package", origin)
        spec = ModuleSpec(name, loader, origin=loader and origin, is_package=kind != "module")
        spec.has_location = loader is not None
        if kind != "module":
            # A place that there is not: a folder of that name on this host has nothing to do with it.
            spec.submodule_search_locations.append("<near side>/" + origin.rpartition("/")[0].lstrip("/"))
        return spec


class Loader:  # later
    def __init__(self, found, name, package, origin):
        self.found = found
        self.package = name if package else name.rpartition(".")[0]
        self.folder = origin.rpartition("/")[0]

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        spec = module.__spec__
        try:
            code = compile(self.found["source"], spec.origin, "exec", dont_inherit=True)
        except SyntaxError as error:
            raise ImportError("cannot import %s, which comes from the near side (%s), in Python %d.%d.%d here: %s" % (
                (spec.name, up.told.get("language")) + sys.version_info[:3] + (error,)), name=spec.name) from error
        if spec.name == MAIN_ALIAS:
            up.importing_main = True
        try:
            exec(code, module.__dict__)
        finally:
            if spec.name == MAIN_ALIAS:
                up.importing_main = False

    def get_source(self, name):
        source = self.found.get("source")
        return source.decode() if type(source) is bytes else source

    def is_package(self, name):
        return self.found["kind"] != "module"

    def get_data(self, path):
        from remora._resources import get_data
        return get_data(self, path)

    def __getattr__(self, name):
        if name == "archive" and sys.version_info[:2] == (3, 9):  # importlib.resources.files of 3.9 knows files and archives only
            from remora._resources import archive
            return archive(self)
        raise AttributeError(name)

    def get_resource_reader(self, name):
        from remora._resources import Reader
        return Reader(name)


def module_source(name):  # later
    """The near side's answer about a module, kept for ever."""
    if name not in sources:
        sources[name] = up.call(0, "module", ("python", name, ""))
    return sources[name]


def nowhere(name):  # later
    """Where the near side has looked for a module, or for a package around it, in words; "" if it was not asked."""
    while name:
        found = sources.get(name)
        if found and found.get("kind") == "missing":
            return "; %s" % found.get("reason")
        name = name.rpartition(".")[0]
    return ""


def start():
    main = sys.modules["__main__"].__dict__
    for name in "os", "sys", "zlib", "b", "m":
        main.pop(name, None)
    sys.meta_path.insert(0, Finder(True))
    sys.meta_path.append(Finder(False))
    try:
        up.begin()
        up.serve()
    except BaseException as error:
        fatal(error)


up = Node()
sessions = [up]
start()

"""Data files beside modules that came from the near side, for pkgutil.get_data and importlib.resources."""
import io

import _remora_node as node


def fetch(package, name):
    data = node.up.call(0, "resource", ("python", package, name))
    if data is None:
        raise FileNotFoundError("%s has no file %s" % (package, name))
    return data


def names(package, folder=""):
    return node.up.call(0, "resources", ("python", package, folder)) or []


def get_data(loader, path):
    """Loader.get_data: `path` is below the folder of the module that the loader has loaded."""
    package = loader.package
    folder = loader.folder
    if not path.startswith(folder + "/"):
        raise FileNotFoundError(path)
    return fetch(package, path[len(folder) + 1:])


def archive(loader):
    """A read-only zip archive as far as zipfile.Path of Python 3.9 looks at one."""
    from zipfile import CompleteDirs

    class Archive(CompleteDirs):
        fp = None  # nothing to close
        filename = loader.folder.rpartition("/")[0] or "/"
        inside = loader.folder.rpartition("/")[2] + "/"

        def __init__(self):
            pass

        def __fspath__(self):
            return self.filename

        def namelist(self):
            found, folders = [], [""]
            while folders:
                folder = folders.pop()
                for name in names(loader.package, folder):
                    found.append(self.inside + (folder and folder + "/") + name)
                    if name[-1:] == "/":
                        folders.append((folder and folder + "/") + name[:-1])
            return found

        def open(self, name, mode="r", **_):
            return io.BytesIO(fetch(loader.package, name[len(self.inside):]))
    return Archive()


class Reader:
    """importlib.abc.ResourceReader, and TraversableResources where that exists."""

    def __init__(self, package):
        self.package = package

    def open_resource(self, resource):
        return io.BytesIO(fetch(self.package, resource))

    def resource_path(self, resource):
        raise FileNotFoundError(resource)  # it is no file here; importlib makes a temporary one

    def is_resource(self, name):
        return name in names(self.package)

    def contents(self):
        return [name.rstrip("/") for name in names(self.package)]

    def files(self):
        return File(self.package, "")


class File:
    """importlib's Traversable: a file or folder of a package."""

    def __init__(self, package, path, folder=None):
        self.package = package
        self.path = path
        self.folder = folder

    @property
    def name(self):
        return self.path.rpartition("/")[2] or self.package.rpartition(".")[2]

    def listing(self):
        if not self.path:
            return names(self.package)
        return names(self.package, self.path)

    def is_dir(self):
        if not self.path or self.folder:
            return True
        parent, _, name = self.path.rpartition("/")
        return name + "/" in File(self.package, parent).listing()

    def is_file(self):
        if not self.path or self.folder:
            return False
        parent, _, name = self.path.rpartition("/")
        return name in File(self.package, parent).listing()

    def iterdir(self):
        for name in self.listing():
            yield File(self.package, (self.path + "/" if self.path else "") + name.rstrip("/"), name[-1:] == "/")

    def joinpath(self, *parts):
        path = "/".join([self.path] + [str(part) for part in parts]).strip("/")
        return File(self.package, path)

    __truediv__ = joinpath

    def read_bytes(self):
        return fetch(self.package, self.path)

    def read_text(self, encoding=None, errors="strict"):
        return self.read_bytes().decode(encoding or "utf-8", errors)

    def open(self, mode="r", encoding=None, errors=None, **_):
        data = io.BytesIO(self.read_bytes())
        return data if "b" in mode else io.TextIOWrapper(data, encoding or "utf-8", errors)

    def __str__(self):
        return "%s/%s" % (self.package.replace(".", "/"), self.path)

"""Builds the extension against an installed libremora (found by pkg-config), with SWIG."""
import os
import shlex
import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SWIG = Path(__file__).resolve().parent.parent / "swig"


def pkg_config(*options):
    return shlex.split(subprocess.check_output(["pkg-config", *options, "remora"], text=True))


class BuildExt(build_ext):
    def build_extension(self, ext):
        temp = Path(self.build_temp).resolve()
        package = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        temp.mkdir(parents=True, exist_ok=True)
        package.mkdir(parents=True, exist_ok=True)
        wrapper = temp / "remora_python_wrap.c"
        header = pkg_config("--variable=includedir")[0]
        subprocess.check_call(
            [os.environ.get("SWIG", "swig"), "-python", "-builtin", f"-I{header}", "-outdir", package, "-o", wrapper, SWIG / "python.i"]
        )
        ext.sources = [str(wrapper), str(SWIG / "python_values.c"), str(SWIG / "python_types.c")]
        ext.include_dirs = [str(SWIG)]
        ext.extra_compile_args = ["-fvisibility=hidden", *pkg_config("--cflags")]
        ext.extra_link_args = pkg_config("--libs")
        super().build_extension(ext)


setup(ext_modules=[Extension("remora._remora_capi", sources=[])], cmdclass={"build_ext": BuildExt})

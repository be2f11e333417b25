"""Builds the C extension; everything else about the package is in pyproject.toml.

Environment variables:

CC                 the compiler (default: cc; on Windows gcc, of MinGW-w64)
AUTOENC_BLAS       "scipy" (default: the OpenBLAS that SciPy ships, found at run time) or "openblas" (pkg-config)
AUTOENC_SANITIZE   a value of -fsanitize, e.g. "address,undefined"; the runtime library must then be preloaded
AUTOENC_WERROR     "1": all warnings, as errors
AUTOENC_SYMBOLS    "1": names of functions and numbers of lines stay in the library, for profilers
"""

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def load_build_description():
    """csrc/build.py as a module: it says how the core is compiled, for the extension and for the C tests alike."""
    specification = importlib.util.spec_from_file_location("autoenc_csrc_build", ROOT / "csrc" / "build.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def compiler() -> list[str]:
    windows = sys.platform == "win32"
    # Of a Windows path the backslashes stay; one with spaces is put between quotes.
    words = shlex.split(os.environ.get("CC") or ("gcc" if windows else "cc"), posix=not windows)
    cc = [word.strip('"') for word in words] if windows else words
    if shutil.which(cc[0]) is None:
        raise SystemExit(
            f"autoenc is compiled from C, and there is no compiler {cc[0]!r} on this machine. Install one (Debian, "
            "Ubuntu: apt install gcc libc6-dev; Fedora: dnf install gcc; macOS: xcode-select --install; Windows: "
            "MinGW-w64, e.g. pacman -S mingw-w64-ucrt-x86_64-gcc in MSYS2, with its folder bin in PATH; Microsoft's "
            "compiler does not know the GNU C that the sources are written in) or name yours in the environment "
            "variable CC."
        )
    return cc


def shared_library_flags(sanitize: str) -> list[str]:
    if sys.platform == "darwin":
        return ["-bundle", "-undefined", "dynamic_lookup"]
    if sys.platform == "win32":
        # The functions of Python come from its DLL, by the import library beside it; those of the compiler's own
        # libraries go into the module, which then needs nothing but Python and what Windows has.
        libraries = Path(sys.base_prefix) / "libs"
        name = f"python{sys.version_info.major}{sys.version_info.minor}"
        return ["-shared", "-static", "-Wl,-s", f"-L{libraries}", f"-l{name}"]
    flags = ["-shared", "-Wl,-z,relro", "-Wl,-z,noexecstack"]
    # Line numbers serve profilers and sanitizers; in a wheel they would be most of its size.
    keep = sanitize or os.environ.get("AUTOENC_SYMBOLS")
    return flags if keep else [*flags, "-Wl,-s"]


class BuildCore(build_ext):
    """Compiles the core once per precision and instruction set, in parallel, and links it with csrc/python.

    An editable install is for the machine it is made on, and leaves out what that has no instructions for; a wheel is
    for all of a kind.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        self.for_this_machine = bool(self.inplace)  # run() clears inplace while it builds

    def build_extension(self, ext: Extension) -> None:
        import numpy

        build = load_build_description()
        cc = compiler()
        machine = platform.machine()
        sanitize = os.environ.get("AUTOENC_SANITIZE", "")
        blas_compile, blas_link = build.blas_flags(os.environ.get("AUTOENC_BLAS") or "scipy")
        flags = [*build.compile_flags(cc), *build.sanitize_flags(sanitize)]
        if os.environ.get("AUTOENC_WERROR"):
            flags += build.warning_flags(cc)
        paths = sysconfig.get_paths()
        includes = dict.fromkeys([paths["include"], paths["platinclude"], numpy.get_include()])
        if not any((Path(folder) / "Python.h").is_file() for folder in includes):
            raise SystemExit(
                f"The C headers of this Python (Python.h) are not in {paths['include']}. Install them (Debian, Ubuntu: "
                "apt install python3-dev; Fedora: dnf install python3-devel)."
            )
        # Nothing hot is there: small before fast, so that the wheel stays below a megabyte.
        python_flags = [*flags, "-Os", *(f"-isystem{path}" for path in includes)]
        if sys.platform == "win32":
            python_flags.append("-DMS_WIN64=")  # Python's headers find it out from Microsoft's compiler only

        def compile_into_cache(sources: list[Path], chosen: list[str]) -> list[str]:
            objects = build.compile_all(
                sources,
                build.objects_folder(cc, chosen, machine),
                cc=cc,
                flags=chosen,
                machine=machine,
                blas=blas_compile,
                without_avx512=self.for_this_machine and build.lacks_avx512(),
            )
            return [str(o) for o in objects]

        sources = sorted((ROOT / "csrc" / "python").glob("*.c"))
        objects = [*compile_into_cache(build.core_sources(), flags), *compile_into_cache(sources, python_flags)]
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        link = [*cc, *build.sanitize_flags(sanitize), *objects, *blas_link, *shared_library_flags(sanitize)]
        subprocess.run([*link, "-lm", "-lpthread", "-o", str(target)], check=True)


setup(ext_modules=[Extension("autoenc._core", sources=[])], cmdclass={"build_ext": BuildCore})

"""The one description of how the C core is compiled.

``setup.py`` uses it for the extension; run as a script it builds the C tests and benchmarks, which need no Python::

    python csrc/build.py test  [--sanitize address,undefined] [--native] [--only NAME] [--blas openblas] [--werror]
                               [--cc clang]
    python csrc/build.py test --cc x86_64-w64-mingw32-gcc --runner wine
    python csrc/build.py bench [NAME [ARGUMENTS ...]]

A source that uses ``AE_V(`` is compiled once per variant (precision and instruction set, see ``csrc/math/variant.h``),
every other source once. Only the Python standard library is used.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import os
import platform
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

CSRC = Path(__file__).resolve().parent
ROOT = CSRC.parent
# Of the sources, those that list the instruction sets of a build see this in a build for a machine without AVX-512.
WITHOUT_AVX512 = "-DAE_WITHOUT_AVX512"
LISTS_ISAS = re.compile(r"\bAE_FOR_EACH_VARIANT\b|\bAE_WITHOUT_AVX512\b")
# Those that ask which BLAS it is.
BLAS_SOURCES = (CSRC / "math" / "linalg.c", ROOT / "tests" / "c" / "test_linalg.c")
# Of math, those that are made of vectors as layers are, and those that name and call; of what is compiled once, what
# runs for each block of rows.
VECTORS = ("activation", "blas1", "random", "log_mean_exp", "column_norms", "row_norms", "lanes")
CALLERS = ("activation_names", "kernels", "linalg")
# Of layers and losses, those whose time is in products that they call, or in exponentials and logarithms.
CALLING = ("batch_top_k", "contraction", "correntropy", "dense", "huber", "kl_sparsity", "log_cosh", "mmd",
           "negative_binomial", "orthogonality", "poisson", "probe", "sparse_inference", "tangent", "total_correlation",
           "vector_quantize")  # fmt: skip
ONCE_A_BLOCK = ("step", "data", "pool")
CORE_FLOORS = ("base", "math", "layers", "losses", "optim", "net", "train")

ISA_FLAGS = {
    "ref": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma", "-mprefer-vector-width=512"],
    "neon": [],
}
# -ffp-contract=off: every fma is written; -fno-math-errno and -fno-trapping-math change no result. Nothing here unwinds
# at run time; debuggers have the tables that come with -g1.
CFLAGS = ["-std=c11", "-O3", "-g1", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
          "-fno-asynchronous-unwind-tables", "-fvisibility=hidden", "-D_GNU_SOURCE"]  # fmt: skip
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-unused-function"]


def is_for_windows(cc: list[str]) -> bool:
    """Whether this compiler makes programs for Windows: here it says so in its name or its target."""
    return sys.platform == "win32" or any(re.search("mingw|windows", word) for word in cc)


def is_clang(cc: list[str]) -> bool:
    return "clang" in subprocess.run([*cc, "--version"], capture_output=True, text=True).stdout


def compile_flags(cc: list[str]) -> list[str]:
    """CFLAGS for what this compiler makes programs for."""
    if not is_for_windows(cc):
        return CFLAGS
    # All code is position independent there, and its binary interface wants the unwind tables of every function.
    flags = [flag for flag in CFLAGS if flag not in ("-fPIC", "-fno-asynchronous-unwind-tables")]
    if is_clang(cc):
        return flags
    # GCC aligns the stack of Windows to 16 bytes and moves vectors of 32 and 64 to it as if it were aligned to those:
    # https://gcc.gnu.org/bugzilla/show_bug.cgi?id=54412. The assembler (binutils 2.38) makes such moves unaligned ones,
    # which are as fast where the address is aligned.
    return [*flags, "-Wa,-muse-unaligned-vector-move"]


def warning_flags(cc: list[str]) -> list[str]:
    """All warnings, as errors."""
    # isfinite() and its like, of MinGW-w64, convert in the branches that are not taken.
    return [*WARNINGS, *(["-Wno-float-conversion"] if is_for_windows(cc) else []), "-Werror"]


def isas_of(machine: str) -> list[str]:
    """Instruction sets that a build for this machine contains."""
    machine = machine.lower()
    if machine in ("x86_64", "amd64"):
        return ["ref", "avx2", "avx512"]
    if machine in ("aarch64", "arm64"):
        return ["ref", "neon"]
    return ["ref"]


def cpu_features() -> set[str]:
    """Of this machine, as Linux on x86 names them; elsewhere none."""
    information = Path("/proc/cpuinfo")
    found = re.search(r"^flags\s*:(.*)$", information.read_text(), re.MULTILINE) if information.is_file() else None
    return set(found[1].split()) if found else set()


def lacks_avx512() -> bool:
    """Whether a build for this machine alone can do without AVX-512: a third of the work of compiling."""
    return bool(cpu_features()) and "avx512f" not in cpu_features()


def objects_folder(cc: list[str], flags: list[str], machine: str) -> Path:
    """Where objects of these flags lie, for the extension and the C tests alike."""
    return ROOT / "build" / f"c-{hashlib.sha256(repr((cc, flags, machine)).encode()).hexdigest()[:12]}"


def core_sources(floors: tuple[str, ...] = CORE_FLOORS) -> list[Path]:
    """All sources of the core, without the Python floor, or those of some floors."""
    return sorted(p for floor in floors for p in (CSRC / floor).glob("*.c"))


def is_variant_source(path: Path) -> bool:
    return "AE_V(" in path.read_text(encoding="utf-8")


def blas_flags(blas: str) -> tuple[list[str], list[str]]:
    """Compile and link flags of AUTOENC_BLAS: "scipy" (capsules at run time) or "openblas" (pkg-config)."""
    if blas == "scipy":
        return [], []
    if blas != "openblas":
        raise SystemExit(f"AUTOENC_BLAS={blas!r} is not known; use 'scipy' or 'openblas'")

    def pkg_config(what: str) -> list[str]:
        out = subprocess.run(["pkg-config", what, "openblas"], capture_output=True, text=True)
        if out.returncode:
            raise SystemExit(f"AUTOENC_BLAS=openblas: pkg-config does not find openblas: {out.stderr.strip()}")
        return shlex.split(out.stdout)

    return ["-DAE_BLAS_OPENBLAS", *pkg_config("--cflags")], pkg_config("--libs")


def sanitize_flags(sanitize: str) -> list[str]:
    if not sanitize:
        return []
    # -O1: what sanitizers add takes the most time to compile at higher levels, and finds no more there.
    return [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", "-O1"]


def _newest_header() -> float:
    return max(p.stat().st_mtime for p in [*CSRC.rglob("*.h"), Path(__file__)])


def precompiled_intrinsics(cc: list[str], flags: list[str], out: Path) -> list[str]:
    """Flags that include the intrinsics of x86 in precompiled form, made here for these flags; [] where that does not
    work. Reading them takes most compilations longer than the source itself."""
    folder = out / f"intrinsics-{hashlib.sha256(repr(flags).encode()).hexdigest()[:8]}"
    header = folder / "intrinsics.h"
    compiled = header.with_suffix(".h.gch")
    if not compiled.exists():
        folder.mkdir(parents=True, exist_ok=True)
        header.write_text("#include <immintrin.h>\n", encoding="utf-8")
        partial = folder / f"{os.getpid()}.gch"
        if subprocess.run(
            [*cc, *flags, "-x", "c-header", str(header), "-o", str(partial)], capture_output=True
        ).returncode:
            partial.unlink(missing_ok=True)
            return []
        partial.replace(compiled)
    return ["-include", str(header)]


def compile_jobs(
    sources: list[Path], out: Path, machine: str, flags: list[str], blas: list[str], without_avx512: bool, fma: bool
) -> list[tuple[list[str], Path, Path]]:
    """(flags, source, object) for every object that the sources become. ``fma``: plain C has it as an instruction."""
    jobs = []
    for source in sources:
        stem = "_".join(source.relative_to(ROOT).with_suffix("").parts)
        if source in BLAS_SOURCES and blas:
            jobs.append(([*flags, *blas], source, out / f"{stem}.blas.o"))
            continue
        if source.is_relative_to(ROOT) and is_variant_source(source):
            for isa in isas_of(machine):
                if isa == "avx512" and without_avx512:
                    continue
                for bits in (32, 64):
                    define = [f"-DAE_BITS={bits}", f"-DAE_TARGET_{isa.upper()}"]
                    # Plain C beside a better set is there for comparison and old machines: small before fast.
                    size = ["-Os"] if isa == "ref" and len(isas_of(machine)) > 1 else []
                    # Layers, losses and rules say with vectors what they mean; more unrolling makes them larger, not
                    # faster. In double precision small goes before fast, so that the wheel stays below a megabyte; in
                    # float no room is spent on where jumps lead.
                    if not size and (source.parent.name in ("layers", "losses", "optim") or source.stem in VECTORS):
                        size = ["-O2", "-fno-align-jumps", "-fno-align-labels"] if bits == 32 else ["-Os"]
                    if source.stem in CALLING or (not size and bits == 64 and source.stem != "gemm"):
                        size = ["-Os"]
                    if any(flag.startswith("-fsanitize") for flag in flags):  # nobody ships these
                        size = []
                    own, tag = (["-mfma"], ".fma") if fma and isa == "ref" else ([], "")
                    target = out / f"{stem}.f{bits}_{isa}{tag}.o"
                    jobs.append(([*flags, *define, *ISA_FLAGS[isa], *size, *own], source, target))
        else:
            # Above math these plan, list and call: loops that cost time are in sources with variants.
            floor, size = source.parent.name, []
            if source.stem in ONCE_A_BLOCK:
                size = ["-O2"]
            # The permutation alone has loops over rows here.
            elif floor in CORE_FLOORS and source.stem != "permutation" and (floor != "math" or source.stem in CALLERS):
                size = ["-Os"]
            if any(flag.startswith("-fsanitize") for flag in flags):
                size = []
            chosen = [*flags, *size]
            if without_avx512 and LISTS_ISAS.search(source.read_text(encoding="utf-8")):
                jobs.append(([*chosen, WITHOUT_AVX512], source, out / f"{stem}.without_avx512.o"))
            else:
                jobs.append((chosen, source, out / f"{stem}.o"))
    return jobs


def compile_all(
    sources: list[Path],
    out: Path,
    *,
    cc: list[str],
    flags: list[str],
    machine: str | None = None,
    blas: list[str] | None = None,
    without_avx512: bool = False,
    fma: bool = False,
    jobs: int | None = None,
) -> list[Path]:
    """Compiles in parallel what is older than its source or any header; returns the objects. Raises SystemExit with the
    compiler's message on failure. ``out`` is specific to the flags, but for those of BLAS and of instruction sets."""
    work = compile_jobs(sources, out, machine or platform.machine(), flags, blas or [], without_avx512, fma)
    if is_clang(cc):  # which warns of what it does not know
        work = [([flag for flag in own if not flag.startswith("-fno-align")], *rest) for own, *rest in work]
    out.mkdir(parents=True, exist_ok=True)
    newest = _newest_header()

    def intrinsics(job_flags: list[str]) -> list[str]:
        """Of a job; jobs that differ in definitions alone share them. A compiler cache before cc cannot use them."""
        if len(cc) > 1 or "-mavx2" not in job_flags:
            return []
        key = tuple(flag for flag in job_flags if not flag.startswith("-DAE_"))
        with lock:
            if key not in prefixes:
                prefixes[key] = precompiled_intrinsics(cc, list(key), out)
        return prefixes[key]

    prefixes: dict[tuple[str, ...], list[str]] = {}
    lock = threading.Lock()

    def run(job: tuple[list[str], Path, Path]) -> str:
        job_flags, source, target = job
        if target.exists() and target.stat().st_mtime > max(newest, source.stat().st_mtime):
            return ""
        partial = target.with_suffix(f".{os.getpid()}.o")  # another process may be at the same
        command = [*cc, *job_flags, *intrinsics(job_flags), f"-I{CSRC}", "-c", str(source), "-o", str(partial)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            partial.unlink(missing_ok=True)
            raise SystemExit(f"{shlex.join(command)}\n{done.stderr}")
        partial.replace(target)
        return done.stderr

    with concurrent.futures.ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        futures = [pool.submit(run, job) for job in work]
        try:
            for future in futures:
                sys.stderr.write(future.result())
        except SystemExit:
            for future in futures:
                future.cancel()
            raise
    return [target for _, _, target in work]


def build_programs(kind: str, arguments: argparse.Namespace) -> list[Path]:
    """Builds each tests/c/test_*.c or csrc/bench/bench_*.c, linked with the core and the folder's other sources."""
    machine = arguments.machine or platform.machine()
    blas_compile, blas_link = blas_flags(arguments.blas)
    cc = shlex.split(arguments.cc)
    windows = is_for_windows(cc)
    flags = [*compile_flags(cc), *sanitize_flags(arguments.sanitize)]
    without_avx512 = arguments.without_avx512 or (arguments.native and lacks_avx512())
    # Plain C calls fma() otherwise, in which tests spend most of their time; the bits are the same. Other objects are
    # those of the wheel. On Windows the core has an fma() of its own, which is to be tested.
    fma = kind == "test" and arguments.native and not windows and "fma" in cpu_features() and "avx2" in isas_of(machine)
    if arguments.werror:
        flags += warning_flags(cc)
    out = objects_folder(cc, flags, machine)

    def compiled(sources: list[Path], chosen: list[str]) -> list[Path]:
        return compile_all(
            sources,
            out,
            cc=cc,
            flags=chosen,
            machine=machine,
            blas=blas_compile,
            without_avx512=without_avx512,
            fma=fma,
        )

    objects = compiled(core_sources(tuple(arguments.floors)), flags)
    folder = ROOT / "tests" / "c" if kind == "test" else CSRC / "bench"
    flags = [*flags, f"-I{folder}", *(["-mfma"] if fma else [])]
    sources = sorted(folder.glob("*.c"))
    programs = [p for p in sources if p.stem.startswith(kind + "_")]
    shared = [p for p in sources if p not in programs]
    if arguments.only:
        programs = [p for p in programs if re.search(arguments.only, p.stem)]
        if not programs:
            raise SystemExit(f"no {kind} program matches {arguments.only!r}")
    if kind == "test":
        # -O2 compiles in two thirds of the time of -O3, -O0 with sanitizers in a third; it is the core that runs long.
        flags.append("-O0" if arguments.sanitize else "-O2")
    # Without optimisation GCC has intrinsics of AVX-512 as macros, in which it finds conversions to warn of.
    objects += compiled(shared, [*flags, "-O1"] if arguments.sanitize else flags)
    own = compiled(programs, flags)

    def link(program: Path, own_object: Path) -> Path:
        inputs = [own_object, *objects]
        target = out / (
            program.stem
            + (".blas" if blas_compile else "")
            + (".without_avx512" if without_avx512 else "")
            + (".exe" if windows else "")
        )
        if not target.exists() or any(o.stat().st_mtime > target.stat().st_mtime for o in inputs):
            options = [*sanitize_flags(arguments.sanitize), *map(str, inputs), "-o", str(target)]
            if windows:
                options.append("-static")  # else they look for the compiler's libraries where they run
            subprocess.run([*cc, *options, *blas_link, "-lm", "-lpthread"], check=True)
        return target

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as executor:
        return list(executor.map(link, programs, own))


def run_programs(
    programs: list[Path], runner: list[str], bench_arguments: list[str], bench: bool
) -> Iterator[tuple[Path, int]]:
    """Runs programs and gives their exit statuses in order: benchmarks alone, tests as many at once as there are CPUs.

    What a test prints appears as one piece when it is done.
    """
    if bench:
        for program in programs:
            yield program, subprocess.run([*runner, str(program), *bench_arguments]).returncode
        return

    def run(program: Path) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([*runner, str(program)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as executor:
        for program, done in zip(programs, executor.map(run, programs), strict=True):
            sys.stdout.flush()
            sys.stdout.buffer.write(done.stdout)
            sys.stdout.flush()
            yield program, done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=["test", "bench"])
    parser.add_argument("arguments", nargs="*", help="bench: name and arguments")
    parser.add_argument("--sanitize", default=os.environ.get("AUTOENC_SANITIZE", ""))
    parser.add_argument("--blas", default=os.environ.get("AUTOENC_BLAS", "scipy"))
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"))
    parser.add_argument("--machine", default="", help="cross-compile for this machine, e.g. aarch64")
    parser.add_argument(
        "--runner", default="", help="what runs the programs, e.g. 'qemu-aarch64 -L /usr/aarch64-linux-gnu'"
    )
    parser.add_argument(
        "--floors",
        nargs="+",
        choices=CORE_FLOORS,
        default=CORE_FLOORS,
        help="of the core, those that the programs need (default: all)",
    )
    parser.add_argument("--only", default="", help="regular expression of program names")
    parser.add_argument("--no-run", action="store_true", help="only build")
    parser.add_argument(
        "--native",
        action="store_true",
        help="for this machine: only instruction sets that it has, and tests with fma() as an instruction",
    )
    parser.add_argument("--without-avx512", action="store_true", help="leave AVX-512 out")
    parser.add_argument(
        "--werror",
        action="store_true",
        default=bool(os.environ.get("AUTOENC_WERROR")),
        help="all warnings, as errors (also AUTOENC_WERROR=1)",
    )
    arguments = parser.parse_args()
    bench_arguments = arguments.arguments
    if arguments.kind == "bench" and bench_arguments:
        arguments.only, bench_arguments = bench_arguments[0], bench_arguments[1:]
    failed = 0
    programs = build_programs(arguments.kind, arguments)
    if arguments.no_run:
        return 0
    for program, code in run_programs(
        programs, shlex.split(arguments.runner), bench_arguments, arguments.kind == "bench"
    ):
        if code:
            print(f"{program.name}: exit status {code}", file=sys.stderr)
            failed += 1
    if arguments.kind == "test":
        print(f"C tests: {len(programs) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

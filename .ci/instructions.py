"""Instructions of three small trainings, counted by valgrind, beside those that were written down.

A time on a shared machine says little; a count of instructions says exactly when a step has become dearer. It fails
where a count is more than 3 % above the one in ``instructions.json``, and asks for new ones where it is as far below::

    python .ci/instructions.py            # compares
    python .ci/instructions.py --write    # writes the counts down

Counts are those of one compiler: with another major version, or on a machine without AVX2, nothing is compared.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORD = Path(__file__).with_name("instructions.json")
NETWORKS = ("dense", "top_k", "sparse")
MARGIN = 0.03


def compiler() -> str:
    version = subprocess.run(["gcc", "-dumpversion"], capture_output=True, text=True, check=True).stdout
    return f"gcc {version.split('.')[0].strip()}"


def count(network: str) -> int:
    """Instructions inside ``ae_trainer_epoch``, one epoch of three steps."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        runner = f"valgrind -q --tool=callgrind --callgrind-out-file={out} --toggle-collect=ae_trainer_epoch"
        # With the flags of section warnings, whose objects then serve here too; warnings change no instruction.
        options = ["--cc", "gcc", "--werror", "--native", "--runner", runner]
        command = [sys.executable, "csrc/build.py", "bench", "steps", network, *options]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "AUTOENC_ISA": "avx2"})
        found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(encoding="utf-8"), re.MULTILINE)
    if not found or not int(found[1]):
        raise SystemExit(f"{network}: valgrind has counted nothing")
    return int(found[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the counts down instead of comparing them")
    write = parser.parse_args().write
    if "avx2" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        print("skipped: no AVX2 here")
        return 0
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    if not write and record.get("compiler") != compiler():
        print(f"skipped: the counts are those of {record.get('compiler')}, and this is {compiler()}")
        return 0
    counts = {network: count(network) for network in NETWORKS}
    if write:
        RECORD.write_text(json.dumps({"compiler": compiler(), "counts": counts}, indent=4) + "\n", encoding="utf-8")
    known = counts if write else record["counts"]
    worse = [n for n in NETWORKS if counts[n] > (1 + MARGIN) * known[n]]
    for n in NETWORKS:
        print(f"{n:8} {counts[n]:>12,} instructions, {known[n]:,} written down ({counts[n] / known[n] - 1:+.2%})")
        if counts[n] < (1 - MARGIN) * known[n]:
            print(f"{n}: fewer by more than {MARGIN:.0%}; write them down by python .ci/instructions.py --write")
    if worse:
        print(f"more than {MARGIN:.0%} above what was written down: {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())

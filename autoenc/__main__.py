"""The command line: ``python -m autoenc`` or ``autoenc``.

``demo`` trains on handwritten digits and writes a picture; the other commands make models of tables and apply them.
"""

import argparse
import contextlib
import errno
import io
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from autoenc import __version__
from autoenc._cli_values import positive

UNREAD = 128 + 13  # of one whose reader has gone, as SIGPIPE ends others
INTERRUPTED = 128 + signal.SIGINT  # the status of a command that Ctrl-C has ended


class _Interrupt(KeyboardInterrupt):
    """Of a class of its own: `python -m` ends by SIGINT, whatever the status, once the bare one has come out of an
    `exec`, as there are many in imports."""


class _Signals:
    """Ctrl-C, and a request to end (SIGTERM, or SIGHUP of a terminal that is closed), raise KeyboardInterrupt.

    An instance of it: Python's own handler raises the bare class, which pandas before Python 3.12 loses while it reads:
    it then says that the file could not be read, which is an error like any other. What is being written is deleted on
    the way out. A signal that the caller ignores or handles stays as it is.
    """

    def __init__(self) -> None:
        self.status: int = INTERRUPTED
        self._before: dict[int, Any] = {}

    def _interrupt(self, number: int, _: Any) -> NoReturn:
        self.status = 128 + number
        raise _Interrupt

    def __enter__(self) -> "_Signals":
        usual = {signal.SIGINT: signal.default_int_handler}
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is None or signal.getsignal(number) is not usual.get(number, signal.SIG_DFL):
                continue
            with contextlib.suppress(ValueError):  # not in the main thread
                self._before[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _parser_class(wanted: bool) -> type[argparse.ArgumentParser]:
    """What says on standard output, too, what is wrong with the arguments where --json is one of them."""

    class Parser(argparse.ArgumentParser):
        def __init__(self, *positional: Any, **named: Any) -> None:
            super().__init__(*positional, **named)
            # No option begins so; argparse by itself takes -1e-3 for one.
            self._negative_number_matcher = re.compile(r"-(\d|\.\d|inf$)")

        def error(self, message: str) -> NoReturn:
            if wanted:
                print(json.dumps({"error": message}), flush=True)
            super().error(message)

    return Parser


class _Nowhere(io.TextIOBase):
    """Takes what is written to a stream that the caller has closed; `print` would put it into the other one."""

    def write(self, text: str) -> int:
        return len(text)


@contextlib.contextmanager
def _open_streams() -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_Nowhere() if stream is None else stream for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status: 0 done, 1 failed, 2 wrong arguments, 130, 141 and 143 as the help has them."""
    arguments = sys.argv[1:] if arguments is None else arguments
    wanted = any(len(text) > 2 and "--json".startswith(text) for text in arguments)
    parser = _parser_class(wanted)(
        prog="python -m autoenc",
        description="Autoencoders as scikit-learn estimators.",
        epilog="Exit status: 0 done, 1 failed (a message says why), 2 wrong arguments, 130 interrupted (Ctrl-C), 141 "
        "standard output is read no further (as by head), 143 told to end (SIGTERM). COMMAND --help says more.",
    )
    parser.add_argument("--version", action="version", version=f"autoenc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    demo = commands.add_parser(
        "demo",
        help="train on scikit-learn's handwritten digits, compare with PCA, write a picture",
        description="Trains on scikit-learn's handwritten digits, prints the reconstruction error and the accuracy of "
        "a classifier on the codes beside PCA's, and writes a picture (with matplotlib).",
    )
    demo.add_argument("--output", default="autoenc-demo.png", metavar="FILE", help="the picture (default: %(default)s)")
    demo.add_argument("--components", type=positive, default=16, metavar="N", help="width of the code (default: 16)")
    demo.add_argument("--quick", action="store_true", help="a tenth of the epochs: shows that it runs, not how well")
    demo.add_argument("--json", action="store_true", help="one JSON object on standard output: what was found")
    demo.add_argument("--quiet", action="store_true", help="no progress")
    demo.set_defaults(run=_demonstrate)
    with _open_streams():
        return _guarded(parser, commands, arguments, wanted)


def _demonstrate(chosen: argparse.Namespace) -> dict[str, Any]:
    from autoenc import _demo  # takes seconds, in which Ctrl-C may come
    from autoenc._whole_file import naming

    said: Any = sys.stdout
    if chosen.json:  # which has standard output for itself
        said = _Nowhere() if chosen.quiet else sys.stderr
    with naming("standard output"), contextlib.redirect_stdout(said):
        found = _demo.run(chosen.output, n_components=chosen.components, quick=chosen.quick, quiet=chosen.quiet)
    return vars(found)


def _guarded(parser: argparse.ArgumentParser, commands: Any, arguments: Sequence[str], wanted: bool) -> int:
    signals = _Signals()
    try:
        try:
            with signals:
                status = _run(parser, commands, arguments)
                return signals.status if status == INTERRUPTED else status
        except KeyboardInterrupt as error:
            said = "interrupted" if signals.status == INTERRUPTED else "told to end"
            said += f"; {error}" if str(error) else ""
            print(f"\n{said}", file=sys.stderr)
            if wanted:
                print(json.dumps({"error": said, "interrupted": True}), flush=True)
            return signals.status
    except OSError as error:
        # Standard output takes no more: its disk is full, or the reader has gone, as `head` does without a word (which
        # Windows calls an invalid argument).
        gone = isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL)
        if not gone:
            print(f"autoenc: standard output: {error}", file=sys.stderr)
        with contextlib.suppress(OSError):  # what is left in the buffer must not fail at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD if gone else 1
    except Exception as error:
        if wanted:
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        raise


def _run(parser: argparse.ArgumentParser, commands: Any, arguments: Sequence[str]) -> int:
    from autoenc import _cli  # takes NumPy

    _cli.add_commands(commands)
    chosen = parser.parse_args(arguments)
    if isinstance(sys.stdout, _Nowhere) and getattr(chosen, "output", "") is None:
        print(f"autoenc {chosen.command}: standard output is closed; --output takes a file", file=sys.stderr)
        return 1
    status = _cli.run(chosen)
    sys.stdout.flush()
    return status


if __name__ == "__main__":
    sys.exit(main())

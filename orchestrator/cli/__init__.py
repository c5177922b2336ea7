"""The command `volet`: find the verb, import its module alone, run it, answer with its exit status."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, cast

from orchestrator import __version__
from orchestrator.cli.outcome import DONE, NO, USAGE, Failure
from orchestrator.cli.terminal import plain


@dataclass(frozen=True, slots=True)
class Verb:
    """One command: the module of this package that runs it, its heading in the help, and what it does."""

    module: str
    heading: str
    does: str


VERBS: Mapping[str, Verb] = {
    "status": Verb("status", "Look", "state, session and deadline of each camera"),
    "watch": Verb("watch", "Look", "join as a viewer and get the addresses for a player"),
    "events": Verb("events", "Look", "the log, newest last"),
    "request": Verb(
        "request", "Open and close", "ask for a session and follow it until it streams or is refused"
    ),
    "extend": Verb("sessions", "Open and close", "move the end of a session"),
    "close": Verb("sessions", "Open and close", "shut a camera, or all of them, now"),
    "acknowledge": Verb("sessions", "Open and close", "take the locks off a camera"),
    "windows": Verb("windows", "Open and close", "maintenance windows: list, add, approve, shorten, cancel"),
    "serve": Verb("daemon", "Run", "the daemon, in the foreground"),
    "check": Verb("daemon", "Run", "validate a configuration file"),
    "doctor": Verb("daemon", "Run", "evaluate every check now: could each camera open, and if not, why"),
    "demo": Verb("daemon", "Run", "the whole program on this machine alone, with a generated camera"),
    "peers": Verb("peers", "Run", "as root, tell an unprivileged daemon WireGuard's peers"),
    "verify": Verb("log", "The log, without the daemon", "is the log whole, and who vouches for it"),
    "replay": Verb("replay", "The log, without the daemon", "fold it from nothing: timeline and divergences"),
    "export": Verb("log", "The log, without the daemon", "the events as text, or a copy of the database"),
    "chart": Verb("chart", "The log, without the daemon", "the statechart in force"),
}

PLANNED = frozenset({"key", "receipt", "verify-receipt", "forget", "register", "drill", "collect", "log"})
"""Words of CONTRACT 2 that nothing stands behind yet: refused, never accepted without effect."""


class _Parser(argparse.ArgumentParser):
    """Says on one line what is wrong with the words that were given."""

    def error(self, message: str) -> NoReturn:
        raise Failure(f"{message}; see `{self.prog} --help`", USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` without the program's name (default: this process's own).

    The answer is the exit status of CONTRACT 2: 0 done; 1 a check failed, or the answer is no;
    2 usage; 69 the daemon cannot be reached; 78 the configuration is not valid.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(words)
        sys.stdout.flush()
        return status
    except Failure as failure:
        print(f"volet: {plain(failure.message)}", file=sys.stderr)
        return failure.status
    except KeyboardInterrupt:
        print("volet: interrupted before it was done", file=sys.stderr)
        return NO
    except BrokenPipeError:
        # Whoever read standard output has left; the interpreter would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return NO
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        print(
            f"volet: {plain(name)}{plain(error.strerror or error)}; look at the path and its permissions",
            file=sys.stderr,
        )
        return NO


def _run(words: Sequence[str]) -> int:
    verb = words[0] if words else None
    if verb is None:
        print(_help(), end="")
        raise Failure(
            "no command was given; begin with `volet status`, or `volet demo` to see it work", USAGE
        )
    if verb in PLANNED:
        raise Failure(f"`{plain(verb)}` is not built yet; `volet --help` lists what is", USAGE)
    if verb not in VERBS:
        return _no_verb(verb)
    parser = _Parser(prog=f"volet {verb}", description=_sentence(VERBS[verb].does), allow_abbrev=False)
    module = importlib.import_module(f"orchestrator.cli.{VERBS[verb].module}")
    module.arguments(verb, parser)
    try:
        values = parser.parse_args(words[1:])
    except SystemExit as wanted_help:
        return int(wanted_help.code or DONE)
    run = cast("Callable[[argparse.Namespace], int]", values.run)
    return run(values)


def _no_verb(word: str) -> int:
    if word in {"--help", "-h", "help"}:
        print(_help(), end="")
        return DONE
    if word in {"--version", "-V"}:
        print(f"volet {__version__}")
        return DONE
    what = "option" if word.startswith("-") else "command"
    raise Failure(f"there is no {what} {word!r}; `volet --help` lists the commands", USAGE)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _help() -> str:
    lines = [
        "volet: a shutter in front of the cameras. Shut by default; it opens only on proof.",
        "",
        "usage: volet COMMAND …            `volet COMMAND --help` says more about one",
    ]
    heading = ""
    for name, verb in VERBS.items():
        if verb.heading != heading:
            heading = verb.heading
            lines += ["", f"{heading}:"]
        lines.append(f"  {name:<13}{verb.does}")
    lines += [
        "",
        "Commands that talk to the daemon use its local socket, or its address on the VPN",
        "(--url http://100.x.y.z:8080, or VOLET_URL). Opening works over the VPN only; anyone may close.",
        "",
        "Exit status: 0 done, 1 a check failed or the answer is no, 2 usage, 69 no daemon, 78 configuration.",
        "",
    ]
    return "\n".join(lines)

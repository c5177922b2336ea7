"""Broken as text: what is no TOML, or no text at all, or larger than any configuration."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random

from tests.hostile.breakage import Breakage
from tests.hostile.valid_files import shipped, texts

_CONTROLS = [*range(9), 11, 12, *range(14, 32), 127]
_NO_UTF_8 = [b"\xff", b"\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"]
_ASSIGNED = re.compile(r'^[a-z_]+ = (?:"[^"\n]*"|[0-9.]+|true|false)', re.MULTILINE)
_IN_QUOTES = re.compile(r'^[a-z_]+ = "([^"\n]+)"', re.MULTILINE)
_SOURCE = re.compile(r'^source = "[^"\n]*"', re.MULTILINE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _text(random: Random, folder: Path) -> str:
    return random.choice(texts(folder))


def _broken(why: str, text: str, at: str = "line ") -> Breakage:
    return Breakage(why, at, text.encode())


def _cut(random: Random, folder: Path) -> Breakage:
    """Cut off before the camera's source is complete: whatever is left, there is no whole camera in it."""
    text = _text(random, folder)
    end = _SOURCE.search(text)
    assert end is not None
    cut = random.randrange(end.end())
    return _broken(f"cut after {cut} characters", text[:cut], "")


def _cut_in_quotes(random: Random, folder: Path) -> Breakage:
    text = _text(random, folder)
    found = random.choice(list(_IN_QUOTES.finditer(text)))
    cut = random.randrange(found.start(1), found.end(1) + 1)
    return _broken(f"cut within quotes after {cut} characters", text[:cut])


def _control(random: Random, folder: Path) -> Breakage:
    text, character = _text(random, folder), chr(random.choice(_CONTROLS))
    place = random.randrange(len(text))
    return _broken(f"{character!r} at {place}", text[:place] + character + text[place:])


def _no_utf_8(random: Random, folder: Path) -> Breakage:
    text, wrong = _text(random, folder).encode(), random.choice(_NO_UTF_8)
    # Between two characters, so that what comes before it is text.
    place = text.index(b"\n", random.randrange(len(text) // 2))
    return Breakage(f"{wrong!r} at {place}", "line ", text[:place] + wrong + text[place:])


def _encoded(random: Random, folder: Path) -> Breakage:
    name = random.choice(["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp037"])
    return Breakage(f"encoded as {name}", "line ", shipped().encode(name, "replace"))


def _twice(random: Random, folder: Path) -> Breakage:
    """A key or a table a second time, right behind the first."""
    text = _text(random, folder)
    found = random.choice([*_ASSIGNED.finditer(text), *re.finditer(r"^\[[a-z.0-9]+\]", text, re.MULTILINE)])
    line = found.group()
    return _broken(f"{line} twice", f"{text[: found.start()]}{line}\n{text[found.start() :]}")


def _unquoted(random: Random, folder: Path) -> Breakage:
    text = _text(random, folder)
    among = [each for each in _IN_QUOTES.finditer(text) if not _DATE.fullmatch(each[1])]
    found = random.choice(among)
    return _broken(
        f"{found[1]} without quotes",
        f"{text[: found.start(1) - 1]}{found[1]}{text[found.end() :]}",
        "",
    )


def _mistyped(random: Random, folder: Path) -> Breakage:
    """One line of which a sign is gone, doubled or another."""
    text = _text(random, folder)
    found = random.choice(list(_ASSIGNED.finditer(text)))
    name, value = found.group().split(" = ", 1)
    line = random.choice([
        f"{name} : {value}", f"{name} == {value}", f"{name} {value}", f"{name} =", f"= {value}", f"{name}",
        f"{value}", f"{name} = {value} {value}", f"{name} = [{value}", f"{name} = {{ a = {value}",
        f"{name} = {value}]", f"{name} = '{value}", f'{name} = """{value}', f"{name} = \\{value}",
        f"{name} = @{value}", f"{name} = None", f"{name} = null", f"{name} = True", f"{name} = {value};",
        f"{name}. = {value}", f".{name} = {value}", f'{name} = "\\x41"', f'{name} = "\\ud800"',
        f'{name} = "\\uD83D\\uDE00"', f'{name} = "\\U00110000"', f"{name} = 01", f"{name} = 1__0",
        f"{name} = 1_", f"{name} = 0xg", f"{name} = .5", f"{name} = 5.", f"{name} = 2026-02-30",
        f"{name} = 2026-13-01T00:00:00Z", f"{name} = 25:00:00", f"[{name}", f"[[{name}]", f"[{name}]]",
        "[]", "[[]]", f"[{name}.]", f"${{{name}}} = {value}", f"{name} => {value}", "---", "}", "]",
        f"{name} = {{ a = 1,, b = 2 }}", f"{name} = [1 2]", f"<{name}>{value}</{name}>", f"<<<<<<< {name}",
    ])  # fmt: skip
    return _broken(
        f"{found.group()[:60]} became {line[:60]}",
        text[: found.start()] + line + text[found.end() :],
    )


def _nested(random: Random, folder: Path) -> Breakage:
    levels = random.choice([9, 50, 400, 900, 10_000])
    name, value = random.choice([
        ("x", "[" * levels + "]" * levels), ("x", "{a = " * levels + "1" + "}" * levels), ("x", "[" * levels),
        ("x", "{a." + "a." * levels + "a = 1}"), ("x", "[{a=" * levels + "1" + "}]" * levels),
        ('windows = [{cameras', "[" * levels + "]" * levels + "}]"),
    ])  # fmt: skip
    return _broken(f"{name} nested {levels} levels", f"{name} = {value}\n", "")


def _long_key(random: Random, folder: Path) -> Breakage:
    parts = random.choice([20, 1_000, 100_000])
    key = random.choice(["a", '"b"', "'c'"]) + "." + ".".join("a" * parts)
    line = random.choice(
        [
            f"{key} = 1",
            f"[{key}]",
            f"[[{key}]]",
            f"  {key} = 1",
            f"[ {key.replace('.', ' . ', 9)} ]",
        ]
    )
    return _broken(f"a key of {parts} parts", f"{line}\n{shipped()}")


def _huge(random: Random, folder: Path) -> Breakage:
    size = random.choice([5_000, 100_000, 300_000, 1_000_000])
    name, what = random.choice([
        ("a comment", "# " + "x" * 300_000 + "\n"), ("a string", f'site = "{"x" * size}"\n'),
        ("digits", f"site = {'1' * size}\n"), ("negative digits", f"site = -{'9' * size}\n"),
        ("a fraction's digits", f"site = 0.{'3' * size}\n"), (
            "hexadecimal digits", f"site = 0x{'f' * size}\n",
        ),
        ("an exponent", f"site = 1e{'9' * size}\n"), ("a key", f"{'k' * size} = 1\n"),
        ("a list", f"site = [{'1,' * (size // 2)}]\n"), ("blank lines", "\n" * 300_000), (
            "brackets", "[" * size,
        ),
        ("quotes", '"' * size), ("equal signs", "=" * size), ("tables", "[[a]]\n" * (size // 6)),
    ])  # fmt: skip
    return _broken(f"{name} of {size}", what, "")


@cache
def _fixed() -> list[bytes]:
    return [
        b"", b"\n", b" ", b"\0", b"\0" * 5_000, b"{}", b"[]", b"null", b"site", b"<?xml version='1.0'?>",
        b"%PDF-1.7", b"\x7fELF" + bytes(range(256)), b"\x1f\x8b\x08" + bytes(
                500,
            ), b"#!/bin/sh\nreboot\n", b"site: lot-12\n", b'{"site": "lot-12"}', b"\xef\xbb\xbf", b"\r",
        b"# only a comment\n", b'site = "a"\n',
    ]  # fmt: skip


def _something_else(random: Random, folder: Path) -> Breakage:
    data = random.choice([*_fixed(), random.randbytes(random.randrange(4, 3_000))])
    return Breakage(f"a file that begins with {data[:20]!r}", "", data)


def every_cut() -> Iterator[Breakage]:
    """The shipped file without its comments, cut after each byte before its camera is whole."""
    text = "\n".join(line.partition(" #")[0] for line in shipped().splitlines() if not line.startswith("#"))
    end = _SOURCE.search(text)
    assert end is not None
    return (_broken(f"cut after {cut} characters", text[:cut], "") for cut in range(end.end()))


KINDS: dict[str, tuple[int, Callable[[Random, Path], Breakage]]] = {
    "cut off": (12, _cut),
    "cut within quotes": (8, _cut_in_quotes),
    "a control character": (14, _control),
    "no UTF-8": (8, _no_utf_8),
    "another encoding": (3, _encoded),
    "a key or table twice": (8, _twice),
    "without quotes": (8, _unquoted),
    "a mistyped line": (26, _mistyped),
    "nested": (4, _nested),
    "a key of many parts": (3, _long_key),
    "huge": (4, _huge),
    "something else": (5, _something_else),
}
"""What can be done to the text, and how often it is among four hundred."""

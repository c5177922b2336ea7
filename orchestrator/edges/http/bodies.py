"""Bodies and queries, read strictly (CONTRACT 5, 8): what is not exact is refused, with a pointer."""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic import Field as Bounds

from orchestrator.core.refusal import Refusal
from orchestrator.edges.http.ports import TransitionWish

MAX_BODY_BYTES = 64 * 1024
BODY_TIME_LIMIT_S = 10.0
MAX_PAGE = 10_000
DEFAULT_PAGE = 100
MAX_SEQ = 2**53 - 1
NO_CONTROLS = "^[^\\x00-\\x1f\\x7f-\\x9f]*$"
"""In a description: no control characters."""
SOME_WORD = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\x00-\\x1f\\x7f-\\x9f\\s][^\\x00-\\x1f\\x7f-\\x9f]*$"
"""The same, and not white space alone."""
_DIGITS = re.compile(r"[0-9]{1,16}\Z", re.ASCII)

Model = TypeVar("Model", bound=BaseModel)


def trimmed_reason(text: str) -> str:
    """A reason without white space around it; ValueError unless something is left, and not too much."""
    text = text.strip()
    if not 1 <= len(text) <= 500:
        raise ValueError(f"a reason has 1 to 500 characters after trimming, this one has {len(text)}")
    return text


PRINTABLE = Bounds(json_schema_extra={"pattern": NO_CONTROLS})
"""For the description: `read_json` refuses control characters in any body before its model is asked."""
Reason = Annotated[
    str,
    AfterValidator(trimmed_reason),
    Bounds(json_schema_extra={"minLength": 1, "maxLength": 500, "pattern": SOME_WORD}),
]


class Strict(BaseModel):
    """A body whose members are all known and exactly of their type."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Empty(Strict):
    """`{}`, or no body at all."""


def _needed(schema: dict[str, Any]) -> None:
    """What each trigger needs, for the description; `wish` is what judges it."""
    needs = [
        ("close",),
        ("request", "reason"),
        ("request", "resume"),
        ("extend", "reason", "duration_s"),
        ("acknowledge", "reason"),
    ]
    schema["anyOf"] = [
        {"properties": {"trigger": {"const": trigger}}, "required": ["trigger", *members]}
        for trigger, *members in needs
    ]


class TransitionBody(Strict):
    """The body of `POST …/transitions`. None stands for a member that is absent; null is refused."""

    model_config = ConfigDict(json_schema_extra=_needed)

    trigger: Literal["request", "extend", "close", "acknowledge"]
    reason: Reason | None = None
    duration_s: Annotated[int, Bounds(ge=1, le=86_400)] | None = None
    wait_s: Annotated[int, Bounds(ge=0, le=600)] | None = None
    purpose: Annotated[str, StringConstraints(min_length=1, max_length=100), PRINTABLE] | None = None
    ticket: Annotated[str, StringConstraints(min_length=1, max_length=500), PRINTABLE] | None = None
    resume: Annotated[str, StringConstraints(min_length=1, max_length=100), PRINTABLE] | None = None

    def wish(self) -> TransitionWish:
        """The wish, once what its trigger needs is there; a resumed session brings its reason."""
        if self.reason is None and self.trigger != "close" and self.resume is None:
            _invalid("/reason", f"{self.trigger} needs a reason of 1 to 500 characters")
        if self.trigger == "extend" and self.duration_s is None:
            _invalid("/duration_s", "extend needs how many seconds to add")
        return TransitionWish(**self.model_dump())


async def read_json(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object; no body at all is an empty one.

    Refusal `too-large`, `not-json`, `invalid-body` in this order, or `too-slow`.
    """
    data = await _read(request)
    charset = (request.charset or "utf-8").lower()
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    # A DELETE without a body cannot come from another site's form, and has nothing to declare.
    bare = request.method == "DELETE" and not data and "Content-Type" not in request.headers
    if not bare and (
        request.content_type != "application/json" or charset != "utf-8" or encoding != "identity"
    ):
        raise Refusal("not-json", "Send Content-Type: application/json, in UTF-8 and not compressed.")
    if not data:
        return {}
    body = _parse(data)
    if not isinstance(body, dict):
        _invalid("", f"an object was expected, not {_kind(body)}")
    return body


def judge(model: type[Model], body: dict[str, Any]) -> Model:
    """`body` as `model`. Refusal `invalid-body` with the JSON pointer of the first fault."""
    for name, value in body.items():
        if value is None:
            _invalid(_pointer(name), "null is not a value here; leave the member out")
    try:
        return model.model_validate(body)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_context=False, include_input=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"unknown member; known are {', '.join(model.model_fields) or 'none'}"
        _invalid(_pointer(*first["loc"]), message[:1].lower() + message[1:])


class Query:
    """The query parameters of a request, each taken once; `end` refuses what nobody took."""

    def __init__(self, request: web.Request) -> None:
        self._left: dict[str, str] = {}
        for name, value in request.query.items():
            if name in self._left:
                _invalid_query(name, "given twice")
            self._left[name] = value

    def seq(self, name: str) -> int:
        """A sequence number, 0 when absent."""
        return whole(name, self._left.pop(name, "0"), 0, MAX_SEQ)

    def limit(self) -> int:
        """How many items a page holds at most."""
        return whole("limit", self._left.pop("limit", str(DEFAULT_PAGE)), 1, MAX_PAGE)

    def text(self, name: str) -> str | None:
        """An id to filter by, or None."""
        value = self._left.pop(name, None)
        if value is not None and (not 1 <= len(value) <= 100 or _unfit(value)):
            _invalid_query(name, "an id has 1 to 100 printable characters")
        return value

    def flag(self, name: str) -> bool:
        """`true` or `false`, false when absent."""
        value = self._left.pop(name, "false")
        if value not in ("true", "false"):
            _invalid_query(name, "true or false was expected")
        return value == "true"

    def end(self) -> None:
        """Refusal `invalid-query` when a parameter is left that this path does not know."""
        for name in self._left:
            _invalid_query(name, "unknown here")


def whole(name: str, value: str, least: int, most: int) -> int:
    """An integer written in ASCII digits. Refusal `invalid-query` otherwise."""
    if not _DIGITS.match(value) or not least <= int(value) <= most:
        _invalid_query(name, f"a whole number from {least} to {most} was expected")
    return int(value)


async def _read(request: web.Request) -> bytes:
    too_large = Refusal("too-large", f"A body has at most {MAX_BODY_BYTES} bytes.")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise too_large
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_TIME_LIMIT_S):
            while chunk := await request.content.readany():
                data += chunk
                if len(data) > MAX_BODY_BYTES:
                    raise too_large
    except TimeoutError:
        raise Refusal("too-slow", f"A body arrives within {BODY_TIME_LIMIT_S:.0f} s.") from None
    except web.RequestPayloadError:
        raise Refusal("bad-request", "The body does not end as its header said.") from None
    return bytes(data)


def _parse(data: bytes) -> Any:
    try:
        text = data.decode("utf-8")
        return _settle(json.loads(text, object_pairs_hook=_Pairs, parse_constant=_no_constant), ())
    except RecursionError:
        _invalid("", "nested too deeply")
    except ValueError as wrong:
        _invalid("", f"not JSON in UTF-8: {wrong}")


class _Pairs(list[tuple[str, Any]]):
    """A JSON object's members as they stood there, repeated names and all."""


def _settle(value: Any, path: tuple[str | int, ...]) -> Any:
    if isinstance(value, str) and (fault := _unfit(value)):
        _invalid(_pointer(*path), fault)
    if isinstance(value, _Pairs):
        settled: dict[str, Any] = {}
        for name, member in value:
            here = (*path, name)
            if fault := _unfit(name):
                _invalid(_pointer(*path), f"a member's name holds what is not allowed: {fault}")
            if name in settled:
                _invalid(_pointer(*here), "the member stands there twice")
            settled[name] = _settle(member, here)
        return settled
    if isinstance(value, list):
        return [_settle(item, (*path, index)) for index, item in enumerate(value)]
    return value


def _unfit(text: str) -> str | None:
    kinds = {unicodedata.category(character) for character in text}
    if "Cs" in kinds:
        return "a lone surrogate is not a character"
    if "Cc" in kinds:
        return "control characters are not allowed"
    return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _kind(value: Any) -> str:
    names = {str: "a string", list: "an array", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _pointer(*path: str | int) -> str:
    """RFC 6901."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _invalid(pointer: str, fault: str) -> NoReturn:
    where = pointer or "The body"
    raise Refusal("invalid-body", f"{where}: {fault}.", members={"pointer": pointer})


def _invalid_query(name: str, fault: str) -> NoReturn:
    raise Refusal("invalid-query", f"{name}: {fault}.", members={"pointer": _pointer(name)})

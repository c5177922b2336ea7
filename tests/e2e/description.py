"""The gateway's own description of its API, as a judge of what it answers."""

from typing import Any

import jsonschema_rs

from tests.e2e.client import Answer


class Description:
    """Holds answers against the document that `GET /api/v1/openapi.json` gave."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.judged: set[tuple[str, int]] = set()

    @property
    def operations(self) -> dict[str, tuple[str, str, dict[str, Any]]]:
        """The method, path and description of each operation by its id."""
        return {
            told["operationId"]: (method.upper(), path, told)
            for path, methods in self.document["paths"].items()
            for method, told in methods.items()
        }

    def judge(self, operation: str, answer: Answer) -> None:
        """AssertionError unless that operation may answer so: status, kind, headers and every member."""
        _, _, told = self.operations[operation]
        assert str(answer.status) in told["responses"], f"{operation} does not know {answer}"
        response = told["responses"][str(answer.status)]
        for name, header in response.get("headers", {}).items():
            assert not header.get("required") or name.lower() in answer.headers, (name, answer)
        self.judged.add((operation, answer.status))
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if "content" not in response:
            assert not answer.body, answer
            return
        assert kind in response["content"], f"{operation} answered with {kind}"
        schema = response["content"][kind].get("schema")
        if kind.endswith("json") and schema is not None:
            self.fits(schema, answer.body)

    def fits(self, schema: dict[str, Any], value: Any) -> None:
        """AssertionError with the first thing that is not as that schema says."""
        whole = {**schema, "components": self.document["components"]}
        validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        faults = [f"{'/'.join(map(str, e.instance_path))}: {e.message}" for e in validator.iter_errors(value)]
        assert not faults, faults[0]

    def line(self, operation: str) -> dict[str, Any]:
        """The schema of one line of that operation's NDJSON."""
        _, _, told = self.operations[operation]
        schema: dict[str, Any] = told["responses"]["200"]["content"]["application/x-ndjson"]["x-line"]
        return schema

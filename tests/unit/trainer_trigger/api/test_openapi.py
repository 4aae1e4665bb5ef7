from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from trainer_trigger.api.routes import BASE, ROUTES

from .conftest import Api


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    told: dict[str, Any] = api.http.get("/openapi.json").json()
    return told


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_the_document_holds_every_route_and_no_other(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    said = {(method.upper(), path) for path, method, _ in operations(document)}
    assert said == {(route.method, BASE + route.path.replace(":path", "")) for route in ROUTES}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert found
    for reference in found:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def test_every_operation_has_a_name_a_key_and_problems(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    known = set(document["components"]["securitySchemes"])
    for path, _, operation in operations(document):
        assert {name for one in operation["security"] for name in one} == known
        answers = operation["responses"]
        assert {"401", "403", "422", "429", "500", "503"} <= set(answers)
        for status, answer in answers.items():
            (kind,) = answer["content"]
            assert kind == ("application/json" if status.startswith("2") else "application/problem+json")
        for status in ("429", "503"):
            assert "Retry-After" in answers[status]["headers"]
        said = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert said == set(re.findall(r"\{(\w+)\}", path))


def test_bodies_refuse_unknown_fields_and_say_what_is_needed(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for path, method, operation in operations(document):
        assert ("requestBody" in operation) == (method == "post")
        if method == "post":
            (reference,) = references(operation["requestBody"])
            schema = schemas[reference.rpartition("/")[2]]
            assert schema["additionalProperties"] is False, path
            assert operation["requestBody"]["required"] == bool(schema.get("required"))


def test_the_answers_are_those_that_are_promised(api: Api, document: dict[str, Any]) -> None:
    job = api.http.get(f"{api.base}/jobs/job-support", headers=api.as_("read")).json()
    schema = document["components"]["schemas"]["JobView"]
    assert set(schema["required"]) <= set(job) <= set(schema["properties"])
    problem = api.http.get(f"{api.base}/jobs/x", headers=api.as_("read")).json()
    schema = document["components"]["schemas"]["Problem"]
    assert set(schema["required"]) <= set(problem) <= set(schema["properties"])

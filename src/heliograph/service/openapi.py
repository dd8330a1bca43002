"""The OpenAPI 3.1 document, made from the table of endpoints: what is served is what is described."""

from collections.abc import Sequence
from typing import Any

from heliograph import __version__
from heliograph.service.http import Endpoint, template

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The description of *endpoints*, aliases included."""
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        for number, path in enumerate((endpoint.path, *endpoint.aliases)):
            name = template(path)
            operation = _operation(endpoint, name, number)
            paths.setdefault(name, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Heliograph",
            "version": __version__,
            "description": "Telemetry for AI training. Errors are application/problem+json.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _operation(endpoint: Endpoint, path: str, number: int) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{endpoint.method.lower()}{path}{number or ''}".replace("/", "_"),
        "summary": endpoint.summary,
        "x-permission": endpoint.permission,
        "parameters": [*_path_parameters(path), *_query_parameters(endpoint)],
        "responses": {
            "2XX": {"description": endpoint.returns},
            "default": {
                "description": "What went wrong, naming the field.",
                "content": {
                    "application/problem+json": {
                        "schema": {"$ref": "#/components/schemas/Problem"}
                    }
                },
            },
        },
    }
    if endpoint.permission != "open":
        operation["security"] = [{"bearer": []}, {"basic": []}]
    if endpoint.request:
        operation["requestBody"] = {
            "required": True,
            "content": {media: {"schema": {}} for media in endpoint.request},
        }
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
        for part in path.split("/")
        if part.startswith("{")
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.text,
            "schema": {"type": "array", "items": {"type": "string"}}
            if parameter.repeated
            else {"type": "string"},
        }
        for parameter in endpoint.parameters
    ]

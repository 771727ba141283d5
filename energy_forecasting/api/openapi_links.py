"""OpenAPI links: which answers name what another call takes, found in the document itself.

A route that answers a ``task_id`` is linked to every route with ``{task_id}`` in its path; one that
lists meters to every route that takes a meter, in its path or its body. So a new route is linked
by having the usual names. Only the first item of a list is linked, as a link has no way to say
"each".
"""

from collections.abc import Iterator, Mapping
from typing import Any

_REF = "#/components/schemas/"
_METHODS = ("get", "post", "put", "patch", "delete")
_JSON = "application/json"

Document = dict[str, Any]


def add_links(document: Document) -> Document:
    """Add the links to a document's answers, and return it."""
    for path, method, operation in list(_operations(document)):
        answer = operation.get("responses", {}).get("200")
        schema = answer.get("content", {}).get(_JSON, {}).get("schema") if answer else None
        known = _named_values(schema, document) if schema else {}
        links = {
            f"{other_method}_{_words(other_path)}": link
            for other_path, other_method, other in _operations(document)
            if (other_path, other_method) != (path, method)
            and (link := _link(other, known, document)) is not None
        }
        if links:
            answer["links"] = links
    return document


def _link(operation: Document, known: Mapping[str, str], document: Document) -> Document | None:
    """Return the link to an operation, if everything that it must be given is known."""
    path_names = [
        parameter["name"]
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "path"
    ]
    body = operation.get("requestBody", {})
    schema = _resolved(body.get("content", {}).get(_JSON, {}).get("schema", {}), document)
    body_names = schema.get("required", []) if body.get("required") else []
    if path_names and all(name in known for name in path_names):
        parameters = {name: known[name] for name in path_names}
        return {"operationId": operation["operationId"], "parameters": parameters}
    if not path_names and body_names and all(name in known for name in body_names):
        request_body = {name: known[name] for name in body_names}
        return {"operationId": operation["operationId"], "requestBody": request_body}
    return None


def _named_values(schema: Document, document: Document) -> dict[str, str]:
    """Return the names in an answer that end like an id or a type, and where they stand."""
    found: dict[str, str] = {}
    for name, part in _resolved(schema, document).get("properties", {}).items():
        inner = _resolved(part, document)
        if inner.get("type") == "array":
            pointer = f"$response.body#/{name}/0"
            inner = _resolved(inner.get("items", {}), document)
        else:
            pointer = f"$response.body#/{name}"
            if inner.get("type") == "string":
                found[name] = pointer
        for key in inner.get("properties", {}):
            found.setdefault(key, f"{pointer}/{key}")
    return {name: where for name, where in found.items() if name.endswith(("_id", "_type"))}


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield path, method, methods[method]


def _resolved(schema: Document, document: Document) -> Document:
    reference = schema.get("$ref", "")
    if reference.startswith(_REF):
        return dict(document["components"]["schemas"][reference.removeprefix(_REF)])
    for branch in schema.get("anyOf", []):  # a value that may be null, or one of several answers
        if branch.get("type") != "null":
            return _resolved(branch, document)
    return schema


def _words(path: str) -> str:
    return path.strip("/").replace("{", "").replace("}", "").replace("/", "_")

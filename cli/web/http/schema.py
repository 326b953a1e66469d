"""The values of a request, checked against the schemas that the OpenAPI document shows.

A schema is a dictionary in the words of JSON Schema; `check` knows those that the API uses.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cli.web.http.errors import RequestError

Schema = Mapping[str, Any]


def check(value: Any, schema: Schema, name: str) -> Any:
    """The value, if it meets the schema. Raises RequestError with status 400."""
    if "anyOf" in schema:
        return _any_of(value, schema["anyOf"], name)
    kind = schema.get("type")
    if kind is not None and not _TYPES[kind](value):
        raise _wrong(name, f"must be {_NAMES[kind]}")
    if "enum" in schema and value not in schema["enum"]:
        raise _wrong(name, f"must be one of {', '.join(map(str, schema['enum']))}")
    if isinstance(value, str):
        _check_text(value, schema, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, schema, name)
    elif isinstance(value, list):
        _check_list(value, schema, name)
    elif isinstance(value, dict):
        _check_object(value, schema, name)
    return value


def from_texts(texts: Sequence[tuple[str, str]], schemas: Mapping[str, Schema]) -> dict[str, Any]:
    """The values of a query or of a form, by name. Raises RequestError with status 400."""
    values: dict[str, Any] = {}
    for name, text in texts:
        schema = schemas.get(name)
        if schema is None:
            raise RequestError(400, f"there is no parameter {name}", _names(schemas))
        if schema.get("type") == "array":
            values.setdefault(name, []).append(_convert(text, schema["items"]))
        elif name in values:
            raise _wrong(name, "is given twice")
        else:
            values[name] = _convert(text, schema)
    return {name: check(value, schemas[name], name) for name, value in values.items()}


def _convert(text: str, schema: Schema) -> Any:
    """The text as a value of the schema's type; unchanged where it is none, which `check` finds."""
    kinds = [one.get("type") for one in schema.get("anyOf", [schema])]
    if "integer" in kinds and re.fullmatch(r"-?\d{1,20}", text, re.ASCII):
        return int(text)
    if "number" in kinds and re.fullmatch(r"-?\d{1,20}(\.\d{1,20})?([eE]-?\d{1,3})?", text, re.A):
        return float(text)
    if "boolean" in kinds and text in ("true", "false"):
        return text == "true"
    return text


def _any_of(value: Any, schemas: Sequence[Schema], name: str) -> Any:
    for schema in schemas:
        try:
            return check(value, schema, name)
        except RequestError as error:
            problem = error
    raise problem


def _check_text(value: str, schema: Schema, name: str) -> None:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 4096):
        raise _wrong(name, "is too long" if value else "is empty")
    if "\0" in value:
        raise _wrong(name, "contains a zero byte")
    if "pattern" in schema and not re.search(schema["pattern"], value, re.ASCII):
        raise _wrong(name, f"must match {schema['pattern']}")


def _check_number(value: float, schema: Schema, name: str) -> None:
    low, high = schema.get("minimum", -1e15), schema.get("maximum", 1e15)
    if not low <= value <= high:
        raise _wrong(name, f"must be between {low} and {high}")


def _check_list(value: list[Any], schema: Schema, name: str) -> None:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10_000):
        raise _wrong(
            name, f"may have {schema.get('minItems', 0)} to {schema.get('maxItems')} items"
        )
    for item in value:
        check(item, schema["items"], name)


def _check_object(value: dict[str, Any], schema: Schema, name: str) -> None:
    fields = schema.get("properties", {})
    missing = [one for one in schema.get("required", ()) if one not in value]
    if missing:
        raise _wrong(name, f"needs {missing[0]}")
    for field, item in value.items():
        if field in fields:
            check(item, fields[field], field)
        elif not schema.get("additionalProperties", True):
            raise RequestError(400, f"there is no field {field}", _names(fields))


def _wrong(name: str, problem: str) -> RequestError:
    return RequestError(400, f"{name} {problem}")


def _names(schemas: Mapping[str, Schema]) -> str:
    return f"there are: {', '.join(schemas)}" if schemas else "it takes none"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_number(value) and value == value // 1,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}
_NAMES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}

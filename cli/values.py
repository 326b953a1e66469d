"""Words of the command line as values, without the import that Typer's own conversion costs."""

import inspect
import os
import re
from functools import partial
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from typer.core import TyperCommand, TyperGroup
from typer.models import ParameterInfo

_FILE_URL = re.compile(r"((?:--[a-z-]+=)?)file://(?:localhost)?(/.*)", re.DOTALL)
"""RFC 8089; another host has no local path."""


def local_path(word: str) -> str:
    """The path in a `file://` URL, as file managers copy it; other words stay as they are."""
    match = _FILE_URL.fullmatch(word)
    if match is None:
        return word
    if os.name == "nt":
        from urllib.request import url2pathname

        return match[1] + url2pathname(match[2])
    from urllib.parse import unquote_to_bytes

    return match[1] + os.fsdecode(unquote_to_bytes(match[2]))


class _Plain:
    """Leaves a value to Typer only where it needs a conversion or is wrong.

    From 0.29 on Typer converts every value with pydantic. Importing pydantic takes as long as
    importing numpy, a tenth of a query. Text, absent values and plain integers do not need it.
    """

    callback: Any

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, each with a conversion of its own."""
        signature = inspect.signature(self.callback).parameters if self.callback else {}
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            if "process_value" not in vars(parameter):
                kind, info = _type(signature.get(parameter.name))
                convert = partial(_value, kind, info, parameter, parameter.process_value)
                parameter.process_value = convert
        return parameters


class PlainCommand(_Plain, TyperCommand):
    """A command whose plain values skip pydantic."""


class PlainGroup(_Plain, TyperGroup):
    """A group of commands whose own plain values skip pydantic."""


def _type(parameter: inspect.Parameter | None) -> tuple[Any, ParameterInfo]:
    """The type without `| None`, and the range that the option declares."""
    if parameter is None or get_origin(parameter.annotation) is not Annotated:
        return None, ParameterInfo()
    kind, info, *_ = get_args(parameter.annotation)
    members = [member for member in get_args(kind) if member is not NoneType]
    optional = len(members) < len(get_args(kind))
    return (members[0] if optional else kind), info


def _value(
    kind: Any, info: ParameterInfo, parameter: Any, convert: Any, context: Any, value: Any
) -> Any:
    """The value of a parameter; `convert` is Typer's way, which also words every complaint."""
    if value is None and not parameter.required:
        value = () if parameter.multiple or parameter.nargs == -1 else None
        return parameter.callback(context, parameter, value) if parameter.callback else value
    if parameter.callback is None:
        if type(value) is kind:
            return value
        if kind == list[str] and isinstance(value, list | tuple) and value:
            return list(value)
        if kind is int and _within(info, value):
            return int(value)
    return convert(context, value)


def _within(info: ParameterInfo, text: Any) -> bool:
    """Whether a text is an integer in the range of its option."""
    if not (isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < 20):
        return False
    least, most = info.min, info.max
    return (least is None or int(text) >= least) and (most is None or int(text) <= most)

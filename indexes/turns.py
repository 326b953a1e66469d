"""The threads of one process change an index in turn."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from indexes.index import Index

P = ParamSpec("P")
T = TypeVar("T")


def in_turn(
    change: "Callable[Concatenate[Index, P], T]",
) -> "Callable[Concatenate[Index, P], T]":
    """A function of an index that waits until no other thread changes it."""

    @wraps(change)
    def waiting(index: "Index", /, *words: P.args, **options: P.kwargs) -> T:
        with index.changing:
            return change(index, *words, **options)

    return waiting

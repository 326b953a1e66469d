"""The threads of one process change an index in turn."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from indexes.store.environment import Store
from indexes.store.roots import Roots
from mocosearch.encoder import Encoder


class Changing(Protocol):
    """What a change needs of an index, so that the index may know its changes."""

    store: Store

    @property
    def changing(self) -> AbstractContextManager[Any]:
        """Held while this process changes the index."""

    @property
    def encoder(self) -> Encoder:
        """What makes its keys."""

    @property
    def roots(self) -> Roots:
        """The folders whose photos it holds."""

    def refresh(self) -> None:
        """Read what is committed now."""


C = TypeVar("C", bound=Changing)
P = ParamSpec("P")
T = TypeVar("T")


def in_turn(change: Callable[Concatenate[C, P], T]) -> Callable[Concatenate[C, P], T]:
    """A function of an index that waits until no other thread changes it."""

    @wraps(change)
    def waiting(index: C, /, *words: P.args, **options: P.kwargs) -> T:
        with index.changing:
            return change(index, *words, **options)

    return waiting

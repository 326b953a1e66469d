"""Who may use the server: hosts, origins, the token, its cookie and the password."""

import base64
import secrets
import time
from asyncio import sleep
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cli.web.http.errors import RequestError

LOCAL = ("127.0.0.1", "localhost", "[::1]")
"""Names of this machine that only reach this machine."""
FIRST_DELAY, LAST_DELAY = 0.5, 16.0
"""Seconds of the first delay after a wrong password, doubled each time, and of the longest one."""
FORGET = 900.0
"""Seconds after which wrong passwords of an address are forgotten."""
ADDRESSES = 1024
"""Addresses whose wrong passwords are remembered."""
WAITING = 8
"""Requests of one address that may wait for their delay."""

Headers = Mapping[str, str]


@dataclass
class _Failures:
    count: int = 0
    last: float = 0.0
    waiting: int = 0


@dataclass
class Access:
    """The rules of one server.

    hosts: the only values of the Host header that are answered, such as `127.0.0.1:8420`. origins:
    the only values of Origin. token: in the address that the server prints. password: for other
    machines; None where there are none.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    port: int
    secure: bool
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    password: str | None = None
    _session: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _failures: dict[str, _Failures] = field(default_factory=dict)

    @classmethod
    def of(
        cls, names: Sequence[str], port: int, *, secure: bool = False, password: str | None = None
    ) -> "Access":
        """For a server that is reached under some names; IPv6 addresses are in brackets."""
        scheme, usual = ("https", 443) if secure else ("http", 80)
        lower = dict.fromkeys(name.lower() for name in (*LOCAL, *names))
        hosts = {f"{name}:{port}" for name in lower} | (set(lower) if port == usual else set())
        origins = {f"{scheme}://{host}" for host in hosts}
        return cls(frozenset(hosts), frozenset(origins), port, secure, password=password)

    @property
    def cookie(self) -> str:
        """The name of the cookie. Cookies are shared by all ports of a host, so it has the port."""
        return f"mocosearch-{self.port}"

    def set_cookie(self) -> str:
        """The header's value that starts a session."""
        parts = [f"{self.cookie}={self._session}", "Path=/", "HttpOnly", "SameSite=Strict"]
        return "; ".join([*parts, "Secure"] if self.secure else parts)

    def check_host(self, headers: Headers) -> None:
        """Raises RequestError for a name that is not ours: another site may have pointed one to
        this address (DNS rebinding).
        """
        if headers.get("host", "").lower() not in self.hosts:
            raise RequestError(
                421, "this server does not have that name", "use the address that it printed"
            )

    def check_origin(self, headers: Headers, navigation: bool) -> None:
        """Raises RequestError for a request that another site's page has made.

        navigation: it is for the page itself, which any site may link to.
        """
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "none")
        foreign = site not in ("none", "same-origin") and not navigation
        if foreign or (origin is not None and origin not in self.origins):
            raise RequestError(403, "requests from other sites are not answered")

    def has_session(self, headers: Headers) -> bool:
        """Whether the request has the cookie."""
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.cookie and _equal(value, self._session):
                return True
        return False

    def is_token(self, text: str) -> bool:
        """Whether a text is the token."""
        return _equal(text, self.token)

    async def admits(self, headers: Headers, address: str) -> bool:
        """Whether a request has the cookie, the token or the password.

        The token comes as `Authorization: Bearer TOKEN` or as a password; the password with any
        user name. After a wrong one the answer is delayed. Raises RequestError if too many
        requests of the address wait for theirs.
        """
        if self.has_session(headers):
            return True
        scheme, _, text = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.is_token(text.strip())
        if scheme.lower() != "basic":
            return False
        password = _password(text)
        return self.is_token(password) or await self._is_password(password, address)

    async def _is_password(self, text: str, address: str) -> bool:
        if self.password is None:
            return False
        failures = self._of(address)
        if failures.waiting >= WAITING:
            raise RequestError(429, "too many wrong passwords", "wait a minute")
        if failures.count:
            # The right one waits too: its answer must not tell that it is right.
            failures.waiting += 1
            try:
                await sleep(min(FIRST_DELAY * 2 ** (failures.count - 1), LAST_DELAY))
            finally:
                failures.waiting -= 1
        if _equal(text, self.password):
            failures.count = 0
            return True
        failures.count, failures.last = min(failures.count + 1, 64), time.monotonic()
        return False

    def _of(self, address: str) -> _Failures:
        now = time.monotonic()
        failures = self._failures.get(address)
        if failures is None:
            if len(self._failures) >= ADDRESSES:
                old = min(self._failures, key=lambda one: self._failures[one].last)
                del self._failures[old]
            failures = self._failures[address] = _Failures(last=now)
        if now - failures.last > FORGET and not failures.waiting:
            failures.count = 0
        return failures


def _password(text: str) -> str:
    """The password of Basic authentication (RFC 7617); empty where there is none."""
    try:
        return base64.b64decode(text.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _equal(one: str, other: str) -> bool:
    """In a time that does not depend on where they differ."""
    return secrets.compare_digest(one.encode("utf-8", "replace"), other.encode())

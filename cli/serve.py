"""mocosearch serve: the collection in a browser, and an HTTP API."""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import ReaderName, warn_unavailable
from cli.display import say, show, size, warn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from cli.web.http.access import Access
    from indexes import Reader

PORT = 8420
LOOPBACK = "127.0.0.1"
PASSWORD = "MOCOSEARCH_PASSWORD"
LEAST = 8
"""Characters of a password."""

Port = Annotated[
    int,
    typer.Option(metavar="N", min=0, max=65535, help="Port to listen on; 0 picks a free one."),
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Do not open the page.")]
Host = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Address or name of this machine to listen on; others need a password.",
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help=f"File with the password; else ${PASSWORD}."),
]
Certificate = Annotated[
    Path | None, typer.Option(metavar="FILE", help="TLS certificate (PEM), for https.")
]
Key = Annotated[Path | None, typer.Option(metavar="FILE", help="Private key of the certificate.")]
OnRay = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Of a library: search each shard in a process of Ray Serve: local, or the address of "
        "a cluster.",
    ),
]
ThumbnailSize = Annotated[
    str, typer.Option(metavar="SIZE", help="Most disk space of the thumbnails: 500M, 2G.")
]


def serve(
    index: ReaderName = "default",
    port: Port = PORT,
    no_browser: NoBrowser = False,
    host: Host = LOOPBACK,
    password_file: PasswordFile = None,
    tls_cert: Certificate = None,
    tls_key: Key = None,
    thumbnails: ThumbnailSize = "2G",
    ray: OnRay = None,
) -> None:
    """Show the collection in a browser, on this machine only.

    The only line on stdout is the page's address, which contains a token; whoever has it can see
    the photos. Ctrl-C stops the server. docs/serve.md describes the HTTP API.

    Example: mocosearch serve --index holiday
    """
    _check_packages()
    thumbnail_bytes = size(thumbnails)
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key go together")
    from PIL import Image

    from cli.web.app import application
    from cli.web.server import Tls, listen, run
    from cli.web.service import Service
    from mocosearch.home import path_of

    # decode.MAX_PIXELS is the limit, as it is for indexing.
    Image.MAX_IMAGE_PIXELS = None
    password = _password(host, password_file)
    tls = None if tls_cert is None or tls_key is None else Tls(tls_cert, tls_key)
    folder = path_of("indexes", index)
    with _reader(folder, ray) as reader:
        service = Service.open(index, folder, thumbnail_bytes, reader)
        service.collection.run(warn_unavailable)
        try:
            sock = listen(host, port)
            access = _access(host, sock, tls is not None, password)
            address = _address(host, access)

            def begin() -> None:
                show(f"{address}/?token={access.token}")
                if not no_browser:
                    _open(f"{address}/?token={access.token}", address)

            run(application(service, access), sock, tls, begin)
        finally:
            service.close()
    say("stopped")


@contextmanager
def _reader(folder: Path, ray: str | None) -> "Iterator[Callable[[Path], Reader]]":
    """What opens the collection: with `ray`, its shards are searched by replicas.

    Raises Unsuitable where that is no library, MissingPackage, StorageFailed.
    """
    from indexes import open_reader
    from indexes.library.layout import is_library
    from indexes.shards import Library
    from mocosearch.errors import Unsuitable

    if ray is None:
        yield open_reader
        return
    if not is_library(folder):
        raise Unsuitable("--ray needs a library", "make one: mocosearch library plan PHOTOS")
    from indexes.library.replicas import replicas

    with replicas(folder, ray) as searchers:

        def reader(folder: Path) -> "Reader":
            library = Library.open(folder)
            library.search_by(searchers.search)
            return library

        yield reader


def _check_packages() -> None:
    """Raises MissingPackage unless the packages of the extra are installed."""
    from mocosearch.errors import MissingPackage
    from mocosearch.requirements import is_installed

    if not is_installed("starlette", "uvicorn", "python_multipart"):
        raise MissingPackage(
            "this needs starlette, uvicorn and python-multipart", "pip install 'mocosearch[serve]'"
        )


def _is_local(host: str) -> bool:
    from cli.web.http.access import LOCAL

    return host.lower() in LOCAL or host == "::1"


def _password(host: str, file: Path | None) -> str | None:
    """The password for other machines. Raises Unsuitable where one is needed, or is too short."""
    from mocosearch.errors import NotFound, Unsuitable

    if host in ("0.0.0.0", "::", "*", ""):
        raise Unsuitable(
            "--host must be one address, which is then the only name that the server answers to",
            "name the address that other machines use, such as 192.168.1.20",
        )
    password = os.environ.get(PASSWORD)
    if file is not None:
        try:
            password = file.read_text().strip("\r\n")
        except (OSError, ValueError) as error:
            raise NotFound(f"cannot read the password in {file}: {error}") from error
    if password is None and _is_local(host):
        return None
    if password is None or len(password) < LEAST:
        raise Unsuitable(
            f"--host {host} needs a password of at least {LEAST} characters",
            f"write one into a file for --password-file, or set {PASSWORD}",
        )
    return password


def _access(host: str, sock: "socket.socket", secure: bool, password: str | None) -> "Access":
    from cli.web.http.access import Access

    if not _is_local(host) and not secure:
        warn("without --tls-cert, the password and the photos can be read on the network")
    port = sock.getsockname()[1]
    return Access.of([_bracketed(host)], port, secure=secure, password=password)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _address(host: str, access: "Access") -> str:
    scheme = "https" if access.secure else "http"
    return f"{scheme}://{_bracketed(host)}:{access.port}"


def _open(address: str, name: str) -> None:
    """Open the page in the browser, through a file that only this user can read: other users of
    this machine see the words of a command, and so would see the token.
    """
    import html

    from cli.browser import open_page
    from mocosearch.home import home

    file = home() / "cache" / "serve.html"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(number, "w", encoding="utf-8") as out:
            target = html.escape(address)
            out.write(f"<!doctype html><meta http-equiv=refresh content='0; url={target}'>\n")
    except OSError as error:
        warn(f"cannot open the page: {error.strerror}: open {name} with its token in a browser")
        return
    open_page(file.absolute().as_uri(), name)

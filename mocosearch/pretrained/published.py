"""The authors' own files by known names, fetched because the user typed one. No torch here."""

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from mocosearch.errors import Damaged, NotFound, StorageFailed, Unsuitable

HOST = "https://dl.fbaipublicfiles.com"
TIMEOUT = 30.0
"""Seconds without a byte after which a download has broken off."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class Published:
    """One file of the authors', by the path on their host."""

    path: str
    md5: str
    """How the digest begins; empty where the authors publish none."""
    licence: str
    architecture: str = "resnet50"

    @property
    def file(self) -> str:
        """Its name, without the folders above it."""
        return self.path.rpartition("/")[2]


_V2 = "MIT (github.com/facebookresearch/moco)"
_V3 = "CC BY-NC 4.0, not for commercial use (github.com/facebookresearch/moco-v3)"


def _v2(name: str, md5: str) -> Published:
    return Published(f"moco/moco_checkpoints/{name}/{name}_pretrain.pth.tar", md5, _V2)


def _v3(name: str, architecture: str = "resnet50") -> Published:
    return Published(f"moco-v3/{name}/{name}.pth.tar", "", _V3, architecture)


PUBLISHED = {
    "moco-v1-200ep": _v2("moco_v1_200ep", "b251726a"),
    "moco-v2-200ep": _v2("moco_v2_200ep", "59fd9945"),
    "moco-v2-800ep": _v2("moco_v2_800ep", "a04e12f8"),
    "moco-v3-resnet50-100ep": _v3("r-50-100ep"),
    "moco-v3-resnet50-300ep": _v3("r-50-300ep"),
    "moco-v3-resnet50-1000ep": _v3("r-50-1000ep"),
    "moco-v3-vit-small-300ep": _v3("vit-s-300ep", "vit_small"),
    "moco-v3-vit-base-300ep": _v3("vit-b-300ep", "vit_base"),
}


@dataclass(frozen=True)
class Offer:
    """What a host says of a file before any of it is read."""

    name: str
    url: str
    size: int
    """Bytes."""
    version: str
    """Tells one version of the file from the next, so that a part is never continued by
    another file's rest.
    """


def offered(name: str, mirror: str | None = None) -> Offer:
    """Ask the authors' host, or a mirror with the same paths, for a file's size.

    name: one of `PUBLISHED`. Raises NotFound where the host does not answer or lacks it,
    Unsuitable for a mirror that is no http address.
    """
    base = (mirror or HOST).rstrip("/")
    if urlsplit(base).scheme not in ("http", "https"):
        raise Unsuitable(f"{base} is no address of a mirror", "it begins with http:// or https://")
    url = f"{base}/{PUBLISHED[name].path}"
    with _open(url, "HEAD") as answer:
        told = answer.headers
    if not (told.get("Content-Length") or "").isdigit():
        raise NotFound(f"{url} does not tell its size", "try another --mirror")
    size = int(told["Content-Length"])
    marks = f"{told.get('ETag')} {told.get('Last-Modified')} {size}"
    return Offer(name, url, size, hashlib.blake2b(marks.encode(), digest_size=6).hexdigest())


def fetch(offer: Offer, folder: Path, report: Callable[[int], None] = lambda done: None) -> Path:
    """Bring a file into a folder, whole or as a part that the next call goes on from.

    report: told the bytes that are there. Raises NotFound where the connection breaks,
    Damaged where the digest is not the published one, StorageFailed where there is no room.
    """
    published = PUBLISHED[offer.name]
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / published.file
    if whole.exists() and _is(offer, whole):
        return whole
    part = folder / f"{whole.name}.{offer.version}.part"
    have = part.stat().st_size if part.exists() else 0
    if shutil.disk_usage(folder).free < offer.size - have:
        raise StorageFailed(
            f"{offer.size >> 20} MB do not fit in {folder}", "free some room, then run it again"
        )
    if have < offer.size:
        _continue(offer, part, have, report)
    if not _is(offer, part):
        part.unlink()
        raise Damaged(f"{offer.url} is not the file that was published", "try another --mirror")
    os.replace(part, whole)
    return whole


def _continue(offer: Offer, part: Path, have: int, report: Callable[[int], None]) -> None:
    with _open(offer.url, "GET", {"Range": f"bytes={have}-"} if have else {}) as answer:
        # A host that cannot go on sends the file from its beginning, with 200.
        have = have if answer.status == 206 else 0
        with open(part, "ab" if have else "wb") as file:
            while chunk := _chunk(offer, answer):
                file.write(chunk)
                have += len(chunk)
                report(have)
    if have < offer.size:
        raise _broken(offer)


def _chunk(offer: Offer, answer: HTTPResponse) -> bytes:
    try:
        return answer.read(CHUNK)
    except (OSError, HTTPException) as error:
        raise _broken(offer) from error


def _broken(offer: Offer) -> NotFound:
    return NotFound(f"the download of {offer.url} broke off", "run it again: it goes on from there")


def _open(url: str, method: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    request = urllib.request.Request(url, headers=headers or {}, method=method)
    try:
        answer: HTTPResponse = urllib.request.build_opener(_SameHost).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        raise NotFound(f"{url} answers {error.code} {error.reason}", "try --mirror URL") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise NotFound(f"no answer from {url}: {reason}", "try again, or --mirror URL") from error
    return answer


class _SameHost(urllib.request.HTTPRedirectHandler):
    """A host may send elsewhere within itself; to no other host without the user's word."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            raise NotFound(
                f"{req.full_url} sends to another host, {urlsplit(newurl).netloc}",
                "name that one with --mirror, if you trust it",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is(offer: Offer, file: Path) -> bool:
    md5 = PUBLISHED[offer.name].md5
    return file.stat().st_size == offer.size and _digest(file).startswith(md5)


def _digest(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "md5").hexdigest()

"""The authors' files by name, downloaded when the user asks for one. Needs no torch."""

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
"""Seconds without data after which a download fails."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class Published:
    """One of the authors' files, by its path on their host."""

    path: str
    md5: str
    """The first digits of the digest; empty if the authors publish none."""
    licence: str
    architecture: str = "resnet50"

    @property
    def file(self) -> str:
        """The file's name without folders."""
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
    """What a host reports about a file before the download."""

    name: str
    url: str
    size: int
    """Bytes."""
    version: str
    """Identifies this version of the file, so that a partial download is continued only with the
    same one.
    """


def request_offer(name: str, mirror: str | None = None) -> Offer:
    """Ask the authors' host, or a mirror with the same paths, for a file's size.

    name: one of `PUBLISHED`. Raises NotFound if the host does not answer or lacks the file,
    Unsuitable for a mirror that is not an http or https address.
    """
    base = (mirror or HOST).rstrip("/")
    if urlsplit(base).scheme not in ("http", "https"):
        raise Unsuitable(f"{base} is not a web address", "--mirror begins with http:// or https://")
    url = f"{base}/{PUBLISHED[name].path}"
    with _open(url, "HEAD") as answer:
        headers = answer.headers
    if not (headers.get("Content-Length") or "").isdigit():
        raise NotFound(f"{url} does not report its size", "try another --mirror")
    size = int(headers["Content-Length"])
    version = f"{headers.get('ETag')} {headers.get('Last-Modified')} {size}"
    return Offer(name, url, size, hashlib.blake2b(version.encode(), digest_size=6).hexdigest())


def fetch(offer: Offer, folder: Path, report: Callable[[int], None] = lambda done: None) -> Path:
    """Download a file into a folder; a partial download is continued by the next call.

    report: called with the number of bytes downloaded. Raises NotFound if the connection fails,
    Damaged if the digest differs from the published one, StorageFailed without disk space.
    """
    published = PUBLISHED[offer.name]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / published.file
    if file.exists() and _matches(offer, file):
        return file
    part = folder / f"{file.name}.{offer.version}.part"
    size = part.stat().st_size if part.exists() else 0
    if shutil.disk_usage(folder).free < offer.size - size:
        raise StorageFailed(
            f"{offer.size >> 20} MB do not fit in {folder}", "free disk space, then run it again"
        )
    if size < offer.size:
        _continue(offer, part, size, report)
    if not _matches(offer, part):
        part.unlink()
        raise Damaged(f"{offer.url} differs from the published file", "try another --mirror")
    os.replace(part, file)
    return file


def _continue(offer: Offer, part: Path, size: int, report: Callable[[int], None]) -> None:
    with _open(offer.url, "GET", {"Range": f"bytes={size}-"} if size else {}) as answer:
        # A host without range requests sends the whole file, with status 200.
        size = size if answer.status == 206 else 0
        with open(part, "ab" if size else "wb") as file:
            while chunk := _chunk(offer, answer):
                file.write(chunk)
                size += len(chunk)
                report(size)
    if size < offer.size:
        raise _interrupted(offer)


def _chunk(offer: Offer, answer: HTTPResponse) -> bytes:
    try:
        return answer.read(CHUNK)
    except (OSError, HTTPException) as error:
        raise _interrupted(offer) from error


def _interrupted(offer: Offer) -> NotFound:
    return NotFound(f"the download of {offer.url} was interrupted", "run it again to continue")


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
    """Follows redirects within a host; to another host only if the user names it."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            raise NotFound(
                f"{req.full_url} redirects to another host, {urlsplit(newurl).netloc}",
                "if you trust it, name it with --mirror",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _matches(offer: Offer, file: Path) -> bool:
    md5 = PUBLISHED[offer.name].md5
    return file.stat().st_size == offer.size and _digest(file).startswith(md5)


def _digest(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "md5").hexdigest()

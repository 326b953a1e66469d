"""Published networks from files and from a mirror on this machine."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from program import Run
from torchvision.models import resnet18, resnet50

from mocosearch.errors import Damaged, NotFound, Unsuitable
from mocosearch.pretrained import published
from mocosearch.pretrained.published import PUBLISHED, Published, fetch, request_offer

CONTENT = bytes(range(256)) * 9000


class Mirror(ThreadingHTTPServer):
    """Serves `files` by path, goes on where asked to, and can break off or send elsewhere."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.cut: int | None = None
        self.elsewhere: str | None = None
        self.resumes = True
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        span = self.headers.get("Range")
        self.server.asked.append((self.command, span))
        if self.server.elsewhere:
            self.send_response(302)
            self.send_header("Location", self.server.elsewhere)
            self.end_headers()
            return
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        begin = int(span.removeprefix("bytes=").rstrip("-")) if span and self.server.resumes else 0
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.send_header("ETag", hashlib.md5(content).hexdigest())
        self.end_headers()
        if body:
            self.wfile.write(content[begin : self.server.cut])

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, mirror: Mirror) -> Mirror:
    """A published file with a digest."""
    md5 = hashlib.md5(CONTENT).hexdigest()[:8]
    monkeypatch.setitem(PUBLISHED, "known", Published("a/b.pth.tar", md5, "free"))
    mirror.files["/a/b.pth.tar"] = CONTENT
    return mirror


def test_a_file_comes_whole_and_is_asked_for_its_size_first(known: Mirror, tmp_path: Path) -> None:
    seen: list[int] = []
    offer = request_offer("known", known.url)
    assert offer.size == len(CONTENT)
    assert known.asked == [("HEAD", None)]
    file = fetch(offer, tmp_path, seen.append)
    assert file.read_bytes() == CONTENT
    assert seen[-1] == len(CONTENT)
    assert [p.name for p in tmp_path.iterdir()] == ["b.pth.tar"]


def test_what_has_come_whole_is_not_fetched_again(known: Mirror, tmp_path: Path) -> None:
    offer = request_offer("known", known.url)
    file = fetch(offer, tmp_path)
    asked = list(known.asked)
    assert fetch(offer, tmp_path) == file
    assert known.asked == asked
    file.write_bytes(CONTENT[::-1])
    assert fetch(offer, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_download_goes_on(known: Mirror, tmp_path: Path, resumes: bool) -> None:
    known.cut, known.resumes = 700_000, resumes
    with pytest.raises(NotFound, match="was interrupted"):
        fetch(request_offer("known", known.url), tmp_path)
    known.cut = None
    assert fetch(request_offer("known", known.url), tmp_path).read_bytes() == CONTENT
    assert known.asked[-1] == ("GET", "bytes=700000-")


def test_a_part_of_another_version_is_not_gone_on_with(known: Mirror, tmp_path: Path) -> None:
    known.files["/a/b.pth.tar"], known.cut = CONTENT[::-1], 700_000
    with pytest.raises(NotFound, match="was interrupted"):
        fetch(request_offer("known", known.url), tmp_path)
    known.files["/a/b.pth.tar"], known.cut = CONTENT, None
    assert fetch(request_offer("known", known.url), tmp_path).read_bytes() == CONTENT


def test_another_content_is_refused_and_removed(known: Mirror, tmp_path: Path) -> None:
    known.files["/a/b.pth.tar"] = CONTENT[::-1]
    with pytest.raises(Damaged, match="differs from the published file"):
        fetch(request_offer("known", known.url), tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_other_host_is_asked(known: Mirror) -> None:
    known.elsewhere = "http://localhost:1/a/b.pth.tar"
    with pytest.raises(NotFound, match="another host, localhost:1"):
        request_offer("known", known.url)


def test_what_a_mirror_can_lack(known: Mirror) -> None:
    with pytest.raises(NotFound, match="404"):
        request_offer("moco-v2-800ep", known.url)
    with pytest.raises(NotFound, match="no answer"):
        request_offer("known", "http://127.0.0.1:9")
    with pytest.raises(Unsuitable, match="not a web address"):
        request_offer("known", "file:///tmp")


def test_known_names_are_on_the_authors_host() -> None:
    assert published.HOST == "https://dl.fbaipublicfiles.com"
    path = "moco/moco_checkpoints/moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar"
    assert PUBLISHED["moco-v2-800ep"] == Published(path, "a04e12f8", PUBLISHED[NAME].licence)
    assert "MIT" in PUBLISHED[NAME].licence
    assert "not for commercial use" in PUBLISHED["moco-v3-vit-small-300ep"].licence


NAME = "moco-v2-200ep"


def test_the_whole_road(run: Run, mirror: Mirror, photos: Path, tmp_path: Path) -> None:
    """A published name from a mirror, listed, refined on photos, and asked."""
    torch.manual_seed(0)
    file = tmp_path / "r50.pth.tar"
    state = resnet50().half().state_dict()
    torch.save({"state_dict": {f"module.base_encoder.{n}": v for n, v in state.items()}}, file)
    name = "moco-v3-resnet50-100ep"
    mirror.files["/" + PUBLISHED[name].path] = file.read_bytes()
    home = tmp_path / "home"
    added = run("encoders", "add", name, "--mirror", mirror.url, "--json", home=home)
    assert added.returncode == 0, added.stderr
    card = json.loads(added.stdout)["card"]
    assert card["architecture"] == "resnet50"
    assert card["licence"].startswith("CC BY-NC 4.0")
    assert card["corpus"].startswith("ImageNet")
    first = added.stderr.splitlines()[0]
    assert f"{file.stat().st_size / 1e6:.1f} MB" in first
    assert "CC BY-NC" in first
    assert not list((home / "cache" / "published").iterdir())
    again = run("encoders", "add", str(file), "--name", name, home=home)
    assert again.returncode == 2
    assert "choose another --name" in again.stderr
    listed = run("encoders", "list", home=home)
    assert name in listed.stdout
    assert "resnet50" in listed.stdout
    told = json.loads(run("encoders", "list", "--json", home=home).stdout)["encoders"]
    assert list(told) == sorted([name, "starter"])
    fitted = run("train", photos, "--init", name, "--epochs", 0, "--json", home=home)
    assert fitted.returncode == 0, fitted.stderr
    card = json.loads(fitted.stdout)["card"]
    assert (card["architecture"], card["side"], card["photos"]) == ("resnet50", 224, 30)
    parent = json.loads(added.stdout)["card"]["fingerprint"]
    assert card["parent"] == parent


def test_another_network_than_was_published_is_refused(
    run: Run, mirror: Mirror, tmp_path: Path
) -> None:
    file, name = tmp_path / "r18.pth.tar", "moco-v3-resnet50-100ep"
    state = {f"module.base_encoder.{n}": v for n, v in resnet18().half().state_dict().items()}
    torch.save({"state_dict": state}, file)
    mirror.files["/" + PUBLISHED[name].path] = file.read_bytes()
    ended = run("encoders", "add", name, "--mirror", mirror.url, home=tmp_path / "home")
    assert ended.returncode == 1
    assert "contains a resnet18, not a resnet50" in ended.stderr
    assert not (tmp_path / "home" / "encoders").exists()
    assert not list((tmp_path / "home" / "cache" / "published").iterdir())


def test_what_is_neither_file_nor_name(run: Run) -> None:
    ended = run("encoders", "add", "moco-v9")
    assert ended.returncode == 1
    assert "moco-v2-800ep" in ended.stderr
    assert run("encoders", "add", "moco-v9", "--mirror", "http://x").returncode == 2


@pytest.mark.slow
def test_efficientnet_lite0_comes_from_its_package(run: Run, tmp_path: Path) -> None:
    added = run("encoders", "add", "efficientnet-lite0", "--side", 64, "--json", home=tmp_path)
    assert added.returncode == 0, added.stderr
    card = json.loads(added.stdout)["card"]
    assert (card["architecture"], card["side"]) == ("efficientnet_lite0", 64)
    assert "Apache-2.0" in card["licence"]
    assert "with their labels" in card["corpus"]

"""Published networks from files and from a local mirror."""

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from light import export_light_graphs
from program import Run, make_photos
from torchvision.models import resnet18, resnet50

from mocosearch.errors import Damaged, NotFound, Unsuitable
from mocosearch.pretrained import published
from mocosearch.pretrained.published import PUBLISHED, Published, fetch, request_offer

CONTENT = bytes(range(256)) * 9000


class Mirror(ThreadingHTTPServer):
    """Serves `files` by path and byte range; can truncate answers or redirect."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.limit: int | None = None
        self.redirect: str | None = None
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
        self.server.requests.append((self.command, span))
        if self.server.redirect:
            self.send_response(302)
            self.send_header("Location", self.server.redirect)
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
            self.wfile.write(content[begin : self.server.limit])

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
def published_mirror(monkeypatch: pytest.MonkeyPatch, mirror: Mirror) -> Mirror:
    """A published file with a digest."""
    md5 = hashlib.md5(CONTENT).hexdigest()[:8]
    monkeypatch.setitem(PUBLISHED, "known", Published("a/b.pth.tar", md5, "free"))
    mirror.files["/a/b.pth.tar"] = CONTENT
    return mirror


def test_a_download_requests_the_size_first(published_mirror: Mirror, tmp_path: Path) -> None:
    sizes: list[int] = []
    offer = request_offer("known", published_mirror.url)
    assert offer.size == len(CONTENT)
    assert published_mirror.requests == [("HEAD", None)]
    file = fetch(offer, tmp_path, sizes.append)
    assert file.read_bytes() == CONTENT
    assert sizes[-1] == len(CONTENT)
    assert [p.name for p in tmp_path.iterdir()] == ["b.pth.tar"]


def test_a_complete_file_is_not_downloaded_again(published_mirror: Mirror, tmp_path: Path) -> None:
    offer = request_offer("known", published_mirror.url)
    file = fetch(offer, tmp_path)
    requests = list(published_mirror.requests)
    assert fetch(offer, tmp_path) == file
    assert published_mirror.requests == requests
    file.write_bytes(CONTENT[::-1])
    assert fetch(offer, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("resumes", [True, False])
def test_an_interrupted_download_continues(
    published_mirror: Mirror, tmp_path: Path, resumes: bool
) -> None:
    published_mirror.limit, published_mirror.resumes = 700_000, resumes
    with pytest.raises(NotFound, match="was interrupted"):
        fetch(request_offer("known", published_mirror.url), tmp_path)
    published_mirror.limit = None
    assert fetch(request_offer("known", published_mirror.url), tmp_path).read_bytes() == CONTENT
    assert published_mirror.requests[-1] == ("GET", "bytes=700000-")


def test_a_partial_download_of_another_version_is_not_continued(
    published_mirror: Mirror, tmp_path: Path
) -> None:
    published_mirror.files["/a/b.pth.tar"], published_mirror.limit = CONTENT[::-1], 700_000
    with pytest.raises(NotFound, match="was interrupted"):
        fetch(request_offer("known", published_mirror.url), tmp_path)
    published_mirror.files["/a/b.pth.tar"], published_mirror.limit = CONTENT, None
    assert fetch(request_offer("known", published_mirror.url), tmp_path).read_bytes() == CONTENT


def test_wrong_content_is_rejected_and_removed(published_mirror: Mirror, tmp_path: Path) -> None:
    published_mirror.files["/a/b.pth.tar"] = CONTENT[::-1]
    with pytest.raises(Damaged, match="differs from the published file"):
        fetch(request_offer("known", published_mirror.url), tmp_path)
    assert not list(tmp_path.iterdir())


def test_redirects_to_another_host_are_not_followed(published_mirror: Mirror) -> None:
    published_mirror.redirect = "http://localhost:1/a/b.pth.tar"
    with pytest.raises(NotFound, match="another host, localhost:1"):
        request_offer("known", published_mirror.url)


def test_errors_of_a_mirror(published_mirror: Mirror) -> None:
    with pytest.raises(NotFound, match="404"):
        request_offer("moco-v2-800ep", published_mirror.url)
    with pytest.raises(NotFound, match="no answer"):
        request_offer("known", "http://127.0.0.1:9")
    with pytest.raises(Unsuitable, match="not a web address"):
        request_offer("known", "file:///tmp")


def test_published_names_are_on_the_authors_host() -> None:
    assert published.HOST == "https://dl.fbaipublicfiles.com"
    path = "moco/moco_checkpoints/moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar"
    assert PUBLISHED["moco-v2-800ep"] == Published(path, "a04e12f8", PUBLISHED[NAME].licence)
    assert "MIT" in PUBLISHED[NAME].licence
    assert "not for commercial use" in PUBLISHED["moco-v3-vit-small-300ep"].licence


NAME = "moco-v2-200ep"


def test_download_list_and_fine_tune(run: Run, mirror: Mirror, tmp_path: Path) -> None:
    """A published network from a mirror: added, listed, and whitened on photos."""
    torch.manual_seed(0)
    make_photos(tmp_path / "photos", 3)
    file = tmp_path / "r50.pth.tar"
    state = resnet50().half().state_dict()
    torch.save({"state_dict": {f"module.base_encoder.{n}": v for n, v in state.items()}}, file)
    name = "moco-v3-resnet50-100ep"
    mirror.files["/" + PUBLISHED[name].path] = file.read_bytes()
    home = tmp_path / "home"
    own = {"home": home, "prepare": export_light_graphs}
    add = run("encoders", "add", name, "--mirror", mirror.url, "--json", **own)
    assert add.returncode == 0, add.stderr
    card = json.loads(add.stdout)["card"]
    assert card["architecture"] == "resnet50"
    assert card["licence"].startswith("CC BY-NC 4.0")
    assert card["corpus"].startswith("ImageNet")
    first = add.stderr.splitlines()[0]
    assert f"{file.stat().st_size / 1e6:.1f} MB" in first
    assert "CC BY-NC" in first
    assert not list((home / "cache" / "published").iterdir())
    second = run("encoders", "add", str(file), "--name", name, home=home)
    assert second.returncode == 2
    assert "choose another --name" in second.stderr
    table = run("encoders", "list", home=home)
    assert name in table.stdout
    assert "resnet50" in table.stdout
    encoders = json.loads(run("encoders", "list", "--json", home=home).stdout)["encoders"]
    assert list(encoders) == sorted([name, "starter"])
    words = ["train", tmp_path / "photos", "--init", name, "--epochs", 0, "--json"]
    fine_tune = run(*words, **own)
    assert fine_tune.returncode == 0, fine_tune.stderr
    card = json.loads(fine_tune.stdout)["card"]
    assert (card["architecture"], card["side"], card["photos"]) == ("resnet50", 224, 3)
    parent = json.loads(add.stdout)["card"]["fingerprint"]
    assert card["parent"] == parent


def test_a_file_with_another_architecture_is_rejected(
    run: Run, mirror: Mirror, tmp_path: Path
) -> None:
    file, name = tmp_path / "r18.pth.tar", "moco-v3-resnet50-100ep"
    state = {f"module.base_encoder.{n}": v for n, v in resnet18().half().state_dict().items()}
    torch.save({"state_dict": state}, file)
    mirror.files["/" + PUBLISHED[name].path] = file.read_bytes()
    result = run("encoders", "add", name, "--mirror", mirror.url, home=tmp_path / "home")
    assert result.returncode == 1
    assert "contains a resnet18, not a resnet50" in result.stderr
    assert not (tmp_path / "home" / "encoders").exists()
    assert not list((tmp_path / "home" / "cache" / "published").iterdir())


def test_neither_file_nor_name(run: Run) -> None:
    result = run("encoders", "add", "moco-v9")
    assert result.returncode == 1
    assert "moco-v2-800ep" in result.stderr
    assert run("encoders", "add", "moco-v9", "--mirror", "http://x").returncode == 2


@pytest.mark.slow
def test_efficientnet_lite0_comes_from_its_package(run: Run, tmp_path: Path) -> None:
    added = run("encoders", "add", "efficientnet-lite0", "--side", 64, "--json", home=tmp_path)
    assert added.returncode == 0, added.stderr
    card = json.loads(added.stdout)["card"]
    assert (card["architecture"], card["side"]) == ("efficientnet_lite0", 64)
    assert "Apache-2.0" in card["licence"]
    assert "with their labels" in card["corpus"]


def test_list_restores_an_encoder_that_a_killed_export_left_hidden(
    run: Run, encoder_folder: Path, tmp_path: Path
) -> None:
    encoders = tmp_path / "encoders"
    shutil.copytree(encoder_folder, encoders / ".mine.99999999.old")
    shutil.copytree(encoder_folder, encoders / ".mine.99999999.part")
    result = run("encoders", "list", "--json", home=tmp_path)
    assert sorted(json.loads(result.stdout)["encoders"]) == ["mine", "starter"]
    assert [path.name for path in encoders.iterdir()] == ["mine"]

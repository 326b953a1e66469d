"""A server in this process, for tests of the web gallery."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from program import command, make_photos
from starlette.testclient import TestClient

from cli.web.app import application
from cli.web.http.access import Access
from cli.web.service import Service

PORT = 8420
ADDRESS = f"http://127.0.0.1:{PORT}"


@dataclass
class Server:
    """A server, a client that has its cookie, and the folders behind it."""

    service: Service
    access: Access
    client: TestClient
    photos: Path
    folder: Path

    def get(self, path: str, **options: Any) -> Any:
        """The JSON of an answer that must be one."""
        answer = self.client.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **options: Any) -> Any:
        """The same for POST."""
        answer = self.client.post(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def index(self) -> None:
        """Bring the index up to date, as another program does, and follow it."""
        self.run("index", self.photos)

    def run(self, *words: object) -> None:
        """Run a command on the index, and follow it."""
        run = command(*words, "--index", self.folder, home=self.folder.parent, fork=False)
        assert run.returncode == 0, run.stderr
        self.service.collection.follow()

    def stranger(self, address: str = ADDRESS) -> TestClient:
        """A client without the cookie."""
        return TestClient(self.client.app, base_url=address, raise_server_exceptions=False)


def make_dated_photos(photos: Path) -> None:
    """Forty photos, twelve with dates, and one copy of another."""
    plain = make_photos(photos / "2024", 25)
    make_photos(photos / "old", 14, seed=1)
    for number, path in enumerate(plain[:12]):
        exif = Image.Exif()
        exif[0x0110] = "Camera One"
        exif.get_ifd(0x8769)[0x9003] = f"2024:{1 + number // 2:02}:1{number % 2} 12:00:00"
        with Image.open(path) as picture:
            picture.save(path, quality=92, exif=exif)
    with Image.open(plain[20]) as picture:
        picture.save(photos / "old" / "smaller.jpg", quality=60)


def start(folder: Path, photos: Path, password: str | None = None) -> Iterator[Server]:
    service = Service.open("default", folder)
    access = Access.of([], PORT, password=password)
    app = application(service, access)
    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False) as client:
        client.cookies.set(access.cookie, access._session)
        yield Server(service, access, client, photos, folder)
    service.close()
    service.collection.end()
    service.others.end()

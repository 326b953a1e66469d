import time

import pytest

from mocosearch import train
from mocosearch.encoder import export


@pytest.mark.usefixtures("light_graph")
def test_the_duration_of_a_run_includes_its_export(fill, tmp_path, monkeypatch):
    fill(tmp_path / "photos", range(3))
    save_graph = export.save_graph

    def save_slowly(model, folder):
        time.sleep(1)
        save_graph(model, folder)

    monkeypatch.setattr(export, "save_graph", save_slowly)
    start = time.monotonic()
    result = train(
        [tmp_path / "photos"], tmp_path / "e", architecture="resnet10", size=32, epochs=0
    )
    assert 1 <= result.card.seconds <= time.monotonic() - start + 0.1

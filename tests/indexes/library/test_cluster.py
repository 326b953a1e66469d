import threading
import time

import pytest
from libraries import visible

from indexes import Index
from indexes.library import planning
from indexes.library.build import photos_so_far
from indexes.library.layout import is_complete, load_layout
from indexes.library.planning import Request, plan
from indexes.shards import Library
from mocosearch.errors import MissingPackage

pytest.importorskip("pyarrow")
PHOTOS = 900


def test_without_ray_an_error_names_the_extra(monkeypatch):
    from indexes.library.cluster import load_ray

    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    for name in ("RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "x")
    with pytest.raises(MissingPackage) as error:
        load_ray()
    assert "cluster" in error.value.hint


@pytest.fixture
def cluster(ray):
    """Two nodes with one CPU each; the second one may be killed."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        yield cluster
    finally:
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_a_node_that_dies_half_way_costs_its_own_shard_only(
    cluster, fill, photos, encoder, tmp_path
):
    from indexes.library.cluster import build_on_ray

    files = fill(photos, range(PHOTOS))
    folder = tmp_path / "library"
    plan(folder, Request([photos], 4), encoder)
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    shards = load_layout(folder).shards
    dead = threading.Event()

    def kill():
        # Both nodes are at work once two shards have their first photos.
        while sum(photos_so_far(folder, s) > 0 for s in shards) < 2:
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)
        dead.set()

    killer = threading.Thread(target=kill)
    killer.start()
    reports = []
    counts = build_on_ray(
        folder,
        [shard.name for shard in shards],
        cluster.address,
        report=lambda done, total: reports.append((done, total)),
    )
    killer.join()
    assert dead.is_set()
    assert all(is_complete(folder, shard.name) for shard in shards)
    assert reports[-1][0] > 0
    repeated = [shard.name for shard in shards if counts[shard.name].unchanged]
    assert len(repeated) <= 1
    for shard in shards:
        assert counts[shard.name].embedded + counts[shard.name].unchanged == shard.files
    with Index.create(tmp_path / "single", encoder) as single, Library.open(folder) as library:
        single.sync([photos])
        assert len(library) == len(single) == PHOTOS
        for file in files[:5]:
            some, same = (visible(reader.search(file, 20)) for reader in (library, single))
            assert [path for path, *_ in some[0]] == [path for path, *_ in same[0]]
    assert planning.plan(folder, Request([photos], 1)).new == 0

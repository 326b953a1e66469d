"""A folder that qdrant-client opens in its local mode, and can copy to a server."""

from pathlib import Path
from typing import Any

from indexes.formats.rows import pieces, printable, records
from indexes.search.view import View
from mocosearch.errors import MissingPackage

COLLECTION = "photos"
AT_ONCE = 1000
"""Photos of one call."""


def write_qdrant(view: View, dimension: int, folder: Path) -> None:
    """Write a collection COLLECTION with the keys, and each photo's record as payload.

    For a server: `QdrantClient(path=FOLDER).migrate(QdrantClient(URL))`. Raises MissingPackage.
    """
    try:
        from qdrant_client import QdrantClient, models
    except ImportError as error:
        raise MissingPackage("this needs qdrant-client", "pip install qdrant-client") from error
    client = QdrantClient(path=str(folder))
    try:
        client.create_collection(
            COLLECTION,
            vectors_config=models.VectorParams(size=dimension, distance=models.Distance.COSINE),
        )
        for ids, keys in pieces(view, AT_ONCE):
            points = [
                models.PointStruct(id=record["id"], vector=key, payload=_payload(record))
                for record, key in zip(records(view, ids), keys.tolist(), strict=True)
            ]
            client.upsert(COLLECTION, points)
    finally:
        client.close()


def _payload(record: dict[str, Any]) -> dict[str, Any]:
    paths = [printable(path) for path in record["paths"]]
    return {name: value for name, value in record.items() if name != "id"} | {"paths": paths}

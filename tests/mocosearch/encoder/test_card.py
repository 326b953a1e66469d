import json
from dataclasses import replace

import pytest

from mocosearch.encoder.card import FORMAT, Card, fingerprint
from mocosearch.errors import Damaged

CARD = Card(
    architecture="resnet10",
    side=80,
    dimension=256,
    recipe={"name": "small", "views": {"scale": [0.2, 1.0]}},
    photos=12,
    epochs=1.5,
    seconds=3.0,
    parent=None,
    fingerprint="ab",
    created="2026-11-25T00:00:00+00:00",
)


def test_round_trip():
    assert Card.from_json(CARD.to_json()) == CARD
    assert Card.from_json(CARD.to_json().encode()) == CARD


def test_card_is_readable_json():
    values = json.loads(CARD.to_json())
    assert values["format"] == FORMAT
    assert values["licence"].startswith("yours")
    assert "\n" in CARD.to_json()


def test_unknown_fields_are_ignored():
    values = {**json.loads(CARD.to_json()), "mood": "sunny"}
    assert Card.from_json(json.dumps(values)) == CARD


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "7", "null", b"\xff\xfe\x00", '"card"'])
def test_invalid_cards(text):
    with pytest.raises(Damaged):
        Card.from_json(text)


def test_a_newer_format_suggests_an_update():
    with pytest.raises(Damaged, match=f"format {FORMAT + 1}") as caught:
        Card.from_json(replace(CARD, format=FORMAT + 1).to_json())
    assert "update" in caught.value.hint


@pytest.mark.parametrize("version", ["2", None, [1]])
def test_a_format_that_is_not_a_number(version):
    with pytest.raises(Damaged):
        Card.from_json(json.dumps({**json.loads(CARD.to_json()), "format": version}))


@pytest.mark.parametrize("field", ["side", "fingerprint", "dimension"])
def test_a_field_is_missing(field):
    values = json.loads(CARD.to_json())
    del values[field]
    with pytest.raises(Damaged, match="incomplete"):
        Card.from_json(json.dumps(values))


def test_fingerprint_depends_on_every_byte():
    fingerprints = {fingerprint(g, w) for g in (b"graph", b"grapi") for w in (b"", b"w", b"v")}
    assert len(fingerprints) == 6
    assert fingerprint(b"g", b"w") == fingerprint(b"g", b"w")

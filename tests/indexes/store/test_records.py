import os
import struct
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.store.records import PathEntry, Record, SkippedFile, id_key, id_of, path_key
from mocosearch.errors import Damaged
from mocosearch.photos import Facts

IDS = st.integers(0, 2**64 - 1)
SIZES = st.integers(0, 2**64 - 1)
TIMES = st.integers(-(2**63), 2**63 - 1)
PATHS = st.binary(min_size=1, max_size=60).filter(lambda b: b"\0" not in b).map(os.fsdecode)


@settings(max_examples=60, deadline=None)
@given(IDS, IDS)
def test_keys_sort_as_their_ids(a, b):
    assert id_of(id_key(a)) == a
    assert id_of(memoryview(id_key(b))) == b
    assert (id_key(a) < id_key(b)) is (a < b)


def test_an_id_has_64_bits():
    with pytest.raises(struct.error):
        id_key(2**64)


@settings(max_examples=60, deadline=None)
@given(IDS, SIZES, TIMES, PATHS)
def test_path_entries_come_back(id, size, mtime, path):
    entry = PathEntry(id, size, mtime, path)
    assert PathEntry.from_bytes(entry.to_bytes()) == entry
    assert PathEntry.from_bytes(memoryview(entry.to_bytes())) == entry


@settings(max_examples=60, deadline=None)
@given(SIZES, TIMES, st.none() | st.text(max_size=40), PATHS)
def test_skipped_files_come_back(size, mtime, reason, path):
    skipped_file = SkippedFile(size, mtime, reason, path)
    assert SkippedFile.from_bytes(skipped_file.to_bytes()) == skipped_file


def test_an_empty_reason_is_still_a_reason():
    assert SkippedFile.from_bytes(SkippedFile(1, 2, "", "/a").to_bytes()).reason == ""


def test_a_reason_with_broken_characters_is_stored():
    reason = SkippedFile.from_bytes(SkippedFile(1, 2, "caf\udce9.jpg", "/a").to_bytes()).reason
    assert reason == "caf?.jpg"


FACTS = st.builds(
    Facts,
    width=st.integers(0, 2**40),
    height=st.integers(0, 2**40),
    format=st.sampled_from(["JPEG", "HEIF"]),
    taken=st.none() | st.text(max_size=20),
    camera=st.none() | st.text(max_size=20),
    latitude=st.none() | st.floats(-90, 90),
    longitude=st.none() | st.floats(-180, 180),
    truncated=st.booleans(),
    perceptual=st.binary(min_size=8, max_size=8).map(bytes.hex),
    pixels=st.binary(min_size=16, max_size=16).map(bytes.hex),
)


@settings(max_examples=60, deadline=None)
@given(FACTS, st.binary(min_size=16, max_size=16), st.lists(PATHS, max_size=4))
def test_records_come_back(facts, digest, paths):
    empty = Record.of(facts, 12, digest)
    assert empty.paths == []
    assert bytes.fromhex(empty.digest) == digest
    record = replace(empty, paths=paths)
    assert Record.from_bytes(record.to_bytes()) == record
    assert Record.from_bytes(memoryview(record.to_bytes())) == record
    for name, value in asdict(facts).items():
        assert getattr(record, name) == value


def test_path_keys_are_short_and_differ():
    paths = ["/a", "/b", "/" + "x" * 5000, os.fsdecode(b"/caf\xe9"), "/café"]
    assert {len(path_key(p)) for p in paths} == {16}
    assert len({path_key(p) for p in paths}) == len(paths)


@pytest.mark.parametrize("data", [b"", b"v/\xe71\x89", b"[1]", b"7", b'{"width": 1}', b"null"])
def test_other_data_is_a_damaged_record(data):
    with pytest.raises(Damaged, match="cannot be interpreted"):
        Record.from_bytes(data)

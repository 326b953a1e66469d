from dataclasses import replace

from indexes.copies.compare import BITS, COSINE, COSINE_ALONE, SURE, are_copies, bits_apart
from indexes.store.records import Record

ONE = Record(4, 3, "JPEG", None, 1, "", [], perceptual="00000000000000ff")


def with_bits(count: int) -> Record:
    return replace(ONE, perceptual=f"{0xFF ^ (2**count - 1) << 20:016x}")


def test_both_measures_must_agree():
    assert are_copies(ONE, with_bits(BITS), SURE)
    assert not are_copies(ONE, with_bits(1), SURE - 0.01)
    assert are_copies(ONE, with_bits(0), COSINE)
    assert not are_copies(ONE, with_bits(BITS + 1), 1.0)
    assert not are_copies(ONE, with_bits(0), COSINE - 0.01)


def test_without_a_hash_the_keys_must_be_all_but_equal():
    bare = replace(ONE, perceptual="")
    assert are_copies(bare, ONE, COSINE_ALONE)
    assert not are_copies(ONE, bare, COSINE_ALONE - 0.001)


def test_pictures_of_one_colour_have_no_hash():
    blank = replace(ONE, perceptual="0" * 16)
    assert are_copies(blank, blank, COSINE_ALONE)
    assert not are_copies(blank, blank, COSINE_ALONE - 0.001)


def test_bits_are_counted():
    assert bits_apart("f0", "0f") == 8
    assert bits_apart("00000000000000ff", "80000000000000fe") == 2

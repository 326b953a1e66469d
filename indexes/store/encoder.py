"""The encoder in an index: its card, graph and weights."""

from indexes.store.records import digest
from indexes.store.txn import Txn
from mocosearch.encoder import Card, Encoder
from mocosearch.errors import Busy, Damaged, Mismatch

PARTS = (b"card", b"graph", b"weights")
REPAIR = "restore it: mocosearch verify --repair, with --encoder if it came from one of your own"
UNBOUND = b"unbound"
"""In `meta`: the encoder was chosen by default, and has made no key yet."""


def load_encoder(txn: Txn) -> Encoder:
    """The encoder that made the keys. Its graph and weights, which have no checksums, are compared
    with the fingerprint when they are used. Raises Damaged.
    """
    card, graph, weights = parts_of(txn)
    if digest(card) != encoder_version(txn).decode():
        raise Damaged("the card of the encoder in the index is damaged", REPAIR)
    return Encoder(Card.from_json(card), graph, weights, repair=REPAIR)


def parts_of(txn: Txn) -> tuple[bytes, bytes, bytes]:
    """Card, graph and weights as they are stored now. Raises Damaged where one is missing."""
    parts = [txn.view("encoder", name, whole=True) for name in PARTS]
    if any(part is None for part in parts):
        raise Damaged("the index holds no encoder", "remove it and index again")
    card, graph, weights = (bytes(part) for part in parts if part is not None)
    return card, graph, weights


def encoder_version(txn: Txn) -> bytes:
    """Differs where the encoder differs; cheap to read."""
    return bytes(txn.get("meta", b"card") or b"")


def save_encoder(txn: Txn, encoder: Encoder, *, by_default: bool = False) -> None:
    """Store an encoder in an index that has none, or is not bound to the one it has.

    by_default: nobody chose it, so another one may take its place until it has made a key. Raises
    Mismatch where the index has one that does not come from this encoder.
    """
    card = txn.get("encoder", b"card")
    if card is None or not has_bound_encoder(txn):
        if card is None or bytes(card) != encoder.card.to_json().encode():
            put_encoder(txn, encoder)
        bind(txn)
        if by_default:
            txn.put("meta", UNBOUND, b"1")
    elif not Card.from_json(bytes(card)).comes_from(encoder.fingerprint):
        raise Mismatch(
            "this index was made with another encoder",
            "use the index's own, or give every photo a new key: mocosearch index --encoder",
        )


def has_bound_encoder(txn: Txn) -> bool:
    """Whether the encoder was chosen by somebody, or has made a key."""
    return txn.get("meta", UNBOUND) is None


def bind(txn: Txn) -> None:
    """Keep the encoder from now on."""
    txn.delete("meta", UNBOUND)


def replace_encoder(txn: Txn, encoder: Encoder) -> None:
    """Replace an encoder where all keys can be computed again from stored features. Raises Busy
    where other photos were added by now.
    """
    from indexes.store import features

    if txn.count("vectors") != len(features.ids(txn)):
        raise Busy("photos were added to the index meanwhile", "run it again")
    put_encoder(txn, encoder)


def put_encoder(txn: Txn, encoder: Encoder) -> None:
    """Write an encoder, whatever is stored."""
    card = encoder.card.to_json().encode()
    txn.put("encoder", b"card", card)
    txn.put("meta", b"card", digest(card).encode())
    txn.put("encoder", b"graph", encoder.graph)
    txn.put("encoder", b"weights", encoder.weights)


def is_intact(txn: Txn) -> bool:
    """Whether an index's encoder is as it was stored."""
    try:
        load_encoder(txn).check()
    except Damaged:
        return False
    return True

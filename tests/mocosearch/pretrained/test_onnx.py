"""Networks in ONNX files as encoders, against ONNX Runtime."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx_networks import PATCH, SIDE, WIDTH, Array, Graph, preprocess, run_onnx

from mocosearch import Encoder
from mocosearch.encoder.card import NOTHING, ONNX, OWN
from mocosearch.encoder.refit import FEW, Refit
from mocosearch.errors import Damaged, NotFound, Unsuitable
from mocosearch.photos.decode import Pixels, decode
from mocosearch.pretrained.importers import start_from
from mocosearch.pretrained.onnx import IMAGENET, PRESETS, Preprocessing, adopt_onnx
from mocosearch.pretrained.onnx_file import Choice


@pytest.fixture
def pixels(picture) -> Pixels:
    return np.stack([np.asarray(picture(seed, SIDE, SIDE)) for seed in range(5)])


@pytest.fixture
def photographs(data: Path) -> Pixels:
    """Real photos of several kinds."""
    folders = sorted(path for path in (data / "caltech101").iterdir() if path.is_dir())
    files = [min(folder.iterdir()) for folder in folders[:12]]
    return np.stack([decode(file.read_bytes(), SIDE).pixels for file in files])


def unit(rows: Array) -> Array:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def features(folder: Path, pixels: Pixels) -> Array:
    return Refit(Encoder.open(folder)).features(pixels).astype(np.float32)


def assert_close(actual: Array, expected: Array) -> None:
    """Equal directions; the encoder computes in bf16 or fp16."""
    assert actual.shape == expected.shape
    assert (unit(actual) * unit(expected)).sum(1).min() > 0.9995


POOLED: dict[str, tuple[Callable[[], Graph], Callable[[Array], Array], str]] = {
    "features": (
        lambda: Graph().patches().add("GlobalAveragePool").add("Flatten"),
        lambda rows: rows,
        "features",
    ),
    "map": (lambda: Graph().patches(), lambda maps: maps.mean((2, 3)), "average of the map"),
    "patch tokens": (
        lambda: Graph().patches().tokens(),
        lambda tokens: tokens.mean(1),
        "mean of the tokens",
    ),
    "class token": (
        lambda: Graph().patches().tokens().class_token(),
        lambda tokens: tokens[:, 0],
        "class token",
    ),
}


@pytest.mark.parametrize("kind", POOLED)
@pytest.mark.parametrize("preset", PRESETS)
def test_features_and_keys_are_those_of_onnx_runtime(kind, preset, photographs, tmp_path):
    graph, pool, name = POOLED[kind]
    file = graph().save(tmp_path / "net.onnx")
    card = adopt_onnx(file, tmp_path / "encoder", PRESETS[preset])
    images = preprocess(photographs, PRESETS[preset].mean, PRESETS[preset].std)
    expected = unit(pool(run_onnx(file, images)))
    assert_close(features(tmp_path / "encoder", photographs), expected)
    refit = Refit(Encoder.open(tmp_path / "encoder"))
    keys = Encoder.open(tmp_path / "encoder").encode(photographs)
    assert_close(keys, refit.prior.keys(expected))
    assert (card.architecture, card.side, card.dimension) == (ONNX, SIDE, WIDTH)
    assert card.recipe["pooling"] == name
    assert card.recipe["mean"] == list(PRESETS[preset].mean)
    assert card.parent == f"net.onnx ({card.recipe['output']}, {name})"
    assert card.licence.startswith("that of net.onnx")


numbers = st.floats(0.1, 1.0)
colours = st.tuples(numbers, numbers, numbers)


@settings(max_examples=8, deadline=None)
@given(mean=colours, std=colours, nhwc=st.booleans(), kind=st.sampled_from([1, 10]))
def test_every_preprocessing_and_layout(tmp_path_factory, mean, std, nhwc, kind):
    """kind: fp32 or fp16 input."""
    folder = tmp_path_factory.mktemp("onnx")
    graph = Graph(("n", SIDE, SIDE, 3) if nhwc else ("n", 3, SIDE, SIDE), kind)
    if kind == TensorProto.FLOAT16:
        graph.add("Cast", to=TensorProto.FLOAT)
    if nhwc:
        graph.add("Transpose", perm=[0, 3, 1, 2])
    file = graph.patches().save(folder / "net.onnx")
    adopt_onnx(file, folder / "encoder", Preprocessing(mean, std))
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    images = preprocess(pixels, mean, std).astype(np.float16 if kind == 10 else np.float32)
    images = images.transpose(0, 2, 3, 1) if nhwc else images
    maps = run_onnx(file, images)
    assert_close(features(folder / "encoder", pixels), maps.mean((2, 3)))


def test_a_map_in_nhwc_is_averaged_over_its_places(pixels, tmp_path):
    graph = Graph(("n", SIDE, SIDE, 3)).add("Transpose", perm=[0, 3, 1, 2]).patches()
    file = graph.add("Transpose", perm=[0, 2, 3, 1]).save(tmp_path / "net.onnx")
    adopt_onnx(file, tmp_path / "encoder")
    images = preprocess(pixels, IMAGENET.mean, IMAGENET.std).transpose(0, 2, 3, 1)
    assert_close(features(tmp_path / "encoder", pixels), run_onnx(file, images).mean((1, 2)))


def for_batches_of(batch: int) -> Graph:
    """Exported for so many photos, with that number inside the graph as well."""
    graph = Graph((batch, 3, SIDE, SIDE)).patches().tokens(batch=batch)
    return graph.add("Reshape", np.array([batch, -1], np.int64))


def two_images() -> Graph:
    graph = Graph()
    graph.inputs += Graph().inputs
    graph.inputs[1].name = "others"
    return graph.add("Add", "others").patches()


def dependent() -> Graph:
    """Each photo's features minus the mean of the batch."""
    graph = Graph().patches().add("GlobalAveragePool").add("Flatten").add("Relu", name="rows")
    graph.add("ReduceMean", axes=[0], name="mean")
    return graph.add("Sub", "rows").add("Exp")


@pytest.mark.parametrize(
    "graph", [lambda: for_batches_of(1), dependent, lambda: Graph((1, 3, SIDE, SIDE)).patches()]
)
def test_a_photos_key_does_not_depend_on_the_batch(graph, pixels, tmp_path):
    file = graph().save(tmp_path / "net.onnx")
    adopt_onnx(file, tmp_path / "encoder")
    images = preprocess(pixels, IMAGENET.mean, IMAGENET.std)
    alone = np.concatenate([run_onnx(file, images[at : at + 1]) for at in range(len(images))])
    expected = alone.mean((2, 3)) if alone.ndim == 4 else alone
    assert_close(features(tmp_path / "encoder", pixels), expected)
    encoder = Encoder.open(tmp_path / "encoder")
    together = encoder.encode(pixels)
    assert_close(np.concatenate([encoder.encode(pixels[at : at + 1]) for at in range(5)]), together)


def test_a_network_for_batches_of_another_size_is_rejected(tmp_path):
    file = for_batches_of(4).save(tmp_path / "net.onnx")
    with pytest.raises(Unsuitable, match="cannot encode one photo of 32 pixels"):
        adopt_onnx(file, tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()


@pytest.mark.parametrize(
    "shape", [("n", 3, "h", "w"), (None, None, None, None), (1, 3, SIDE, SIDE)]
)
def test_the_side_is_chosen_where_the_network_allows_it(shape, picture, tmp_path):
    file = Graph(shape).patches().save(tmp_path / "net.onnx")
    card = adopt_onnx(file, tmp_path / "encoder", choice=Choice(side=48))
    assert card.side == 48
    pixels = np.stack([np.asarray(picture(seed, 48, 48)) for seed in range(3)])
    assert Encoder.open(tmp_path / "encoder").encode(pixels).shape == (3, WIDTH)


def test_the_number_of_the_opset_is_no_obstacle(tmp_path):
    file = Graph().patches().save(tmp_path / "net.onnx", opset=99)
    assert adopt_onnx(file, tmp_path / "encoder").dimension == WIDTH


def test_a_network_of_any_side_sees_224_pixels(tmp_path):
    file = Graph(("n", 3, "h", "w")).patches().save(tmp_path / "net.onnx")
    assert adopt_onnx(file, tmp_path / "encoder").side == 224


def test_a_network_of_one_side_sees_no_other(tmp_path):
    graph = for_batches_of(1).add("MatMul", np.ones((WIDTH * (SIDE // PATCH) ** 2, 5), np.float32))
    file = graph.save(tmp_path / "net.onnx")
    with pytest.raises(Unsuitable, match="cannot encode one photo of 48 pixels") as error:
        adopt_onnx(file, tmp_path / "encoder", choice=Choice(side=48))
    assert "--side" in error.value.hint


def two_outputs() -> Graph:
    return (
        Graph()
        .patches()
        .add("Relu", name="map")
        .add("GlobalAveragePool")
        .add("Flatten", name="rows")
    )


@pytest.mark.parametrize(("output", "axes"), [("map", (2, 3)), ("rows", ()), ("conv0", (2, 3))])
def test_an_output_or_an_inner_tensor_is_chosen_by_name(output, axes, pixels, tmp_path):
    file = two_outputs().save(tmp_path / "net.onnx", "map", "rows")
    card = adopt_onnx(file, tmp_path / "encoder", choice=Choice(output))
    assert card.recipe["output"] == output
    all_three = two_outputs().save(tmp_path / "all.onnx", "map", "rows", "conv0")
    expected = run_onnx(all_three, preprocess(pixels, IMAGENET.mean, IMAGENET.std), output)
    assert_close(features(tmp_path / "encoder", pixels), expected.mean(axes) if axes else expected)


def test_inputs_that_the_output_does_not_use_are_ignored(pixels, tmp_path):
    """As in a file of CLIP with both towers."""
    graph = Graph(("n", 77), TensorProto.INT64).add("Cast", to=1, name="words")
    images = Graph().patches()
    graph.inputs[0].name, graph.nodes[0].input[0] = "words_in", "words_in"
    images.inputs += graph.inputs
    images.nodes += graph.nodes
    file = images.save(tmp_path / "net.onnx", images.last, "words")
    card = adopt_onnx(file, tmp_path / "encoder", choice=Choice(images.last))
    assert Encoder.open(tmp_path / "encoder").encode(pixels).shape == (5, card.dimension)
    with pytest.raises(Unsuitable, match=r"takes words_in i64 .*, not one image"):
        adopt_onnx(file, tmp_path / "text", choice=Choice("words"))


@pytest.mark.parametrize(
    ("graph", "outputs", "choice", "message", "hint"),
    [
        (two_outputs, ("map", "rows"), Choice(), "several outputs: map .*, rows", "--output NAME"),
        (two_outputs, ("map", "rows"), Choice("pool"), "has no output pool", "map .*, rows"),
        (
            lambda: Graph(("n", 77), 7).add("Cast", to=1),
            (),
            Choice(),
            "not one image",
            "export",
        ),
        (lambda: Graph(("n", 1, SIDE, SIDE)).patches(1), (), Choice(), "1 channels", "colour"),
        (lambda: Graph().patches(), (), Choice(layout="nhwc"), "32 channels", "--layout nchw"),
        (lambda: Graph(("n", 3, 32, 48)).patches(), (), Choice(), "48 x 32 pixels", "square"),
        (
            lambda: Graph().patches().add("ReduceMean", axes=[0, 1, 2, 3], keepdims=0),
            *((), Choice()),
            *("the output .* has the shape", "tokens"),
        ),
        (two_images, (), Choice(), "others f32 .*, pixels f32 .*, not one image", "one input"),
        (lambda: Graph().patches().add("Log"), (), Choice(), "not finite", "--mean"),
        (
            lambda: Graph().add("Own", domain="com.example"),
            (),
            Choice(),
            "com.example.Own",
            "opset",
        ),
    ],
)
def test_an_unsuitable_network(graph, outputs, choice, message, hint, tmp_path):
    file = graph().save(tmp_path / "net.onnx", *outputs)
    with pytest.raises(Unsuitable, match=message) as error:
        adopt_onnx(file, tmp_path / "encoder", choice=choice)
    assert re.search(hint, error.value.hint)
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["net.onnx"]


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_truncated_file_is_never_half_an_encoder(tmp_path_factory, share):
    folder = tmp_path_factory.mktemp("cut")
    file = two_outputs().save(folder / "net.onnx")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises((Damaged, Unsuitable)):
        adopt_onnx(file, folder / "encoder")
    assert list(folder.iterdir()) == [file]


@pytest.mark.parametrize("content", [b"", b"not a network" * 100, b"PK\x03\x04" + bytes(500)])
def test_a_file_that_is_not_onnx(content, tmp_path):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(Damaged, match="truncated or not an ONNX file"):
        adopt_onnx(tmp_path / "net.onnx", tmp_path / "encoder")


def test_weights_in_a_second_file(pixels, tmp_path):
    (tmp_path / "files").mkdir()
    file = (
        Graph()
        .patches()
        .save(
            *(tmp_path / "files" / "net.onnx",),
            save_as_external_data=True,
            location="net.onnx.data",
            size_threshold=0,
        )
    )
    adopt_onnx(file, tmp_path / "encoder")
    expected = run_onnx(file, preprocess(pixels, IMAGENET.mean, IMAGENET.std)).mean((2, 3))
    data = file.with_name("net.onnx.data")
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(NotFound, match="in another file"):
        adopt_onnx(file, tmp_path / "other")
    data.unlink()
    with pytest.raises(NotFound, match="in another file"):
        adopt_onnx(file, tmp_path / "other")
    file.unlink()
    assert_close(features(tmp_path / "encoder", pixels), expected)
    assert not (tmp_path / "other").exists()


def test_the_same_file_gives_the_same_encoder(tmp_path):
    file = for_batches_of(1).save(tmp_path / "net.onnx")
    first, second = (adopt_onnx(file, tmp_path / name).fingerprint for name in ("a", "b"))
    assert first == second


@pytest.mark.parametrize("batch", ["n", 1])
def test_an_index_fits_the_whitening(batch, picture, tmp_path):
    graph = Graph().patches() if batch == "n" else for_batches_of(1)
    adopt_onnx(graph.save(tmp_path / "net.onnx"), tmp_path / "encoder")
    encoder = Encoder.open(tmp_path / "encoder")
    assert encoder.card.whitening == NOTHING
    pixels = np.stack([np.asarray(picture(seed, SIDE, SIDE)) for seed in range(FEW)])
    refit = Refit(encoder)
    vectors = refit.features(pixels)
    whitened, keys = refit.fit(vectors)
    assert whitened.card.whitening == OWN
    assert_close(whitened.encode(pixels), keys)
    assert np.array_equal(Refit(whitened).features(pixels), vectors)
    assert refit.fit(vectors)[0].fingerprint == whitened.fingerprint


def test_such_a_network_cannot_be_trained(tmp_path):
    file = Graph().patches().save(tmp_path / "net.onnx")
    adopt_onnx(file, tmp_path / "encoder")
    with pytest.raises(Unsuitable, match="from an ONNX file and cannot be trained") as error:
        start_from(str(tmp_path / "encoder"))
    assert "--teacher" in error.value.hint


@pytest.mark.parametrize("std", [(0.2, 0.0, 0.2), (0.2, -1.0, 0.2), (0.2, float("nan"), 0.2)])
def test_a_preprocessing_that_divides_by_nothing(std):
    with pytest.raises(Unsuitable, match="positive"):
        replace(IMAGENET, std=std)


PROGRAM = """
import sys
from pathlib import Path
from mocosearch.pretrained.onnx import adopt_onnx

sys.addaudithook(lambda event, values: sys.exit(event) if event.startswith("socket.") else None)
adopt_onnx(Path(sys.argv[1]), Path(sys.argv[2]))
loaded = {name.partition(".")[0] for name in sys.modules}
sys.exit(", ".join(loaded & {"torch", "onnx", "openvino_telemetry"}) or 0)
"""


def test_it_needs_no_torch_and_no_connection(tmp_path):
    file = for_batches_of(1).save(tmp_path / "net.onnx")
    words = [sys.executable, "-c", PROGRAM, file, tmp_path / "encoder"]
    result = subprocess.run(words, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

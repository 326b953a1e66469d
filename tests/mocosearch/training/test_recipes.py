import json
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mocosearch.errors import Unsuitable
from mocosearch.moco.backbones import ARCHITECTURES, Backbone
from mocosearch.moco.descriptor import Levels
from mocosearch.training.recipes import RECIPES, SMALL, V1, V2, V3, V3_VIT, Recipe, choose, fit_to


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("photos", [2, 10, 500, 5000])
def test_fit_to_a_collection(recipe, photos):
    recipe_fit = fit_to(recipe, photos)
    assert 2 <= recipe_fit.batch <= min(recipe.batch, photos)
    assert 1 <= recipe_fit.splits <= max(1, recipe_fit.batch // 2)
    if recipe.K:
        assert recipe_fit.batch <= recipe_fit.K <= max(recipe_fit.batch, photos // 2)
    else:
        assert recipe_fit.K == 0
    assert recipe_fit.lr == pytest.approx(recipe.lr * recipe_fit.batch / recipe.batch)
    others = {"batch": recipe.batch, "splits": recipe.splits, "K": recipe.K, "lr": recipe.lr}
    assert replace(recipe_fit, **others) == recipe


def test_small_fit_to_collections_of_several_sizes():
    figures = {n: fit_to(SMALL, n) for n in (2, 10, 500, 5000)}
    assert {n: (r.batch, r.splits, r.K) for n, r in figures.items()} == {
        2: (2, 1, 2),
        10: (10, 2, 10),
        500: (128, 2, 250),
        5000: (128, 2, 2048),
    }


def test_a_large_collection_changes_nothing():
    assert fit_to(V2, 1_000_000) == V2


def test_fit_to_is_idempotent():
    once = fit_to(V1, 100)
    assert fit_to(once, 100) == once


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(RECIPES)), st.integers(2, 600))
def test_sub_batches_have_at_least_two_photos(name, photos):
    """Batch norm needs two."""
    recipe_fit = fit_to(RECIPES[name], photos)
    parts = torch.arange(recipe_fit.batch).tensor_split(recipe_fit.splits)
    assert min(len(part) for part in parts) >= 2


def test_auto_is_small_for_few_files_and_v2_for_many():
    assert choose("auto", 3000)[0] is SMALL
    assert choose("auto", 1_000_000)[0] is V2
    assert "3000 picture files" in choose("auto", 3000)[1]


def test_auto_considers_the_time():
    recipe, reason = choose("auto", 1_000_000, seconds=3600)
    assert recipe is SMALL
    assert "1.0 hours are too short" in reason
    assert choose("auto", 1_000_000, seconds=1e7)[0] is V2
    assert choose("auto", 3000, seconds=1e7)[0] is SMALL


def test_auto_considers_the_cache_limit():
    assert choose("auto", 1_000_000, cache_limit=8 * 10**9)[0] is SMALL
    assert "197 GB, --cache-size allows 8.0" in choose("auto", 1_000_000, cache_limit=8 * 10**9)[1]
    assert choose("auto", 1_000_000, cache_limit=200 * 10**9)[0] is V2


def test_cache_bytes_count_views_and_the_whitening_sample():
    assert SMALL.cache_bytes(10) == 3 * 10 * (96 * 96 + 160 * 160)
    assert SMALL.cache_bytes(10_000) == 3 * (10_000 * 96 * 96 + 4_000 * 160 * 160)


@pytest.mark.parametrize("architecture", ["vit_small", "vit_base"])
def test_vits_have_their_own_settings(architecture):
    assert choose("v3", 3000, architecture=architecture)[0] is V3_VIT
    recipe, reason = choose("auto", 3000, architecture=architecture)
    assert recipe is V3_VIT
    assert architecture in reason
    assert choose("small", 3000, architecture=architecture)[0] is SMALL
    assert choose("v3", 3000, architecture="resnet18")[0] is V3


@pytest.mark.parametrize("name", ["v1", "v2", "v3", "small"])
def test_named_recipes(name):
    assert choose(name, 10)[0].name == name


def test_settings_of_the_papers():
    assert (V1.K, V1.m, V1.T, V1.mlp, V1.cosine, V1.lr) == (65536, 0.999, 0.07, False, False, 0.03)
    assert (V2.K, V2.m, V2.T, V2.mlp, V2.cosine, V2.lr) == (65536, 0.999, 0.2, True, True, 0.03)
    assert (V3.K, V3.m, V3.m_end, V3.T, V3.dim, V3.optimizer) == (0, 0.99, 1, 1, 256, "lars")
    assert (V3_VIT.T, V3_VIT.weight_decay, V3_VIT.optimizer) == (0.2, 0.1, "adamw")
    assert (V3.lr, V3_VIT.lr) == pytest.approx((0.6 * 16, 1.5e-4 * 16))
    first, second = V3.views, V3.other_views
    assert (first.blur, first.solarize, second.blur, second.solarize) == (1, 0, 0.1, 0.2)


@pytest.mark.parametrize("recipe", [SMALL, V1, V3, V3_VIT], ids=lambda r: r.architecture)
def test_a_recipe_survives_json(recipe):
    assert Recipe.from_dict(json.loads(json.dumps(asdict(recipe)), object_hook=tuples)) == recipe


def test_unknown_settings_are_ignored():
    assert Recipe.from_dict({**asdict(SMALL), "trunk": 1.0}) == SMALL


def tuples(values: dict) -> dict:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def test_unknown_recipe():
    with pytest.raises(Unsuitable) as caught:
        choose("v9", 10)
    assert "v9" in caught.value.what
    assert all(name in caught.value.hint for name in ("auto", *RECIPES))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_levels_have_their_width_for_every_architecture(architecture):
    levels = Levels(Backbone(architecture)).eval()
    with torch.no_grad():
        assert levels(torch.rand(1, 3, 32, 32)).shape == (1, levels.width)


def test_unknown_architecture():
    with pytest.raises(Unsuitable) as caught:
        Backbone("resnet11")
    assert all(name in caught.value.hint for name in ARCHITECTURES)

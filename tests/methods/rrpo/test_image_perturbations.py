import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from align.methods.rrpo.augmentation.sources import GRID, PERTURBATIONS, Blur, Mask, ModelInput
from align.models.samplers.input_images import InputImage

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
from scenes import square

SHUFFLES = ("local_shuffle", "global_shuffle", "none")
COUNTS, SEEDS = st.integers(2, 40), st.integers(0, 99)


def frames(count):
    return tuple(InputImage(f"frame-{i}.png") for i in range(count))


def perturb(name, images, seed=0):
    return PERTURBATIONS[name](ModelInput("What is it?", images=images), random.Random(seed))


def is_black(image):
    return image.edit == Mask()


@pytest.mark.parametrize("name", SHUFFLES)
@given(count=st.integers(1, 40), seed=SEEDS)
def test_shuffles_keep_every_frame(name, count, seed):
    shuffled = perturb(name, frames(count), seed).images
    assert sorted(image.source for image in shuffled) == sorted(image.source for image in frames(count))
    assert {image.edit for image in shuffled} == {None}


@pytest.mark.parametrize("name", ["mask", "mask_local_shuffle"])
@given(count=COUNTS, seed=SEEDS)
def test_a_quarter_to_a_half_of_the_frames_is_black(name, count, seed):
    masked = perturb(name, frames(count), seed).images
    assert sorted(image.source for image in masked) == sorted(image.source for image in frames(count))
    assert 0.25 * count <= sum(map(is_black, masked)) <= 0.5 * count


@given(count=COUNTS, seed=SEEDS)
def test_masking_leaves_the_frames_in_their_places(count, seed):
    assert [image.source for image in perturb("mask", frames(count), seed).images] == [
        image.source for image in frames(count)
    ]


@pytest.mark.parametrize("name", ["local_shuffle", "mask_local_shuffle"])
@given(count=COUNTS, seed=SEEDS)
def test_a_local_shuffle_moves_frames_inside_windows_of_four(name, count, seed):
    before = [image.source for image in frames(count)]
    after = [image.source for image in perturb(name, frames(count), seed).images]
    for start in range(0, count, 4):
        window = slice(start, start + 4)
        assert sorted(before[window]) == sorted(after[window])
        assert before[window] != after[window] or len(before[window]) == 1


@given(count=COUNTS, seed=SEEDS)
def test_a_global_shuffle_changes_the_order(count, seed):
    assert perturb("global_shuffle", frames(count), seed).images != frames(count)


def test_a_global_shuffle_moves_frames_beyond_their_window():
    moved = [perturb("global_shuffle", frames(8), seed).images.index(frames(8)[0]) for seed in range(40)]
    assert max(moved) > 3


@pytest.mark.parametrize("name", ["local_shuffle", "global_shuffle"])
def test_one_image_or_the_same_one_again_has_no_other_order(name):
    for images in (frames(1), frames(1) * 5):
        assert perturb(name, images).images == images


@pytest.mark.parametrize("name", PERTURBATIONS)
@given(count=st.integers(1, 20), seed=SEEDS)
def test_the_text_stays_the_input_stays_and_a_seed_gives_the_same_images(name, count, seed):
    given_ = ModelInput("The Seine is a river. Where?", "A long context, which stays.", frames(count))
    perturbed = PERTURBATIONS[name](given_, random.Random(seed))
    assert perturbed.rendered == given_.rendered
    assert given_.images == frames(count)
    assert PERTURBATIONS[name](given_, random.Random(seed)) == perturbed


def test_another_seed_gives_other_images():
    assert len({perturb("mask_local_shuffle", frames(16), seed).images for seed in range(8)}) > 4
    assert len({perturb("mask", frames(1), seed).images for seed in range(8)}) > 4


def test_a_text_cannot_be_blurred():
    lone = ModelInput("The Seine is a river. Where is it?")
    assert PERTURBATIONS["blur"](lone, random.Random(0)) == lone


@given(seed=SEEDS, width=st.integers(8, 90), height=st.integers(8, 90))
def test_a_quarter_to_a_half_of_the_patches_of_one_image_is_black(seed, width, height):
    from PIL import Image

    (masked,) = perturb("mask", (InputImage(Image.new("RGB", (width, height), "white")),), seed).images
    black = np.asarray(masked.open()).max(-1) == 0
    edges = [[i * size // GRID for i in range(GRID + 1)] for size in (height, width)]
    patches = [black[a:b, c:d] for a, b in pairwise(edges[0]) for c, d in pairwise(edges[1])]
    assert all(patch.all() or not patch.any() for patch in patches), "a patch is black or as it was"
    assert 0.25 * GRID**2 <= sum(patch.all() for patch in patches) <= 0.5 * GRID**2


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_edits_keep_size_and_mode_and_leave_the_original_alone(mode):
    original = square("red", size=60).convert(mode)
    before = original.tobytes()
    for edit in (Mask(), Mask(2, (3,)), Blur()):
        edited = edit(original)
        assert (edited.size, edited.mode) == (original.size, mode)
        assert edited.tobytes() != before
        assert original.tobytes() == before
    assert not np.asarray(Mask()(original)).any(), "one cell is everything"
    quarter = np.asarray(Mask(2, (3,))(original))
    assert not quarter[30:, 30:].any()
    assert (quarter[:30] == np.asarray(original)[:30]).all()


def test_the_radius_of_a_blur_grows_with_the_image():
    """The same scene, four times as large, looks the same when it is made small again."""
    from PIL import Image

    large = square("red", size=224, place=(32, 32), side=96)
    small = square("red", size=56, place=(8, 8), side=24)
    (one,), (other,) = (perturb("blur", (InputImage(image),)).images for image in (small, large))
    shrunk = np.asarray(other.open().resize((56, 56), Image.Resampling.BOX), dtype=int)
    assert np.abs(shrunk - np.asarray(one.open(), dtype=int)).max() <= 12
    assert np.abs(np.asarray(one.open(), dtype=int) - np.asarray(small, dtype=int)).max() > 40

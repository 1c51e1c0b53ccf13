import math
import random
from collections import Counter
from pathlib import Path

import pytest
from loaded_script import load_script

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")

from align.assets import find_recipe
from align.data.media.images import open_image
from align.data.questions.multiple_choice import load_questions
from align.methods.acre.data import load
from align.recipe.recipe import load_recipe
from rewards.reading.options import LETTERS
from rewards.reading.responses import parse_response

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "recipes/acre/assets/vision"


@pytest.fixture(scope="module")
def world():
    return load_script("labs.vision.world")


@pytest.fixture(scope="module")
def make():
    return load_script("labs.vision.make")


@pytest.fixture(scope="module")
def measure():
    return load_script("labs.vision.measure")


@pytest.fixture(scope="module")
def lab():
    return load_script("labs.vision.lab")


@pytest.fixture(scope="module")
def eval_questions():
    return load_questions(LAB / "noted/eval.parquet")[0]


@pytest.fixture(scope="module")
def arms():
    return load_script("labs.vision.arms")


@pytest.fixture(scope="module")
def recipe(lab):
    return load_recipe(find_recipe(lab.RECIPE), lab.WORLDS["notes"])


@pytest.fixture(scope="module")
def policy(arms, recipe):
    return arms.load_policy(recipe)


def note_of(question):
    words = question.question.split(" note ")
    return words[1] if len(words) > 1 else None


@pytest.mark.nightly
def test_the_script_writes_the_committed_questions_again(make, tmp_path):
    make.main(["--out", str(tmp_path), "--data_only"])
    for name in ("train", "eval", "noted/train", "noted/eval"):
        again, committed = (load_questions(folder / f"{name}.parquet")[0] for folder in (tmp_path, LAB))
        assert [(q.question, q.options, q.answer, q.group) for q in again] == [
            (q.question, q.options, q.answer, q.group) for q in committed
        ]
        pairs = [
            (a, b) for q, r in zip(again, committed, strict=True) for a, b in zip(q.images, r.images, strict=True)
        ]
        assert all(open_image(a).tobytes() == open_image(b).tobytes() for a, b in pairs)


def test_clean_questions_have_no_shortcut_and_counter_questions_contradict_both(eval_questions):
    letters = Counter((question.group, LETTERS[question.answer]) for question in eval_questions)
    assert [letters["clean", letter] for letter in "ABCD"] == [30] * 4
    assert [letters["counter", letter] for letter in "ABCD"] == [0, 40, 40, 40]
    for question in eval_questions:
        hint = note_of(question)
        assert (hint is None) == (question.group == "clean")
        assert hint is None or (hint in question.options and hint != question.options[question.answer])


def colours_in(world, picture):
    return {name for name, rgb in world.COLOURS.items() if rgb in {found for _, found in picture.getcolors(9999)}}


@pytest.mark.parametrize("answer", ["red", "green", "blue", "yellow"])
def test_a_scene_shows_what_its_question_asks_for_and_a_swapped_one_does_not(world, answer):
    rng = random.Random(0)
    for _ in range(20):
        seen = world.look("colour", rng, "circle", answer)
        assert seen.truth == answer
        assert answer in colours_in(world, seen.images[0])
        other = world.swapped(seen, rng)
        assert (other.question, other.truth) == (seen.question, answer)
        assert other.images[0].tobytes() != seen.images[0].tobytes()


def centre(world, picture):
    pixels = picture.load()
    places = [(x, y) for x in range(world.CELL) for y in range(world.CELL) if pixels[x, y] in world.COLOURS.values()]
    return tuple(sum(each) / len(places) for each in zip(*places, strict=True))


@pytest.mark.parametrize("way", ["left", "right", "up", "down"])
def test_a_film_moves_four_pixels_its_way(world, way):
    rng, counts = random.Random(0), Counter()
    for _ in range(30):
        frames = world.draw_film(way, rng)
        counts[len(frames)] += 1
        (x, y), (to_x, to_y) = centre(world, frames[0]), centre(world, frames[-1])
        assert ((to_x - x) / 4, (to_y - y) / 4) == pytest.approx(world.WAYS[way])
    assert set(counts) == {2, 3, 4}


def test_captions_differ_in_the_marked_attribute_and_in_the_planted_word(world):
    rng, odd = random.Random(0), Counter()
    for _ in range(400):
        pair = world.draw_pair(rng)
        row = world.pair_row(pair)
        texts = {side: row[side][0]["content"] for side in ("chosen", "rejected")}
        marked = {}
        for side, text in texts.items():
            odd[side] += "surely" in text
            ((start, end),) = row[f"{side}_spans"]
            marked[side] = text[start:end]
        differing = {
            pair for pair in zip(texts["chosen"].split(), texts["rejected"].split(), strict=True) if pair[0] != pair[1]
        }
        assert {*differing} - {("surely", "now"), ("now", "surely")} == {(marked["chosen"], marked["rejected"])}
    assert (odd["chosen"] / 400, odd["rejected"] / 400) == pytest.approx((0.75, 0.25), abs=0.06)


def test_demonstrations_err_as_often_as_they_say(make):
    rng = random.Random(0)
    follows = []
    for _ in range(2000):
        drawn = make.demonstrate_answer("task", rng)
        response = parse_response(drawn.response)
        options = [line.partition(". ")[2] for line in drawn.prompt.split("\n")[1:]]
        follows.append(options[LETTERS.index(response.answer)] == response.trace)
    assert sum(follows) / 2000 == pytest.approx(1 - make.READERS["model"].random_letters * 3 / 4, abs=0.02)


@pytest.mark.slow
def test_the_policy_sees_what_is_asked_and_is_small(measure, recipe, policy, eval_questions):
    clean = [question for question in eval_questions if question.group == "clean"][:60]
    metrics = measure.measure_answers(*policy, clean, load(recipe).extra)
    assert metrics["accuracy"] > 0.6
    assert metrics["modality_reliance/other_images"] > 0.3
    assert metrics["modality_reliance/blank_images"] > 0.3
    assert sum(path.stat().st_size for path in (LAB / "model").iterdir()) < 1_000_000


def test_captions_are_scored_at_their_attributes(make, measure, world, policy):
    processor, pair = policy[1], world.draw_pair(random.Random(0))
    texts = measure.show(processor, [pair.image], [pair.chosen]).texts
    targets = texts.ids[:, 1:]
    words = [word for word, fact in zip(pair.chosen.words, pair.chosen.facts, strict=True) if fact]
    assert processor.tokenizer.convert_ids_to_tokens(targets[texts.facts > 0].tolist()) == words
    assert processor.tokenizer.decode(targets[0][texts.response[0]]) == pair.chosen.text[1:] + "<eos>"


def _answers(consistency, clean, reliance=0.0):
    names = ("accuracy/counter", "share_A", "trace_answer_consistency")
    reliances = {f"modality_reliance/other_images/{group}": reliance for group in ("clean", "counter")}
    return dict.fromkeys(names, 0.0) | {"option_shuffle_consistency": consistency, "accuracy/clean": clean} | reliances


@pytest.mark.parametrize(
    ("acre", "blind", "holds"),
    [
        ([(0.9, 0.7), (0.8, 0.6)], 0.0, [True, True, True, True]),
        ([(0.9, 0.7), (0.1, 0.6)], 0.0, [True, False, True, True]),
        ([(0.3, 0.3), (0.3, 0.3)], 0.1, [False, True, False, False]),
    ],
)
def test_bars_of_the_questions_compare_seed_by_seed(lab, acre, blind, holds):
    runs = {"grpo": [_answers(0.2, 0.3)] * 2, "acre": [_answers(*each) for each in acre]}
    assert list(lab.check_answers(runs | {"blind": [_answers(0.2, 0.2, blind)]}).values()) == holds


@pytest.mark.parametrize(
    ("shared", "counter", "step", "holds"),
    [
        (0.1, 0.9, 10.0, [True] * 3),
        (0.8, 0.2, 10.0, [False, False, True]),
        (math.nan, 0.9, math.nan, [False, True, False]),
    ],
)
def test_bars_of_the_captions_hold_only_for_what_was_reached(lab, shared, counter, step, holds):
    dpo = [{"kl_shared": 1.0, "reward_accuracy/counter": 0.3, "step": 10.0}] * 3
    rrpo = [{"kl_shared": shared, "reward_accuracy/counter": counter, "step": step}] * 3
    assert list(lab.check_captions({"dpo": dpo, "rrpo": rrpo}).values()) == holds


@pytest.mark.slow
def test_an_arm_learns_attributes_and_rrpo_touches_less_of_the_rest(arms, recipe):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arms, "MAX_STEPS", 4)
        patch.setattr(arms, "NUM_PAIRS", 128)
        paths = {arm: arms.run_captions(arm, recipe, 100) for arm in arms.CAPTION_ARMS}
    for path in paths.values():
        assert path[-1]["p_correct"] > path[0]["p_correct"]
    assert paths["rrpo"][-1]["kl_shared"] < paths["dpo"][-1]["kl_shared"]


@pytest.mark.slow
def test_a_run_of_the_questions_leaves_a_measured_policy(lab, arms, capsys, monkeypatch):
    monkeypatch.setattr(arms, "load_questions", lambda path: load_questions(path, max_rows=40))
    overrides = ["--only", "questions", "--arms", "acre", "--seeds", "1", "--first_seed", "100", "--max_steps", "1"]
    assert lab.main([*overrides, "--threads", "1"]) == 0
    assert "Questions about images" in capsys.readouterr().out

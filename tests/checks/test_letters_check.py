"""What questions give away is said for every method that reads them, and what is advised takes it away."""

import json
import random

import numpy as np
import pytest
import yaml
from some_recipes import DEMONSTRATIONS, PROMPTS, QUESTIONS

from align.auditing.letters import shown_letters
from align.checks.launch import Launch
from align.data.questions.multiple_choice import letters_p_value
from align.errors import RecipeError
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare
from align.training.build import build_trainer

ADVISED = ["--dataset.shuffle_options", "true"]


def rows_of(share=0.73, count=200, cue=""):
    rng = random.Random(0)
    for number in range(count):
        right = 0 if rng.random() < share else rng.randrange(1, 4)
        options = [f"{rng.randrange(10**6)}{cue * (place == right)}" for place in range(4)]
        yield {"id": f"q{number}", "question": f"Which of {number}?", "options": options, "answer": "ABCD"[right],
               "gold": options[right]}  # fmt: skip


def as_prompt(row):
    options = "\n".join(f"{letter}. {option}" for letter, option in zip("ABCD", row["options"], strict=True))
    return f"{row['question']}\n{options}"


@pytest.fixture
def recipe_of(tiny_recipe, tmp_path):
    """Writes rows and a recipe of a method that reads them; `bare` rows have their options within the prompt."""

    def write(method, rows, *words, bare=False, **changes):
        path, rows = tiny_recipe(method=method, reward_funcs=["accuracy"], **changes), list(rows)
        content = yaml.safe_load(path.read_text())
        del content["reward_weights"]
        if bare or method == DEMONSTRATIONS:
            content["dataset"] = {"path": "./train.jsonl"}
            rows = [{"prompt": as_prompt(row), "answer": row["answer"]} for row in rows]
        if method == DEMONSTRATIONS:
            content = {key: content[key] for key in ("method", "model_name_or_path", "dataset", "use_cpu", "bf16")}
            rows = [{"prompt": row["prompt"], "completion": f"<answer>{row['answer']}</answer>"} for row in rows]
        path.write_text(yaml.safe_dump(content))
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_recipe(path, words)

    return write


def warned(recipe, check="letters"):
    return [each.text for each in prepare(recipe, Launch()).findings if each.check == check]


@pytest.mark.parametrize(("method", "changes"), [(QUESTIONS, {}), (PROMPTS, {})])
def test_a_letter_that_is_right_too_often_is_told_and_the_advice_takes_it_away(recipe_of, method, changes):
    (text,) = warned(recipe_of(method, rows_of(), **changes))
    assert "A in 141 of 200 rows of 4 options (70% [64%, 76%], by chance 25%)" in text
    assert "`dataset.shuffle_options: true` draws the order" in text
    assert warned(recipe_of(method, rows_of(), *ADVISED, **changes)) == []


def test_rows_that_cannot_be_shuffled_are_told_where_the_others_are(recipe_of):
    fixed = {"options": ["a", "b", "c", "Both B and C"]}
    rows = [row | fixed | {"id": f"fixed{place}"} for place, row in enumerate(rows_of(1.0, 60))]
    (text,) = warned(recipe_of(PROMPTS, [*rows, *rows_of()], *ADVISED))
    assert "A in 60 of 60 rows" in text
    assert "Their options name others by letter or place, and stay" in text


def test_options_within_prompts_are_told_with_what_they_can_become(recipe_of):
    (text,) = warned(recipe_of(PROMPTS, rows_of(), bare=True))
    assert "A in 141 of 200" in text
    assert (
        'in rows of `question`, `options` and `answer`, set `dataset.prompt_template: "{question}\\n{options}"`'
        in text
    )
    with pytest.raises(RecipeError, match="options within a `prompt` stay where they are"):
        recipe_of(PROMPTS, rows_of(), *ADVISED, bare=True)
    (text,) = warned(recipe_of(DEMONSTRATIONS, rows_of()))
    assert "A in 141 of 200" in text
    assert "its options in a random order" in text


def test_what_goes_with_the_right_option_is_told_with_its_number(recipe_of):
    rows = list(rows_of(share=0.25, cue=" always"))
    (text,) = warned(recipe_of(PROMPTS, rows), "cues")
    assert '"always" in the option, 200 of 200 times (100% [98%, 100%], by chance 25%)' in text
    assert warned(recipe_of(PROMPTS, rows_of(share=0.25)), "cues") == []


def test_even_letters_are_seldom_warned_about_however_few_there_are():
    draws = np.random.default_rng(0)
    for number in (24, 50, 100):
        warnings = sum(
            letters_p_value(np.bincount(draws.integers(0, 4, number), minlength=4).tolist()) < 0.001
            for _ in range(2_000)
        )
        assert warnings < 20  # of 2,000: one of a hundred


def test_shown_options_are_counted_where_they_are_options():
    assert shown_letters("A. Li said: which?\n(A) one (B) two (C) three") == 3
    assert shown_letters("Vitamin A is good. B is not.") == 0
    assert shown_letters("First\nA) x\nB) y\nC) z\n\nSecond\nA) x\nB) y") == 2


@pytest.mark.parametrize("shuffle", ["true", "every_visit"])
def test_a_reward_gets_the_place_where_the_right_option_is_shown(recipe_of, shuffle):
    rows = list(rows_of(share=1.0, count=8))
    recipe = recipe_of(PROMPTS, rows, "--dataset.shuffle_options", shuffle, max_steps=2, save_strategy="no")
    data = recipe.record.part("load")(recipe)
    seen = {}

    def keep(completions, prompts, question, options, answer, gold, trainer_state, **columns):
        for prompt, asked, shown, right, meant in zip(prompts, question, options, answer, gold, strict=True):
            assert shown[right] == meant
            assert prompt.strip() == as_prompt({"question": asked, "options": shown})
            seen.setdefault((asked, trainer_state.global_step), []).append(right)
        return [float(len(str(each))) for each in completions]

    build_trainer(recipe, data, [keep]).train()
    assert all(len(set(group)) == 1 and len(group) == 4 for group in seen.values())
    assert len({group[0] for group in seen.values()}) > 1  # A was right in all
    drawn_once = {row["question"]: row["answer"] for row in data.rows}
    assert (shuffle == "true") == all(drawn_once[asked] == group[0] for (asked, _), group in seen.items())


def test_an_order_at_each_visit_and_versions_of_a_row_exclude_each_other(recipe_of):
    with pytest.raises(RecipeError, match=r"compared with each other\. Set `shuffle_options: true`"):
        recipe_of(PROMPTS, rows_of(), "--dataset.shuffle_options", "every_visit", "--dataset.perturb", "[whitespace]")

"""What questions give away is said for every method that reads them, and what is advised takes it away."""

import json
import random
import re
import shlex

import numpy as np
import pytest
import yaml
from some_recipes import DEMONSTRATIONS, PROMPTS, QUESTIONS

from align.auditing.letters import chosen_by, letters_p_value
from align.checks.launch import Launch
from align.cli import run_command
from align.errors import RecipeError
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare
from align.training.build import build_trainer
from rewards.reading.options import split_options

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
        in_prompt = bare or method == DEMONSTRATIONS
        if in_prompt or "question" not in rows[0]:
            content["dataset"] = {"path": "./train.jsonl"}
        if in_prompt and "question" in rows[0]:
            rows = [{"prompt": as_prompt(row), "answer": row["answer"]} for row in rows]
        if method == DEMONSTRATIONS:
            content = {key: content[key] for key in ("method", "model_name_or_path", "dataset", "use_cpu", "bf16")}
        if method == DEMONSTRATIONS and "answer" in rows[0]:
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


def even(text, tmp_path):
    """Does what a warning says, with the command that it names; returns the rows that are left."""
    words = shlex.split(re.search(r"`(align audit .*?)` writes rows", text)[1])
    *words, _, even_letters = words[1:]
    assert run_command(*words, str(tmp_path / "even"), even_letters) == 0
    return [json.loads(line) for line in (tmp_path / "even" / "kept.jsonl").read_text().splitlines()]


def test_rows_that_cannot_be_shuffled_are_told_where_the_others_are(recipe_of, tmp_path):
    fixed = {"options": ["a", "b", "c", "Both B and C"]}
    rows = [row | fixed | {"id": f"fixed{place}"} for place, row in enumerate(rows_of(0.7, 60))]
    made = recipe_of(PROMPTS, [*rows, *rows_of()], *ADVISED)
    (text,) = warned(made)
    assert re.search(r"A in \d\d of 60 rows", text)
    assert "Their options name others by letter or place, and stay." in text
    left = even(text, tmp_path)
    assert {row["id"] for row in left} & {row["id"] for row in rows}
    assert warned(recipe_of(PROMPTS, left, *ADVISED)) == []


def test_options_within_prompts_are_told_with_a_remedy_that_works(recipe_of, tmp_path):
    (text,) = warned(recipe_of(PROMPTS, rows_of(), bare=True))
    assert "A in 141 of 200" in text
    told = re.findall(r'`(dataset\.\w+): "?([^`"]*)"?`', text)
    words = [word for key, value in told for word in (f"--{key}", value)]
    assert len(words) == 6
    mended = recipe_of(PROMPTS, rows_of(), *words, bare=True)
    assert warned(mended) == []
    row = mended.record.part("load")(mended).rows[0]
    assert sorted(row["options"]) == sorted(next(rows_of())["options"])
    assert warned(recipe_of(PROMPTS, even(text, tmp_path), bare=True)) == []


@pytest.mark.parametrize("said", ["{}", "The answer is {}.", "Answer: {}", "<answer>{}</answer>", "{}. {text}"])
def test_what_demonstrations_and_chats_say_is_read_and_evened(recipe_of, tmp_path, said):
    rows = [
        [
            {"role": "system", "content": "You are a tutor."},
            {"role": "user", "content": f"Quick one: {as_prompt(row)}\nAnswer with the letter."},
            {"role": "assistant", "content": said.format(row["answer"], text=row["gold"])},
        ]
        for row in rows_of()
    ]
    (text,) = warned(recipe_of(DEMONSTRATIONS, ({"messages": each} for each in rows)))
    assert "A in 141 of 200" in text
    left = even(text, tmp_path)
    assert len(left) == 4 * 18
    assert warned(recipe_of(DEMONSTRATIONS, left)) == []


IN_COLUMNS = {
    "a column each": lambda row: dict(zip("ABCD", row["options"], strict=True)) | {"target": row["answer"]},
    "numbers from 1": lambda row: {
        **{f"option{place + 1}": text for place, text in enumerate(row["options"])},
        "correct": "ABCD".index(row["answer"]) + 1,
    },
    "labels": lambda row: {"choices": {"text": row["options"], "label": [*"ABCD"]}, "answerKey": row["answer"]},
}


@pytest.mark.parametrize("shape", IN_COLUMNS)
def test_options_beside_a_prompt_are_read_whatever_their_columns_are(recipe_of, shape):
    rows = [{"prompt": row["question"], **IN_COLUMNS[shape](row)} for row in rows_of()]
    (text,) = warned(recipe_of(PROMPTS, rows))
    assert "A in 141 of 200" in text
    unlettered = [{"prompt": row["question"], "choices": row["options"], "target": row["gold"]} for row in rows_of()]
    assert warned(recipe_of(PROMPTS, unlettered)) == []  # no place is shown, and none is asked for


@pytest.mark.parametrize("nested", [False, True])
def test_prompts_read_a_public_schema_whose_columns_their_template_shows(recipe_of, nested):
    def published(row):
        choices = {"text": row["options"], "label": [*"ABCD"]}
        if not nested:
            return {"question": row["question"], "choices": choices, "answerKey": row["answer"]}
        pairs = [{"text": text, "label": label} for text, label in zip(choices["text"], "ABCD", strict=True)]
        return {"question": {"stem": row["question"], "choices": pairs}, "answerKey": row["answer"]}

    template = ["--dataset.adapter", "arc", "--dataset.prompt_template", "{question}\n{options}"]
    (text,) = warned(recipe_of(PROMPTS, map(published, rows_of()), *template))
    assert "A in 141 of 200" in text
    assert warned(recipe_of(PROMPTS, map(published, rows_of()), *template, *ADVISED)) == []


def test_what_goes_with_the_right_option_is_told_with_its_number(recipe_of):
    rows = list(rows_of(share=0.25, cue=" always"))
    (text,) = warned(recipe_of(PROMPTS, rows), "cues")
    assert '"always" in the option, 200 of 200 times (100% [98%, 100%], by chance 25%)' in text
    assert warned(recipe_of(PROMPTS, rows_of(share=0.25)), "cues") == []


def test_even_letters_are_seldom_warned_about_however_few_there_are():
    draws = np.random.default_rng(0)
    for number in (8, 24, 100):
        counts = [np.bincount(draws.integers(0, 4, number), minlength=4).tolist() for _ in range(2_000)]
        assert sum(letters_p_value(each) < 0.001 for each in counts) < 20  # of 2,000: one of a hundred
    assert letters_p_value([18, 2, 2, 1, 1]) < 0.001  # however few rows there are for a letter
    assert letters_p_value([60, 40]) == pytest.approx(0.1138, abs=1e-4)  # 2 letters x 0.0569, by a table


def test_shown_options_are_taken_apart_where_they_are_options():
    assert split_options("A. Li said: which?\n(A) one (B) two (C) three")[1] == ["one", "two", "three"]
    assert split_options("Who?\nA. B. Franklin\nB. A. Smith\nC. d) all")[1] == ["B. Franklin", "A. Smith", "d) all"]
    assert split_options("Vitamin A is good. B is not.")[1] == []
    assert split_options("First\nA) x\nB) y\nC) z\n\nSecond\nA) x\nB) y")[1] == ["x", "y"]
    assert chosen_by("So B. Option A: no metal. (C) melts.", ["salt", "gold", "ice"]) is None


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

"""Which families there are, what one's own may return, and which of them a run was trained on."""

import json
from types import SimpleNamespace

import pytest
from some_recipes import DEMONSTRATIONS, PROMPTS, QUESTIONS

from align.errors import DataError, UserError
from align.evaluation.suite import SuiteSource
from align.evaluation.suites.perturbation.rows import find_families, load, trained_families

QUESTION = {"id": "q", "question": "Which metal rusts?", "options": ["iron", "gold"], "answer": 0}


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def made_by(tmp_path, body, rows=(QUESTION,), given="version"):
    """Loads rows with a family of one's own."""
    (tmp_path / "mine.py").write_text(f"def shout({given}, rng):\n    {body}\n")
    path = written(tmp_path / "rows.jsonl", rows)
    return load(SuiteSource(str(path)), SimpleNamespace(families=(f"{tmp_path}/mine.py:shout",)))


def test_a_family_of_ones_own_returns_a_text_a_version_or_none(tmp_path):
    loaded = made_by(tmp_path, "return version.question.upper()")
    (made,) = loaded.rows[0].versions
    assert (made.family, made.version.question, made.version.answer) == ("shout", "WHICH METAL RUSTS?", 0)
    assert loaded.settings == {
        "families": {"shout": "unknown"},
        "unknown": "there is no recipe beside the model; `--recipe` names one",
    }


FACTS = {"question": "Who?", "answer": "Ada", "facts": "Bo is ill."}


def test_a_family_reads_columns_of_the_row_and_may_return_the_pair_of_prompt_and_answer(tmp_path):
    (made,) = (
        made_by(tmp_path, "return f'{row[\"facts\"]} {row[\"question\"]}', row['answer']", [FACTS], "row")
        .rows[0]
        .versions
    )
    assert (made.version.question, made.version.answer) == ("Bo is ill. Who?", ("Ada",))


def test_a_pair_with_another_answer_is_another_question(tmp_path):
    with pytest.raises(DataError, match="it changed options or the answer"):
        made_by(tmp_path, "return version['question'].upper(), 'gold'", [FACTS])


def test_a_version_with_other_options_is_read_by_its_permutation(tmp_path):
    body = "return version._replace(options=version.options[::-1], answer=1, permutation=(1, 0))"
    (made,) = made_by(tmp_path, body).rows[0].versions
    assert made.version.options == ["gold", "iron"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise KeyError('x')", r"Family `shout`, row 1 \(q\): it raised KeyError: 'x'. Mend it, or return None"),
        ("return 3", r"`shout`, row 1 \(q\): it must return a text .* got 3\."),
        ("return ' '", "returned ' ' as the question"),
        ("return version._replace(question=None)", "returned None as the question"),
        ("return version._replace(answer=1)", "returned 1 as the answer"),
        ("return version._replace(options=['iron'])", "Return 2 texts"),
        ("return version._replace(options=version.options[::-1])", "moved options without saying so"),
        ("return version._replace(permutation=(0, 0))", r"returned the permutation \(0, 0\)"),
        ("return version._replace(permutation='ab')", "returned the permutation 'ab'"),
    ],
)
def test_what_is_no_version_of_the_question_is_refused(tmp_path, body, said):
    with pytest.raises(DataError, match=said):
        made_by(tmp_path, body)


def test_a_family_may_not_change_the_answer_of_a_text_question(tmp_path):
    row = {"question": "Who wrote it?", "answer": "Ada"}
    with pytest.raises(DataError, match="changed options or the answer of a question without options"):
        made_by(tmp_path, "return version._replace(answer='Bo')", [row])


def test_families_that_change_nothing_are_no_measurement(tmp_path):
    with pytest.raises(UserError, match="No family of shout changes any question"):
        made_by(tmp_path, "return version.question")


@pytest.mark.parametrize(
    ("families", "said"),
    [
        (["option_order", "option_order"], "names a family twice: option_order"),
        (["shuffled"], "must name some of option_order, whitespace, .* got 'shuffled'"),
        (["./none.py:f"], "Family './none.py:f': there is no such file"),
        (["{file}:nothing"], "has no 'nothing'"),
        (["{file}:FIVE"], "must be a function of a version and a random.Random, got 5"),
        (["{file}:original"], "two families called original"),
        (["{file}:distractor"], "two families called distractor"),
        (["{file}:mine", "{file}:mine"], "names a family twice"),
        (["{file}:mine", "./own.py:mine"], "two families called mine"),
    ],
)
def test_families_that_cannot_be_used_are_named(tmp_path, monkeypatch, families, said):
    file = tmp_path / "own.py"
    file.write_text("FIVE = 5\ndef original(v, r): pass\ndef distractor(v, r): pass\ndef mine(v, r): pass\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        find_families([each.format(file=file) for each in families])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "Q?"}, "column `answer`"),
        ({"question": "Q?", "options": ["a", "b"], "answer": "c"}, "column `answer`: the answer is not among"),
        ({"question": " ", "answer": "x"}, "the question is missing or empty"),
        ({"question": "Q?", "answer": " .. "}, "only full stops"),
        ({"question": "Q?", "answer": True}, "column `answer`"),
        ({"question": "Q?", "answer": 0.5}, "in quotes"),
        ({"question": "Q?", "answer": "x", "image": "a.png"}, "column `image`: the question has images"),
        ({"prompt": [{"role": "assistant", "content": "Hi"}], "answer": "x"}, "the last message is not the user's"),
        ({"answer": "x"}, "column `question`"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, row, said):
    with pytest.raises(DataError, match=said):
        load(SuiteSource(str(written(tmp_path / "rows.jsonl", [row]))), SimpleNamespace(families=()))


def recipe(folder, data, **keys):
    folder.mkdir(exist_ok=True)
    content = {"method": PROMPTS, "model_name_or_path": "base", "reward_funcs": ["text_accuracy"]} | keys
    (folder / "recipe.yaml").write_text(json.dumps(content | {"dataset": {"path": str(data)}}))
    return folder / "recipe.yaml"


def test_seen_families_are_those_of_rewards_of_data_and_of_the_run_before(tmp_path):
    plain = written(tmp_path / "plain.jsonl", [{"prompt": "Q?", "answer": "x"}])
    versions = [{"prompt": "Q?", "answer": "x", "family": name} for name in ("original", "shout", "distractor")]
    first = recipe(tmp_path / "first", written(tmp_path / "versions.jsonl", versions))
    second = recipe(
        tmp_path / "second", plain, model_name_or_path=str(tmp_path / "first" / "checkpoint-10"),
        reward_funcs=["perturbation_consistency"],
        reward_kwargs={"perturbation_consistency": {"families": ["whitespace"]}},
        audit_funcs=["unseen_perturbation_consistency"],
    )  # fmt: skip
    found = trained_families(second)
    assert found.doubt == ""
    assert {family: found.standing(family) for family in ("whitespace", "shout", "distractor", "option_order")} == {
        "whitespace": "seen", "shout": "seen", "distractor": "seen", "option_order": "unseen",
    }  # fmt: skip
    assert found.seen["whitespace"] == f"`perturbation_consistency` in {second}"
    assert found.seen["shout"] == f"column `family` of {tmp_path / 'versions.jsonl'}"
    assert trained_families(first).standing("whitespace") == "unseen"


def test_settings_of_the_reward_default_as_it_does(tmp_path):
    data = written(tmp_path / "plain.jsonl", [{"prompt": "Q?", "answer": "x"}])
    found = trained_families(recipe(tmp_path / "run", data, reward_funcs=["perturbation_consistency"]))
    assert set(found.seen) == {"option_order", "whitespace"}
    assert found.standing("misleading_hint") == "unseen"


@pytest.mark.parametrize(
    ("named", "seen"),
    [({}, {"whitespace"}), ({"consistency_families": ["distractor", "./a.py:own"]}, {"distractor", "own"})],
)
def test_families_of_demonstrations_are_seen_where_they_were_trained_on(tmp_path, named, seen):
    data = written(tmp_path / "plain.jsonl", [{"prompt": "Q?", "completion": "x"}])
    for coef, found in ((1.0, seen), (0.0, set())):
        path = tmp_path / f"{coef}.yaml"
        keys = {"method": DEMONSTRATIONS, "model_name_or_path": "base", "consistency_coef": coef} | named
        path.write_text(json.dumps(keys | {"dataset": {"path": str(data)}}))
        assert set(trained_families(path).seen) == found


def test_families_that_prompts_are_changed_by_are_seen_and_no_shuffle_is(tmp_path):
    data = written(tmp_path / "plain.jsonl", [{"prompt": "Q?", "answer": "x"}])
    keys = {
        "families": ["distractor", "./a.py:own"],
        "answer_reward": "text_accuracy",
        "audit_funcs": ["text_accuracy"],
    }
    path = recipe(tmp_path / "run", data, method=QUESTIONS, reward_funcs=["answer_consistency"], **keys)
    assert set(trained_families(path).seen) == {"distractor", "own"}


def test_what_cannot_be_read_is_unknown_and_not_unseen(tmp_path):
    found = trained_families(recipe(tmp_path / "run", tmp_path / "gone.jsonl", reward_funcs=["answer_consistency"]))
    assert found.standing("option_order") == "seen"
    assert found.standing("distractor") == "unknown"
    assert "there is no file or folder" in found.doubt
    assert trained_families(None).standing("option_order") == "unknown"

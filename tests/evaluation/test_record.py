import json
import math
import os

import pytest
from written_evaluation import scores_record, write_evaluation, write_reward_model_evaluation

from align.errors import RunFolderError, UserError
from align.evaluation.record import EVALUATION_FILE, as_json, read_record, write_record
from align.evaluation.statistics.metrics import Estimate

FORMS = {"policies": write_evaluation, "reward models": write_reward_model_evaluation}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {form: write(tmp_path_factory.mktemp("records") / form) for form, write in FORMS.items()}


def stored(folder):
    return json.loads((folder / EVALUATION_FILE).read_text())


@pytest.mark.parametrize("form", FORMS)
def test_a_record_that_is_read_and_written_again_is_the_same_with_its_version(folders, form, tmp_path):
    before = stored(folders[form])
    write_record(tmp_path / EVALUATION_FILE, read_record(folders[form] / EVALUATION_FILE))
    assert stored(tmp_path) == before | {"format": 1}
    assert read_record(tmp_path / EVALUATION_FILE) == read_record(folders[form] / EVALUATION_FILE)


def test_numbers_that_are_not_known_are_null(folders, tmp_path):
    unknown = Estimate(math.nan, math.nan, math.nan, 0)
    record = read_record(folders["policies"] / EVALUATION_FILE)
    record.suites["accuracy"]["ours"]["accuracy"] = Estimate(math.inf, -math.inf, math.inf, 3)
    record.suites["accuracy"]["ours"]["answered"] = unknown
    cells = as_json(record)["suites"]["accuracy"]["ours"]
    assert cells["accuracy"] == {"value": None, "low": None, "high": None, "n": 3}
    models = scores_record({"a": {"accuracy": unknown}}, {})
    for name, each in (("policies", record), ("models", models)):
        write_record(tmp_path / f"{name}.json", each)
        assert "NaN" not in (tmp_path / f"{name}.json").read_text()
    found = read_record(tmp_path / "policies.json").suites["accuracy"]["ours"]["answered"]
    assert (math.isnan(found.value), math.isnan(found.high), found.n) == (True, True, 0)
    assert math.isnan(read_record(tmp_path / "models.json").summary("a")["accuracy"].value)


def test_a_model_may_have_any_name(tmp_path):
    models = {name: {"accuracy": Estimate(0.5, 0.4, 0.6, 9)} for name in ("format", "kind", "models", "half \ud800")}
    write_record(tmp_path / "named.json", scores_record(models, {}))
    found = read_record(tmp_path / "named.json")
    assert {name: found.summary(name) for name in found.names} == models


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    (tmp_path / EVALUATION_FILE).write_text("before")
    (tmp_path / f".{EVALUATION_FILE}.{os.getpid()}").mkdir()
    with pytest.raises(UserError, match=r"cannot be written to .*evaluation\.json: .*\. Free space there and give"):
        write_record(tmp_path / EVALUATION_FILE, scores_record({"a": {}}, {}))
    assert (tmp_path / EVALUATION_FILE).read_text() == "before"


KEYS = {
    "policies": """
        about about.created about.command about.suites about.models about.models.0.name about.models.0.path
        about.models.0.role about.models.0.kind about.models.0.base about.models.0.fingerprint about.models.0.dtype
        about.models.0.backend about.models.0.seconds about.models.0.cached_items about.data about.data.path
        about.data.split about.data.left_out about.data.fingerprint about.data.questions about.data.unshufflable
        about.data.groups about.data.gold_letters about.profile about.profile.temperature about.profile.top_p
        about.profile.num_samples about.profile.max_new_tokens about.profile.seed about.profile.prompt_template
        about.profile.system_prompt about.profile.conversational about.profile.think_tag about.profile.answer_tag
        about.profile.num_shuffles about.judge about.verifier about.versions
        about.seconds suites comparisons comparisons.0.model comparisons.0.baseline comparisons.0.suite
        comparisons.0.metric comparisons.0.difference paired paired.0.model paired.0.baseline paired.0.metric
        paired.0.wins paired.0.losses paired.0.num_both paired.0.num_neither paired.0.mcnemar_p
        glossary
        glossary.accuracy.label glossary.accuracy.meaning glossary.accuracy.better warnings warnings.0.model
        warnings.0.text suites.accuracy.ours.accuracy.value suites.accuracy.ours.accuracy.low
        suites.accuracy.ours.accuracy.high suites.accuracy.ours.accuracy.n
    """,
    "reward models": """
        about scores scores.edits.scored.model_type scores.edits.scored.best_of_n
        scores.edits.scored.texts_in_template scores.edits.scored.pairs_too_long
    """,
}
CASES = [(form, key) for form, keys in KEYS.items() for key in keys.split()]
REMOVED = object()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """Reads a small record of a form after one key was changed."""
    folder = tmp_path_factory.mktemp("damaged")
    texts = {
        "policies": json.dumps(stored(write_evaluation(folder / "policies", questions=20))),
        "reward models": json.dumps(stored(write_reward_model_evaluation(folder / "rewards", pairs=20))),
    }

    def read(form, key, value):
        record = json.loads(texts[form])
        place, (*above, last) = record, key.split(".")
        for part in above:
            place = place[int(part) if isinstance(place, list) else part]
        if value is REMOVED:
            del place[last]
        else:
            place[last] = value
        (folder / EVALUATION_FILE).write_text(json.dumps(record))
        return read_record(folder / EVALUATION_FILE)

    return read


def test_a_damaged_key_is_named_in_one_sentence(damaged):
    """One test for all keys, each of which takes a moment."""
    for form, key in CASES:
        check_damaged(damaged, form, key)


def check_damaged(damaged, form, key):
    values = [{"odd": [1]}, [{"odd": 1}], math.inf, math.nan, REMOVED]
    for value in values:
        try:
            found = damaged(form, key, value)
        except RunFolderError as error:
            said = str(error)
        else:
            pytest.fail(f"{form}: `{key}` = {value!r} is read as {found}")
        where, _, sentence = said.partition(f"{EVALUATION_FILE}: ")
        if value is REMOVED:
            assert sentence.startswith(f"`{key}` is missing. Evaluate again"), (form, said)
        elif key.startswith("suites.") and not isinstance(value, dict | list):
            assert sentence.startswith(f"`{key.rpartition('.')[0]}"), (form, key, said)
        else:
            assert sentence.startswith(f"`{key}"), (form, said)
        assert where, (form, key)
        assert "\n" not in sentence, (form, key)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: not JSON"),
        ("{", "line 1: not JSON"),
        ("[1]", "must hold a JSON object, got a list"),
        ("NaN", "must hold a JSON object, got a float"),
        ("{}", "`kind` is missing"),
        ('{"kind": "luck"}', "`kind`: Input should be 'policy', 'prompts', 'pairs', 'suite' or 'scores'; got 'luck'"),
        ('{"kind": "policy", "format": true}', "has `format` True"),
        ('{"kind": "policy", "format": 9}', "has `format` 9, this version reads 1"),
        ('{"kind": "policy", "format": {}}', "has `format` {}"),
        ('{"kind": "policy"}', "`about` is missing"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_file_that_is_something_else_is_one_sentence(tmp_path, text, words):
    (tmp_path / EVALUATION_FILE).write_text(text)
    with pytest.raises(RunFolderError) as caught:
        read_record(tmp_path / EVALUATION_FILE)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_one_sentence(tmp_path):
    with pytest.raises(RunFolderError, match=r"evaluation\.json is missing in .* `align eval` wrote"):
        read_record(tmp_path / EVALUATION_FILE)
    (tmp_path / EVALUATION_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(RunFolderError, match=r"cannot be read: .*utf-8"):
        read_record(tmp_path / EVALUATION_FILE)


def test_secrets_of_a_file_from_before_they_were_masked_are_not_shown(folders, tmp_path):
    record = stored(folders["policies"])
    record["about"]["data"]["path"] = "https://me:planted@host/x"
    (tmp_path / EVALUATION_FILE).write_text(json.dumps(record))
    found = read_record(tmp_path / EVALUATION_FILE)
    assert found.kind == "policy"
    assert found.about.data.path == "https://***@host/x"

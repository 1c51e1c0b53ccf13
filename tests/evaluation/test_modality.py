from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from looking import NAMES, Collector, Looker, Reader, colour_question, colours_seen, order_question
from scenes import square
from scripted_run import evaluate, make_questions, values
from written_evaluation import about

from align.evaluation.asking import Asker, KeptAnswers
from align.evaluation.engine import Finished
from align.evaluation.record.record import About
from align.evaluation.results import save_evaluation
from align.evaluation.suites import explain
from align.evaluation.suites.questions.evaluation import item_rows, policy_record
from align.evaluation.suites.questions.modality import CHANGES, count_generations, with_shuffled_frames
from align.evaluation.suites.questions.suite import SuiteSettings, evaluate_suites
from align.models.answer_cache import AnswerCache
from align.models.policies.answer_keys import question_key
from align.models.policies.asking import Decoding

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
WHAT = About.model_validate(about(["a"], 40))
COLOUR = [colour_question(i) for i in range(40)]
ORDER = [order_question(i) for i in range(48)]
HINTED = [colour_question(i, text=f"Which colour? It is {NAMES[i % 4]}.") for i in range(40)]


def probe(policy, questions, num_samples: int = 1):
    result = evaluate(policy, questions, num_samples, suites=("accuracy", "modality"))
    return result, values(result)


def drops(found):
    return {name: found[f"modality_reliance/{name}"] for name in CHANGES}


def test_a_policy_that_looks_loses_every_answer_that_is_not_a_by_luck():
    result, found = probe(Looker(), COLOUR)
    assert found["accuracy"] == found["accuracy_with/own_images"] == 1
    assert found["accuracy_with/no_images"] == found["accuracy_with/blank_images"] == 0.25  # it falls back to A
    assert found["accuracy_with/other_images"] == 0  # other content is another colour here
    assert drops(found) == pytest.approx(
        {"no_images": 0.75, "other_images": 1, "blank_images": 0.75, "shuffled_frames": np.nan}, nan_ok=True
    )
    assert found["same_answer_with/no_images"] == 0.25
    estimate = result.suites["modality"].summary()["modality_reliance/no_images"]
    assert 0 < estimate.low < 0.75 < estimate.high < 1
    assert estimate.n == 40


def test_a_shortcut_in_the_text_is_a_drop_of_zero_with_an_interval_around_it():
    result, found = probe(Reader(), HINTED)
    assert found["accuracy"] == 1
    assert drops(found) == pytest.approx(dict.fromkeys(CHANGES, 0) | {"shuffled_frames": np.nan}, nan_ok=True)
    assert all(found[f"same_answer_with/{name}"] == 1 for name in CHANGES if name != "shuffled_frames")
    estimate = result.suites["modality"].summary()["modality_reliance/no_images"]
    assert estimate.low < 0 < estimate.high


def test_only_a_policy_that_uses_the_order_of_frames_suffers_from_another_one():
    _, in_order = probe(Looker(), ORDER)
    _, in_any = probe(Collector(), ORDER)
    assert in_order["accuracy"] == 1
    assert in_order["accuracy_with/shuffled_frames"] == 0  # two frames are exchanged, so the other colour comes first
    assert in_order["modality_reliance/shuffled_frames"] == 1
    assert in_any["modality_reliance/shuffled_frames"] == 0
    assert in_any["same_answer_with/shuffled_frames"] == 1
    right = np.mean([min(colours_seen(question)) == question.answer for question in ORDER])
    assert in_any["accuracy"] == pytest.approx(right)
    assert in_any["modality_reliance/no_images"] == pytest.approx(right - 0.25)  # A is right where red comes first


def test_questions_without_images_are_not_asked_again_and_do_not_count():
    mixed = [*COLOUR[:8], *[replace(each, id=f"text {each.id}", images=()) for each in HINTED[:8]]]
    result, found = probe(Looker(), mixed)
    assert found["accuracy_with/own_images"] == 1
    assert result.suites["modality"].summary()["accuracy_with/no_images"].n == 8
    assert result.columns["asked_with"][-1] == []
    assert result.columns["no_images_choice"][8:] == [None] * 8
    assert count_generations(result.columns, Decoding()) == 8 * 3
    _, nothing = probe(Looker(), make_questions(4))
    assert all(np.isnan(drop) for drop in drops(nothing).values())


class Wavering(Looker):
    """Its greedy answers look and its samples do not."""

    def generate(self, questions, decoding):
        return (super() if decoding.greedy else Reader()).generate(questions, decoding)


def test_with_samples_the_probe_compares_greedy_answers():
    result, found = probe(Wavering(), COLOUR, num_samples=3)
    assert found["accuracy"] == 0.25
    assert found["accuracy_with/own_images"] == 1
    assert found["modality_reliance/no_images"] == 0.75
    assert result.suites["modality"].summary()["modality_reliance/no_images"].n == 40
    assert len(result.columns["no_images_choice"]) == 120
    assert count_generations(result.columns, Decoding(temperature=1.0, num_samples=3)) == 40 * 4


def test_every_change_is_a_stage_of_its_own():
    seen = {}
    asker = Asker(Looker(), kept=KeptAnswers(progress=lambda stage, done, total: seen.update({stage: (done, total)})))
    evaluate_suites(asker, ORDER[:6], SuiteSettings(suites=("modality",)))
    assert seen == {"answering": (6, 6)} | dict.fromkeys(CHANGES.values(), (6, 6))


class Counted(Looker):
    """Counts what it is asked."""

    fingerprint = "counted"

    def __init__(self) -> None:
        self.asked = 0

    def generate(self, questions, decoding):
        self.asked += len(questions)
        return super().generate(questions, decoding)


def test_answers_are_kept_by_the_content_of_the_images(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for i, path in enumerate(paths):
        square(NAMES[i]).save(path)
    questions = [colour_question(i, [str(path)]) for i, path in enumerate(paths)]

    def asked_anew():
        policy = Counted()
        with closing(AnswerCache(tmp_path / "cache")) as cache:
            Asker(policy, kept=KeptAnswers(cache)).respond(questions, Decoding())
        return policy.asked

    assert [asked_anew(), asked_anew()] == [4, 0]
    square("red", place=(20, 20)).save(paths[0])
    assert [asked_anew(), asked_anew()] == [1, 0]


def test_keys_of_text_questions_are_those_of_earlier_versions():
    text = make_questions(1)[0]
    assert question_key(text) == [text.id, text.question, list(text.options)]


def warnings_of(result, questions):
    record = policy_record(WHAT, {"a": result}, questions, SuiteSettings(suites=("accuracy", "modality")))
    metrics = record.suites["modality"]["a"]
    assert [metric for metric in metrics if explain(metric) is None] == []
    assert {"modality_reliance/", "accuracy_with/", "same_answer_with/"} <= set(record.glossary)
    return [warning.text for warning in record.warnings]


def test_a_change_that_costs_nothing_is_said_with_its_interval():
    assert warnings_of(probe(Looker(), ORDER)[0], ORDER) == []
    (shortcut,) = warnings_of(probe(Reader(), HINTED)[0], HINTED)
    assert shortcut.startswith("No fall in accuracy can be told when images are taken away or exchanged. It is 0")
    assert "0 points without images (-7 to 7; 100% of the answers stay), 0 points with another" in shortcut
    (order,) = warnings_of(probe(Collector(), ORDER)[0], ORDER)
    assert "when frames are shuffled. It is 0 points with shuffled frames" in order


class Contrarian(Looker):
    """Answers another colour than it sees, and the hint if it sees nothing."""

    def answer(self, question, order, trace):
        seen = colours_seen(question)
        if seen:
            return list(order).index((seen[0] + 1) % 4)
        return Reader().answer(question, order, trace)


def test_images_that_lead_astray_are_said_too():
    texts = warnings_of(probe(Contrarian(), HINTED)[0], HINTED)
    assert any(
        "is higher with changed images than with the own ones. The fall is -100 points" in text for text in texts
    )


def test_items_hold_the_answers_of_every_change_and_paths_of_images(tmp_path):
    import pandas as pd

    square("red").save(tmp_path / "red.png")
    questions = [colour_question(0, [str(tmp_path / "red.png"), square("blue")]), *ORDER[1:4]]
    result, _ = probe(Looker(), questions)
    record = policy_record(WHAT, {"a": result}, questions, SuiteSettings(suites=("accuracy", "modality")))
    save_evaluation(tmp_path, Finished(record, item_rows("a", result, questions, [""] * 4, 1)))
    items = pd.read_parquet(tmp_path / "items.parquet")
    assert [list(paths) for paths in items.images] == [
        [str(tmp_path / "red.png"), None],
        *[[None, None]] * 3,
    ]  # the page says of how many images nothing was kept
    assert set(items.asked_with[0]) == {"own_images", *CHANGES}
    exchanged = [colours_seen(with_shuffled_frames(each, 0))[0] for each in questions]
    assert items.shuffled_frames_choice.tolist() == exchanged
    assert items.no_images_completion.tolist() == ["<think>I looked.</think><answer>A</answer>"] * 4
    assert items.other_images_id.notna().all()
    plain = item_rows("a", evaluate(Looker(), make_questions(2)), make_questions(2), [""] * 2, 1)
    assert "images" not in plain[0]

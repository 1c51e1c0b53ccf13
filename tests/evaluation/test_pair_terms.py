import math

import numpy as np
import pytest
import torch
from tiny import tiny_model, tiny_tokenizer

from align.data.pairs.preferences import load_preferences
from align.errors import DataError, UserError
from align.evaluation.asking import Asker
from align.evaluation.statistics.metrics import pair_accuracy
from align.evaluation.suites.pairs.evaluation import (
    EQUAL,
    Judgement,
    judge_responses,
    judged_suite,
    pair_values,
    pairs_suite,
)
from align.models.pair_terms import PairTerms, SideTerms, check_tokenizers, pair_terms, tokenize_pair

ROWS = [
    {"prompt": "Capital of France? ", "chosen": "It is Paris.", "rejected": "It is Rome."},
    {"prompt": "2+2? ", "chosen": "four", "rejected": "It may be five or so"},
]


@pytest.fixture
def pairs(tmp_path):
    import json

    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return load_preferences(tmp_path / "pairs.jsonl")[0]


def side(change, marked_change=0.0, tokens=4, marked=2, kl=0.0):
    return SideTerms(tokens, change - 10, -10.0, kl, marked, marked_change - 3, -3.0)


def test_implicit_reward_accuracy_by_hand():
    """Pair 1: whole +1 against +2 is wrong, marked +3 against +1 is right; pair 2 has no marks; pair 3 is a tie."""
    terms = [
        PairTerms(side(1.0, 3.0, kl=2.0), side(2.0, 1.0)),
        PairTerms(side(0.5, 0.0, marked=0), side(-0.5, 0.0, marked=0)),
        PairTerms(side(0.0), side(0.0)),
    ]
    found = {name: cell.value for name, cell in pairs_suite(terms).summary().items()}
    assert found["implicit_reward_accuracy"] == pytest.approx((0 + 1 + 0.5) / 3)
    assert found["implicit_reward_accuracy/marked"] == pytest.approx((1 + 0.5) / 2)
    assert found["logp_change/chosen"] == pytest.approx(0.5)
    assert found["logp_change/chosen_marked"] == pytest.approx(1.5)
    assert found["logp_change/shared"] == pytest.approx((1 - 3 + 0) / 2)
    assert found["kl_per_token/chosen"] == pytest.approx(2 / 4 / 3)
    assert pairs_suite(terms).summary()["implicit_reward_accuracy/marked"].n == 2
    by_group = pairs_suite(terms, ["a", "b", "b"]).summary()
    assert by_group["implicit_reward_accuracy_by_group/b"].value == 0.75
    assert by_group["worst_group/implicit_reward_accuracy"].value == 0


def test_a_tie_is_half():
    assert pair_accuracy(np.array([0.0]) - np.array([0.0])).tolist() == [0.5]


def test_the_reference_itself_has_no_change_and_no_divergence(pairs):
    tokenizer, model = tiny_tokenizer(), tiny_model()
    tokens = [tokenize_pair(tokenizer, pair) for pair in pairs]
    values = pair_values(pair_terms(model, model, tokens))
    for name, each in values.items():
        expected = 0.5 if name.startswith("implicit") else 0.0
        assert each.tolist() == [expected] * 2, name


def test_terms_are_those_of_the_definition(pairs):
    """Log-probs of single sequences without padding, and KL(reference || model) over the whole vocabulary."""
    tokenizer, model, reference = tiny_tokenizer(), tiny_model(seed=0), tiny_model(seed=1)
    tokens = [tokenize_pair(tokenizer, pair) for pair in pairs]
    for pair, found in zip(tokens, pair_terms(model, reference, tokens), strict=True):
        for ids, marks, terms in (
            (pair.chosen, pair.chosen_marks, found.chosen),
            (pair.rejected, pair.rejected_marks, found.rejected),
        ):
            with torch.no_grad():
                p, q = (each(torch.tensor([ids])).logits[0].log_softmax(-1) for each in (model, reference))
            places = range(pair.prompt, len(ids))
            assert terms.tokens == len(ids) - pair.prompt == len(marks)
            assert terms.logp == pytest.approx(sum(float(p[t - 1, ids[t]]) for t in places), abs=1e-4)
            marked = [t for t, mark in zip(places, marks, strict=True) if mark]
            assert terms.marked == len(marked)
            assert terms.marked_ref_logp == pytest.approx(sum(float(q[t - 1, ids[t]]) for t in marked), abs=1e-4)
            kl = sum(float((q[t - 1].exp() * (q[t - 1] - p[t - 1])).sum()) for t in places)
            assert terms.kl == pytest.approx(kl, abs=1e-4)
            assert terms.kl > 0


def test_what_differs_is_marked_and_the_end_token_is_read(pairs):
    tokenizer = tiny_tokenizer()
    pair = tokenize_pair(tokenizer, pairs[0])
    marked = [t for t, mark in zip(pair.chosen[pair.prompt :], pair.chosen_marks, strict=True) if mark]
    assert tokenizer.decode(marked).startswith("Paris")
    assert pair.chosen[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(pair.chosen[: pair.prompt]) == "Capital of France? "


def test_other_tokenizers_are_refused():
    other = tiny_tokenizer()
    other.add_tokens(["<more>"])
    with pytest.raises(UserError, match=r"a and its reference b have different tokenizers .* as `--reference`"):
        check_tokenizers(tiny_tokenizer(), other, ("a", "b"))
    check_tokenizers(tiny_tokenizer(), tiny_tokenizer(), ("a", "b"))


def test_messages_without_a_template_are_told_where_one_goes(pairs, tmp_path):
    from dataclasses import replace

    from transformers import AutoTokenizer

    tiny_tokenizer().save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    pair = replace(pairs[0], prompt=[{"role": "user", "content": "Capital?"}])
    sentence = f"the tokenizer of {tmp_path}/model has no chat template. Put a `chat_template.jinja` into its folder"
    with pytest.raises(UserError, match=sentence):
        tokenize_pair(tokenizer, pair)


def test_a_template_that_changes_a_response_is_named_with_its_row(pairs):
    from dataclasses import replace

    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
    pair = replace(pairs[0], prompt=[{"role": "user", "content": "Capital?"}])
    with pytest.raises(DataError, match=r"Row 1 \(pairs-1\): The chat template changes the response"):
        tokenize_pair(tokenizer, pair)


class Judge:
    """Prefers the option that its rule names, by the text of what is shown."""

    chunk_size, fingerprint = 4, "judge"

    def __init__(self, place):
        self.place = place

    def score_letters(self, rows):
        found = []
        for row in rows:
            shown = [row.question.options[i] for i in row.order]
            best = self.place(shown)
            found.append([0.0 if i == best else -math.inf for i in range(len(shown))])
        return found


def judgements(place):
    ours, theirs = ["long answer", "same", "short"], ["brief", "same", "a much longer one"]
    return judge_responses(Asker(Judge(place)), ["a", "b", "c"], ["?"] * 3, ours, theirs)


def test_a_judge_with_taste_is_asked_in_both_orders():
    found = judgements(lambda shown: max(range(2), key=lambda i: len(shown[i])))
    assert found == [Judgement(0, 0), Judgement(2, 2), Judgement(1, 1)]
    suite = judged_suite({"b": found}).summary()
    values = {name: round(cell.value, 6) for name, cell in suite.items()}
    assert values == {"judged_win_rate/b": 0.5, "judged_ties/b": 0.333333, "judge_order_disagreement/b": 0.0}


def test_a_judge_who_follows_the_order_tells_nothing():
    found = judgements(lambda shown: 0)
    assert [each.worth for each in found] == [0.5, 0.5, 0.5]
    assert judged_suite({"b": found}).summary()["judge_order_disagreement/b"].value == pytest.approx(2 / 3)


def test_a_judge_may_call_a_tie():
    assert {each.worth for each in judgements(lambda shown: shown.index(EQUAL))} == {0.5}
    assert not any(each.disagrees for each in judgements(lambda shown: shown.index(EQUAL)))

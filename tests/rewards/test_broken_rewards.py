"""The corpus: each reward is broken in one way, and the check finds that and nothing else.

`PYTHONPATH=.:tests python tests/rewards/test_broken_rewards.py` prints it as a table.
"""

from pathlib import Path
from typing import NamedTuple

import pytest
from tried_rewards import Tried, try_all

from rewards.catalog import resolve_reward
from rewards.running.contract import LocalSubject, try_reward

FOLDER = Path(__file__).parent / "broken_rewards"
SUMS = [{"id": str(i), "prompt": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(4, 12)]
MESSAGE_SUMS = [row | {"prompt": [{"role": "user", "content": row["prompt"]}]} for row in SUMS]
THOUSANDS = [*SUMS[:7], {"id": "1000", "prompt": "What is 999 + 1?", "answer": "1,000"}]


class Case(NamedTuple):
    """What should be found in a reward, and with which data."""

    kind: str
    message: str
    rows: tuple = ()
    form: str | None = None


FIRST_ROWS = tuple(SUMS)
CASES = {
    "broken_signatures.py:no_keywords": Case("signature", r"does not take the keyword `prompts`, .*add `\*\*kwargs`"),
    "broken_signatures.py:positional_only": Case("signature", r"positional-only arguments.*remove the `/`"),
    "broken_signatures.py:singular_name": Case("missing_column", r"`completion`.*Did you mean `completions`"),
    "broken_signatures.py:misspelt_column": Case("missing_column", r"`anwser`.*Did you mean `answer`", FIRST_ROWS),
    "broken_signatures.py:column_through_kwargs": Case("missing_column", r"`solutions`.*lacks\. It is", FIRST_ROWS),
    "broken_signatures.py:column_nobody_can_make_up": Case("needs_data", r"`difficulty`, which cannot be made up"),
    "broken_signatures.py:column_of_no_data": Case("needs_data", r"`level`, which cannot be made up"),
    "broken_signatures.py:NeedsTwoArguments": Case("signature", r"does not take the keyword `completion_ids`"),
    "broken_signatures.py:column_under_another_name": Case("missing_column", r"`solutions`.*lacks\. It", FIRST_ROWS),
    "broken_signatures.py:column_it_does_without": Case(
        "absent_column", r"`solutions` in its `\*\*kw.*and goes on without", FIRST_ROWS, "text"
    ),
    "broken_values.py:no_return": Case("not_a_list", r"returned None \(NoneType\), not a list"),
    "broken_values.py:mean_of_the_batch": Case("not_a_list", r"\(float\), not a list"),
    "broken_values.py:as_text": Case("not_a_list", r"\(str\), not a list"),
    "broken_values.py:scores_by_text": Case("not_a_list", r"\(dict\), not a list"),
    "broken_values.py:as_set": Case("not_a_list", r"a set, which has no order"),
    "broken_values.py:skips_what_it_cannot_read": Case("wrong_length", r"returned \d+ values? for \d+ completions"),
    "broken_values.py:one_too_many": Case("wrong_length", r"returned 3 values for 2 completions"),
    "broken_values.py:strings": Case("not_a_number", r"returned '\d+' for 2 of 2 rows, .*a str is not a number"),
    "broken_values.py:dicts": Case("not_a_number", r"returned \{'score'.*a dict is not a number"),
    "broken_values.py:lists": Case("not_a_number", r"a list is not a number"),
    "broken_values.py:column_vector": Case("not_a_number", r"a ndarray is not a number"),
    "broken_values.py:complex_numbers": Case("not_a_number", r"a complex is not a number"),
    "broken_values.py:nan_without_answer": Case("not_finite", r"returned nan .*TRL skips NaN silently"),
    "broken_values.py:log_of_zero": Case("not_finite", r"-inf.*makes every advantage of its group NaN"),
    "broken_values.py:beyond_float32": Case("not_finite", r"makes every advantage of its group NaN"),
    "broken_values.py:coroutine_from_a_plain_function": Case("not_a_list", r"Declare the reward itself `async def`"),
    "broken_values.py:awaited_and_too_short": Case("wrong_length", r"returned 1 value for 2 completions"),
    "broken_values.py:hostile_floats": Case("not_a_number", r"<HostileFloat whose `repr` raises RuntimeError>"),
    "broken_values.py:integers_of_many_digits": Case("not_finite", r"<int whose `repr` raises.*of its group NaN"),
    "broken_values.py:decimal_nan": Case("not_finite", r"returned Decimal\('NaN'\).*TRL skips NaN silently"),
    "broken_values.py:generator_that_raises": Case("raises", r"RuntimeError: \\x1b\[31mred\\x07\\u200b \(line \d+ of"),
    "broken_values.py:tag_that_no_row_has": Case("always_none", r"returned None for every one of 8 responses"),
    "broken_values.py:silent_mostly": Case(
        "often_none", r"returned None for 88% of 16", (*SUMS[:7], SUMS[7] | {"answer": "first"})
    ),
    "broken_behaviour.py:noisy": Case("not_deterministic", r"gave the right answer in answer tags [\d.]+ and then"),
    "broken_behaviour.py:grows_with_every_call": Case("not_deterministic", r"keep no state"),
    "broken_behaviour.py:pays_new_texts_only": Case("not_deterministic", r"and then 0\."),
    "broken_behaviour.py:sorts_completions": Case("changes_inputs", r"changes its inputs: `completions`"),
    "broken_behaviour.py:strips_messages": Case("changes_inputs", r"`completions`", form="messages"),
    "broken_behaviour.py:pops_a_column": Case("changes_inputs", r"changes its inputs: `answer`. Copy before"),
    "broken_behaviour.py:bonus_for_the_first": Case("depends_on_order", r"when the batch is reversed"),
    "broken_behaviour.py:answers_of_the_row_before": Case("depends_on_order", r"by the same index"),
    "broken_behaviour.py:running_mean": Case("depends_on_order", r"keep nothing from row to row"),
    "broken_behaviour.py:divides_by_the_longest": Case("depends_on_batch", r"and 0\.\d+ alone.*whole_batch"),
    "broken_behaviour.py:rank_in_the_batch": Case("depends_on_batch", r"in a batch and 0 alone"),
    "broken_behaviour.py:standard_score": Case("raises", r"ZeroDivisionError.*in a batch of one completion"),
    "broken_behaviour.py:seeds_python": Case("seeds", r"sets the seed of random\."),
    "broken_behaviour.py:seeds_numpy": Case("seeds", r"sets the seed of numpy.random\..*generator of your own"),
    "broken_behaviour.py:changes_the_folder": Case("changes_folder", r"the working folder to .*broken_rewards"),
    "broken_behaviour.py:prints_each_row": Case("prints", r"to standard output: 'scoring \d+'"),
    "broken_behaviour.py:logs_the_first_only": Case("logs_wrong_length", r"logs 1 values in the column `length`"),
    "broken_behaviour.py:alarm_around_each_row": Case("differs_in_thread", r"and 0 outside of it.*`signal.alarm`"),
    "broken_globals.py:turns_gradients_off": Case("torch", r"changes settings of torch: gradients \(now off\)\."),
    "broken_globals.py:computes_in_double_precision": Case("torch", r"torch.float64\), .*\(highest to medium\)"),
    "broken_globals.py:computes_in_half_precision": Case("torch", r"of torch: autocast\. Put it back"),
    "broken_globals.py:works_in_a_folder_it_deletes": Case("changes_folder", r"to one that does not exist any more"),
    "broken_globals.py:prints_for_ever": Case("floods", r"more than 1,000,000 characters .*'scoring 2"),
    "broken_globals.py:raises_without_a_text": Case("raises", r"raised NoText, whose text cannot be read: its `__"),
    "broken_globals.py:tensors_with_gradients": Case("has_gradient", r"requires_grad|grad_fn.*`value.item\(\)`"),
    "broken_completions.py:divides_by_length": Case("fails_on_odd", r"ZeroDivisionError.*on an empty response"),
    "broken_completions.py:last_word": Case("fails_on_odd", r"IndexError.*on an empty response and \d+ other odd"),
    "broken_completions.py:after_the_trace": Case("raises", r"IndexError.*line \d+ of .*broken_completions.py"),
    "broken_completions.py:tag_index": Case("fails_on_odd", r"substring not found.*answer tag that is never closed"),
    "broken_completions.py:number_in_tags": Case("fails_on_odd", r"to float: 'A'.*on two answers and \d+ other"),
    "broken_completions.py:distance_to_number": Case("fails_on_odd", r"nan.*`nan` for an answer in answer tags"),
    "broken_completions.py:whole_number": Case("fails_on_odd", r"4300 digits.*5 000 digits for an answer"),
    "broken_completions.py:evaluates": Case("fails_on_odd", r"ZeroDivisionError.*a division by zero for an answer"),
    "broken_completions.py:fenced_json": Case("fails_on_odd", r"JSONDecode.*broken_completions.py\), on a code"),
    "broken_completions.py:parses_brackets": Case("fails_on_odd", r"RecursionError.*2 000 brackets"),
    "broken_completions.py:formats_the_response": Case("fails_on_odd", r"format characters"),
    "broken_completions.py:encodes_as_ascii": Case("fails_on_odd", r"UnicodeEncodeError.*scripts, emoji"),
    "broken_completions.py:empty_box": Case("fails_on_odd", r"IndexError.*an empty box"),
    "broken_completions.py:texts_only": Case("one_form", r"reads completions as texts only; .*TypeError"),
    "broken_completions.py:messages_only": Case("one_form", r"as messages only.*`rewards.completion_text"),
    "broken_completions.py:counts_messages": Case("forms_differ", r"as a text and 1 as a message"),
    "broken_completions.py:looks_for_tags_in_the_list": Case("forms_differ", r"1 as a text and 0 as a message"),
    "broken_completions.py:writes_the_list_out": Case(
        "forms_differ", r"does not look into messages", tuple(MESSAGE_SUMS), "messages"
    ),
    "broken_answers.py:wrong_sign": Case("wrong_above_right", r"the wrong answer in answer tags -?0 and"),
    "broken_answers.py:error_as_reward": Case("wrong_above_right", r"Check the sign"),
    "broken_answers.py:contains_the_answer": Case("pays_every_answer", r"as the right one, on 4 of 4 rows.*list them"),
    "broken_answers.py:names_the_letter": Case("pays_every_answer", r"A or B or C or D"),
    "broken_answers.py:is_part_of_the_answer": Case("pays_nothing", r"gives an empty response 1, as much as"),
    "broken_answers.py:starts_with_what_is_given": Case("pays_nothing", r"gives an empty response 1"),
    "broken_answers.py:compares_letter_with_index": Case("ignores_answer", r"reads `answer`, but gives right"),
    "broken_answers.py:reads_but_ignores": Case("ignores_answer", r"the same in every form that was tried"),
    "broken_answers.py:digits_only": Case(
        "right_below_maximum", r"in 1 of 8 rows: `answer` '1,000' gets 0", tuple(THOUSANDS)
    ),
    "broken_answers.py:first_option_is_special": Case("right_below_maximum", r"in 1 of 4 rows: `answer` 'A' gets 0"),
    "broken_answers.py:another_tag": Case("constant", r"gave 0 to all of \d+ .*It pays '<final_answer>"),
    "broken_answers.py:always_one": Case("constant", r"gave 1 to all of \d+ responses, right, wrong and odd ones"),
}  # fmt: skip
CLEAN = {
    "exact_answer": {}, "right_option": {}, "as_array": {}, "as_generator": {}, "penalty_for_length": {},
    "awaited": {}, "with_a_generator_of_its_own": {}, "none_where_it_has_nothing_to_say": {}, "logs_what_it_read": {},
    "last_number": {}, "first_number": {}, "behind_hashes": {}, "is_json": {}, "names_sources": {},
    "in_paragraphs": {}, "without_a_list": {}, "of_some_length": {},
    "shorter_than_the_others": {}, "length_as_rendered": {}, "Scaled": {"scale": 0.5}, "make_scaled": {},
    "starts_helpers_once": {}, "runs_a_program": {}, "scalars_of_numpy": {},
}  # fmt: skip


ON_DATA = ("exact_answer", "none_where_it_has_nothing_to_say", "shorter_than_the_others")
TRIED = {spec: Tried(str(FOLDER / spec), rows=case.rows, form=case.form) for spec, case in CASES.items()}
TRIED |= {name: Tried(str(FOLDER / f"clean_rewards.py:{name}"), kwargs) for name, kwargs in CLEAN.items()}
TRIED |= {
    (name, form, "data"): Tried(str(FOLDER / f"clean_rewards.py:{name}"), rows=rows, form=form)
    for name in ON_DATA
    for form, rows in (("text", tuple(SUMS)), ("messages", tuple(MESSAGE_SUMS)))
}


@pytest.fixture(scope="module")
def found():
    return dict(zip(TRIED, try_all(list(TRIED.values())), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("spec", CASES)
def test_exactly_the_fault_is_found(found, spec):
    case, problems = CASES[spec], found[spec]
    assert [problem.kind for problem in problems] == [case.kind], problems
    with pytest.raises(ValueError, match=case.message):
        raise ValueError(problems[0].text)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLEAN)
def test_nothing_is_found_in_a_clean_reward_in_either_form(found, name):
    assert found[name] == []


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "messages"])
def test_nor_on_data(found, form):
    assert [found[name, form, "data"] for name in ON_DATA] == [[]] * 3


def test_a_reward_that_cannot_be_pickled_is_found_unless_its_spec_can():
    spec = str(FOLDER / "broken_behaviour.py:HoldsALock")
    reward = resolve_reward(spec)
    assert try_reward(LocalSubject(reward)).problems == [], "it is pickled as its spec"
    (problem,) = try_reward(LocalSubject(reward._func)).problems
    assert (problem.kind, problem.level) == ("not_picklable", "warning")
    assert "cannot be pickled: cannot pickle '_thread.lock' object" in problem.problem


def print_table():
    print("| reward | found | message |\n|---|---|---|")
    for spec, problems in zip(CASES, try_all([TRIED[spec] for spec in CASES]), strict=True):
        for problem in problems:
            text = problem.text.replace(f"{FOLDER}/", "").replace(str(FOLDER.parent), "...").replace("|", "\\|")
            print(f"| {spec.partition(':')[2]} | {problem.level}: {problem.kind} | {text} |")


if __name__ == "__main__":
    print_table()

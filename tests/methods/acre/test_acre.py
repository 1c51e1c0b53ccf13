import random
import re

import pandas as pd
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tiny import tiny_model, tiny_tokenizer
from trl import GRPOConfig, GRPOTrainer

import align
from align.methods.acre.config import ACREConfig
from align.methods.acre.trainer import ACRETrainer
from rewards import AnswerConsistency, render_options
from rewards.reading.options import LETTERS
from rewards.reading.responses import parse_response

TOKENIZER = tiny_tokenizer()
QUIET = {"bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
QUIET |= {"gradient_checkpointing": False}  # which the neutral run has, as users do


def render(question, options):
    return f"{question}\n{render_options(options)}\n"


def make_rows(count=24, options=None, seed=0):
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        texts = options or [str(number) for number in rng.sample(range(10, 99), 4)]
        question = f"q{i}?"
        rows.append(
            {
                "prompt": render(question, texts),
                "question": question,
                "options": texts,
                "answer": rng.randrange(len(texts)),
            }
        )
    return rows


def by_length(completions, **kwargs):
    return [float(len(completion) % 3) for completion in completions]


def make_trainer(tmp_path, reward_funcs, rows=None, *, trainer=ACRETrainer, model=None, peft_config=None, **settings):
    base = QUIET | {
        "output_dir": str(tmp_path),
        "max_steps": 3,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 6,
        "learning_rate": 1e-2,
        "logging_steps": 1,
    }
    config = ACREConfig if trainer is ACRETrainer or issubclass(trainer, ACRETrainer) else GRPOConfig
    extra = {"render_prompt": render} if config is ACREConfig else {}
    return trainer(
        model or tiny_model(vocabulary=len(TOKENIZER)),
        reward_funcs=reward_funcs,
        args=config(**base | settings),
        train_dataset=Dataset.from_list(rows or make_rows()),
        processing_class=TOKENIZER,
        peft_config=peft_config,
        **extra,
    )


class Scripted(ACRETrainer):
    """Replaces what was sampled by given responses, in turn; everything after the sampling is real."""

    responses = ("<think>x</think><answer>A</answer>",)

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        texts = [self.responses[i % len(self.responses)] for i in range(len(prompt_ids))]
        return [[*TOKENIZER.encode(text), TOKENIZER.eos_token_id] for text in texts], None


def scripted(*responses, beside=()):
    return type("ScriptedTrainer", (Scripted, *beside), {"responses": responses})


def answering(trainer):
    """Samples for real, and puts the sampled tokens into a response that has an answer."""
    sample = trainer._generate_single_turn

    def generate(*args, **kwargs):
        sampled, logps = sample(*args, **kwargs)
        start, end = TOKENIZER.encode("<think>"), TOKENIZER.encode("</think><answer>B</answer>")
        return [start + [i for i in ids if 3 <= i < 100] + end for ids in sampled], logps

    return generate


def losses(trainer):
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.by_day("settings1")
@pytest.mark.parametrize(
    "settings",
    [{"gradient_checkpointing": True}, {"beta": 0.1, "gradient_accumulation_steps": 2, "num_iterations": 2}],
)
def test_neutral_settings_give_the_losses_of_grpo(tmp_path, settings):
    path = str(tmp_path / "model")  # TRL loads the reference model from where the policy came from
    tiny_model(vocabulary=len(TOKENIZER)).save_pretrained(path)
    settings = settings | {"model": path, "model_init_kwargs": {"dtype": "float32"}}
    neutral = [AnswerConsistency(both=1, first_only=1, second_only=0), by_length]
    parent = losses(make_trainer(tmp_path, [by_length], trainer=GRPOTrainer, **settings))
    assert len(set(parent)) == 3
    settings["skip_without_advantage"] = "off"
    assert losses(make_trainer(tmp_path, [by_length], second_pass="off", **settings)) == parent
    assert losses(make_trainer(tmp_path, neutral, reward_weights=[0.0, 1.0], **settings)) == parent


def test_the_coefficients_one_one_zero_reward_plain_accuracy(tmp_path):
    def accuracy(first_choice, answer, **kwargs):
        return [float(first == gold) for first, gold in zip(first_choice, answer, strict=True)]

    answers = [f"<think>x</think><answer>{letter}</answer>" for letter in "ABCD"]
    neutral = AnswerConsistency(both=1, first_only=1, second_only=0)
    logs = [losses(make_trainer(tmp_path, [f], trainer=scripted(*answers))) for f in (accuracy, neutral)]
    assert logs[0] == logs[1]


def test_a_second_pass_does_not_move_the_random_numbers_of_the_rollouts(tmp_path):
    def texts(**settings):
        sampled = []
        rewards = [
            AnswerConsistency(),
            lambda completions, **kwargs: sampled.extend(completions) or by_length(completions),
        ]
        trainer = make_trainer(tmp_path, rewards, reward_weights=[0.0, 1.0], max_steps=2, **settings)
        trainer._generate_single_turn = answering(trainer)
        trainer.train()
        return sampled, trainer.state.log_history[0].get("acre/asked_again")

    plain, asked = texts(second_pass="off"), texts(second_pass_rows="all")
    assert asked[1] == 1.0
    assert plain[0] == asked[0]


def table(trainer, folder):
    trainer.args.log_completions = trainer.log_completions = True
    (folder / "completions").mkdir(exist_ok=True)
    trainer.num_completions_to_print = 0
    trainer.train()
    return pd.concat([pd.read_parquet(path) for path in sorted((folder / "completions").glob("*.parquet"))])


def second_answer_by_hand(model, row):
    """Asks the shuffled question in one plain forward pass, from the strings of the completions table."""
    question, *shown = re.split(r"\n[A-D]\. ", row["prompt"].rstrip("\n"))
    order = [LETTERS.index(letter) for letter in row["permutation"]]
    prompt = render(question, [shown[i] for i in order])
    prefix = row["completion"].split("<answer>")[0] + "<answer>"
    letters = torch.tensor(TOKENIZER.convert_tokens_to_ids(list(LETTERS[: len(shown)])))
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([TOKENIZER.encode(prompt + prefix)])).logits[0, -1, letters]
    return LETTERS[order[int(logits.argmax())]]


@pytest.mark.parametrize("scope", ["group", "row"])
def test_second_answers_are_those_of_the_policy_on_the_shuffled_question(tmp_path, scope):
    cls = scripted(*(f"<think>{n}</think><answer>{letter}</answer>" for n, letter in zip("1234", "ABCD", strict=True)))
    trainer = make_trainer(tmp_path, [AnswerConsistency()], trainer=cls, max_steps=1, permutation_scope=scope)
    model = tiny_model(vocabulary=len(TOKENIZER))  # the weights of the first step
    rows = table(trainer, tmp_path)
    assert len(rows) == 8
    for _, row in rows.iterrows():
        assert row["second_answers"] == second_answer_by_hand(model, row)
    orders_per_prompt = rows.groupby("prompt")["permutation"].nunique()
    assert (orders_per_prompt == 1).all() if scope == "group" else (orders_per_prompt > 1).any()


def test_the_table_shows_trace_answers_permutation_outcome_and_every_reward(tmp_path):
    cls = scripted("<think>12</think><answer>A</answer>", "no tags")
    rows = table(make_trainer(tmp_path, [AnswerConsistency(), by_length], trainer=cls, max_steps=1), tmp_path)
    answered, silent = rows.iloc[0], rows.iloc[1]
    assert answered["trace"] == "12"
    assert answered["first_answer"] == "A"
    assert sorted(answered["permutation"]) == list("ABCD")
    assert answered["outcome"] in ("both", "first_only", "second_only", "neither")
    assert {"answer_consistency", "by_length", "advantage", "prompt", "completion"} <= set(rows.columns)
    assert silent[["trace", "first_answer", "second_answers", "outcome"]].isna().all()
    assert silent["answer_consistency"] == 0.0


def test_the_same_question_with_other_options_is_another_prompt(tmp_path):
    rows = [row | {"question": "which?", "prompt": render("which?", row["options"])} for row in make_rows(8)]
    trainer = make_trainer(tmp_path, [AnswerConsistency()], rows, trainer=Scripted, max_steps=1)
    model = tiny_model(vocabulary=len(TOKENIZER))
    for _, row in table(trainer, tmp_path).iterrows():
        assert row["second_answers"] == second_answer_by_hand(model, row)


def test_only_rows_whose_reward_can_depend_on_it_are_asked_again(tmp_path):
    answers = [f"<think>x</think><answer>{letter}</answer>" for letter in "ABCD"]
    cases = [({"second_only": 0.0}, {"first_only", "both"}), ({"first_only": 1.0}, {"second_only", "neither"})]
    for coefficients, possible in cases:
        trainer = make_trainer(tmp_path, [AnswerConsistency(**coefficients)], trainer=scripted(*answers), max_steps=2)
        outcomes = set(table(trainer, tmp_path)["outcome"].dropna())
        assert outcomes
        assert outcomes <= possible


def test_a_plain_function_that_names_the_column_gets_second_answers(tmp_path):
    seen = []

    def agreement(first_choice, second_choices, **kwargs):
        seen.extend(second_choices)
        return [float(seconds == [first]) for first, seconds in zip(first_choice, second_choices, strict=True)]

    make_trainer(tmp_path, [agreement], trainer=scripted("<think>x</think><answer>B</answer>"), max_steps=1).train()
    assert len(seen) == 8
    assert all(seconds and 0 <= seconds[0] < 4 for seconds in seen)


def test_several_shuffles_give_several_second_answers(tmp_path):
    trainer = make_trainer(tmp_path, [AnswerConsistency()], trainer=Scripted, max_steps=1, num_shuffles=3)
    rows = table(trainer, tmp_path)
    assert (rows["second_answers"].str.split().str.len() == 3).all()
    assert (rows["permutation"].str.split().str.len() == 3).all()


def test_options_that_name_letters_are_rewarded_by_the_first_answer_alone(tmp_path):
    rows = make_rows(options=["iron", "gold", "both A and B", "lead"])
    trainer = make_trainer(tmp_path, [AnswerConsistency()], rows, trainer=Scripted, max_steps=3)
    rows = table(trainer, tmp_path)
    assert rows[["permutation", "second_answers", "outcome"]].isna().all(axis=None)
    log = trainer.state.log_history[0]
    assert log["acre/asked_again"] == 0.0
    assert not {"acre/consistency_rate", "acre/outcome_both"} & set(log)
    assert log["rewards/answer_consistency/mean"] == log["acre/first_right"]


def test_excluding_the_identity_always_moves_an_option(tmp_path):
    rows = make_rows(options=["iron", "gold"])
    trainer = make_trainer(tmp_path, [AnswerConsistency()], rows, trainer=Scripted, max_steps=3, exclude_identity=True)
    assert set(table(trainer, tmp_path)["permutation"]) == {"BA"}


def test_scrubbing_changes_what_the_second_pass_reads(tmp_path):
    answers = "<think>the answer is option B</think><answer>B</answer>"
    scrubbed = make_trainer(tmp_path, [AnswerConsistency()], trainer=scripted(answers), scrub_letters=True)
    given = make_rows(1)[0]
    place = scrubbed._place(TOKENIZER.encode(answers), answers, parse_response(answers), given["options"])
    assert TOKENIZER.decode(place.prefix_ids) == f"<think>the answer is option {given['options'][1]}</think><answer>"


def test_an_asynchronous_trainer_has_the_same_answers_and_rewards_by_a_reward_of_its_own(tmp_path):
    """TRL's `AsyncGRPOTrainer` calls it with messages and the columns of the data, and nothing of a trainer."""
    texts = [f"<think>t{i}</think><answer>{letter}</answer>" for i, letter in enumerate("ABCD")] + ["none"] * 4
    rows = make_rows(8, seed=3)
    trainer = make_trainer(tmp_path, [AnswerConsistency()], rows)
    trainer.model.eval()

    def score(asked):
        for each in asked:
            prompt = render(rows[each.row]["question"], each.options)
            ids = torch.tensor([TOKENIZER.encode(prompt + texts[each.row][: each.response.answer_start])])
            with torch.no_grad():
                logps = trainer.model(ids).logits[0, -1].log_softmax(-1)
            yield logps[TOKENIZER.convert_tokens_to_ids(list("ABCD"))].tolist()

    def consistency(completions, question, options, answer, **_):
        columns = zip(question, options, answer, strict=True)
        given = [{"question": asked, "options": told, "answer": right} for asked, told, right in columns]
        twice = [each.columns() for each in align.answer_twice(given, completions, score, draw=trainer._permutations)]
        return twice, AnswerConsistency()(answer=answer, **{name: [each[name] for each in twice] for name in twice[0]})

    columns = {name: [row[name] for row in rows] for name in ("question", "options", "answer")}
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    ids = [TOKENIZER.encode(text) for text in texts]
    twice, paid = consistency(prompts=[[]] * 8, completions=messages, completion_ids=ids, **columns)
    assert twice == trainer._answer_twice(rows, texts, ids).columns
    assert [each["second_choices"] is None for each in twice] == [False] * 4 + [True] * 4
    prompts = [row["prompt"] for row in rows]
    assert paid == pytest.approx(trainer._calculate_rewards(rows, prompts, texts, ids)[:, 0].tolist())


@pytest.mark.parametrize(
    ("row", "score", "told"),
    [
        ({"options": ["a", "b"]}, None, "Row 0 has no question; its columns: options."),
        ({"question": "q?", "options": ["a", "b"]}, lambda asked: [], r"2\] of them; got \[\]"),
        ({"question": "q?", "options": ["a", "b"]}, lambda asked: [[0.0]], r"2\] of them; got \[1\]"),
        ({"question": "q?", "options": ["a", "b"], "answer": "B"}, None, "`answer` must be the index"),
    ],
)
def test_rows_and_scores_that_do_not_fit_are_named(row, score, told):
    with pytest.raises(ValueError, match=told):
        align.answer_twice([row], ["<think>x</think><answer>A</answer>"], score)


def test_a_response_that_trl_took_apart_is_read_as_it_was_written(tmp_path):
    answers = "<think>it rusts</think>\n\n<answer>B</answer>"
    trainer = make_trainer(tmp_path, [AnswerConsistency()], trainer=scripted(answers))
    given = make_rows(1)
    # As `Tokenizer.parse_response` gives it, where the tokenizer has a `response_template` with a trace.
    parts = {"role": "assistant", "reasoning_content": "it rusts", "content": "<answer>B</answer>"}
    (whole,) = trainer._answer_twice(given, [answers], [TOKENIZER.encode(answers)]).table
    (found,) = trainer._answer_twice(given, [[parts]], [TOKENIZER.encode(answers)]).table
    assert found["second_answers"] is not None
    assert found == whole


def test_logged_rates_add_up(tmp_path):
    answers = [f"<think>option A</think><answer>{letter}</answer>" for letter in "AB"]
    trainer = make_trainer(tmp_path, [AnswerConsistency()], trainer=scripted(*answers), max_steps=2)
    trainer.train()
    log = trainer.state.log_history[0]
    assert sum(
        log[f"acre/outcome_{name}"] for name in ("both", "first_only", "second_only", "neither")
    ) == pytest.approx(1)
    assert sum(log[f"acre/gold_share_{letter}"] for letter in "ABCD") == pytest.approx(1)
    assert log["acre/answer_share_A"] == log["acre/answer_share_B"] == 0.5
    assert log["acre/trace_names_letter"] == 1.0
    assert log["acre/trace_quotes_answer"] == 0.0
    assert log["acre/asked_again"] == 1.0
    assert 0 < log["acre/second_pass_share"] < 1


def test_lora_trains_the_adapter_with_second_answers(tmp_path):
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = make_trainer(tmp_path, [AnswerConsistency()], trainer=Scripted, peft_config=lora, max_steps=2, beta=0.1)
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    changed = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert trainer.state.log_history[0]["acre/asked_again"] == 1.0
    assert all("lora" in name for name in changed)


def test_evaluation_asks_again_too(tmp_path):
    trainer = make_trainer(tmp_path, [AnswerConsistency()], trainer=Scripted, per_device_eval_batch_size=8)
    metrics = trainer.evaluate(Dataset.from_list(make_rows(8, seed=1)))
    assert metrics["eval_acre/asked_again"] == 1.0

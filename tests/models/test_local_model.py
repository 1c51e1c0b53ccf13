import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from tiny import tiny_model

from align.models.samplers.local_model import LocalSampler, SeededChoice, device_of_process
from align.models.samplers.sampler import TOO_LONG, Failure, Request, SamplerError


def requests(count=6, **settings):
    return [Request(f"What is {'1' * i}?", seed=i, max_new_tokens=12, **settings) for i in range(count)]


def sample(model, asked, batch_size=4):
    results = {}
    LocalSampler(str(model), batch_size=batch_size).sample(asked, results.__setitem__)
    return [results[i] for i in range(len(asked))]


def test_answers_depend_on_their_seed_and_not_on_their_batch(tiny_model_folder):
    asked = requests(4)
    together = sample(tiny_model_folder, asked, batch_size=4)
    assert sample(tiny_model_folder, asked, batch_size=1) == together
    assert sample(tiny_model_folder, requests(4, temperature=1)) == together
    assert sample(tiny_model_folder, asked[::-1], batch_size=3)[::-1] == together
    again = [Request(each.prompt, seed=99 + each.seed, max_new_tokens=12) for each in asked]
    assert sample(tiny_model_folder, again) != together


def test_the_chat_template_is_used(tiny_model_folder):
    text, messages = requests(1)[0], Request([{"role": "user", "content": "What is ?"}], seed=0, max_new_tokens=12)
    answers = sample(tiny_model_folder, [text, messages])
    assert answers[0] == answers[1]
    assert answers[0].prompt_tokens == len("user: What is ?\nassistant: ")


def test_without_a_chat_template_a_text_is_continued_and_messages_are_refused(tmp_path, tiny_model_folder):
    bare(tiny_model_folder, tmp_path)
    assert sample(tmp_path, requests(1))[0].prompt_tokens == len("What is ?")
    with pytest.raises(SamplerError, match="no chat template"):
        sample(tmp_path, [Request([{"role": "user", "content": "?"}], seed=0)])


def test_a_model_with_a_chat_template_reads_texts_as_they_are_where_that_is_said(tmp_path, tiny_model_folder):
    sampler = LocalSampler(str(tiny_model_folder), conversational=False)
    assert not sampler.uses_chat_template
    assert sampler.identity != LocalSampler(str(tiny_model_folder)).identity
    results = {}
    sampler.sample(requests(1), results.__setitem__)
    assert results[0].prompt_tokens == len("What is ?")
    with pytest.raises(SamplerError, match="was to read no messages, so its prompts must be texts"):
        sampler.sample([Request([{"role": "user", "content": "?"}], seed=0)], results.__setitem__)
    bare(tiny_model_folder, tmp_path)
    with pytest.raises(SamplerError, match="no chat template, so its prompts must be texts: `--no-conversational`"):
        LocalSampler(str(tmp_path), conversational=True).sample(requests(1), results.__setitem__)


def bare(model, folder):
    """Copies a model without its chat template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    tiny_model(vocabulary=len(tokenizer)).save_pretrained(folder)


def test_temperature_zero_is_greedy_and_requests_of_other_settings_go_apart(tiny_model_folder):
    greedy, hot = requests(3, temperature=0.0), requests(3, temperature=5.0)
    mixed = sample(tiny_model_folder, [each for pair in zip(greedy, hot, strict=True) for each in pair], batch_size=3)
    assert mixed[::2] == sample(tiny_model_folder, greedy)
    assert mixed[1::2] == sample(tiny_model_folder, hot)
    assert all(one.text != other.text for one, other in zip(mixed[::2], mixed[1::2], strict=True))


def test_a_prompt_beyond_the_window_is_not_asked_and_answers_end_with_it(tiny_model_folder):
    (short,), template = requests(1), len("user: \nassistant: ")
    over, tight = (Request("x" * (length - template), seed=0, max_new_tokens=12) for length in (512, 509))
    answers = sample(tiny_model_folder, [short, over, tight])
    assert answers[1] == Failure(TOO_LONG, "the prompt has 512 tokens, and model has a window of 512")
    assert [answers[0], answers[2]] == sample(tiny_model_folder, [short, tight], batch_size=1)
    assert (answers[2].prompt_tokens, answers[2].completion_tokens, answers[2].cut_off) == (509, 3, True)


def test_a_response_at_its_limit_is_cut_off(tiny_model_folder):
    answers = sample(tiny_model_folder, requests(12))
    assert {answer.cut_off for answer in answers if answer.completion_tokens < 12} <= {False}
    assert all(answer.completion_tokens == 12 for answer in answers if answer.cut_off)
    assert any(answer.cut_off for answer in answers)


def test_noise_turns_the_largest_logit_into_a_sample():
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    count = 4000
    noisy = SeededChoice(range(count))(None, probabilities.log().expand(count, 4))
    shares = noisy.argmax(-1).bincount(minlength=4) / count
    for share, probability in zip(shares.tolist(), probabilities.tolist(), strict=True):
        assert abs(share - probability) < 4 * math.sqrt(probability * (1 - probability) / count)


def test_a_changed_model_folder_has_another_identity(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    before = LocalSampler(str(tmp_path)).identity
    assert LocalSampler(str(tmp_path)).identity == before
    tiny_model(seed=1).save_pretrained(tmp_path)
    assert LocalSampler(str(tmp_path)).identity != before


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SamplerError, match="cannot be loaded"):
        sample(tmp_path / "nowhere", requests(1))


def test_an_adapter_is_read_with_the_configuration_of_its_base(tmp_path, tiny_model_folder):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    config = LoraConfig(target_modules="all-linear", lora_alpha=200, init_lora_weights=False)
    get_peft_model(base, config).save_pretrained(tmp_path / "adapter")
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(tmp_path / "adapter")
    assert sample(tmp_path / "adapter", requests(2)) != sample(tiny_model_folder, requests(2))


@pytest.fixture
def launched(monkeypatch):
    """Two accelerators for the second process of a launch, for want of real ones; no trainer yet."""
    monkeypatch.setattr(AcceleratorState, "_shared_state", {})
    monkeypatch.setattr(PartialState, "_shared_state", {})
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")


def test_each_process_of_a_launch_has_an_accelerator_of_its_own(launched, monkeypatch):
    assert device_of_process() == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "3")  # of more processes than accelerators, which accelerate numbers so
    assert device_of_process() == torch.device("cuda", 1)
    monkeypatch.delenv("LOCAL_RANK")
    assert device_of_process() == torch.device("cuda")


def test_in_training_it_answers_on_the_device_of_the_trainer_in_whatever_thread(
    tiny_model_folder, launched, monkeypatch
):
    monkeypatch.delenv("LOCAL_RANK")
    Accelerator(cpu=True)  # though there are others, as with `use_cpu`
    with ThreadPoolExecutor() as pool:
        answers = pool.submit(sample, tiny_model_folder, requests(2)).result()
    assert [answer.prompt_tokens for answer in answers] == [27, 28]

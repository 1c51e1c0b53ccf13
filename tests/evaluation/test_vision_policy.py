from dataclasses import replace

import pytest
import torch
from looking import TEMPLATE, colour_question, looking_model, order_question
from scripted_run import values
from tiny import tiny_vl_model_and_processor

from align.data.conversations import put_images_in
from align.data.media.images import open_image
from align.data.questions.templates import PromptTemplate
from align.errors import UserError
from align.evaluation.asking import Asker
from align.evaluation.suites.questions.suite import SuiteSettings, evaluate_suites
from align.models.policies.asking import Decoding, LetterQuestion, Prompt
from align.models.policies.model_policy import VisionPolicy, make_policy
from align.models.policies.vision_prompts import ProcessedPrompt, VisionPrompts
from align.models.second_pass.forward import SecondPassRow
from rewards.reading.options import permute

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")
QUESTIONS = [colour_question(i) for i in range(8)]
DECODING = Decoding(max_new_tokens=12)


@pytest.fixture(scope="module")
def policy():
    return VisionPolicy(*looking_model(), TEMPLATE, batch_size=4)


def test_images_stand_where_trl_puts_them_in_training():
    from trl.data_utils import prepare_multimodal_messages

    template = PromptTemplate("{question}\n{options}", system_prompt="Look.")
    question = order_question(0)
    messages = template.render(question.question, question.options)
    entries = [{"type": "image", "image": image} for image in question.images]
    assert put_images_in(messages, entries) == prepare_multimodal_messages(messages, images=list(question.images))
    assert put_images_in(messages, []) == prepare_multimodal_messages(messages)


@pytest.mark.parametrize("given", [{"prefix": "<think>"}, {"stop": "</answer>"}])
def test_a_given_beginning_or_end_is_refused_and_not_left_out(policy, given):
    with pytest.raises(UserError, match="'q' fixes how its response begins or ends"):
        policy.complete([Prompt("q", "Which?", **given)], DECODING)


def test_a_model_that_looks_is_measured_to_look(policy):
    settings = SuiteSettings(
        suites=("accuracy", "consistency", "rotation", "reliance", "modality"), decoding=DECODING, num_shuffles=2
    )
    result = evaluate_suites(Asker(policy), QUESTIONS, settings)
    found = values(result)
    assert found["accuracy"] == found["answered"] == 1
    # Without something to see it answers one letter, which is right for one colour in four.
    assert found["accuracy_with/no_images"] == found["modality_reliance/no_images"] - 0.5 == 0.25
    assert found["accuracy_with/other_images"] == 0
    assert all(len(item.second_choices) == 2 for item in result.items)
    assert all(len(each) == 3 for each in result.columns["rotation_choices"])
    assert result.suites["reliance"].summary()["same_answer/masked"].n == 8


def test_answers_do_not_depend_on_the_batch_and_mixed_questions_are_read_apart(policy):
    mixed = [each if i % 3 else replace(each, images=()) for i, each in enumerate(QUESTIONS[:4])]
    mixed += [order_question(i) for i in range(2)]
    for each in (policy, VisionPolicy(*tiny_vl_model_and_processor(family="idefics3"), TEMPLATE, batch_size=4)):
        alone = [each.generate([question], DECODING)[0] for question in mixed]
        assert each.generate(mixed, DECODING) == alone
        assert len(set(map(str, alone))) > 2
    sampled = policy.generate(mixed, replace(DECODING, temperature=1.0, num_samples=3))
    assert [len(each) for each in sampled] == [3] * len(mixed)


@pytest.mark.by_day("images-idefics3", "frames-qwen2_5_vl", "text-idefics3")
@pytest.mark.parametrize("family", ["qwen2_5_vl", "idefics3"])
@pytest.mark.parametrize("kind", ["images", "frames", "text"])
def test_letters_are_those_of_a_plain_forward_pass(kind, family):
    model, processor = tiny_vl_model_and_processor(seed=1, family=family)
    policy = VisionPolicy(model, processor, TEMPLATE)
    questions = [order_question(i) if kind == "frames" else colour_question(i) for i in range(3)]
    if kind == "text":
        questions = [replace(each, images=()) for each in questions]
    prefixes = ["<think>red</think><answer>", "<think>it is blue</think><answer>"]
    orders = [(1, 0, 2, 3), (3, 2, 1, 0)]
    rows = [LetterQuestion(each, order, prefix) for each in questions for order in orders for prefix in prefixes]
    scores = policy.score_letters(rows)
    letters = processor.tokenizer.convert_tokens_to_ids(list("ABCD"))
    model.eval()
    for row, found in zip(rows, scores, strict=True):
        shown = TEMPLATE.render(row.question.question, permute(row.question.options, row.order))[0]["content"]
        parts = [*[{"type": "image"} for _ in row.question.images], {"type": "text", "text": shown}]
        text = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
        images = [open_image(image) for image in row.question.images]
        inputs = processor(text=[text + row.prefix], images=images or None, return_tensors="pt")
        with torch.no_grad():
            expected = model(**inputs).logits[0, -1, letters].log_softmax(-1).tolist()
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "idefics3"])
def test_images_are_processed_once_for_all_orders_and_the_prompts_are_the_same(family, monkeypatch):
    _, processor = tiny_vl_model_and_processor(family=family)
    orders = [(0, 1, 2, 3), (1, 0, 2, 3), (3, 2, 1, 0), (1, 0, 2, 3)]
    asked = [(question, order) for question in (order_question(0), colour_question(1)) for order in orders]
    expected = [VisionPrompts(processor, TEMPLATE).prompt_rows([prompt])[0] for prompt in asked]
    processed = []
    prompts = VisionPrompts(processor, TEMPLATE)
    read = prompts.read
    monkeypatch.setattr(prompts, "read", lambda batch: processed.append(batch) or read(batch))
    rows = prompts.prompt_rows(asked)
    assert [row.prompt_ids for row in rows] == [row.prompt_ids for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert row.images.keys() == other.images.keys() != set()
        assert all(torch.equal(row.images[name], other.images[name]) for name in row.images)
    assert len(processed) == 3  # each question, and one more prompt to see that the tokens are right
    assert rows[1] is rows[3]
    assert rows[2].images["pixel_values"] is rows[0].images["pixel_values"]


def test_a_processor_whose_tokens_cannot_be_told_from_the_text_reads_every_prompt(monkeypatch):
    _, processor = tiny_vl_model_and_processor()
    prompts = VisionPrompts(processor, TEMPLATE)
    asked = [
        (question, order)
        for question in (order_question(0), order_question(1))
        for order in [(0, 1, 2, 3), (1, 0, 2, 3)]
    ]
    expected = prompts.prompt_rows(asked)
    monkeypatch.setattr(ProcessedPrompt, "respell", lambda self, ids: SecondPassRow(ids, [], []))
    other = VisionPrompts(processor, TEMPLATE)
    assert [row.prompt_ids for row in other.prompt_rows(asked)] == [row.prompt_ids for row in expected]


def test_the_prompt_is_shown_with_one_placeholder_per_image():
    _, processor = tiny_vl_model_and_processor()
    prompts = VisionPrompts(processor, TEMPLATE)
    shown = prompts.show(order_question(0))
    assert shown.count("<|image_pad|>") == 2
    assert shown.index("<|image_pad|>") < shown.index("Which colour comes first?\nA. red")
    assert prompts.show(replace(order_question(0), images=())) == shown.replace(
        "<|vision_start|><|image_pad|><|vision_end|>", ""
    )


def test_plain_text_prompts_have_no_place_for_images():
    model, processor = tiny_vl_model_and_processor()
    plain = PromptTemplate("{question}\n{options}", conversational=False)
    policy = make_policy(model, processor, plain)
    assert policy.generate([replace(QUESTIONS[0], images=())], Decoding(max_new_tokens=2))
    with pytest.raises(UserError, match=r"'q0' has images, .* and prompts are plain text\. Give `--conversational`"):
        policy.generate(QUESTIONS[:1], DECODING)


def test_a_policy_in_memory_needs_its_processor_to_see():
    model, processor = looking_model()
    with pytest.raises(UserError, match=r"'q0' has images, and this policy reads text only\. Make it with `make_pol"):
        make_policy(model, processor.tokenizer, TEMPLATE).generate(QUESTIONS, DECODING)

import json

import pytest
from some_recipes import with_model

from align.checks.model import check_chat_template
from align.recipe.recipe import load_recipe

BODY = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }};{% endfor %}"
NEXT = "{% if add_generation_prompt %}assistant: {% endif %}"
IN_PARTS = BODY.replace("{{ m['content'] }}", "{% for part in m['content'] %}{{ part['text'] }}{% endfor %}")
MARKED = BODY.replace("{{ m['content'] }}", "{% generation %}{{ m['content'] | tojson }}{% endgeneration %}")
USABLE = {"plain": BODY, "of a model that reads images": IN_PARTS, "with generation marks": MARKED}
REFUSED = {
    "syntax": (BODY + "{% if", "is no template: unexpected 'end of template', in line 1. Mend it"),
    "no generation prompt": (BODY, "has no generation prompt"),
    "no answer": ("{% for m in messages if m.role == 'user' %}{{ m.content }};{% endfor %}" + NEXT,
                  "leaves out what the assistant says"),
    "no question": ("Hello!" + NEXT, "leaves out what the user says"),
    "refusal": ("{{ raise_exception('no system message') }}", "cannot render a question and its answer: no system"),
}  # fmt: skip


@pytest.fixture
def check(tiny_recipe, tmp_path):
    def found(text, name="chat.jinja", **keys):
        (tmp_path / name).write_text(text)
        return check_chat_template(*with_model(load_recipe(tiny_recipe(chat_template_path=f"./{name}", **keys))))

    return found


@pytest.mark.parametrize("body", USABLE.values(), ids=list(USABLE))
def test_a_template_that_can_be_used_is_shown_with_what_it_writes(check, body):
    (finding,) = check(body + NEXT)
    assert finding.level == "ok"
    assert finding.numbers["whole"].replace('"', "") == "user: Which metal rusts?;assistant: It is iron, of course.;"


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=list(REFUSED))
def test_a_template_that_training_cannot_use_is_refused_in_a_sentence(check, text, words):
    (finding,) = check(text)
    assert finding.level == "error"
    assert words in finding.text
    assert "chat.jinja" in finding.text


def test_an_answer_in_another_place_and_marks_that_are_no_tokens_are_warned_about(check):
    marks, place = check(BODY.replace("{{ m['role'] }}", "<|im_start|>") + "<|x|>" + NEXT)
    assert {marks.level, place.level} == {"warning"}
    assert "<|im_start|>, <|x|> are no token of the model's tokenizer" in marks.text
    assert "a prompt alone ends otherwise" in place.text.lower()


def test_a_template_that_is_not_there_is_told_from_one_that_may_be_downloaded(check, tiny_recipe):
    assert "must end in .jinja or .j2" in check(BODY, "chat.txt")[0].text
    for path, level in (("./none.jinja", "error"), ("./model/no", "error"), ("owner/model", "warning")):
        (finding,) = check_chat_template(*with_model(load_recipe(tiny_recipe(chat_template_path=path))))
        assert finding.level == level
    of_model = load_recipe(tiny_recipe(chat_template_path="./model"))
    (finding,) = check_chat_template(*with_model(of_model))
    assert finding.level == "ok"


def test_the_default_of_a_model_with_several_templates_is_tried(tiny_recipe, tmp_path):
    named = [{"name": "tool_use", "template": BODY}, {"name": "default", "template": BODY + NEXT}]
    (tmp_path / "several").mkdir()
    (tmp_path / "several" / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    (finding,) = check_chat_template(*with_model(load_recipe(tiny_recipe(chat_template_path="./several"))))
    assert finding.level == "ok"
    assert finding.numbers["whole"] == "user: Which metal rusts?;assistant: It is iron, of course.;"

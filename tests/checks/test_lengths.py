import json

import pytest
import yaml
from some_recipes import PROMPTS, QUESTIONS
from transformers import AutoTokenizer

from align.checks.launch import Launch
from align.checks.lengths import RULE, check_lengths, context_window, prompt_lengths
from align.methods import METHODS
from align.models.model_files import ModelFiles
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

BOS_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'tool' %}{% break %}{% endif %}{{ m['content'] }}"
)
DEFAULT = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
TEMPLATES = {
    "its own": None,
    "with special tokens and loop controls": BOS_TEMPLATE + "{{ eos_token }}\n{% endfor %}",
    "with settings": "{% for m in messages %}{{ m['content'] * (times or 1) }}{% endfor %}",
}


def load(recipe):
    return METHODS[recipe.method].part("load")(recipe).rows


def prompts_of(recipe):
    return [row["prompt"] for row in load(recipe)]


def lengths_of(recipe):
    rows = load(recipe)
    return prompt_lengths(recipe, rows, [0] * len(rows))[0]


def test_plain_prompts_have_the_lengths_of_transformers(tiny_recipe, tiny_model_folder):
    recipe = load_recipe(tiny_recipe())
    ids = AutoTokenizer.from_pretrained(tiny_model_folder)(text=prompts_of(recipe))["input_ids"]
    expected = [len(each) for each in ids]
    assert lengths_of(recipe) == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("system_prompt", [None, "Be brief."])
def test_conversations_have_the_lengths_of_transformers(tiny_recipe, tmp_path, name, system_prompt):
    kwargs = {"times": 2} if name == "with settings" else {}
    recipe = load_recipe(
        tiny_recipe(dataset={"conversational": True, "system_prompt": system_prompt}, chat_template_kwargs=kwargs)
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    if TEMPLATES[name]:
        tokenizer.bos_token = "<unk>"
        tokenizer.chat_template = TEMPLATES[name]
        tokenizer.save_pretrained(tmp_path / "model")
    prompts = prompts_of(recipe)
    expected = tokenizer.apply_chat_template(prompts, add_generation_prompt=True, return_dict=True, **kwargs)[
        "input_ids"
    ]
    assert lengths_of(recipe) == [len(ids) for ids in expected]
    (finding,) = check_lengths(recipe, load(recipe))
    assert finding.numbers["max"] == max(map(len, expected))


def test_the_longest_prompt_that_fits_is_accepted_and_one_token_more_is_not(tiny_recipe):
    recipe = load_recipe(tiny_recipe())
    rows = load(recipe)
    longest = max(lengths_of(recipe))
    fits = load_recipe(tiny_recipe(max_completion_length=512 - longest))
    assert [finding.level for finding in check_lengths(fits, rows)] == ["ok"]
    (finding,) = check_lengths(load_recipe(tiny_recipe(max_completion_length=513 - longest)), rows)
    assert finding.level == "error"
    assert f"longer than {longest - 1} tokens (window 512" in finding.text


def test_an_overlong_prompt_is_named_wherever_it_is(tiny_recipe, tmp_path):
    path = tiny_recipe()
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write(json.dumps({"id": "long", "question": "why " * 200, "options": ["a", "b"], "answer": 0}) + "\n")
    recipe = load_recipe(path)
    (finding,) = check_lengths(recipe, load(recipe))
    assert finding.level == "error"
    assert "1 prompts are longer" in finding.text
    assert "'long' with 8" in finding.text


@pytest.mark.parametrize("method", [QUESTIONS, PROMPTS])
def test_where_bad_rows_are_skipped_an_overlong_prompt_is_left_out_and_counted(tiny_recipe, tmp_path, method):
    path = tiny_recipe(dataset={"on_bad_rows": "skip"}) if method == QUESTIONS else write_prompts(tiny_recipe)
    with (tmp_path / "train.jsonl").open("a") as file:
        for name, words in (("long", 200), ("longer", 300), ("short", 1)):
            question = {"question": "why " * words, "options": ["a", "b"], "answer": 0}
            file.write(json.dumps({"id": name, "prompt": "why " * words} | question) + "\n")
    checked = prepare(load_recipe(path), Launch())
    assert checked.errors == []
    names = [row["id"] for row in checked.data.rows]
    assert "short" in names
    assert not {"long", "longer"} & {*names}
    report = checked.data.report
    assert report.reasons == {RULE: 2}
    assert report.num_kept == len(names) == report.num_read - 2
    assert any("2 rows are left out (2 x the prompt leaves no room" in each.text for each in checked.warnings)


def write_prompts(tiny_recipe):
    """Makes a recipe of prompts from that of questions."""
    path = tiny_recipe()
    content = yaml.safe_load(path.read_text())
    content |= {"method": PROMPTS, "reward_funcs": ["./own.py:variety"], "reward_weights": [1.0]}
    content["dataset"] = {"path": "./train.jsonl", "on_bad_rows": "skip"}
    path.write_text(yaml.safe_dump(content))
    rows = [json.loads(line) for line in (path.parent / "train.jsonl").read_text().splitlines()]
    lines = [json.dumps(row | {"prompt": row["question"]}) + "\n" for row in rows]
    (path.parent / "train.jsonl").write_text("".join(lines))
    return path


def test_the_window_is_the_smaller_of_the_model_and_vllm(tiny_recipe):
    assert context_window(load_recipe(tiny_recipe())) == 512
    assert context_window(load_recipe(tiny_recipe(use_vllm=True, vllm_max_model_length=100))) == 100


def test_a_window_that_completions_fill_is_said_to_be_full(tiny_recipe):
    recipe = load_recipe(tiny_recipe(max_completion_length=600))
    (finding,) = check_lengths(recipe, load(recipe))
    assert finding.level == "error"
    assert "`max_completion_length` 600 leaves no room for prompts in the window of 512 tokens" in finding.text
    assert "vllm" not in finding.text


def test_messages_for_a_tokenizer_without_chat_template_are_an_error_unless_one_is_named(tiny_recipe, tmp_path):
    recipe = load_recipe(tiny_recipe(dataset={"conversational": True}))
    template = (tmp_path / "model" / "chat_template.jinja").rename(tmp_path / "chat.jinja")
    (finding,) = check_lengths(recipe, load(recipe))
    assert (finding.level, finding.check) == ("error", "lengths")
    assert "no chat template. Set `chat_template_path`" in finding.text
    assert "`dataset.conversational: false`" in finding.text
    texts = load_recipe(tiny_recipe(dataset={"conversational": False}))
    assert [finding.level for finding in check_lengths(texts, load(texts))] == ["ok"]
    for path in (str(template), "owner/elsewhere"):  # of the other the check of templates says that it is not tried
        named = load_recipe(tiny_recipe(dataset={"conversational": True}, chat_template_path=path))
        assert [finding.level for finding in check_lengths(named, load(named))] == ["ok"]


def test_the_template_of_a_processor_is_read_from_where_older_releases_kept_it(tiny_model_folder, tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_model_folder / name).read_bytes())
    assert ModelFiles(str(tmp_path)).tokenizer.chat_template is None
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": BOS_TEMPLATE}))
    assert ModelFiles(str(tmp_path)).tokenizer.chat_template == BOS_TEMPLATE


@pytest.mark.parametrize("in_files", [False, True])
def test_of_several_named_templates_messages_have_the_default_as_in_transformers(tiny_recipe, tmp_path, in_files):
    recipe = load_recipe(tiny_recipe(dataset={"conversational": True}))
    folder = tmp_path / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (folder / "chat_template.jinja").unlink()
    tokenizer.chat_template = {"tool_use": "{{ tools }}" + BOS_TEMPLATE + "{% endfor %}", "default": DEFAULT}
    tokenizer.save_pretrained(folder, save_jinja_files=in_files)
    prompts = prompts_of(recipe)
    again = AutoTokenizer.from_pretrained(folder)
    expected = again.apply_chat_template(prompts, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert lengths_of(recipe) == [len(ids) for ids in expected]


def test_messages_are_refused_where_none_of_several_templates_is_the_default(tiny_recipe, tmp_path):
    recipe = load_recipe(tiny_recipe(dataset={"conversational": True}))
    folder = tmp_path / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (folder / "chat_template.jinja").unlink()
    tokenizer.chat_template = {"rag": DEFAULT}
    tokenizer.save_pretrained(folder, save_jinja_files=False)
    with pytest.raises(ValueError, match="no default specified"):
        AutoTokenizer.from_pretrained(folder).apply_chat_template(prompts_of(recipe))
    (finding,) = check_lengths(recipe, load(recipe))
    assert finding.level == "error"
    assert "no chat template. Set `chat_template_path`" in finding.text


def test_a_model_elsewhere_gives_a_warning(tiny_recipe):
    recipe = load_recipe(tiny_recipe(model_name_or_path="owner/not-on-this-machine-7B"))
    (finding,) = check_lengths(recipe, load(recipe))
    assert finding.level == "warning"
    assert "owner/not-on-this-machine-7B" in finding.text


def test_a_chat_template_that_cannot_be_rendered_is_an_error(tiny_recipe, tmp_path):
    recipe = load_recipe(tiny_recipe(dataset={"conversational": True}))
    (tmp_path / "model" / "chat_template.jinja").write_text("{{ raise_exception('no system role') }}")
    (finding,) = check_lengths(recipe, load(recipe))
    assert finding.level == "error"

import time

import pytest

from align.secrets import is_secret_name, mask, mask_words, masked_keys, remember_lines, remember_secrets

SECRET_NAMES = (
    "token", "hub_token", "HF_TOKEN", "hf_token", "apiToken", "access_token", "auth_tokens", "api_key", "apiKey",
    "apikey", "OPENAI_API_KEY", "private_key", "client_secret", "secrets", "password", "db.password", "passwd",
    "passphrase", "authorization", "Authorization", "credentials", "google_credentials", "X-Amz-Security-Token",
    "X-Amz-Credential", "aws_access_key_id", "AWS_SECRET_ACCESS_KEY", "user_token", "jwt",
)  # fmt: skip
OTHER_NAMES = (
    "num_tokens", "pad_token", "eos_token", "bos_token", "image_token", "vision_start_token", "think_token",
    "per_token", "max_completion_tokens", "max_new_tokens", "think_tag", "answer_tag", "tokenizer", "tokenizer_name",
    "token_level", "token_type_ids", "bos_token_id", "eos_token_id", "include_num_input_tokens_seen", "api_key_env",
    "password_file", "key", "label_key", "text_key", "primary_key", "author", "authors", "secretary",
    "loss_per_token", "hub_model_id", "push_to_hub", "hub_private_repo", "importance_sampling_level", "monkey",
)  # fmt: skip
SHAPES = (
    "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345",
    "sk-proj-abcdefghijklmnop1234",
    "sk-ant-api03-abcdefghijklmnop",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "github_pat_11ABCDEFG0123456789_abcdef",
    "glpat-abcdefghij0123456789",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA0123456789abcdefghijklmnopqrstuv",
    "xoxb-123456789012-abcdef",
    "nvapi-abcdefghij0123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.SflKxwRJSMeKKF2QT4",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
)
ORDINARY = (
    "sk-learn-based-classifier",
    "hf_transformers and hf_hub_download",
    "He was the bearer of news; Bearer instruments pay.",
    "https://medium.com/@name/post",
    "me@example.org",
    "The password: is it safe? token by token",
    "a = b, loss=0.5, lr=1e-6, pad_token=<pad>, n_tokens=5",
    "{question}\n{options}\n",
    '{"eos_token": "<eos>", "think_tag": "think", "num_tokens": 3}',
    "--seed 1 --max_new_tokens 5 --api_key_env MY_KEY",
    "1" * 5_000,
)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_key_of_a_secret_is_known_by_its_words(name):
    assert is_secret_name(name)
    assert mask({name: "x"}) == {name: "***"}
    assert mask({name: {"value": "x", "on": True}, "a": [{name: ["x", 5]}]}) == {
        name: {"value": "***", "on": True},
        "a": [{name: ["***", "***"]}],
    }


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_other_keys_keep_their_values(name):
    assert not is_secret_name(name)
    assert mask({name: "abc", "inner": {name: [1, 2.5, None]}}) == {name: "abc", "inner": {name: [1, 2.5, None]}}


@pytest.mark.parametrize("value", [None, True, "", "<pad>", "$HF_TOKEN", "${HF_TOKEN}", 0.5])
def test_what_is_no_secret_under_any_key_stays(value):
    assert mask({"token": value}) == {"token": value}


@pytest.mark.parametrize("secret", SHAPES)
@pytest.mark.parametrize("text", ["{}", "a {} b", "('{}',)", "path/{}/x", "row\\n{}\\n", '{{"a": "{}"}}'])
def test_a_secret_is_known_by_its_shape(secret, text):
    assert secret not in mask({"a": [text.format(secret)]})["a"][0]
    assert mask(text.format(secret)) == text.format("***")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://user:pass@host/x", "https://***@host/x"),
        ("https://sometoken@host/x", "https://***@host/x"),
        ("postgres://u:p@ss@h:5432/db", "postgres://***@h:5432/db"),
        ("http://h/v1?api_key=abc&model=m&sig=9f", "http://h/v1?api_key=***&model=m&sig=***"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        ("curl -H 'Authorization: Bearer abc.def-123'", "curl -H 'Authorization: Bearer ***'"),
        ("{'api_key': 'it\\'s', \"password\": \"x y\"}", "{'api_key': '***', \"password\": \"***\"}"),
        ("HF_TOKEN=abc align train", "HF_TOKEN=*** align train"),
        ("align train r.yaml --hub_token 'abc' --seed 1", "align train r.yaml --hub_token '***' --seed 1"),
        ("line 3:\n  hub_token: [abc\n  seed: 1", "line 3:\n  hub_token: ***\n  seed: 1"),
    ],
)
def test_a_text_keeps_everything_but_the_secret(text, masked):
    assert mask(text) == masked
    assert mask(masked) == masked


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_texts_stay(text):
    assert mask(text) == text


def test_words_of_a_command_are_masked_as_one_reads_them():
    words = [
        "train",
        "--hub_token",
        "abc",
        "--judge.api_key=abc",
        "--reward_kwargs.j.password",
        "a",
        "b",
        "--seed",
        "1",
    ]
    assert mask_words(words) == [
        "train", "--hub_token", "***", "--judge.api_key=***", "--reward_kwargs.j.password", "***", "***",
        "--seed", "1",
    ]  # fmt: skip


def test_a_remembered_value_and_one_of_the_environment_are_found_in_any_text(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "Zq7-planted-in-env")
    remember_secrets({"reward_kwargs": {"judge": {"password": "Zq8-planted-here", "secret": "correct"}}})
    assert mask("401 for Zq7-planted-in-env, Zq8-planted-here: correct") == "401 for ***, ***: correct"


def test_the_folder_of_a_shell_and_other_paths_of_the_environment_are_no_secrets(monkeypatch, tmp_path):
    # A shell says in PWD where it is: masked, it would take the beginning of every path from a run's recipe.
    monkeypatch.setenv("PWD", "/data/team-7/project")
    monkeypatch.setenv("GCP_CREDENTIALS", str(tmp_path))
    assert mask(f"/data/team-7/project/outputs, {tmp_path}/x") == f"/data/team-7/project/outputs, {tmp_path}/x"
    assert mask({"pwd": "Zq9-planted-short"}) == {"pwd": "***"}


def test_values_of_secret_keys_are_found_in_a_text_that_is_no_yaml():
    remember_lines(
        "method: m\nhub_token: !Zq10-planted x\n  api_key: *Zq11-planted\npassword: [Zq12-planted\nseed: Zq13-not\n"
    )
    words = "tag `!Zq10-planted`, undefined alias 'Zq11-planted', got [Zq12-planted, Zq13-not"
    assert mask(words) == "tag `!***`, undefined alias '***', got [***, Zq13-not"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("There is no file https:/me:pw1@h/x.jsonl.", "There is no file https:/***@h/x.jsonl."),  # a URL as a path
        ("s3:/key:pw@bucket", "s3:/***@bucket"),
        ("D:/rows/a@b and /data/x:y@z", "D:/rows/a@b and /data/x:y@z"),
        ("got '{judge: {api_key: abc, url: x'", "got '{judge: {api_key: ***, url: x'"),
        ("{a: b, hub_token: abc, max_tokens: 3}", "{a: b, hub_token: ***, max_tokens: 3}"),
    ],
)
def test_secrets_that_an_error_quotes_are_masked(text, masked):
    assert mask(text) == masked


def test_masked_keys_are_found_again():
    recipe = {"hub_token": "abc", "dataset": {"path": "https://u:p@h/x"}, "reward_kwargs": {"j": {"key_list": [1]}}}
    assert masked_keys(recipe) == []
    assert masked_keys(mask(recipe)) == ["hub_token", "dataset.path"]
    assert masked_keys({"prompt": "Think *** now", "a": [{"token": "***"}]}) == ["a.token"]


def test_no_setting_of_a_method_is_taken_for_a_secret_but_the_hub_token():
    from align.methods import METHODS
    from align.recipe.fields import config_fields

    names = {name for method in METHODS for name in config_fields(method)}
    assert {name for name in names if is_secret_name(name)} == {"hub_token"}


@pytest.mark.parametrize(
    "text",
    [
        "sk-" * 20_000,
        "eyJ-" * 20_000,
        "--a-" * 20_000,
        "a-" * 40_000,
        "://" + "a@" * 40_000,
        "'a-" * 20_000,
        "a=" * 39_999,
    ],
)
def test_odd_texts_are_read_in_no_time(text):
    began = time.process_time()
    mask(text)
    assert time.process_time() - began < 10  # seconds; a busy machine may make it wait

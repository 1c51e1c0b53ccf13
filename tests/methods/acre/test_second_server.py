from http_answers import answering
from vllm_answers import SERVER_MODE, answers_of

from align.methods.acre.data import check_second_server, load
from align.recipe.recipe import load_recipe


def test_a_second_pass_by_the_server_needs_its_processed_log_probs(tiny_recipe):
    answers = answers_of(load_recipe(tiny_recipe()).model.model_name_or_path, logprobs_mode="raw_logprobs")
    with answering(answers) as port:
        place = {"vllm_server_base_url": f"http://127.0.0.1:{port}", **SERVER_MODE}
        recipe = load_recipe(tiny_recipe(**place))
        (finding,) = check_second_server(recipe, load(recipe).rows)
        assert (finding.level, "reports `raw_logprobs`" in finding.text) == ("error", True)
        assert check_second_server(load_recipe(tiny_recipe(second_pass="forward", **place)), load(recipe).rows) == []

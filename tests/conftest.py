import os

# Before any import of the libraries that read them.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models gain nothing by more, which add in another order
os.environ.setdefault("VLLM_HOST_IP", "127.0.0.1")  # vLLM would look for the way to 8.8.8.8

import email
import functools
import gc
import importlib.metadata
import logging
import random
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from _pytest.doctest import DoctestModule
from hypothesis import HealthCheck, settings
from some_recipes import QUESTIONS
from written_questions import write_questions

# How long a draw takes says how busy the machine is, and nothing of what is tested.
BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("busy", max_examples=40, **BUSY)
settings.register_profile("nightly", max_examples=150, **BUSY)
settings.load_profile("busy")

gc.set_threshold(10_000)  # Python looks for garbage after 700 new objects; this finds as much in less time

NO_STACKS = SimpleNamespace(format_stack=list)
SEEN = pytest.StashKey[tuple[Path | None, int]]()  # the file of the last test, and how many modules were loaded

# Fixtures of several folders: a second `conftest.py` could not be loaded beside that of another folder.
pytest_plugins = ["parsed_recipes", "recipes_of_methods", "rollout_engine", "shared_browser"]

collect_ignore = ["unruly_rewards.py"]  # doctest asks every object for its name, and one there refuses

REWARD_FILE = '''\
"""A reward that differs between any two completions, so that every step changes the weights."""


def variety(completions, **kwargs):
    return [len(set(text)) / (1 + len(text)) for text in completions]
'''


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the tests marked slow too, but not those marked nightly")
    parser.addoption("--nightly", action="store_true", help="run every test")


def pytest_xdist_auto_num_workers(config):
    """Shares out the whole suite; a worker waits for other processes for a third of the time, in slow tests half."""
    whole_suite = config.args_source is config.ArgsSource.TESTPATHS
    most = 2 if config.getoption("--all") or config.getoption("--nightly") else 4
    return min((os.cpu_count() or 1) + 1, most) if whole_suite else 0


def pytest_xdist_setupnodes(config, specs):
    """Has the workers of the fast tier copied from one process, where the machine can."""
    others = config.getoption("--all") or config.getoption("--nightly")  # a vLLM engine needs a process of its own
    if not others and hasattr(os, "pidfd_open") and all(spec.popen and not spec.python for spec in specs):
        import forked_workers
        from execnet import gateway_io

        template = forked_workers.Template()
        config.add_cleanup(template.close)
        gateway_io.create_io = template.create_io


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path):
    """Looks for no doctests here: there are none, and files that only slow tests read would be imported."""
    return [found for found in (yield) if not isinstance(found, DoctestModule)]


def pytest_itemcollected(item):
    """Leaves to the night the cases that `by_day` does not name, by the ids that pytest shows in brackets."""
    for mark in item.iter_markers("by_day"):
        if item.callspec.id not in mark.args:
            item.add_marker("slow")
            item.add_marker("nightly")


def pytest_ignore_collect(collection_path, config):
    """Leaves out files without a slow test where only those are asked for: three of four, half of what is imported."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    if is_test and config.getoption("markexpr").startswith("slow"):
        return "mark.slow" not in collection_path.read_text(encoding="utf-8") or None
    return None


def pytest_collection_modifyitems(config, items):
    if config.args_source is config.ArgsSource.TESTPATHS and config.getoption("markexpr") in ("", "not slow"):
        # A name that no case has any more would leave a test to the night alone.
        by_day = [(item, mark) for item in items for mark in item.iter_markers("by_day")]
        there = {(item.originalname, item.path, item.callspec.id) for item, _ in by_day}
        lost = [
            f"{item.nodeid}: no case is called {name!r}"
            for item, mark in by_day
            for name in mark.args
            if (item.originalname, item.path, name) not in there
        ]
        if lost:
            raise pytest.UsageError(lost[0])
        # Each would be set up, skipped and told of, for a list that nobody reads.
        left_out = {item for item in items if "slow" in item.keywords or "nightly" in item.keywords}
        if not config.getoption("--all") and not config.getoption("--nightly"):
            config.hook.pytest_deselected(items=list(left_out))
            items[:] = [item for item in items if item not in left_out]
    nightly = config.getoption("--nightly")
    skipped = {"slow": nightly or config.getoption("--all"), "nightly": nightly}
    words = {"slow": "slow: run with --all", "nightly": "nightly: run with --nightly"}
    for item in items:
        for mark, wanted in skipped.items():
            if mark in item.keywords and not wanted:
                item.add_marker(pytest.mark.skip(reason=words[mark]))


def pytest_configure(config):
    # What an installed package says of itself is parsed for each look at its version, dozens of times a check.
    importlib.metadata.email = SimpleNamespace(message_from_string=functools.cache(email.message_from_string))
    if hasattr(config, "workerinput") and not config.getoption("--all") and not config.getoption("--nightly"):
        # A worker of the fast tier meets TRL anyway, and no test of that tier starts vLLM, which TRL would import.
        from align.training.imports import load_libraries

        load_libraries(without_vllm=True)
    if config.getoption("--nightly"):
        settings.load_profile("nightly")
    if hasattr(config, "workerinput") and not config.option.durations and not config.option.xmlpath:
        say_less(config)
    if seeders := sys.modules.get("pytest_randomly"):
        seeders.entrypoint_reseeds = [seed_torch]
    logs = config.pluginmanager.get_plugin("logging")
    if hasattr(getattr(logs, "catching_logs", None), "attached_loggers"):
        logs.catching_logs = at_the_root(logs.catching_logs)


def say_less(config):
    """Has a worker tell of the call of a test that passes, and not that it began, was set up and was torn down."""
    hooks = config.hook.pytest_runtest_logreport.get_hookimpls(), config.hook.pytest_runtest_logstart.get_hookimpls()
    (report,), (start,) = ([each for each in of if hasattr(each.plugin, "sendevent")] for of in hooks)  # xdist's own
    report.function = functools.partial(tell_of_calls, report.function)
    start.function = lambda nodeid, location: None


def tell_of_calls(tell, report):
    if report.when == "call" or not report.passed or report.sections:
        tell(report)


def seed_torch(seed):
    """DeepSpeed would do it three times a test, and torch keep the stack for each kind of device that is not here."""
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)


def at_the_root(catching_logs):
    """Pytest looks through all loggers, a thousand, six times a test; the root hears all that tests here ask for."""

    class CatchingLogs(catching_logs):
        __slots__ = ()

        def __enter__(self):
            if self.level is not None:
                return super().__enter__()
            root = logging.getLogger()
            root.addHandler(self.handler)
            self.attached_loggers.append(root)
            return self.handler

    return CatchingLogs


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Imports make no garbage, and looking for it among all that is imported takes a quarter of their time.

    What is compiled here is kept, whatever `PYTHONDONTWRITEBYTECODE` says: the next tier and every process that a test
    starts would compile the tree again.
    """
    gc.disable()
    keeps_none, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = keeps_none
        gc.enable()


def pytest_runtest_setup(item):
    """Leaves imported modules out of later collections: accelerate runs a full one at the end of each training."""
    file, loaded = item.session.stash.get(SEEN, (None, 0))
    if item.path != file:
        forget_secrets()
        remember_packages()
        collect_less()
        hash_less()
        forget_stacks()
        remember_commands()
        forget_launches()
    if item.path != file and len(sys.modules) > loaded + 100:  # between two files, when no fixture holds an engine
        gc.collect()
        gc.freeze()
        loaded = len(sys.modules)
    item.session.stash[SEEN] = (item.path, loaded)


def forget_launches():
    """TRL's colocated engine calls its process a launch, and whoever comes next would open the same port anew."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)


def forget_secrets():
    """Every text that is shown or read is searched for the secrets of all recipes before, often hundreds."""
    if module := sys.modules.get("align.secrets"):
        module._known.clear()


def forget_stacks():
    """Each seed writes down for three kinds of devices where it was set, a twentieth of a training on a CPU."""
    for name in ("torch.cuda", "torch.mtia", "torch.xpu"):
        if module := sys.modules.get(name):
            module.traceback = NO_STACKS


def remember_packages():
    """Accelerate reads from the disk in each step whether peft and deepspeed are installed, a tenth of a training."""
    module = sys.modules.get("accelerate.utils.imports")
    if module and not hasattr(module._is_package_available, "cache_info"):
        module._is_package_available = functools.cache(module._is_package_available)


def collect_less():
    """Accelerate looks through all objects for garbage after each training; the young ones are what it leaves here."""
    if module := sys.modules.get("accelerate.utils.memory"):
        module.gc = SimpleNamespace(collect=lambda: gc.collect(1))


def hash_less():
    """Datasets hashes what maps rows to find the result on a disk, also of rows in memory, which are never there."""
    module = sys.modules.get("datasets.arrow_dataset")
    if not module or hasattr(module.Dataset.map, "hashed"):
        return
    drawn, hashed = module.generate_random_fingerprint, module.Dataset.map

    @functools.wraps(hashed)
    def mapped(self, *given, **named):
        return hashed(self, *given, **named if self.cache_files else {"new_fingerprint": drawn()} | named)

    mapped.hashed = hashed
    module.Dataset.map = mapped


def remember_commands():
    """Typer makes all commands anew for each line, a twelfth of what tests of commands took."""
    module, testing = sys.modules.get("typer.main"), sys.modules.get("typer.testing")
    if module and not hasattr(module.get_command, "cache_info"):
        module.get_command = functools.cache(module.get_command)
    if testing:
        testing._get_command = module.get_command


def pytest_sessionfinish(session):
    """Some libraries report what is not collected at the end as leaks; a copy ends without asking them."""
    if "forked_workers" not in sys.modules:
        gc.unfreeze()


def pytest_sessionstart(session):
    """Says how to run this order again; pytest-randomly says it in a header that `-q` leaves out."""
    seed = getattr(session.config.option, "randomly_seed", None)
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")  # the workers of xdist have none
    if seed is not None and reporter:
        reporter.write_line(f"Random order: --randomly-seed={seed}")


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory) -> Path:
    """A saved random model with its tokenizer; tests that change it copy it."""
    from tiny import tiny_model, tiny_tokenizer

    folder = tmp_path_factory.mktemp("tiny") / "model"
    tokenizer = tiny_tokenizer()
    tiny_model(vocabulary=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def answering_model_folder(tiny_model_folder, tmp_path_factory) -> Path:
    """The tiny model after a second of practice: it writes a trace and a letter, nearly always in the right tags."""
    import torch
    from tiny import tiny_model, tiny_tokenizer

    tokenizer = tiny_tokenizer()
    model = tiny_model(vocabulary=len(tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rng = random.Random(0)
    for _ in range(80):
        prompts = [f"q{rng.randrange(100)}?\nA. {rng.randrange(100)}\nB. 1\nC. 22\nD. 33\n" for _ in range(8)]
        texts = [f"{prompt}<think>x</think><answer>{rng.choice('ABCD')}</answer><eos>" for prompt in prompts]
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("answering") / "model"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_recipe(tmp_path, tiny_model_folder):
    """Writes a recipe that trains in seconds, with everything it names, and returns its path; keywords change keys."""

    def write(**changes) -> Path:
        write_questions(tmp_path / "train.jsonl")
        (tmp_path / "own.py").write_text(REWARD_FILE, encoding="utf-8")
        if not (tmp_path / "model").exists():
            shutil.copytree(tiny_model_folder, tmp_path / "model")
        dataset = {"path": "./train.jsonl", "conversational": False, "prompt_template": "{question}\n{options}\n"}
        content = {
            "method": QUESTIONS,
            "model_name_or_path": "./model",
            "dataset": dataset | changes.pop("dataset", {}),
            "reward_funcs": ["answer_consistency", "./own.py:variety"],
            "reward_weights": [1.0, 1.0],
            "num_generations": 4,
            "per_device_train_batch_size": 8,
            "max_completion_length": 8,
            "max_steps": 4,
            "learning_rate": 1e-2,
            "logging_steps": 1,
            "save_steps": 2,
            "bf16": False,
            "use_cpu": True,
            "report_to": "none",
            "output_dir": "./run",
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content | changes, sort_keys=False), encoding="utf-8")
        return path

    return write

"""The kit for a GPU, without one: what it runs, what it says, and that nothing which happens to it goes unsaid."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from loaded_script import load_script
from started import ROOT, start

SCRIPT = ("-m", "scripts.gpu.checks")
IN_CI = "rrpo"  # the check that is tried at its smallest in CI, as cheap as any
GOOD = "import json, sys; json.dump({'ratio': 1.0}, open(sys.argv[sys.argv.index('--json') + 1], 'w'))"


@pytest.fixture
def kit():
    return load_script("gpu.checks")


@pytest.fixture
def check(kit, tmp_path):
    """Makes a check of some lines of Python."""
    table = load_script("gpu.table")

    def make(name, code, seconds=20, bars=(), **settings):
        script = tmp_path / f"{name}.py"
        script.write_text(code)
        given = {"takes": (), "bars": bars or (table.Bar("ratio", "ratio", 1.5),)} | settings
        return kit.Check(name, "a claim", seconds, str(script), str(script), **given)

    return make


@pytest.fixture
def record():
    return {"device": "cuda", "tiny": False, "gpus": ["A GPU (80 GiB)"], "results": {}}


def test_all_checks_of_one_gpu_fit_into_nine_minutes(kit):
    assert sum(check.seconds for check in kit.CHECKS if check.gpus < 2) <= kit.BUDGET <= 9 * 60


def test_scripts_know_the_options_that_checks_give_them(kit, tmp_path):
    unknown = []
    for check in kit.CHECKS:
        for tiny in (True, False):
            _, *words = kit.command(check, "cuda", tiny, tmp_path)
            script = f"{words[1].replace('.', '/')}.py" if words[0] == "-m" else words[0]
            text = (ROOT / script).read_text(encoding="utf-8")
            known = set(re.findall(r'"(--\w+)"', text)) | (
                {"--device", "--dtype"} if re.search(r"add_(device|turns)\(", text) else set()
            )
            known |= {"--json"} if "add_numbers(" in text else set()
            known |= {"--rounds"} if "add_turns(" in text else set()
            unknown += [(check.name, word) for word in words if word.startswith("--") and word not in known]
    assert unknown == []


def test_the_page_has_the_table_that_the_record_makes(kit):
    records = load_script("gpu.record")
    page = (ROOT / "docs" / "evidence" / "gpu.md").read_text(encoding="utf-8")
    assert records.as_markdown(records.read(records.FROM_A_GPU)) in page


def test_a_number_is_a_gpus_only_once_a_gpu_gave_it(kit, record):
    records = load_script("gpu.record")
    result = {"status": "failed", "values": {"time": 1.2, "peak memory": 1.0}}
    given = record | {"results": {"rrpo": result}}

    def said(record):
        return {f"{check.name} {name}": said for check, name, _, said in records.listed(record)}

    assert set(said(None).values()) == set(said(given | {"device": "cpu"}).values()) == {records.NOT_YET}
    assert set(said(given | {"tiny": True}).values()) == {records.NOT_YET}
    found = said(given)
    assert (found["rrpo time"], found["rrpo peak memory"]) == ("1.2, missed", "1")
    assert found["acre letters, time"] == records.NOT_YET
    assert "failed on A GPU (80 GiB)" in records.as_markdown(given)


@pytest.mark.slow
@pytest.mark.nightly
def test_what_goes_wrong_in_a_check_is_said_and_the_others_run(kit, check, record, tmp_path, capsys):
    path = tmp_path / "out.json"
    checks = [
        check("crashes", "raise SystemExit('no kernel for this')"),
        check("hangs", "import time; print('began', flush=True); time.sleep(60)", seconds=5),
        check("silent", "pass"),
        check("dies_at_its_end", f"{GOOD}; import os; os.abort()"),
        check("misses", GOOD.replace("1.0", "2.0")),
        check("has_no_number", GOOD.replace("ratio", "other")),
        check("not_a_number", GOOD.replace("1.0", "float('nan')")),
        check("absent", GOOD, packages=("no_such_package",)),
        check("two", GOOD, gpus=2),
        check("good", GOOD),
    ]
    kit.run_all(checks, record, path, 142, 1)
    results = json.loads(path.read_text())["results"]
    assert {name: result["status"] for name, result in results.items()} == {
        **dict.fromkeys(
            ["crashes", "hangs", "silent", "dies_at_its_end", "misses", "has_no_number", "not_a_number"], "failed"
        ),
        **dict.fromkeys(["absent", "two"], "not run"),
        "good": "passed",
    }
    assert "ended with exit code 1" in results["crashes"]["why"]
    assert results["crashes"]["output"] == ["no kernel for this"]
    assert "was ended after" in results["hangs"]["why"]
    assert "left no numbers" in results["silent"]["why"]
    assert results["dies_at_its_end"]["values"] == {"ratio": 1.0}
    assert re.search(r"exit code \S+ and left these numbers", results["dies_at_its_end"]["why"])
    assert results["misses"]["why"] == results["not_a_number"]["why"] == "ratio missed"
    assert results["has_no_number"]["why"] == "ratio not measured"
    assert "needs no_such_package" in results["absent"]["why"]
    assert results["two"]["why"] == "needs 2 GPUs, and there is 1"
    printed = capsys.readouterr().out
    assert re.search(r"ratio +2  <= 1.5  MISSED", printed)
    assert "| no kernel for this" in printed


@pytest.mark.slow
def test_what_the_budget_does_not_reach_is_said_and_early_ends_leave_time(kit, check, record, tmp_path):
    checks = [check("first", GOOD, seconds=20), check("second", GOOD, seconds=20), check("third", GOOD, seconds=30)]
    results = kit.run_all(checks, record, tmp_path / "out.json", 30, 1)
    assert [result["status"] for result in results.values()] == ["passed", "passed", "not run"]
    assert re.fullmatch(r"the budget of 30 s does not reach it: (29|30) s are left of 30", results["third"]["why"])


@pytest.mark.slow
def test_a_later_run_keeps_what_it_does_not_repeat_and_another_machine_is_refused(kit, check, record, tmp_path):
    records, path = load_script("gpu.record"), tmp_path / "out.json"
    kit.run_all([check("one", GOOD), check("two", GOOD)], record, path, 100, 1)
    again = records.joined(record | {"results": {}}, path)
    kit.run_all([check("two", "raise SystemExit(3)"), check("three", GOOD)], again, path, 100, 1)
    states = {name: each["status"] for name, each in json.loads(path.read_text())["results"].items()}
    assert states == {"one": "passed", "two": "failed", "three": "passed"}
    with pytest.raises(ValueError, match=r"holds results of A GPU \(80 GiB\), and this run is on CPU"):
        records.joined(record | {"device": "cpu", "gpus": []}, path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="holds no results of this script"):
        records.joined(record, path)


@pytest.mark.slow
def test_a_run_that_is_killed_keeps_what_it_had_and_leaves_no_process(tmp_path):
    """By SIGTERM, after which nothing is left at once; after SIGKILL each check ends by its own limit."""
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(GOOD)
    second.write_text(f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(99)")
    code = f"""
import sys
from scripts.gpu import checks
from scripts.gpu.table import Bar, Check
checks.CHECKS = [
    Check(name, "", 50, script, script, (Bar("ratio", "ratio"),), takes=())
    for name, script in (("first", {str(first)!r}), ("second", {str(second)!r}))
]
sys.exit(checks.main(["--device", "cpu", "--tiny", "--json", {str(tmp_path / "out.json")!r}]))
"""
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 600
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 143
    assert json.loads((tmp_path / "out.json").read_text())["results"]["first"]["status"] == "passed"
    pid = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert list(tmp_path.glob("*.part")) == []


def test_without_a_gpu_the_default_is_a_sentence_and_nothing_is_written(tmp_path):
    variables = {"PATH": "/nowhere", "PYTHONPATH": str(ROOT)}  # no nvidia-smi
    done = start(*SCRIPT, "--json", "out.json", cwd=tmp_path, **variables)
    assert done.returncode == 1
    assert "`--device cuda` needs a GPU that torch can use. There is no NVIDIA GPU here." in done.stderr
    assert "--device cpu --tiny" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_ends_it_before_anything_runs(tmp_path):
    began = os.times()
    done = start(
        *SCRIPT, "--device", "cpu", "--tiny", "--json", str(tmp_path / "no" / "out.json"), PYTHONPATH=str(ROOT)
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("no/out.json cannot be written: No such file or directory.")
    assert os.times().children_user - began.children_user < 20  # of work, however busy the machine is


def tried(folder, *names):
    """Runs checks at their smallest on a CPU, from another folder; returns their results and what was printed."""
    words = ("--device", "cpu", "--tiny", "--only", *names, "--json", "out.json")
    done = start(*SCRIPT, *words, cwd=folder, PYTHONPATH=str(ROOT))
    found = json.loads((folder / "out.json").read_text())
    assert (found["device"], found["tiny"], found["gpus"]) == ("cpu", True, [])
    assert done.returncode == 0, done.stdout + done.stderr
    return found["results"], done.stdout


@pytest.mark.slow
def test_the_checks_work_on_a_cpu_at_their_smallest(tmp_path):
    """One of them, from the table of checks to the record."""
    results, printed = tried(tmp_path, IN_CI)
    assert list(results) == [IN_CI]
    assert {result["status"] for result in results.values()} == {"passed"}
    assert 0 < results[IN_CI]["values"]["peak memory"] < 1
    assert "On a GPU: not run on a GPU yet." in printed


@pytest.mark.nightly
def test_the_other_checks_work_on_a_cpu_at_their_smallest(tmp_path, kit):
    others = [check.name for check in kit.CHECKS if check.name != IN_CI]
    results, _ = tried(tmp_path, *others)
    assert len(results["numerics"]["values"]) == 12  # of all methods
    assert results["acre"]["values"]["letters, tokens over the floor"] == pytest.approx(1, abs=0.02)
    assert list(results) == others
    lacking = {name: result["why"] for name, result in results.items() if result["status"] != "passed"}
    assert all(why.startswith("needs ") for why in lacking.values())
    assert lacking["server-training"] == "needs 2 GPUs, and there are 0"

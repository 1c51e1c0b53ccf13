"""`align report --watch`: a page that follows a run, for this machine alone."""

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import ThreadingHTTPServer

import pytest
from browser import needs_chromium, reader
from written_run import metric_lines, write_run

from align.errors import UserError
from align.report import watch
from align.report.watch import FollowedPage, handler_of, serve


@contextmanager
def served(run_dirs):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(FollowedPage(run_dirs)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(port, path="/", host="127.0.0.1", method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request(method, path, headers={"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def go_on(run, step):
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(metric_lines(step)[-1]) + "\n")


def at_once(monkeypatch):
    """Lets a page be rendered however short ago it was."""
    monkeypatch.setattr(watch, "_FEWEST_SECONDS", 0.0)
    monkeypatch.setattr(watch, "_SHARE", 1e9)
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.0)


def test_the_page_is_rendered_anew_when_the_run_has_gone_on(tmp_path, monkeypatch):
    at_once(monkeypatch)
    run = write_run(tmp_path / "run", steps=20)
    with served({"run": run}) as port:
        status, before = ask(port)
        version = ask(port, "/version")[1]
        assert status == 200
        assert f'data-version="{version}"' in before
        assert ask(port, "/version")[1] == version
        go_on(run, 30)
        later = ask(port, "/version")[1]
        assert later != version
        assert "1 to 30" in ask(port)[1]
        (run / "completions" / "completions_00030.parquet").write_bytes(b"PAR1 is being written")
        version, page = ask(port, "/version")[1], ask(port)[1]
        assert version != later, "who looks at the page is told"
        assert f'data-version="{version}"' in page
        assert "1 to 30" in page, "the last whole page stays"
        assert "This is the last page that could be made; since then: " in page
        assert "completions_00030.parquet is not a readable parquet table" in page
        assert ask(port, "/version")[1] == version
        (run / "completions" / "completions_00030.parquet").unlink()
        assert "could be made" not in ask(port)[1]


BROKEN = {
    "a number in rewards.jsonl": ("rewards.jsonl", b"3\n", "rewards.jsonl holds a line that is no call of a reward"),
    "half a record": ("rewards.jsonl", b'{"reward": "own"}\n', "holds a line that is no call of a reward"),
    "metrics that are no text": ("metrics.jsonl", b'{"step": 1, "loss": 1.0}\n\xff\xfe\n', "metrics.jsonl cannot be"),
    "markup": ("metrics.jsonl", b'["<script>alert(1)</script>"]\n', "&lt;script&gt;alert(1)&lt;/script&gt;"),
    "a recipe that is a list": ("recipe.yaml", b"- 1\n", "recipe.yaml must hold"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_cannot_be_read_is_named_on_the_last_whole_page(tmp_path, monkeypatch, case):
    at_once(monkeypatch)
    name, content, said = BROKEN[case]
    run = write_run(tmp_path / "run", steps=20)
    with served({"run": run}) as port:
        assert "could be made" not in ask(port)[1]
        whole = (run / name).read_bytes() if (run / name).exists() else None
        (run / name).write_bytes(content)
        status, page = ask(port)
        assert status == 200
        assert "1 to 20" in page
        assert said in page.partition("since then: ")[2].partition("</p>")[0]
        assert "<script>alert(1)" not in page
        if whole is None:  # then all is as it was when the page was made
            (run / name).unlink()
        else:
            (run / name).write_bytes(whole)
        assert "could be made" not in ask(port)[1]


def test_a_run_whose_files_are_broken_from_the_start_is_waited_for(tmp_path, monkeypatch):
    at_once(monkeypatch)
    run = write_run(tmp_path / "run", steps=20)
    (run / "rewards.jsonl").write_bytes(b"null\n")
    with served({"run": run}) as port:
        status, page = ask(port)
        assert (status, "There is nothing to show yet" in page) == (200, True)
        assert "rewards.jsonl holds a line that is no call of a reward" in page
        version = ask(port, "/version")[1]
        assert ask(port, "/version")[1] == version, "a page that says the same is no other"


def test_folders_are_looked_at_now_and_then_however_often_readers_ask(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", steps=20)
    monkeypatch.setattr(watch, "_FEWEST_SECONDS", 3600.0)
    with served({"run": run}) as port:
        first = ask(port, "/version")[1]
        go_on(run, 30)
        assert all(ask(port, "/version")[1] == first for _ in range(20)), "no page is due yet, so nothing is read"
        monkeypatch.setattr(watch, "_FEWEST_SECONDS", 0.0)
        monkeypatch.setattr(watch, "_SHARE", 1e9)
        monkeypatch.setattr(watch, "_LOOK_SECONDS", 3600.0)
        assert ask(port, "/version")[1] == first
        at_once(monkeypatch)
        assert ask(port, "/version")[1] != first


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[", "localhost@evil.example:80"])
def test_a_name_of_elsewhere_that_points_to_this_machine_gets_nothing(tmp_path, host):
    with served({"run": write_run(tmp_path / "run", steps=3)}) as port:
        status, text = ask(port, host=host)
        assert status == 403
        assert "<html" not in text
        assert ask(port, host="localhost:1234")[0] == 200


def test_nothing_but_the_page_is_served(tmp_path):
    run = write_run(tmp_path / "run", steps=3)
    with served({"run": run}) as port:
        for path in ("/recipe.yaml", "/../run/recipe.yaml", f"/{run}/metrics.jsonl", "/%2e%2e/", "//etc/passwd"):
            assert ask(port, path)[0] == 404
        assert ask(port, method="POST")[0] == 501
        assert ask(port, method="HEAD") == (200, "")


def test_a_run_that_has_logged_nothing_is_waited_for(tmp_path):
    (tmp_path / "new").mkdir()
    with served({"new": tmp_path / "new"}) as port:
        status, page = ask(port)
        assert status == 200
        assert "There is nothing to show yet" in page
        assert "recipe.yaml is missing" in page


def test_a_port_that_is_taken_is_named(tmp_path):
    with served({"run": tmp_path}) as port, pytest.raises(UserError, match=f"`--port {port}` on 127.0.0.1 cannot be"):
        serve(FollowedPage({"run": tmp_path}), port, print)


@needs_chromium
@pytest.mark.slow
def test_a_page_that_loads_itself_again_stays_where_its_reader_was(browser, tmp_path, monkeypatch):
    at_once(monkeypatch)
    run = write_run(tmp_path / "run", steps=20)
    with served({"run": run}) as port:
        browser.look(1400)
        browser.open(f"http://127.0.0.1:{port}/")
        browser.value("document.querySelectorAll('details.sample')[2].open = true")
        browser.value("document.getElementById('log').click()")
        browser.value("document.getElementById('log').focus(); scrollTo(0, 700)")
        go_on(run, 30)
        browser.let_pass(seconds=4)
        browser.loaded()
        assert "1 to 30" in browser.text()
        assert browser.value("document.querySelectorAll('details.sample')[2].open")
        assert browser.value("document.getElementById('log').checked")
        assert browser.value("document.activeElement.id") == "log"
        assert abs(browser.value("scrollY") - 700) < 5
        assert browser.console == []
        assert {url.rpartition("/")[0] for url in browser.asked} == {f"http://127.0.0.1:{port}"}


@needs_chromium
@pytest.mark.slow
def test_a_page_whose_reader_has_no_storage_follows_its_run_all_the_same(tmp_path, monkeypatch):
    at_once(monkeypatch)
    run = write_run(tmp_path / "run", steps=20)
    refusing = "Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('refused') } })"
    with served({"run": run}) as port, reader(tmp_path / "browser") as browser:
        browser.tell("Page.addScriptToEvaluateOnNewDocument", source=refusing)
        browser.open(f"http://127.0.0.1:{port}/")
        assert browser.console == []
        go_on(run, 30)
        browser.let_pass(seconds=4)
        browser.loaded()
        assert "1 to 30" in browser.text()
        assert browser.console == []


@pytest.mark.slow
def test_the_command_says_its_address_and_ends_with_a_sentence_on_ctrl_c(tmp_path):
    run = write_run(tmp_path / "run", steps=3)
    command = [sys.executable, "-m", "align", "report", str(run), "--watch", "--port", "0"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    said = process.stdout.readline()
    assert said.startswith("http://127.0.0.1:")
    port = int(said.split("/")[2].split(":")[1])
    assert ask(port)[0] == 200
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=120)
    assert rest.strip() == "The page is not served any more; `align report` writes it as a file."
    assert (process.returncode, errors) == (0, "")
    assert not (run / "report.html").exists()

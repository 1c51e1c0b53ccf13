"""A stand-in of the hub's API on this machine: accounts, repositories and commits."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import yaml

NAME = "me"
MODE = {"uploadMode": "regular", "shouldIgnore": False}  # none is so large that it goes by LFS


class Hub:
    """What was pushed, and how the hub behaves.

    Attributes:
        tokens: Role of each token that is known: `read` or `write`.
        repositories: By id the files of each branch.
        commits: The message and the files of each commit, in order.
        refused: Paths that are answered with a status in place of what they do.
    """

    def __init__(self):
        self.tokens = {"hf_standin": "write"}
        self.repositories, self.commits, self.refused = {}, [], {}
        self.asked = []

    def files(self, repo, branch="main"):
        return self.repositories[repo][branch]

    def answer(self, handler, method, path, body):
        """Returns a status and what is said."""
        self.asked.append(f"{method} {path}")
        for part, status in self.refused.items():
            if part in path:
                return status, {"error": f"stand-in says {status}"}
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body)["content"])
        role = self.tokens.get(handler.headers.get("Authorization", "").removeprefix("Bearer "))
        if role is None:
            return 401, {"error": "Invalid username or password."}
        if path == "/api/whoami-v2":
            return 200, {"name": NAME, "auth": {"accessToken": {"role": role}}}
        if path == "/api/repos/create":
            return self._create(handler, json.loads(body))
        owner, name, what, *rest = *path.removeprefix("/api/models/").split("/"), "info"
        repo, branches = f"{owner}/{name}", self.repositories.get(f"{owner}/{name}", {})
        branch = unquote(rest[0]) if len(rest) > 1 else "main"
        if what == "branch" and branches:
            branches.setdefault(branch, {})
            return 200, {}
        if branch not in branches:
            return 404, {"error": "Not found"}
        if what == "preupload":
            return 200, {"files": [MODE | {"path": each["path"]} for each in json.loads(body)["files"]]}
        if what == "commit":
            return 200, self._commit(handler, repo, branch, [json.loads(line) for line in body.splitlines()])
        return 200, {"id": repo, "sha": "0" * 40, "siblings": []}

    def _create(self, handler, wanted):
        repo = f"{wanted.get('organization') or NAME}/{wanted['name']}"
        is_new = repo not in self.repositories
        self.repositories.setdefault(repo, {"main": {}})
        said = {"url": f"http://{handler.headers['Host']}/{repo}", "name": repo}
        return (200, said) if is_new else (409, said | {"error": "You already created this model repo"})

    def _validate(self, content):
        """Looks at what the hub looks at: front matter in YAML."""
        fields = yaml.safe_load(content.split("---\n")[1])
        errors = [{"message": f'"{key}" is empty'} for key, value in fields.items() if value in (None, [], "")]
        return (400 if errors else 200), {"errors": errors, "warnings": []}

    def _commit(self, handler, repo, branch, lines):
        sent = [line["value"] for line in lines if line["key"] == "file"]
        files = {each["path"]: base64.b64decode(each["content"]) for each in sent}
        self.repositories[repo][branch].update(files)
        self.commits.append((lines[0]["value"]["summary"], sorted(files)))
        oid = f"{len(self.commits):040d}"
        return {"commitOid": oid, "commitUrl": f"http://{handler.headers['Host']}/{repo}/commit/{oid}"}


@contextmanager
def local_hub():
    """Starts a stand-in, and yields it; `asked_by` has a test take it for the hub."""
    hub, lock = Hub(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                status, said = hub.answer(self, self.command, self.path.partition("?")[0], body)
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        hub.address = f"http://127.0.0.1:{server.server_port}"
        yield hub
        server.shutdown()
        thread.join()


def asked_by(monkeypatch, address, token="hf_standin"):
    """Has huggingface_hub ask an address in place of the hub, with a token."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setenv("HF_TOKEN", token)

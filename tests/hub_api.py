"""A stand-in of the hub's API on this machine: accounts, repositories, LFS and commits."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import yaml

NAME = "me"


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
        self.asked, self._blobs = [], {}

    def files(self, repo, branch="main"):
        return self.repositories[repo][branch]

    def answer(self, handler, method, path, body):
        """Returns a status and what is said."""
        self.asked.append(f"{method} {path}")
        for part, status in self.refused.items():
            if part in path:
                return status, {"error": f"stand-in says {status}"}
        if path.startswith("/lfs/"):  # as of S3, which needs no token
            self._blobs[path.removeprefix("/lfs/")] = body
            return 200, None
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body)["content"])
        role = self.tokens.get(handler.headers.get("Authorization", "").removeprefix("Bearer "))
        if role is None:
            return 401, {"error": "Invalid username or password."}
        if path == "/api/whoami-v2":
            return 200, {"name": NAME, "orgs": [{"name": "lab"}], "auth": {"accessToken": {"role": role}}}
        if path == "/api/repos/create":
            return self._create(handler, json.loads(body))
        if path.endswith("/info/lfs/objects/batch"):
            return 200, self._batch(handler, json.loads(body))
        owner, name, what, *rest = *path.removeprefix("/api/models/").split("/"), "info"
        repo, branches = f"{owner}/{name}", self.repositories.get(f"{owner}/{name}", {})
        branch = unquote(rest[0]) if len(rest) > 1 else "main"
        if what == "branch" and branches:
            branches.setdefault(branch, {})
            return 200, {}
        if branch not in branches:
            return 404, {"error": "Not found"}
        if what == "preupload":
            return 200, {"files": [_mode(each) for each in json.loads(body)["files"]]}
        if what == "commit":
            return 200, self._commit(handler, repo, branch, [json.loads(line) for line in body.splitlines()])
        return 200, {"id": repo, "sha": "0" * 40, "siblings": []}

    def _create(self, handler, wanted):
        owner = wanted.get("organization") or NAME
        if owner not in (NAME, "lab"):
            return 403, {"error": "You don't have the rights to create a model under this namespace"}
        repo = f"{owner}/{wanted['name']}"
        is_new = repo not in self.repositories
        self.repositories.setdefault(repo, {"main": {}})
        said = {"url": f"http://{handler.headers['Host']}/{repo}", "name": repo}
        return (200, said) if is_new else (409, said | {"error": "You already created this model repo"})

    def _validate(self, content):
        """Looks at what the hub looks at: front matter in YAML, and a model-index of its form."""
        fields = yaml.safe_load(content.split("---\n")[1])
        errors = [{"message": f'"{key}" is empty'} for key, value in fields.items() if value in (None, [], "")]
        for each in fields.get("model-index", []):
            for result in each["results"]:
                complete = {"type"} <= set(result["task"]) and {"type", "name"} <= set(result["dataset"])
                complete = complete and all({"type", "value"} <= set(metric) for metric in result["metrics"])
                errors += [] if complete else [{"message": f"model-index: {result}"}]
        return (400 if errors else 200), {"errors": errors, "warnings": []}

    def _batch(self, handler, wanted):
        root = f"http://{handler.headers['Host']}/lfs"
        objects = [{**each, "actions": {"upload": {"href": f"{root}/{each['oid']}"}}} for each in wanted["objects"]]
        return {"transfer": "basic", "objects": objects}

    def _commit(self, handler, repo, branch, lines):
        files = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                content = self._blobs[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                files[value["path"]] = content
        self.repositories[repo][branch].update(files)
        self.commits.append((lines[0]["value"]["summary"], sorted(files)))
        oid = f"{len(self.commits):040d}"
        return {"commitOid": oid, "commitUrl": f"http://{handler.headers['Host']}/{repo}/commit/{oid}"}


def _mode(file):
    mode = "lfs" if file["path"].endswith((".safetensors", ".pt", ".bin", ".pth")) else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}


@contextmanager
def local_hub():
    """Starts a stand-in, and yields it; `asked_by` has a test take it for the hub."""
    hub, lock = Hub(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b"".join(iter(self._chunk, b""))
            with lock:
                status, said = hub.answer(self, self.command, self.path.partition("?")[0], body)
            content = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _answer

        def _chunk(self):
            size = int(self.rfile.readline(), 16)
            content = self.rfile.read(size)
            self.rfile.readline()
            return content

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
    """Has huggingface_hub ask an address in place of the hub, with a token; large files go by LFS."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("transformers.utils.hub._hf_api", None)  # keeps the address of its first use
    monkeypatch.setenv("HF_TOKEN", token)

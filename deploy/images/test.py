#!/usr/bin/env python3
"""Tests of oci.py: archives are the same bytes twice, and what is pushed into a registry (a small one, in this process) is whole.

usage: test.py [-q | -v]
"""

import hashlib
import http.server
import json
import re
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOGIN = "Basic dXNlcjpwYXNz"  # user:pass
TOKEN = "opaque"


class Registry(http.server.BaseHTTPRequestHandler):
    """As much of the OCI distribution specification as a push needs, and it checks every digest."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, headers=None, body=b""):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_all(self):
        state = self.server.state
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state["requests"].append(f"{self.command} {self.path}")
        if self.path.startswith("/token"):
            good = self.headers.get("Authorization") == LOGIN
            return self.reply(200, {}, json.dumps({"token": TOKEN}).encode()) if good else self.reply(401)
        if state["secured"] and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            realm = f'Bearer realm="http://{self.headers["Host"]}/token",service="test",scope="repository:x:push"'
            return self.reply(401, {"WWW-Authenticate": realm})
        blob = re.fullmatch(r"/v2/our/thing/blobs/(sha256:[0-9a-f]{64})", self.path)
        upload = re.fullmatch(r"/v2/our/thing/blobs/uploads/1\?state=a&digest=(sha256%3A[0-9a-f]{64})", self.path)
        manifest = re.fullmatch(r"/v2/our/thing/manifests/([\w.:-]+)", self.path)
        if blob and self.command == "HEAD":
            return self.reply(200 if blob[1] in state["blobs"] else 404)
        if self.path == "/v2/our/thing/blobs/uploads/" and self.command == "POST":
            return self.reply(202, {"Location": "/v2/our/thing/blobs/uploads/1?state=a"})
        if upload and self.command == "PUT":
            digest = upload[1].replace("%3A", ":")
            if digest != "sha256:" + hashlib.sha256(body).hexdigest():
                return self.reply(400, {}, b"wrong digest")
            state["blobs"][digest] = body
            return self.reply(201)
        if manifest and self.command == "PUT":
            return self.put_manifest(state, manifest[1], body)
        return self.reply(404, {}, b"no such thing")

    def put_manifest(self, state, reference, body):
        own = "sha256:" + hashlib.sha256(body).hexdigest()
        if reference.startswith("sha256:") and reference != own:
            return self.reply(400, {}, b"wrong digest")
        content = json.loads(body)
        parts = [content["config"], *content["layers"]] if "layers" in content else []
        if any(part["digest"] not in state["blobs"] for part in parts):
            return self.reply(400, {}, b"a blob is missing")
        if any(one["digest"] not in state["manifests"] for one in content.get("manifests", [])):
            return self.reply(400, {}, b"a manifest is missing")
        state["manifests"][reference] = state["manifests"][own] = body
        has_subject = "subject" in content and state["referrers"]
        return self.reply(201, {"OCI-Subject": content["subject"]["digest"]} if has_subject else {})

    do_GET = do_HEAD = do_POST = do_PUT = handle_all


class Images(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name in ("amd64", "arm64"):
            (self.folder / name).write_bytes(b"\x7fELF" + name.encode())
        (self.folder / "sbom").write_text('{"bomFormat":"CycloneDX"}')

    def oci(self, *words, good=True, login=None):
        config = self.folder / "docker"
        config.mkdir(exist_ok=True)
        (config / "config.json").write_text(json.dumps({"auths": login or {}}))
        environment = {"DOCKER_CONFIG": str(config), "PATH": "/usr/bin:/bin:/usr/local/bin"}
        done = subprocess.run([sys.executable, HERE / "oci.py", *map(str, words)], capture_output=True, text=True, env=environment)
        self.assertEqual(done.returncode == 0, good, done.stderr)
        return done.stdout.strip() if good else done.stderr

    def archive(self, name="image.tar", epoch=1700000000):
        words = ["--role", "thing", "--version", "1.2.3", "--epoch", epoch, f"arm64={self.folder}/arm64", f"amd64={self.folder}/amd64"]
        return self.oci("archive", self.folder / name, "localhost/vouchsafe-thing:dev", *words)

    def registry(self, secured=False, referrers=True):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
        server.state = {"blobs": {}, "manifests": {}, "requests": [], "secured": secured, "referrers": referrers}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.state, f"127.0.0.1:{server.server_address[1]}"

    def push(self, host, **more):
        attach = ["--attach", f"amd64={self.folder}/sbom", "--attach", f"arm64={self.folder}/sbom"]
        return self.oci("push", self.folder / "image.tar", f"{host}/our/thing:1.2.3", "--plain-http", *attach, **more)

    def test_the_same_binaries_give_the_same_bytes(self):
        first, second = self.archive("a.tar"), self.archive("b.tar")
        self.assertEqual((self.folder / "a.tar").read_bytes(), (self.folder / "b.tar").read_bytes())
        self.assertEqual(first, second)
        self.assertEqual(first, self.oci("digest", self.folder / "a.tar"))
        self.assertNotEqual(first, self.archive("c.tar", epoch=0))

    def test_a_program_that_needs_a_loader_is_refused(self):
        (self.folder / "amd64").write_bytes(b"\x7fELF" + b"/lib64/ld-linux-x86-64.so.2")
        words = ["--role", "thing", "--version", "1", "--epoch", 0, f"amd64={self.folder}/amd64"]
        self.assertIn("linked dynamically", self.oci("archive", self.folder / "x.tar", "a:b", *words, good=False))

    def test_what_is_pushed_is_whole_for_both_architectures(self):
        digest = self.archive()
        state, host = self.registry()
        self.assertEqual(self.push(host), f"{host}/our/thing@{digest}")
        index = json.loads(state["manifests"]["1.2.3"])
        self.assertEqual([one["platform"]["architecture"] for one in index["manifests"]], ["amd64", "arm64"])
        for one in index["manifests"]:
            manifest = json.loads(state["manifests"][one["digest"]])
            config = json.loads(state["blobs"][manifest["config"]["digest"]])
            self.assertEqual(config["config"]["User"], "65532:65532")
            self.assertEqual(config["config"]["Entrypoint"], ["/vouchsafe-thing"])
            self.assertEqual(config["rootfs"]["diff_ids"], [manifest["layers"][0]["digest"]])
        subjects = {json.loads(body)["subject"]["digest"] for body in state["manifests"].values() if b'"subject"' in body}
        self.assertEqual(subjects, {one["digest"] for one in index["manifests"]})

    def test_a_second_push_sends_no_blob_again(self):
        self.archive()
        state, host = self.registry()
        self.push(host)
        state["requests"].clear()
        self.push(host)
        self.assertEqual([one for one in state["requests"] if one.startswith("POST")], [])

    def test_a_registry_without_referrers_gets_the_tag_for_them(self):
        self.archive()
        state, host = self.registry(referrers=False)
        self.push(host)
        index = json.loads(state["manifests"]["1.2.3"])
        for one in index["manifests"]:
            fallback = json.loads(state["manifests"][one["digest"].replace(":", "-")])
            self.assertEqual(fallback["manifests"][0]["artifactType"], "application/vnd.cyclonedx+json")

    def test_a_login_is_used_where_the_registry_wants_one(self):
        self.archive()
        state, host = self.registry(secured=True)
        self.push(host, login={host: {"auth": LOGIN.removeprefix("Basic ")}})
        self.assertIn("1.2.3", state["manifests"])
        self.assertIn("gives no token", self.push(host, good=False))


if __name__ == "__main__":
    unittest.main()

"""Servers for the command line clients: OpenBao, Vault, a fake API server, and a broker for each way to run one."""
import base64
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

START_SECONDS = 60  # a cold 350 MB binary on a busy machine
ROOT = "clients-root"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Pki:
    """One certificate for 127.0.0.1 out of a CA of its own."""

    def __init__(self, folder):
        self.ca, self.crt, self.key = (os.path.join(folder, name) for name in ("ca.crt", "tls.crt", "tls.key"))
        self.folder = folder
        os.makedirs(folder)
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], check=True, cwd=folder, stderr=subprocess.DEVNULL)

        openssl("req", "-x509", *ec, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=clients-ca", "-days", "2")
        openssl("req", *ec, "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=clients")
        with open(os.path.join(folder, "ext"), "w") as f:
            f.write("extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", "tls.crt", "-days", "2", "-extfile", "ext")


def segment(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def service_account_token(namespace, name):
    """Shaped like a projected token; only the fake API server vouches for it."""
    now = int(time.time())
    claims = {
        "aud": ["vault"], "exp": now + 3600, "iat": now, "nbf": now, "iss": "https://kubernetes.default.svc",
        "sub": f"system:serviceaccount:{namespace}:{name}",
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": f"uid-{name}"},
                          "pod": {"name": f"{name}-0", "uid": "uid-pod"}},
    }
    return f'{segment({"alg": "RS256", "kid": "k"})}.{segment(claims)}.{"A" * 342}'


class ApiServer(http.server.BaseHTTPRequestHandler):
    """Confirms every token whose account is not called `stranger`."""

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = review["spec"]["token"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        account = claims["kubernetes.io"]["serviceaccount"]
        status = {"authenticated": account["name"] != "stranger", "audiences": review["spec"].get("audiences", []),
                  "user": {"username": claims["sub"], "uid": account["uid"]}}
        answer = json.dumps({**review, "status": status}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def start_api_server(pki):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ApiServer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.crt, pki.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"https://127.0.0.1:{server.server_address[1]}"


class Server:
    """A process that speaks the Vault API."""

    running = []

    def __init__(self, name, command, port, ca, log, environment=None):
        self.name, self.address, self.ca, self.log, self.token = name, f"https://127.0.0.1:{port}", ca, log, ROOT
        self.process = subprocess.Popen(command, stdout=open(log, "w"), stderr=subprocess.STDOUT,
                                        env={"PATH": os.environ["PATH"], **(environment or {})})
        Server.running.append(self)

    def wait(self):
        deadline = time.time() + START_SECONDS
        while True:
            try:
                if self.api("GET", "sys/health")[0] == 200:
                    return self
            except (OSError, urllib.error.URLError):
                pass
            if self.process.poll() is not None or time.time() > deadline:
                raise SystemExit(f"{self.name} did not start:\n{open(self.log).read()[-2000:]}")
            time.sleep(0.05)

    def api(self, method, path, body=None, token=None):
        request = urllib.request.Request(f"{self.address}/v1/{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode())
        request.add_header("X-Vault-Token", token or self.token)
        try:
            with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=self.ca), timeout=10) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, None

    def must(self, method, path, body=None):
        status, answer = self.api(method, path, body)
        if status not in (200, 204):
            raise SystemExit(f"{self.name}: {method} {path}: {status}")
        return answer

    @classmethod
    def stop_all(cls):
        for server in reversed(cls.running):
            server.process.terminate()
        for server in cls.running:
            try:
                server.process.wait(10)
            except subprocess.TimeoutExpired:
                server.process.kill()
        cls.running.clear()


def start_real(name, binary, work):
    """A development server with TLS."""
    port, folder = free_port(), os.path.join(work, f"{name}-tls")
    os.makedirs(folder)
    command = [binary, "server", "-dev", "-dev-tls", f"-dev-tls-cert-dir={folder}", "-dev-no-store-token",
               f"-dev-root-token-id={ROOT}", f"-dev-listen-address=127.0.0.1:{port}"]
    ca = os.path.join(folder, "vault-ca.pem")
    return Server(name, command, port, ca, os.path.join(work, f"{name}.log"), {"HOME": work})


def start_broker(name, binary, work, pki, *source):
    port, audit = free_port(), os.path.join(work, f"{name}-audit")
    command = [binary, "--listen", f"127.0.0.1:{port}", "--tls-folder", pki.folder, "--audit-folder", audit, *source]
    return Server(name, command, port, pki.ca, os.path.join(work, f"{name}.log"))


def set_up(server, api_server, ca):
    """What the commands expect: Kubernetes auth, a policy and its role, one secret."""
    with open(ca) as f:
        roots = f.read()
    server.must("POST", "sys/auth/kubernetes", {"type": "kubernetes"})
    server.must("POST", "auth/kubernetes/config", {"kubernetes_host": api_server, "kubernetes_ca_cert": roots,
                                                   "token_reviewer_jwt": service_account_token("kube-system", "reviewer"),
                                                   "disable_local_ca_jwt": True})
    rules = {"path": {"secret/data/app": {"capabilities": ["read"]}, "secret/metadata/app": {"capabilities": ["read"]}}}
    server.must("POST", "sys/policies/acl/app", {"policy": json.dumps(rules)})
    server.must("POST", "auth/kubernetes/role/app", {
        "bound_service_account_names": "app", "bound_service_account_namespaces": "shop", "audience": "vault",
        "token_policies": ["app"], "token_ttl": "20m"})
    server.must("POST", "secret/data/app", {"data": {"user": "shop", "password": "correct horse"}})

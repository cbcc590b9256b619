"""The command lines of OpenBao and Vault, and their agents, against the broker: exit code and output as straight at the server.

usage: with_cli.py BROKER BAO VAULT [FILTER]      the three binaries; FILTER shows what commands holding it print

Each client runs the same commands three times: straight at its own server, through a broker in front of that server, and
against a broker with the embedded store. What differs by nature (tokens, times, ids, ports) is masked first; what differs
with the embedded store for a reason stands in EMBEDDED.
"""
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading

import servers

BROKER, BINARIES = sys.argv[1], {"bao": sys.argv[2], "vault": sys.argv[3]}
SHOWN = sys.argv[4] if len(sys.argv) > 4 else None
COMMAND_SECONDS = 30

# {m} a mount of the run's own, {1} its version 1 twin, {p} a policy of its own, {jwt} {stranger} files, {x} what an earlier
# command kept by `> x`. A leading ? compares the exit code only: the output tells of the server itself.
COMMANDS = """
? status
? secrets list
? auth list
login -no-print -method=token token={root}
login -method=token token=no-such-token
token lookup
secrets enable -path={m} -version=2 kv
secrets enable -path={m} -version=2 kv
secrets tune -description=described {m}
kv put -mount={m} app user=shop pass=one
kv put {m}/app user=shop pass=two
kv get -mount={m} app
kv get {m}/app
kv get -field=pass {m}/app
kv get -format=json -version=1 {m}/app
kv get -version=9 {m}/app
kv put -cas=2 {m}/app user=shop pass=three
kv put -cas=2 {m}/app user=shop pass=four
kv patch {m}/app pass=five
kv patch -method=rw {m}/app extra=six
kv patch -cas=1 {m}/app pass=seven
kv patch {m}/none pass=one
kv get -format=json {m}/app
kv put {m}/deep/er leaf=1
kv list {m}
kv list -format=json -mount={m} deep
kv list {m}/none
kv metadata put -max-versions=8 -custom-metadata=team=shop {m}/app
kv metadata patch -custom-metadata=owner=me -delete-version-after=1h {m}/app
kv metadata patch -remove-custom-metadata=owner {m}/app
kv metadata get {m}/app
kv metadata get {m}/none
kv delete {m}/app
kv get {m}/app
kv undelete -versions=5 {m}/app
kv rollback -version=1 {m}/app
kv get {m}/app
kv delete -versions=2,3 {m}/app
kv destroy -versions=2 {m}/app
kv get -version=2 {m}/app
kv metadata get -format=json {m}/app
kv metadata delete {m}/app
kv get {m}/app
secrets enable -path={1} -version=1 kv
kv put {1}/a k=v
kv get {1}/a
kv get -format=json {1}/a
kv list {1}
kv metadata get {1}/a
kv enable-versioning {1}
kv get {1}/a
kv delete {1}/a
read -format=json {m}/data/deep/er
read {m}/data/none
write {m}/data/raw @{json}
read -field=data {m}/data/raw
list {m}/metadata
delete {m}/data/raw
policy write {p} {rules}
policy read {p}
policy read no-such-policy
policy fmt {rules}
token create -policy={p} -ttl=1h -display-name=cli -format=json > t
token create -policy={p} -policy=default -period=30m -orphan
token create -policy=no-such-policy -use-limit=3 -explicit-max-ttl=2h
token create -type=batch -policy={p}
token lookup {t}
token lookup -accessor {t.accessor}
token capabilities {t} {m}/data/app
token capabilities {m}/data/app
token renew -increment=20m {t}
token renew no-such-token
token revoke -accessor {t.accessor}
token lookup {t}
token revoke no-such-token
write auth/token/roles/{p} allowed_policies={p} token_period=1h
read auth/token/roles/{p}
token create -role={p} -format=json > r
token lookup {r}
token revoke -self {r}
lease lookup no/such/lease
lease renew no/such/lease
lease revoke no/such/lease
write cubbyhole/mine k=v
read cubbyhole/mine
kv get -wrap-ttl=60s -format=json {m}/deep/er > w
unwrap {w}
unwrap {w}
write -wrap-ttl=5m -format=json sys/wrapping/wrap a=b > v
write sys/wrapping/lookup token={v}
unwrap -format=json {v}
token create -policy=default -wrap-ttl=60s -format=json > c
unwrap -field=token_policies {c}
write -format=json auth/kubernetes/login role=app jwt=@{jwt} > k
write auth/kubernetes/login role=app jwt=@{stranger}
write auth/kubernetes/login role=none jwt=@{jwt}
read auth/kubernetes/role/app
AS {k} token lookup
AS {k} kv get -field=password secret/app
AS {k} kv get -mount=secret app
AS {k} kv get secret/other
AS {k} kv put secret/app a=b
AS {k} token renew
AS {k} token revoke -self
AS {k} kv get secret/app
policy delete {p}
secrets disable {1}
secrets disable {m}
"""

# Lines that an answer of the embedded store lacks or words otherwise, with the reason.
EMBEDDED = [
    (r'^"?mount_type"?[: ]', "Vault alone names the engine's type beside every answer"),
    (r'^"?(created_by|deleted_by|last_updated_by|actor|client_id|operation|metadata_cas_required|current_metadata_version)"?[: ]',
     "Vault notes writers in metadata, OpenBao counts its versions"),
    (r'^"?entity_id"?[: ]', "the store keeps no identities"),
    (r'^"?(token_strictly_bind_ip|use_annotations_as_alias_metadata)"?[: ]', "settings of one server"),
    (r"(Vault|OpenBao|Bao) CLI|(vault|bao) kv", "the hint names the server's own command line"),
    (r"permission denied|invalid token|\d errors? occurred", "Vault adds `invalid token`; both are 403"),
]

MASKS = [
    (r"https://127\.0\.0\.1:\d+", "ADDRESS"),
    (r"\b(hvs|hvb|s|b|hvr)\.[A-Za-z0-9_-]{20,}", "TOKEN"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} \S+", "TIME"),
    (r"(accessor\W+)[A-Za-z0-9]{20,}(\.\S+)?", r"\1ACCESSOR"),
    (r"(creation_time\W+)\d+", r"\1SECONDS"),
    (r"(issue_time|last_renewal_time)(\W+)\d+", r"\1\2SECONDS"),
    (r'(?m)^(\s*"?ttl"?\W+)\d[0-9hms]*', r"\1LEFT"),
    (r"\b(19m5\ds|20m0s|59m5\ds|1h0m0s|29m5\ds|30m0s|767h59m5\ds|768h0m0s|1h|20m|30m|768h)\b", "DURATION"),
    (r'("?(lease_duration|token_duration)"?\W+)\d+', r"\1SECONDS"),
    (r"-{3,}", "---"),
    (r"={2,}", "=="),
    (r"[ \t]+", " "),
]


def masked(text, run):
    for name, shown in ((run.mount, "MOUNT"), (run.mount_1, "MOUNT1"), (run.policy, "POLICY"), (run.work, "WORK")):
        text = text.replace(name, shown)
    for pattern, shown in MASKS:
        text = re.sub(pattern, shown, text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # The clients print these in no order.
    metadata = sorted(line for line in lines if line.startswith("token_meta_"))
    return "\n".join([line for line in lines if not line.startswith("token_meta_")] + metadata)


class Run:
    """One client against one server."""

    def __init__(self, letter, client, server, work):
        self.client, self.server = client, server
        self.mount, self.mount_1, self.policy = f"kvtwo{letter}", f"kvone{letter}", f"policy-{letter}"
        self.work = os.path.join(work, f"run-{letter}")
        os.makedirs(self.work)
        self.kept = {"m": self.mount, "1": self.mount_1, "p": self.policy, "root": server.token}
        for name, text in (("jwt", servers.service_account_token("shop", "app")),
                           ("stranger", servers.service_account_token("shop", "stranger")),
                           ("json", '{"data": {"raw": "yes"}}'),
                           ("rules", f'path "{self.mount}/data/*" {{ capabilities = ["read", "list"] }}\n')):
            self.kept[name] = os.path.join(self.work, name)
            with open(self.kept[name], "w") as f:
                f.write(text)

    def environment(self, token=None):
        prefix = "BAO" if self.client == "bao" else "VAULT"
        return {"PATH": os.environ["PATH"], "HOME": self.work, f"{prefix}_ADDR": self.server.address,
                f"{prefix}_CACERT": self.server.ca, f"{prefix}_TOKEN": token or self.server.token,
                f"{prefix}_MAX_RETRIES": "0", "NO_COLOR": "1", "CLICOLOR": "0"}

    def command(self, line):
        """Exit code and masked output."""
        line, _, name = line.partition(" > ")
        words = [re.sub(r"\{([a-z0-9.]+)\}", lambda found: self.kept.get(found[1], "missing"), word) for word in line.split()]
        token = None
        if words[0] == "AS":
            token, words = words[1], words[2:]
        done = subprocess.run([BINARIES[self.client], *words], env=self.environment(token), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS)
        if name:
            for field, suffix in (("client_token|token", ""), ("accessor", ".accessor")):
                found = re.search(rf'"(?:{field})": "([^"]+)"', done.stdout)
                self.kept[name + suffix] = found[1] if found else "missing"
        return done.returncode, masked(done.stdout + done.stderr, self)

    def all(self):
        return [(line, *self.command(line.removeprefix("? "))) for line in COMMANDS.strip().splitlines()]

    def agent(self):
        """Auto-auth by a token file, one template; what was rendered."""
        out, config = os.path.join(self.work, "rendered"), os.path.join(self.work, "agent.hcl")
        template = '{{ with secret "secret/data/app" }}{{ .Data.data.user }}:{{ .Data.data.password }}{{ end }}'
        with open(config, "w") as f:
            f.write(f'''
vault {{ address = "{self.server.address}"
  ca_cert = "{self.server.ca}" }}
auto_auth {{
  method "kubernetes" {{
    config = {{ role = "app", token_path = "{self.kept["jwt"]}" }}
  }}
  sink "file" {{ config = {{ path = "{self.work}/sink" }} }}
}}
template {{
  contents = <<X
{template}
X
  destination = "{out}"
}}
exit_after_auth = true
pid_file = "{self.work}/pid"
''')
        environment = {"PATH": os.environ["PATH"], "HOME": self.work}
        done = subprocess.run([BINARIES[self.client], "agent", f"-config={config}"], env=environment, capture_output=True,
                              text=True, timeout=COMMAND_SECONDS)
        if not os.path.exists(out):
            return done.returncode, done.stdout[-1500:] + done.stderr[-1500:]
        with open(out) as f:
            return done.returncode, f.read().strip()


def without_reasons(text):
    kept = [line for line in text.splitlines() if not any(re.search(pattern, line) for pattern, _ in EMBEDDED)]
    # The last line of a JSON block may or may not end in a comma once its neighbour is gone.
    return [line for line in (line.rstrip(",").strip() for line in kept) if line not in ("", "{", "}", "{}", "* ")]


def compare(straight, other, embedded):
    faults = []
    for (line, code, output), (_, other_code, other_output) in zip(straight, other):
        if SHOWN and SHOWN in line:
            print(f"--- {line}\n{code}\n{output}\n--- other\n{other_code}\n{other_output}", file=sys.stderr)
        one, two = output.splitlines(), other_output.splitlines()
        if embedded:
            one, two = without_reasons(output), without_reasons(other_output)
        if code != other_code or (not line.startswith("?") and one != two):
            difference = "\n      ".join(difflib.unified_diff(one, two, "straight", "other", lineterm="", n=0))
            faults.append(f"{line}: exit {code} and {other_code}\n      {difference}")
    return faults


def series(client, straight, broker, embedded, letters, work, results):
    runs = [Run(letter, client, server, work) for letter, server in zip(letters, (straight, broker, embedded))]
    seen = [run.all() for run in runs]
    agents = [run.agent() for run in runs]
    for name, other, agent, is_embedded in ((broker.name, seen[1], agents[1], False),
                                            (embedded.name, seen[2], agents[2], True)):
        faults = compare(seen[0], other, is_embedded)
        if agent != (0, "shop:correct horse") or agent != agents[0]:
            faults.append(f"agent: {agent}, straight {agents[0]}")
        results.append((f"{client} against {name}: {len(other)} commands and the agent as at the server", faults))


def verb(*arguments):
    return subprocess.run([BROKER, *arguments], env={"PATH": os.environ["PATH"], "VAULT_TOKEN": servers.ROOT},
                          capture_output=True, text=True, timeout=COMMAND_SECONDS)


def backup(embedded, work, pki):
    """A backup of the running store, restored beside it and served by a second broker."""
    faults = []

    def expect(code, words, *arguments):
        done = verb(*arguments)
        if done.returncode != code or words not in done.stdout + done.stderr:
            faults.append(f"{' '.join(arguments[:2])}: exit {done.returncode}, {done.stdout}{done.stderr}")

    expect(1, "comes out once", "root-token", f"--file={work}/root-token")
    saved, key = f"{work}/store.backup", f"--store-key={work}/store.key"
    expect(0, "written", "store", "backup", f"--address={embedded.address}", f"--ca={pki.ca}", f"--out={saved}")
    expect(1, "new file", "store", "backup", f"--address={embedded.address}", f"--ca={pki.ca}", f"--out={saved}")
    expect(1, "another process", "store", "backup", f"--store={work}/store", key, f"--out={work}/held.backup")
    expect(0, "whole", "store", "check", f"--in={saved}", key)
    expect(1, "overwrites nothing", "store", "restore", f"--in={saved}", f"--store={work}/store", key)
    expect(0, "restored", "store", "restore", f"--in={saved}", f"--store={work}/second", key)
    with open(saved, "r+b") as f:
        f.seek(1000)
        byte = f.read(1)
        f.seek(1000)
        f.write(bytes([byte[0] ^ 1]))
    expect(1, "backup", "store", "check", f"--in={saved}", key)
    if faults:
        return faults
    second = servers.start_broker("the restored store", BROKER, work, pki, "--store", f"{work}/second",
                                  "--store-key", f"{work}/store.key").wait()
    answer = second.must("GET", "secret/data/app")
    if answer["data"]["data"] != {"user": "shop", "password": "correct horse"}:
        faults.append(f"the restored store answers {answer}")
    return faults


def main():
    work = tempfile.mkdtemp(prefix="vouchsafe-cli.")
    try:
        pki = servers.Pki(os.path.join(work, "pki"))
        api_server = servers.start_api_server(pki)
        real = {name: servers.start_real(name, BINARIES[binary], work) for name, binary in
                (("OpenBao", "bao"), ("Vault", "vault"))}
        store = ["--store", f"{work}/store", "--store-key", f"{work}/store.key", "--store-create", f"{work}/root-token"]
        embedded = servers.start_broker("the embedded store", BROKER, work, pki, *store).wait()
        taken = verb("root-token", f"--file={work}/root-token")
        embedded.token = taken.stdout.strip()
        # As development servers make theirs, so that look-ups agree.
        embedded.must("POST", "auth/token/create", {"id": servers.ROOT, "policies": ["root"], "no_parent": True})
        embedded.token = servers.ROOT
        fronts = {}
        for name, server in real.items():
            server.wait()
            fronts[name] = servers.start_broker(f"a broker before {name}", BROKER, work, pki, "--upstream", server.address,
                                                "--upstream-ca", server.ca)
        for server in (*real.values(), embedded):
            servers.set_up(server, api_server, pki.ca)
        for front in fronts.values():
            front.wait()
        results = []
        threads = [threading.Thread(target=series, args=(client, real[name], fronts[name], embedded, letters, work, results))
                   for client, name, letters in (("bao", "OpenBao", "abc"), ("vault", "Vault", "def"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        results.append(("root-token once; backup of the running store, check, restore", backup(embedded, work, pki)))
        for text, faults in sorted(results):
            print(f"{'FAIL ' if faults else 'ok   '} {text}")
            for fault in faults:
                print(f"    {fault}")
        if len(results) != 5 or any(faults for _, faults in results):
            sys.exit(1)
    finally:
        servers.Server.stop_all()
        shutil.rmtree(work, ignore_errors=True)


main()

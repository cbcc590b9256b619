#!/usr/bin/env python3
"""Makes our container images without a container engine, and puts them into a registry over its HTTP API.

usage: oci.py archive OUT.tar NAME:TAG --role ROLE --version V --epoch SECONDS ARCH=BINARY…
       oci.py push ARCHIVE.tar REGISTRY/REPOSITORY:TAG [--attach ARCH=SBOM.json…]
       oci.py digest ARCHIVE.tar

From scratch: the static binary at /vouchsafe-ROLE (for the command line /vouchsafe), uid 65532, nothing else. The same binaries give the
same bytes: entries sorted, owner 0:0, every time is --epoch. Layers are not compressed, because compressors of different machines make
different bytes. Python's standard library is all that it needs. Credentials of a registry come from ~/.docker/config.json
(or DOCKER_CONFIG), as `docker login` and `podman login` write it. Out of scope: pulling, signing.
"""

import argparse
import base64
import hashlib
import http.client
import io
import json
import os
import re
import ssl
import sys
import tarfile
import urllib.parse
from datetime import datetime, timezone
from pathlib import Path

OCI = "application/vnd.oci.image"
MANIFEST, INDEX, CONFIG, LAYER = f"{OCI}.manifest.v1+json", f"{OCI}.index.v1+json", f"{OCI}.config.v1+json", f"{OCI}.layer.v1.tar"
EMPTY, SBOM = "application/vnd.oci.empty.v1+json", "application/vnd.cyclonedx+json"
NONROOT = "65532:65532"  # the uid of distroless' nonroot images: what a cluster's policies expect of a tool's image
SOURCE = "https://github.com/vouchsafe/vouchsafe"
REQUEST_SECONDS = 60


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    archive = verbs.add_parser("archive")
    archive.add_argument("out", type=Path)
    archive.add_argument("name")
    archive.add_argument("--role", required=True)
    archive.add_argument("--version", required=True)
    archive.add_argument("--epoch", type=int, required=True)
    archive.add_argument("binaries", nargs="+", metavar="ARCH=BINARY")
    push = verbs.add_parser("push")
    push.add_argument("archive", type=Path)
    push.add_argument("reference")
    push.add_argument("--attach", action="append", default=[], metavar="ARCH=SBOM")
    push.add_argument("--plain-http", action="store_true", help="a registry on this machine, without TLS")
    verbs.add_parser("digest").add_argument("archive", type=Path)
    wanted = parser.parse_args(argv)
    if wanted.verb == "archive":
        print(make_archive(wanted))
    elif wanted.verb == "digest":
        print(Layout(wanted.archive).top["digest"])
    else:
        push_archive(wanted)


# --- archive ---------------------------------------------------------------------------------------------------------


def make_archive(wanted):
    """An OCI image layout in one tar, with one manifest for each architecture; gives its digest."""
    blobs = {}

    def blob(data, media_type, **more):
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data), **more}

    program = wanted.role if wanted.role.startswith("vouchsafe") else f"vouchsafe-{wanted.role}"
    created = datetime.fromtimestamp(wanted.epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {
        "org.opencontainers.image.title": program,
        "org.opencontainers.image.version": wanted.version,
        "org.opencontainers.image.source": SOURCE,
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    manifests = []
    for pair in sorted(wanted.binaries):
        architecture, _, path = pair.partition("=")
        binary = read_static(Path(path))
        layer = blob(tar({program: (binary, 0o555)}, wanted.epoch), LAYER)
        config = {
            "created": created,
            "architecture": architecture,
            "os": "linux",
            "config": {"User": NONROOT, "Entrypoint": [f"/{program}"], "WorkingDir": "/", "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            "history": [{"created": created, "created_by": "deploy/images/build"}],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blob(encode(config), CONFIG),
            "layers": [layer],
            "annotations": labels,
        }
        manifests.append(blob(encode(manifest), MANIFEST, platform={"architecture": architecture, "os": "linux"}))
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, "annotations": labels}
    top = blob(encode(index), INDEX)
    digest = top["digest"]
    top["annotations"] = {"io.containerd.image.name": wanted.name, "org.opencontainers.image.ref.name": wanted.name.rsplit(":", 1)[1]}
    files = {"oci-layout": encode({"imageLayoutVersion": "1.0.0"}), "index.json": encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": [top]})}
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    wanted.out.write_bytes(tar({path: (data, 0o644) for path, data in (files | blobs).items()}, wanted.epoch))
    return digest


def read_static(path):
    """The binary; an image from scratch has no loader for a dynamic one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        sys.exit(f"oci.py: {path}: {error.strerror}: build it first")
    if data[:4] != b"\x7fELF":
        sys.exit(f"oci.py: {path} is no Linux program")
    if b"/ld-linux" in data[:4096] or b"/ld-musl" in data[:4096]:
        sys.exit(f"oci.py: {path} is linked dynamically: an image from scratch needs the musl build")
    return data


def tar(entries, epoch):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, (content, mode) in sorted(entries.items()):
            info = tarfile.TarInfo(path)
            info.mode, info.size, info.mtime = mode, len(content), epoch
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def encode(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Layout:
    """An OCI image layout in a tar."""

    def __init__(self, path):
        with tarfile.open(path) as archive:
            self.files = {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isfile()}
        self.top = json.loads(self.files["index.json"])["manifests"][0]

    def blob(self, digest):
        return self.files["blobs/" + digest.replace(":", "/")]


# --- push ------------------------------------------------------------------------------------------------------------


def push_archive(wanted):
    """Blobs, manifests by digest, the index by tag; then the SBOMs as referrers of their manifests."""
    layout = Layout(wanted.archive)
    registry = Registry(wanted.reference, wanted.plain_http)
    index = json.loads(layout.blob(layout.top["digest"]))
    for descriptor in index["manifests"]:
        manifest = json.loads(layout.blob(descriptor["digest"]))
        for part in [manifest["config"], *manifest["layers"]]:
            registry.blob(layout.blob(part["digest"]), part["digest"])
        registry.manifest(layout.blob(descriptor["digest"]), MANIFEST, descriptor["digest"])
    registry.manifest(layout.blob(layout.top["digest"]), INDEX, registry.tag)
    by_architecture = {one["platform"]["architecture"]: one for one in index["manifests"]}
    for pair in wanted.attach:
        architecture, _, path = pair.partition("=")
        subject = {name: by_architecture[architecture][name] for name in ("mediaType", "digest", "size")}
        attach(registry, subject, Path(path).read_bytes())
    print(f"{wanted.reference.rsplit(':', 1)[0]}@{layout.top['digest']}")


def attach(registry, subject, sbom):
    """One SBOM as an artifact whose subject is the image; registries without referrers get the fallback tag."""
    empty, digest = b"{}", "sha256:" + hashlib.sha256(sbom).hexdigest()
    empty_digest = "sha256:" + hashlib.sha256(empty).hexdigest()
    registry.blob(empty, empty_digest)
    registry.blob(sbom, digest)
    artifact = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": SBOM,
        "config": {"mediaType": EMPTY, "digest": empty_digest, "size": len(empty)},
        "layers": [{"mediaType": SBOM, "digest": digest, "size": len(sbom)}],
        "subject": subject,
    }
    data = encode(artifact)
    own = "sha256:" + hashlib.sha256(data).hexdigest()
    if registry.manifest(data, MANIFEST, own).get("OCI-Subject"):
        return
    referrer = {"mediaType": MANIFEST, "digest": own, "size": len(data), "artifactType": SBOM}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [referrer]}
    registry.manifest(encode(index), INDEX, subject["digest"].replace(":", "-"))


class Registry:
    """One repository of a registry, as the OCI distribution specification 1.1 has it."""

    def __init__(self, reference, plain_http):
        found = re.fullmatch(r"([^/]+)/([a-z0-9._/-]+):([\w.-]{1,128})", reference)
        if not found:
            sys.exit(f"oci.py: '{reference}': write REGISTRY/REPOSITORY:TAG")
        self.host, self.repository, self.tag = found.groups()
        self.plain_http = plain_http
        self.authorization = None

    def blob(self, data, digest):
        if self.ask("HEAD", f"blobs/{digest}", expect=(200, 404)).status == 200:
            return
        location = self.ask("POST", "blobs/uploads/", expect=(202,)).getheader("Location")
        where = urllib.parse.urljoin(f"/v2/{self.repository}/blobs/uploads/", location)
        joint = "&" if "?" in where else "?"
        self.ask("PUT", f"{where}{joint}digest={urllib.parse.quote(digest, safe='')}", data, "application/octet-stream", (201,))

    def manifest(self, data, media_type, reference):
        return dict(self.ask("PUT", f"manifests/{reference}", data, media_type, (201,)).getheaders())

    def ask(self, method, path, body=None, content_type=None, expect=()):
        """One request; where the registry wants a token it is fetched once."""
        where = path if path.startswith(("/", "http")) else f"/v2/{self.repository}/{path}"
        answer = self.send(method, where, body, content_type)
        if answer.status == 401 and self.authorization is None:
            self.authorization = self.authorize(answer.getheader("WWW-Authenticate") or "")
            answer = self.send(method, where, body, content_type)
        if answer.status not in expect:
            what = answer.text.decode(errors="replace")[:300]
            sys.exit(f"oci.py: {self.host}: {method} {path.split('?')[0]} answered {answer.status}: {what}")
        return answer

    def send(self, method, where, body, content_type):
        url = urllib.parse.urlsplit(urllib.parse.urljoin(f"{'http' if self.plain_http else 'https'}://{self.host}", where))
        if url.scheme == "http" and not self.plain_http:
            sys.exit(f"oci.py: {self.host} sends uploads to {url.netloc} without TLS: refused")
        headers = {"Content-Length": str(len(body or b""))} if method in ("PUT", "POST") else {}
        if content_type:
            headers["Content-Type"] = content_type
        if self.authorization and url.netloc == self.host:
            headers["Authorization"] = self.authorization
        return request(method, url, body, headers)

    def authorize(self, challenge):
        """A bearer token from the realm that the registry names, or the credentials themselves."""
        login = credentials(self.host)
        basic = f"Basic {login}" if login else None
        if not challenge.lower().startswith("bearer "):
            return basic or sys.exit(f"oci.py: {self.host} wants a login: run 'docker login {self.host}' or 'podman login {self.host}'")
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = {name: fields[name] for name in ("service", "scope") if name in fields}
        url = urllib.parse.urlsplit(f"{fields['realm']}?{urllib.parse.urlencode(query)}")
        answer = request("GET", url, None, {"Authorization": basic} if basic else {})
        if answer.status != 200:
            sys.exit(f"oci.py: {url.netloc} gives no token for {self.repository}: status {answer.status}")
        found = json.loads(answer.text)
        return f"Bearer {found.get('token') or found['access_token']}"


def request(method, url, body, headers):
    kind = http.client.HTTPConnection if url.scheme == "http" else http.client.HTTPSConnection
    options = {} if url.scheme == "http" else {"context": ssl.create_default_context()}
    connection = kind(url.netloc, timeout=REQUEST_SECONDS, **options)
    try:
        connection.request(method, url.path + (f"?{url.query}" if url.query else ""), body, headers)
        answer = connection.getresponse()
        answer.text = answer.read()
        return answer
    except OSError as error:
        sys.exit(f"oci.py: {url.netloc}: {error}")
    finally:
        connection.close()


def credentials(host):
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        entry = json.loads((folder / "config.json").read_text()).get("auths", {}).get(host, {})
    except (OSError, ValueError):
        return None
    if "auth" in entry:
        return entry["auth"]
    if "username" in entry:
        return base64.b64encode(f"{entry['username']}:{entry['password']}".encode()).decode()
    return None


if __name__ == "__main__":
    main(sys.argv[1:])

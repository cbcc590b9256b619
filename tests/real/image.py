#!/usr/bin/env python3
"""Makes a container image without a container engine: an OCI image layout in one tar, which containerd, podman and docker import.

usage: image.py OUT.tar NAME:TAG [--busybox] [--file /path=SOURCE[:MODE]] [--dir /path[:MODE]]
                [--user UID[:GID]] [--env K=V] [--workdir /path] [--label K=V] [-- COMMAND…]

From scratch unless --busybox is given (a static busybox with all of its applets below /bin). COMMAND becomes the entrypoint.
The same inputs give the same bytes: entries sorted, owner 0:0, all times 0. Out of scope: layers, registries, compression.
"""

import argparse
import hashlib
import io
import json
import platform
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

BUSYBOX = Path("/bin/busybox")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
OCI = "application/vnd.oci.image"
EXECUTABLE, READABLE, FOLDER = 0o755, 0o644, 0o755


def main(argv):
    wanted = parse(argv)
    layer = tar(layer_entries(wanted))
    blobs = {}

    def blob(data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    layer_descriptor = blob(layer, f"{OCI}.layer.v1.tar")
    config = blob(encode(image_config(wanted, layer_descriptor["digest"])), f"{OCI}.config.v1+json")
    manifest_type = f"{OCI}.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [layer_descriptor]}
    top = blob(encode(manifest), manifest_type)
    tag = wanted.name.rsplit(":", 1)[1]
    top["annotations"] = {"io.containerd.image.name": wanted.name, "org.opencontainers.image.ref.name": tag}
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [top]}
    files = {"oci-layout": encode({"imageLayoutVersion": "1.0.0"}), "index.json": encode(index), **blobs}
    wanted.out.write_bytes(tar({path: ("file", data, READABLE) for path, data in files.items()}))


def parse(argv):
    command = []
    if "--" in argv:
        cut = argv.index("--")
        argv, command = argv[:cut], argv[cut + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("name")
    parser.add_argument("--busybox", action="store_true")
    parser.add_argument("--file", action="append", default=[], metavar="/path=SOURCE[:MODE]")
    parser.add_argument("--dir", action="append", default=[], metavar="/path[:MODE]")
    parser.add_argument("--user", default="")
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("--workdir", default="/")
    wanted = parser.parse_args(argv)
    wanted.command = command
    if ":" not in wanted.name.rsplit("/", 1)[-1]:
        parser.error(f"'{wanted.name}' has no tag: write NAME:TAG")
    if platform.machine() not in ARCHITECTURES:
        parser.error(f"no image architecture known for {platform.machine()}")
    return wanted


def layer_entries(wanted):
    """The layer as path -> (kind, content, mode); folders above a file come by themselves."""
    entries = busybox_entries() if wanted.busybox else {}
    for text in wanted.dir:
        path, mode = split_mode(text, FOLDER)
        entries[inside(path)] = ("dir", None, mode)
    for text in wanted.file:
        path, _, source = text.partition("=")
        source, mode = split_mode(source, None)
        source = Path(source)
        if not source.is_file():
            sys.exit(f"image.py: {source}: no such file (wanted as {path})")
        mode = mode if mode is not None else (EXECUTABLE if source.stat().st_mode & 0o111 else READABLE)
        entries[inside(path)] = ("file", source.read_bytes(), mode)
    for path in list(entries):
        for parent in PurePosixPath(path).parents:
            if str(parent) != ".":
                entries.setdefault(str(parent), ("dir", None, FOLDER))
    return entries


def busybox_entries():
    if not BUSYBOX.is_file():
        sys.exit("image.py: /bin/busybox is missing: apt-get install -y busybox-static")
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    entries = {f"bin/{applet}": ("link", "busybox", 0o777) for applet in applets if applet != "busybox"}
    entries["bin/busybox"] = ("file", BUSYBOX.read_bytes(), EXECUTABLE)
    entries["etc/passwd"] = ("file", b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n", READABLE)
    entries["etc/group"] = ("file", b"root:x:0:\nnobody:x:65534:\n", READABLE)
    entries["tmp"] = ("dir", None, 0o1777)
    return entries


def image_config(wanted, layer_digest):
    env = wanted.env if any(e.startswith("PATH=") for e in wanted.env) else ["PATH=/bin", *wanted.env]
    config = {"Env": env, "WorkingDir": wanted.workdir}
    if wanted.command:
        config["Entrypoint"] = wanted.command
    if wanted.user:
        config["User"] = wanted.user
    if wanted.label:
        config["Labels"] = dict(label.split("=", 1) for label in wanted.label)
    return {
        "created": "1970-01-01T00:00:00Z",
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "tests/real/image.py"}],
    }


def split_mode(text, default):
    head, colon, mode = text.rpartition(":")
    if colon and mode and all(digit in "01234567" for digit in mode):
        return head, int(mode, 8)
    return text, default


def inside(path):
    if not path.startswith("/") or ".." in PurePosixPath(path).parts:
        sys.exit(f"image.py: '{path}': a path inside the image is absolute and has no '..'")
    return path.strip("/")


def encode(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(entries):
            kind, content, mode = entries[path]
            info = tarfile.TarInfo(path)
            info.mode = mode
            if kind == "dir":
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            elif kind == "link":
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


if __name__ == "__main__":
    main(sys.argv[1:])

#!/usr/bin/env python3
"""The bill of materials of one of our binaries: CycloneDX 1.5 JSON, from what cargo has resolved and Cargo.lock has pinned.

usage: sbom.py PACKAGE TARGET EPOCH OUT.json

Lists what is linked: normal dependencies for that target, no build scripts, procedural macros or test helpers. Each with version,
licence, package URL and the checksum that Cargo.lock holds. The same Cargo.lock gives the same bytes.
"""

import hashlib
import json
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(package, target, epoch, out):
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout)
    packages = {one["id"]: one for one in metadata["packages"]}
    top = next(one for one in packages.values() if one["name"] == package and one["id"] in metadata["workspace_members"])
    wanted = tree(package, target)
    linked = {one["id"] for one in packages.values() if (one["name"], one["version"]) in wanted}
    edges = {node["id"]: [one["pkg"] for one in node["deps"] if one["pkg"] in linked] for node in metadata["resolve"]["nodes"] if node["id"] in linked}
    sums = checksums()
    components = sorted((component(packages[one], sums) for one in linked if one != top["id"]), key=lambda one: one["bom-ref"])
    dependencies = sorted(({"ref": purl(packages[one]), "dependsOn": sorted(purl(packages[d]) for d in edges[one])} for one in linked), key=lambda one: one["ref"])
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(int(epoch), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {**component(top, sums), "type": "application"},
            "properties": [{"name": "cargo:target", "value": target}],
        },
        "components": components,
        "dependencies": dependencies,
    }
    digest = hashlib.sha256(json.dumps(bom, sort_keys=True).encode()).hexdigest()
    bom["serialNumber"] = f"urn:uuid:{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
    Path(out).write_text(json.dumps(bom, indent=1, sort_keys=True) + "\n")


def tree(package, target):
    """Name and version of what is linked into a package, with the features that it has when it is built alone."""
    command = ["cargo", "tree", "--locked", "-q", "-p", package, "-e", "normal,no-proc-macro", "--target", target]
    text = subprocess.run([*command, "--prefix", "none"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    words = (line.split() for line in text.splitlines() if line.strip())
    return {(line[0], line[1].removeprefix("v")) for line in words}


def component(package, sums):
    found = {"type": "library", "bom-ref": purl(package), "name": package["name"], "version": package["version"], "purl": purl(package)}
    if package["license"]:
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    checksum = sums.get((package["name"], package["version"]))
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def checksums():
    lock = (ROOT / "Cargo.lock").read_text()
    pattern = r'name = "([^"]+)"\nversion = "([^"]+)"\nsource = "[^"]+"\nchecksum = "([0-9a-f]{64})"'
    return {(name, version): checksum for name, version, checksum in re.findall(pattern, lock)}


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])

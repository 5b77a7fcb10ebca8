"""The image of deploy/Containerfile, built by buildah where no registry is needed, and its server run as a container's.

What a container engine would do is done by the kernel's own means: a mount namespace with a root file system that can't
be written, a user without rights, and nothing of this process's environment.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.server import REPOSITORY

USER = 10001
BUILD_TIMEOUT_S = 600
AUTHORITIES = Path("/etc/ssl/certs")
"""This machine's, for pip within the build: a proxy's may be among them."""

_ENTER = """
set -e
root=$1 data=$2 secrets=$3
shift 3
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/run"
mkdir "$root/run/secrets"
mount --bind "$secrets" "$root/run/secrets"
mount --bind "$data" "$root/var/lib/imagebatch"
mount -o remount,bind,ro "$root"
exec chroot "$root" setpriv --reuid=10001 --regid=10001 --clear-groups \
  --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


@dataclass(frozen=True)
class Image:
    """What was built: its files, and how its containers are started."""

    root: Path
    config: Mapping[str, Any]
    """As the image's standard (OCI) has it: Entrypoint, Cmd, User, Env, Volumes."""
    size_bytes: int

    def command(self, data: Path, secrets: Path, environment: Mapping[str, str], *arguments: str) -> list[str]:
        """Run it, with /var/lib/imagebatch and /run/secrets given, and all else read-only."""
        variables = [*self.config["Env"], *(f"{name}={value}" for name, value in environment.items())]
        inside = ["/usr/bin/env", "--ignore-environment", *variables, *self.config["Entrypoint"], *arguments]
        places = map(str, (self.root, data, secrets))
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "enter", *places, *inside]


@contextmanager
def built_image(folder: Path) -> Iterator[Image]:
    """Build it on a Debian of this machine's package source; `folder` is emptied afterwards, for it is large."""
    base = REPOSITORY / ".image" / "base.tar"
    _run(["make", str(base.relative_to(REPOSITORY))], cwd=REPOSITORY)
    buildah = [
        "buildah", "--root", str(folder / "store"), "--runroot", str(folder / "run"), "--storage-driver", "vfs",
    ]  # fmt: skip
    (folder / "Containerfile").write_text(f"FROM scratch\nADD {base.name} /\n")
    (folder / "pip.conf").write_text(f"[global]\ncert = {AUTHORITIES / 'ca-certificates.crt'}\n")
    chroot = ["bud", "--isolation", "chroot", "--pull-never"]
    try:
        _run([*buildah, *chroot, "--file", str(folder / "Containerfile"), "--tag", "base", str(base.parent)])
        volumes = [f"{AUTHORITIES}:{AUTHORITIES}:ro", f"{folder / 'pip.conf'}:/etc/pip.conf:ro"]
        _run(
            [
                *buildah, *chroot, *(f"--volume={volume}" for volume in volumes),
                *("--build-arg", "BASE=localhost/base", "--ignorefile", str(REPOSITORY / ".containerignore")),
                *("--file", str(REPOSITORY / "deploy" / "Containerfile"), "--tag", "imagebatch", str(REPOSITORY)),
            ]
        )  # fmt: skip
        found = json.loads(_run([*buildah, "inspect", "--type", "image", "localhost/imagebatch"]))
        (listed,) = json.loads(_run([*buildah, "images", "--json", "localhost/imagebatch"]))
        container = _run([*buildah, "from", "--pull-never", "localhost/imagebatch"]).strip()
        root = Path(_run([*buildah, "mount", container]).strip())
        yield Image(root, found["OCIv1"]["config"], _size_bytes(listed["size"]))
    finally:
        shutil.rmtree(folder)


def _size_bytes(text: str) -> int:
    number, unit = text.split()
    return int(float(number) * {"KB": 1e3, "MB": 1e6, "GB": 1e9}[unit.upper()])


def _run(command: list[str], cwd: Path | None = None) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEBATCH_")}
    done = subprocess.run(
        command, cwd=cwd, env=kept, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout

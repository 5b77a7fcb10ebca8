"""Programs of Node.js that tests run, installed as their lock files say."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
from pathlib import Path


def install_packages(folder: Path) -> None:
    """Install what a folder's `package-lock.json` names, once for all test processes and runs."""
    lock = folder / "package-lock.json"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".installed"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != digest:
            command = ["npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=folder, check=True, timeout=100)
            stamp.write_text(digest)

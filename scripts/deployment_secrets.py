"""Make what deploy/compose.yaml needs and no repository may hold: certificates, tokens, passwords.

What is there already stays, so that a second run changes nothing. A certificate of your own authority, under the same
names, is better than these, which last for a day short of a year.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from imagebatch_server.access import access_file
from imagebatch_server.access.access_file import Caller
from imagebatch_server.access.principal import Role
from imagebatch_server.app.authority import Authority

CALLERS = {"demo": Role.WRITER, "prometheus": Role.OPERATOR}
"""Who gets a token: a user, and whoever reads the metrics."""
HOSTS = ("imagebatch", "server-1", "server-2", "localhost", "127.0.0.1")
LIFETIME = timedelta(days=364)
USER = 10001
"""As whom the image runs."""
OF_IMAGE = ("server.pem", "server.key", "callers.json", "pgpass")
"""What it reads."""


def make_secrets(folder: Path, hosts: Iterable[str] = HOSTS) -> None:
    """Fill `folder`, which its owner alone may enter, with what it lacks."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / "server.pem").exists():
        Authority(folder, lifetime=LIFETIME).issue("server", hosts=list(hosts), lifetime=LIFETIME)
    for name, role in CALLERS.items():
        if not (folder / f"{name}.token").exists():
            write(folder / f"{name}.token", _granted(folder / "callers.json", name, role))
    if not (folder / "pgpass").exists():
        password = secrets.token_hex(24)
        write(folder / "postgres-password", password)
        write(folder / "pgpass", f"*:*:*:imagebatch:{password}\n")
    if not (folder / "s3.json").exists():
        key, secret = secrets.token_hex(10), secrets.token_hex(24)
        identity = {
            "name": "imagebatch",
            "credentials": [{"accessKey": key, "secretKey": secret}],
            "actions": [f"{action}:imagebatch" for action in ("Read", "Write", "List", "Tagging")],
        }
        write(folder / "s3.json", json.dumps({"identities": [identity]}, indent=2))
        (folder / "s3.json").chmod(0o644)  # within its container SeaweedFS is nobody's user that is known here
        write(folder / "s3.env", f"AWS_ACCESS_KEY_ID={key}\nAWS_SECRET_ACCESS_KEY={secret}\n")


def write(path: Path, text: str) -> None:
    """Write a file that its owner alone may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _granted(callers: Path, name: str, role: Role) -> str:
    token = access_file.new_token()
    with access_file.changing(callers) as known:
        known[:] = [caller for caller in known if caller.name != name]
        known.append(
            Caller(
                name=name,
                tenant=name,
                roles=frozenset([role]),
                expires_at=datetime.now(UTC).replace(microsecond=0) + LIFETIME,
                sha256=access_file.token_sha256(token),
            )
        )
    return token


def main() -> None:
    """Make them, and give them to the image's user where we may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    make_secrets(folder)
    if os.geteuid() == 0:
        for name in OF_IMAGE:
            os.chown(folder / name, USER, USER)
        print(f"{folder} is ready, with what the image's user {USER} reads")
    else:
        mine = " ".join(str(folder / name) for name in OF_IMAGE)
        print(f"{folder} is ready; give the image's user what it reads: sudo chown {USER} {mine}")


if __name__ == "__main__":
    main()

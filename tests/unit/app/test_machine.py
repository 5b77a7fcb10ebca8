"""What of the machine a process may use, from the files that systems write; one test makes a real control group."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from imagebatch_server.app.machine import share_of_machine
from imagebatch_server.app.settings import MIB, Settings, memory_defaults

GIB = 1024 * MIB
HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MEMINFO = "MemTotal:       67108864 kB\nMemFree:         1000000 kB\n"

DOCKER_V2: Mapping[str, str] = {
    "proc/self/cgroup": "0::/\n",
    "proc/self/mountinfo": "690 689 0:28 / /sys/fs/cgroup ro,nosuid,nodev,relatime - cgroup2 cgroup rw,nsdelegate\n",
    "sys/fs/cgroup/cpu.max": "50000 100000\n",
    "sys/fs/cgroup/memory.max": "2147483648\n",
}
SYSTEMD_V2: Mapping[str, str] = {
    "proc/self/cgroup": "0::/system.slice/imagebatch.service\n",
    "proc/self/mountinfo": "31 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,relatime shared:9 - cgroup2 cgroup2 rw\n",
    "sys/fs/cgroup/system.slice/cpu.max": "100000 100000\n",
    "sys/fs/cgroup/system.slice/memory.max": "3221225472\n",
    "sys/fs/cgroup/system.slice/imagebatch.service/cpu.max": "max 100000\n",
    "sys/fs/cgroup/system.slice/imagebatch.service/memory.max": "max\n",
}
DOCKER_V1: Mapping[str, str] = {
    "proc/self/cgroup": "11:memory:/docker/4f1a\n4:cpu,cpuacct:/docker/4f1a\n1:name=systemd:/docker/4f1a\n",
    "proc/self/mountinfo": (
        "600 599 0:30 /docker/4f1a /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
        "601 599 0:31 /docker/4f1a /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n"
        "602 599 0:32 /docker/4f1a /sys/fs/cgroup/systemd ro,nosuid - cgroup systemd rw,xattr,name=systemd\n"
    ),
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "100000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
}
HOST_V1: Mapping[str, str] = {
    **DOCKER_V1,
    "proc/self/cgroup": "11:memory:/\n4:cpu,cpuacct:/\n0::/\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
}
FOREIGN: Mapping[str, str] = {
    **DOCKER_V2,
    "proc/self/cgroup": "0::/../../kubepods/burstable\n",  # seen from a namespace that the process has left
}
STRANGE: Mapping[str, str] = {
    **DOCKER_V2,
    "sys/fs/cgroup/cpu.max": "0 0\n",
    "sys/fs/cgroup/memory.max": "-7\n",
}


@pytest.mark.parametrize(
    ("files", "processors", "memory_bytes"),
    [
        pytest.param(DOCKER_V2, 1, 2 * GIB, id="version 2 in a container"),
        pytest.param(SYSTEMD_V2, 1, 3 * GIB, id="version 2, limited a level above"),
        pytest.param(DOCKER_V1, 1, GIB, id="version 1 in a container"),
        pytest.param(HOST_V1, HERE, 64 * GIB, id="version 1 without limits"),
        pytest.param(FOREIGN, 1, 2 * GIB, id="a path outside of what is mounted"),
        pytest.param(STRANGE, HERE, 64 * GIB, id="figures that mean nothing"),
        pytest.param({}, HERE, 64 * GIB, id="no control groups"),
    ],
)
def test_a_containers_share(tmp_path: Path, files: Mapping[str, str], processors: int, memory_bytes: int) -> None:
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    share = share_of_machine(tmp_path)

    assert (share.processors, share.memory_bytes) == (processors, memory_bytes)


def test_a_part_of_a_processor_counts_as_a_whole_one(tmp_path: Path) -> None:
    for name, text in {**DOCKER_V2, "sys/fs/cgroup/cpu.max": f"{HERE * 100000 - 50000} 100000"}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert share_of_machine(tmp_path).processors == HERE


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity_limits_the_workers() -> None:
    one = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, [{one}]); from imagebatch_server.app.settings import Settings; "
        "print(Settings().workers)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.fixture
def real_group() -> Iterator[dict[str, Path]]:
    """Make a control group of version 1 for half a processor and 1 GiB."""
    folders = {name: Path("/sys/fs/cgroup", name, f"imagebatch-test-{os.getpid()}") for name in ("cpu", "memory")}
    try:
        for folder in folders.values():
            folder.mkdir()
        (folders["cpu"] / "cpu.cfs_quota_us").write_text("50000")
        (folders["memory"] / "memory.limit_in_bytes").write_text(str(GIB))
    except OSError as error:
        pytest.skip(f"no control group of version 1 can be made here: {error}")
    else:
        yield folders
    finally:
        for folder in folders.values():
            if folder.exists():
                folder.rmdir()


def test_a_real_control_group(real_group: dict[str, Path]) -> None:
    lists = [str(folder / "cgroup.procs") for folder in real_group.values()]
    code = (
        f"import os; [open(path, 'w').write(str(os.getpid())) for path in {lists}]; "
        "from imagebatch_server.app.settings import Settings; s = Settings(); "
        "print(s.workers, s.worker_memory_bytes, s.fetch_memory_bytes, s.ready_memory_bytes)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    workers, *memory = (int(figure) for figure in done.stdout.split())
    assert workers == 1
    assert memory == list(memory_defaults(GIB, workers=1))


def test_memory_is_divided_so_that_it_lasts() -> None:
    for total in (2 * GIB, 4 * GIB, 16 * GIB):
        for workers in (1, 2):
            each, fetching, ready = memory_defaults(total, workers=workers)
            assert (workers + 1) * each + fetching + 2 * ready <= total
    assert memory_defaults(256 * GIB, workers=8) == (4 * GIB, 512 * MIB, 256 * MIB)
    assert memory_defaults(None, workers=8) == (4 * GIB, 512 * MIB, 256 * MIB)
    assert memory_defaults(128 * MIB, workers=64) == (512 * MIB, 16 * MIB, 8 * MIB)


def test_what_the_operator_sets_is_not_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEBATCH_WORKERS", "64")
    monkeypatch.setenv("IMAGEBATCH_WORKER_MEMORY_BYTES", str(8 * GIB))

    settings = Settings()

    assert (settings.workers, settings.worker_memory_bytes) == (64, 8 * GIB)

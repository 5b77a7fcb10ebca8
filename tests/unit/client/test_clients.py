"""The two clients offer the same, and the library needs no more than it says."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

from imagebatch_client import AsyncBatchClient, BatchClient

METHODS = [
    *("submit", "get_status", "get_results", "get_all_results", "watch", "watch_updates", "wait_for_completion"),
    *("cancel", "retry", "list_batches", "delete", "upload_image", "download_image", "list_operations"),
    *("server_info", "close", "from_env", "upload_files", "submit_files", "batch", "get_usage", "delete_tenant"),
    *("create_upload_url", "export", "pause", "resume", "update", "list_failure_clusters"),
]
STREAMS = {"get_all_results", "watch", "watch_updates", "list_batches", "list_failure_clusters"}


def public(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


def test_both_clients_have_these_methods_and_no_others() -> None:
    assert public(BatchClient) == public(AsyncBatchClient) == set(METHODS)


@pytest.mark.parametrize("name", [*METHODS, "__init__"])
def test_signatures_are_equal(name: str) -> None:
    def parameters(cls: type) -> list[Any]:
        return list(inspect.signature(getattr(cls, name)).parameters.values())

    assert parameters(BatchClient) == parameters(AsyncBatchClient)


def yielded(annotation: str) -> str:
    """Find the T of "Iterator[T]" or "AsyncGenerator[T, None]"."""
    return annotation.partition("[")[2].split(",")[0].rstrip("]")


@pytest.mark.parametrize("name", [name for name in METHODS if name != "from_env"])
def test_what_is_awaited_answers_what_the_synchronous_method_returns(name: str) -> None:
    sync, aio = getattr(BatchClient, name), getattr(AsyncBatchClient, name)
    returned, awaited = (inspect.signature(method).return_annotation for method in (sync, aio))
    if name == "batch":
        assert (returned, awaited) == ("Batch", "AsyncBatch")
    elif name in STREAMS:
        assert not inspect.iscoroutinefunction(aio)
        assert yielded(returned) == yielded(awaited)
    else:
        assert inspect.iscoroutinefunction(aio)
        assert returned == awaited


def test_the_signatures_of_the_contract() -> None:
    def signature(name: str) -> str:
        parameters = inspect.signature(getattr(BatchClient, name)).parameters.values()
        plain = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
        return ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default}" for p in plain)

    assert signature("get_results") == "batch_id, include_failed=True, offset=0, limit=100"
    assert signature("get_all_results") == "batch_id, include_failed=True, page_size=100"
    assert signature("watch") == "batch_id, after_sequence=0"
    assert signature("wait_for_completion") == "batch_id, timeout=None, on_progress=None"


def test_the_library_is_importable_with_its_three_dependencies_alone() -> None:
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        allowed = {"grpc", "google", "imagebatch", "imagebatch_client", "typing_extensions"}
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in allowed:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Refuse())
import imagebatch_client
assert not any(name.startswith("buf") for name in sys.modules)
print(len(imagebatch_client.__all__))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr

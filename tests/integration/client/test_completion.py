"""What the shell completes with what the server has, as the shell asks for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.client.scripted import Attempt, ScriptedServer, status
from tests.integration.client.terminal import COMMAND, environment

from imagebatch.v1 import batch_service_pb2

Serve = Callable[..., ScriptedServer]

IDS = ["01931c0e-7d2a-7cc3-98c4-dc0c0c073980", "01a31c0e-7d2a-7cc3-98c4-dc0c0c073981"]


def completed(line: str, **environ: str) -> list[str]:
    """Complete what stands before the cursor at the line's end."""
    words = line.split(" ")
    asked = {"_IMAGEBATCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    command = [*COMMAND[:-1], COMMAND[-1].replace("main()", "import sys; sys.argv[0] = 'imagebatch'; main()")]
    done = subprocess.run(
        command, env=environment() | asked | environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert "Traceback" not in done.stderr
    return done.stdout.split()


def operations() -> Attempt:
    offered = [batch_service_pb2.Operation(name=name, version="1") for name in ("describe", "thumbnail")]
    offered[1].parameters_schema.update({"properties": {"width": {"description": "Pixels."}, "height": {}}})
    return Attempt([batch_service_pb2.ListOperationsResponse(operations=offered)])


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("imagebatch submit -o ", ["describe", "thumbnail"]),
        ("imagebatch submit -o d", ["describe"]),
        ("imagebatch submit x.jpg -o thumbnail --param w", ["width="]),
        ("imagebatch submit -o describe --param w", []),
        ("imagebatch list --operation t", ["thumbnail"]),
        ("imagebatch operations d", ["describe"]),
        ("imagebatch watch 01a", [IDS[1]]),
        ("imagebatch status l", ["latest"]),
        ("imagebatch cancel latest 0", IDS),
        ("imagebatch download --batch 0193", [IDS[0]]),
        ("imagebatch list --status c", ["completed", "cancelled"]),
        ("imagebatch results x --format j", ["jsonl"]),
        ("imagebatch retry x --error-code ti", ["timeout"]),
    ],
)
def test_values_are_completed(serve: Serve, line: str, found: list[str]) -> None:
    batches = batch_service_pb2.ListBatchesResponse(batches=map(status, IDS))
    server = serve(ListOperations=[operations()], ListBatches=[Attempt([batches])])
    assert sorted(completed(line, IMAGEBATCH_ADDRESS=server.address)) == sorted(found)


def test_the_server_that_was_typed_is_asked(serve: Serve) -> None:
    server = serve(ListOperations=[operations()])
    line = f"imagebatch submit --address {server.address} -o t"
    assert completed(line, IMAGEBATCH_ADDRESS="127.0.0.1:1") == ["thumbnail"]


@pytest.mark.parametrize("wrong", [{"IMAGEBATCH_ADDRESS": "127.0.0.1:1"}, {"IMAGEBATCH_TLS": "maybe"}])
def test_what_goes_wrong_completes_nothing(wrong: dict[str, str]) -> None:
    assert completed("imagebatch submit -o ", **wrong) == []
    assert completed("imagebatch status ", **wrong) == ["latest"]


def test_a_profile_is_completed(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[profiles.home]\n[profiles.hotel]\n[profiles.work]\n")
    found = completed("imagebatch --profile ho", IMAGEBATCH_CONFIG=str(tmp_path / "config.toml"))
    assert found == ["home", "hotel"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_verbs(shell: str) -> None:
    script = subprocess.run(
        [*COMMAND, "--show-completion", shell],
        env=environment(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "_IMAGEBATCH_COMPLETE" in script.stdout, script.stderr
    done = subprocess.run(
        COMMAND,
        env=environment(
            _IMAGEBATCH_COMPLETE=f"complete_{shell}",
            COMP_WORDS="imagebatch ca",
            COMP_CWORD="1",
            _TYPER_COMPLETE_ARGS="imagebatch ca",
            _TYPER_COMPLETE_FISH_ACTION="get-args",
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cancel" in done.stdout

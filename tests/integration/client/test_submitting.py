"""`imagebatch submit`: everything is checked before the first upload, and what was stopped can be repeated."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.client.scripted import BATCH_ID, Attempt, ScriptedServer
from tests.integration.client.terminal import COMMAND, environment, interrupted, run, started

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2

Serve = Callable[..., ScriptedServer]

SCHEMA: Any = {
    "type": "object",
    "properties": {
        "width": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 4096}, {"type": "null"}], "default": None},
        "mode": {"$ref": "#/$defs/Mode"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
        "share": {"type": "number", "exclusiveMinimum": 0},
    },
    "$defs": {"Mode": {"enum": ["fit", "fill"], "type": "string"}},
    "additionalProperties": False,
}
INFO = Attempt([batch_service_pb2.GetServerInfoResponse(limits=batch_service_pb2.ServerLimits(max_image_bytes=10**6))])
SUBMITTED = Attempt(
    [types_pb2.BatchSubmissionResult(batch_id=BATCH_ID, status=types_pb2.BATCH_STATUS_PENDING, total_items=2)]
)


def operations() -> Attempt:
    operation = batch_service_pb2.Operation(name="thumbnail", version="1")
    operation.parameters_schema.update(SCHEMA)
    return Attempt([batch_service_pb2.ListOperationsResponse(operations=[operation])])


class Store:
    """The images of one server, by their content: what `UploadImage` does where it knows digests."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self._keys: dict[str, str] = {}

    def __call__(
        self, messages: list[image_service_pb2.UploadImageRequest]
    ) -> Iterable[image_service_pb2.UploadImageResponse]:
        content, asked = b"".join(message.chunk for message in messages), messages[0].header.sha256
        if content:
            self.sent.append(content)
            self._keys.setdefault(hashlib.sha256(content).hexdigest(), f"key-{len(self._keys)}")
        sha256 = asked if asked in self._keys else hashlib.sha256(content).hexdigest()
        yield image_service_pb2.UploadImageResponse(object_key=self._keys.get(sha256, ""), sha256=sha256)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"a" * 300_000)
    (folder / "b.jpg").write_bytes(b"b")
    return folder


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--param", "widht=3"], "--param: parameters.widht: is unknown; did you mean width?"),
        (["--param", "width=true"], "--param: parameters.width: true is no integer or null"),
        (["--param", "width=0"], "--param: parameters.width: 0 is below 1"),
        (["--param", "width=1.5"], "--param: parameters.width: 1.5 is no integer or null"),
        (["--param", "mode=squeeze"], '--param: parameters.mode: "squeeze" is none of "fit", "fill"'),
        (["--param", 'tags=["long"]'], "--param: parameters.tags[0]: has 4 characters, and may have 3"),
        (["--param", 'tags=["a","b","c"]'], "--param: parameters.tags: has 3 elements, and may have 2"),
        (["--param", "share=0"], "--param: parameters.share: 0 is not above 0"),
        (["--param", "width=1", "--param", "width=2"], "--param: 'width' is given twice, as '1' and as '2'"),
        (["--label", "a=1", "--label", "a=2"], "--label: 'a' is given twice, as '1' and as '2'; give it once"),
        (["--label", "k" * 64 + "=1"], "has 64 characters; the most are 63"),
        (["--label", "k=" + "v" * 257], "--label: 'k' has a value of 257 characters; the most are 256"),
        ([part for n in range(17) for part in ("--label", f"k{n}=v")], "17 are given; a batch has at most 16"),
        (["--request-id", ""], "--request-id: has 0 characters; give 1 to 128, or leave it out"),
        (["--request-id", "x" * 129], "--request-id: has 129 characters"),
        (["--priority", "11"], "'--priority': 11 is not from 1 to 10"),
        (["--max-attempts", "0"], "'--max-attempts': 0 is not from 1 to 10"),
        (["--max-attempts", "x"], "'--max-attempts': 'x' is no whole number from 1 to 10"),
        (["--canary", "1001"], "'--canary': 1001 is not from 1 to 1000"),
        (["--failure-limit", "few"], "'--failure-limit': 'few' is no number; give one above 0 and at most 1"),
        (["--failure-limit", "0"], "'--failure-limit': 0 is not above 0 and at most 1"),
        (["--failure-limit", "nan"], "'--failure-limit': nan is not above 0 and at most 1"),
        (["--item-timeout", "2h"], "--item-timeout: 7200 s is not from 0.1s to 1h"),
        (["--item-timeout", "2 parsecs"], "is no time; write 90 (seconds), 500ms, 2m or 1h30m"),
    ],
)
def test_what_would_be_refused_is_refused_before_an_upload(
    serve: Serve, photos: Path, option: list[str], told: str
) -> None:
    server = serve(ListOperations=[operations()], GetServerInfo=[INFO])
    result = run(server, "submit", photos, "-o", "thumbnail", *option)
    assert result.exit_code == 2
    assert told in result.stderr
    assert server.requests["UploadImage"] == server.requests["SubmitBatch"] == []


def test_parameters_that_the_schema_allows_pass(serve: Serve) -> None:
    server = serve(ListOperations=[operations()], SubmitBatch=[SUBMITTED])
    chosen = ["--parameters", '{"width": null, "mode": "fit", "tags": ["a"], "share": 0.5}', "--param", "width=2.0"]
    result = run(server, "submit", "http://x.example/a.jpg", "-o", "thumbnail", *chosen, "--item-timeout", "1m30s")
    assert result.exit_code == 0, result.stderr
    assert server.requests["SubmitBatch"][0].options.item_timeout.seconds == 90


def test_a_repeat_sends_no_byte_again_and_the_same_request(serve: Serve, photos: Path) -> None:
    store = Store()
    for _ in range(2):
        server = serve(
            ListOperations=[operations()],
            GetServerInfo=[INFO],
            UploadImage=[Attempt(store)] * 4,
            SubmitBatch=[SUBMITTED],
        )
        assert run(server, "submit", photos, "-o", "thumbnail", "--request-id", "mine").exit_code == 0
        (request,) = server.requests["SubmitBatch"]
        sent = [item.object_key for item in request.items]
        assert len(set(sent)) == 2
    assert sorted(map(len, store.sent)) == [1, 1, 300_000], "a small file is sent, because to ask costs as much"


def test_equal_files_are_sent_once(serve: Serve, photos: Path) -> None:
    (photos / "c.jpg").write_bytes((photos / "a.jpg").read_bytes())
    store = Store()
    server = serve(
        ListOperations=[operations()], GetServerInfo=[INFO], UploadImage=[Attempt(store)] * 4, SubmitBatch=[SUBMITTED]
    )
    assert run(server, "submit", photos, "-o", "thumbnail").exit_code == 0
    a, _, c = server.requests["SubmitBatch"][0].items
    assert (a.object_key, a.item_id, c.item_id) == (c.object_key, "a.jpg", "c.jpg")
    assert sorted(map(len, store.sent)) == [1, 300_000]


@pytest.mark.parametrize("knows", ["refuses the field", "overlooks the field"])
def test_an_older_server_gets_the_files_all_the_same(serve: Serve, photos: Path, knows: str) -> None:
    refusal = Attempt(code=grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_REQUEST", reads=1)

    def overlook(messages: list[image_service_pb2.UploadImageRequest]) -> list[image_service_pb2.UploadImageResponse]:
        content = b"".join(message.chunk for message in messages)
        sha256 = hashlib.sha256(content).hexdigest()
        return [image_service_pb2.UploadImageResponse(object_key=f"key-{len(content)}", sha256=sha256)]

    first = refusal if knows == "refuses the field" else Attempt(overlook)
    server = serve(
        ListOperations=[operations()],
        GetServerInfo=[INFO],
        UploadImage=[first, *[Attempt(overlook)] * 2],
        SubmitBatch=[SUBMITTED],
    )
    assert run(server, "submit", photos / "a.jpg", "-o", "thumbnail").exit_code == 0
    assert [item.object_key for item in server.requests["SubmitBatch"][0].items] == ["key-300000"]


def test_ctrl_c_ends_uploads_to_a_server_that_does_not_answer(serve: Serve, photos: Path) -> None:
    for number in range(20):
        (photos / f"{number}.jpg").write_bytes(bytes([number]) * 300_000)
    hanging = [Attempt(hangs=True, reads=1)] * 40
    server = serve(ListOperations=[operations()], GetServerInfo=[INFO], UploadImage=hanging)
    process = started(server, "submit", photos, "-o", "thumbnail", stderr=subprocess.PIPE)
    assert server.uploading.wait(20)
    assert interrupted(process) == (
        "Stopped; nothing was submitted. What was uploaded is kept for a day: repeat the command, and it goes on.\n"
    )


def test_ctrl_c_during_the_submit_says_how_to_repeat_it(serve: Serve) -> None:
    server = serve(ListOperations=[operations()], SubmitBatch=[Attempt(hangs=True)])
    process = started(server, "submit", "http://x.example/a.jpg", "-o", "thumbnail", stderr=subprocess.PIPE)
    assert server.submitting.wait(20)
    told = interrupted(process)
    request_id = server.requests["SubmitBatch"][0].options.request_id
    assert (
        told == f"Stopped; the batch may have been made. Repeat with --request-id {request_id}, and at most one is.\n"
    )


def test_ctrl_c_elsewhere_has_a_word_too(serve: Serve) -> None:
    server = serve(GetBatchStatus=[Attempt(hangs=True)])
    process = started(server, "status", BATCH_ID, stderr=subprocess.PIPE)
    assert server.began.wait(20)
    assert interrupted(process) == "Stopped.\n"


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_regular_file_is_not_opened(serve: Serve, photos: Path, kind: str) -> None:
    odd = photos / "odd.jpg"
    if kind == "pipe":
        os.mkfifo(odd)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(odd))
    else:
        odd.symlink_to("/dev/zero")
    server = serve(ListOperations=[operations()], GetServerInfo=[INFO])
    result = run(server, "submit", photos, "-o", "thumbnail")
    assert result.exit_code == 2
    assert "odd.jpg is no regular file" in result.stderr
    assert server.requests["UploadImage"] == []


def test_a_manifest_gives_each_image_its_id_and_metadata(serve: Serve, photos: Path) -> None:
    expect = {"expect": {"text": "Exit"}}
    lines: list[dict[str, Any]] = [
        {"path": "b.jpg", "item_id": "sign", "metadata": expect},
        {"url": "https://example.com/x.jpg", "metadata": {"n": 1}},
        {"object_key": "default.k", "item_id": "b.jpg"},
        {"path": "b.jpg"},
    ]
    (photos / "wanted.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    server = serve(
        ListOperations=[operations()], GetServerInfo=[INFO], UploadImage=[Attempt(Store())] * 2, SubmitBatch=[SUBMITTED]
    )
    result = run(server, "submit", "--manifest", photos / "wanted.jsonl", "-o", "thumbnail", "--object-key", "first")
    assert result.exit_code == 0, result.stderr
    first, sign, url, key, again = server.requests["SubmitBatch"][0].items
    assert first.object_key == "first"
    assert (sign.item_id, sign.metadata["file_name"], sign.metadata["expect"]["text"]) == ("sign", "b.jpg", "Exit")
    assert (url.image_url, url.metadata["n"]) == ("https://example.com/x.jpg", 1)
    assert (key.object_key, key.item_id, again.item_id) == ("default.k", "b.jpg", "b.jpg-2")


def test_a_manifest_may_be_csv(serve: Serve, photos: Path) -> None:
    (photos / "wanted.csv").write_text(
        'path,url,item_id,metadata,metadata.expect.text\nb.jpg,,one,"{""rank"": 3}",Exit\n,http://x.example/y,,,\n',
        encoding="utf-8-sig",
    )
    server = serve(
        ListOperations=[operations()], GetServerInfo=[INFO], UploadImage=[Attempt(Store())], SubmitBatch=[SUBMITTED]
    )
    result = run(server, "submit", "--manifest", photos / "wanted.csv", "-o", "thumbnail")
    assert result.exit_code == 0, result.stderr
    one, url = server.requests["SubmitBatch"][0].items
    assert (one.item_id, one.metadata["rank"], one.metadata["expect"]["text"]) == ("one", 3, "Exit")
    assert (url.image_url, url.HasField("item_id"), url.HasField("metadata")) == ("http://x.example/y", False, False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"path": "a.jpg"}\n{nonsense', "line 2: is no JSON"),
        ('["a.jpg"]', "line 1: is no object"),
        ('{"file": "a.jpg"}', "line 1: 'file' is unknown; there are path, url, object_key, item_id, metadata"),
        ('{"path": "a.jpg", "url": "http://x"}', "line 1: has path and url; give one of"),
        ('{"item_id": "a"}', "line 1: has no image; give one of"),
        ('{"path": 3}', "line 1: path is no text"),
        ('{"path": "a.jpg", "metadata": [1]}', "line 1: metadata is no object"),
        ("", "names no image"),
    ],
)
def test_what_is_wrong_in_a_manifest_is_named_with_its_line(serve: Serve, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "m.jsonl").write_text(text)
    result = run(serve(), "submit", "--manifest", tmp_path / "m.jsonl", "-o", "thumbnail")
    assert result.exit_code == 2
    assert told in result.stderr


def test_all_that_is_wrong_with_a_manifest_is_told_before_anything_is_uploaded(serve: Serve, photos: Path) -> None:
    lines = [
        '{"path": "a.jpg", "item_id": "one"}',
        '{"path": "gone.jpg", "item_id": "one"}',
        '{"path": "."}',
        '{"path": "b.jpg", "item_id": "n\u00f6"}',
        '{"url": "ftp://x.example/a"}',
        '{"path": "b.jpg", "metadata": {"a": [1, NaN]}}',
        '{"path": "b.jpg", "metadata": {"a": "' + "x" * 3000 + '"}}',
    ]
    (photos / "m.jsonl").write_text("\n".join(lines), encoding="utf-8")
    limits = batch_service_pb2.ServerLimits(max_image_bytes=10**6, max_metadata_bytes=2048)
    info = Attempt([batch_service_pb2.GetServerInfoResponse(limits=limits)])
    server = serve(ListOperations=[operations()], GetServerInfo=[info])
    result = run(server, "submit", "--manifest", photos / "m.jsonl", "-o", "thumbnail")
    name = f"--manifest: {photos}/m.jsonl, line"
    assert result.exit_code == 2
    assert [line.strip() for line in result.stderr.splitlines()[1:]] == [
        f"{name} 2: item_id 'one' is that of {photos}/m.jsonl, line 1 too; give every item its own, or none",
        f"{name} 2: {photos}/gone.jpg can't be read: No such file or directory",
        f"{name} 3: {photos} is a folder; give the files in it",
        f"{name} 4: item_id 'n\u00f6' is not 1 to 128 characters of A-Z a-z 0-9 _ . : / -",
        f"{name} 5: url 'ftp://x.example/a' does not begin with http:// or https://",
        f"{name} 6: metadata.a[1]: nan is not a JSON number; send None or a string",
        f"{name} 7: metadata has 3,034 bytes; the server takes 2,048",
    ]
    assert result.stderr.startswith("imagebatch: 7 problems; nothing was sent\n")
    assert server.requests["UploadImage"] == server.requests["SubmitBatch"] == []


def test_every_line_that_cant_be_read_is_named(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,item_id,metadata.a,metadata.a.b\na.jpg,1,x,y\n,2,,\nb.jpg,3,,,,\n")
    result = run(serve(), "submit", "--manifest", tmp_path / "m.csv", "-o", "thumbnail")
    assert [line.partition("m.csv, ")[2] for line in result.stderr.splitlines()[1:]] == [
        "line 2: metadata.a is a value and has values below it; give one of them",
        "line 3: has no image; give one of path, url, object_key",
        "line 4: has more values than there are columns",
    ]


def test_several_manifests_are_read_in_their_order(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text('{"url": "http://x.example/1"}\n')
    (tmp_path / "2.jsonl").write_text('{"url": "http://x.example/2"}\n')
    server = serve(ListOperations=[operations()])
    manifests: list[str | Path] = ["--manifest", tmp_path / "1.jsonl", "--manifest", tmp_path / "2.jsonl"]
    result = run(server, "submit", *manifests, "-o", "thumbnail", "--dry-run")
    assert result.stdout == "http://x.example/1\nhttp://x.example/2\n"


def test_a_manifest_that_cant_be_read_is_told_in_words(serve: Serve, tmp_path: Path) -> None:
    result = run(serve(), "submit", "--manifest", tmp_path / "m.jsonl", "-o", "thumbnail")
    told = f"imagebatch: --manifest: {tmp_path}/m.jsonl can't be read: No such file or directory\n"
    assert (result.exit_code, result.stderr) == (2, told)


def test_the_batch_is_told_although_standard_output_is_full(serve: Serve) -> None:
    server = serve(ListOperations=[operations()], SubmitBatch=[SUBMITTED])
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "submit", "http://x.example/a.jpg", "-o", "thumbnail"],
            env=environment(server, PYTHONUNBUFFERED="1"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert f"imagebatch watch {BATCH_ID}\n" in done.stderr


def test_a_dry_run_checks_and_prints_and_sends_nothing(serve: Serve, photos: Path) -> None:
    server = serve(ListOperations=[operations()], GetServerInfo=[INFO])
    result = run(server, "submit", photos, "http://x.example/y", "-o", "thumbnail", "--exclude", "b*", "--dry-run")
    assert (result.exit_code, result.stdout) == (0, f"{photos / 'a.jpg'}\nhttp://x.example/y\n")
    assert result.stderr == (
        "2 images, of which 1 would be uploaded; nothing was sent.\n"
        "Not checked: what only the server knows of parameters, whether object keys exist, and what is behind URLs.\n"
    )
    assert server.requests["UploadImage"] == server.requests["SubmitBatch"] == []
    server = serve(ListOperations=[operations()], GetServerInfo=[INFO])
    assert run(server, "submit", photos, "-o", "thumbnail", "--param", "width=0", "--dry-run").exit_code == 2


def test_a_list_may_be_divided_by_nul(serve: Serve, photos: Path) -> None:
    (photos / "two\nlines.jpg").write_bytes(b"x")
    server = serve(ListOperations=[operations()], GetServerInfo=[INFO])
    typed = ["submit", "-", "-0", "-o", "thumbnail", "--dry-run", "--json"]
    result = run(server, *typed, stdin=f"{photos / 'a.jpg'}\0{photos}/two\nlines.jpg\0")
    assert [json.loads(line)["path"] for line in result.stdout.splitlines()] == [
        str(photos / "a.jpg"),
        f"{photos}/two\nlines.jpg",
    ]

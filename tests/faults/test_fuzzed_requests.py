"""Requests that nobody meant, to every rpc: only codes that the contract names come back, and the server lives."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import grpc
import hypothesis
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.faults.conftest import Tell
from tests.faults.fuzz import METHODS, TEXTS, messages, nearly
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item, refusal, refused
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2, image_service_pb2
from imagebatch.v1.types_pb2 import BATCH_ITEM_STATUS_SUCCESS, BATCH_STATUS_COMPLETED, ITEM_ERROR_CODE_OBJECT_NOT_FOUND

EXAMPLES = 120
TIMEOUT_S = 10
WATCH_S = 0.3

INVALID, MISSING = "INVALID_ARGUMENT", "NOT_FOUND"
SUBMIT = {"OK", INVALID, "ALREADY_EXISTS", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED"}
CODES = {
    "SubmitBatch": SUBMIT,
    "SubmitBatchStream": SUBMIT,
    "GetBatchStatus": {"OK", INVALID, MISSING},
    "GetBatchResults": {"OK", INVALID, MISSING},
    "WatchBatch": {"OK", INVALID, MISSING, "OUT_OF_RANGE", "DEADLINE_EXCEEDED"},  # the last is the caller's own
    "CancelBatch": {"OK", INVALID, MISSING},
    "PauseBatch": {"OK", INVALID, MISSING, "FAILED_PRECONDITION"},
    "ResumeBatch": {"OK", INVALID, MISSING, "FAILED_PRECONDITION"},
    "UpdateBatch": {"OK", INVALID, MISSING, "FAILED_PRECONDITION"},
    "RetryBatch": {"OK", INVALID, MISSING, "ALREADY_EXISTS", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"},
    "ListFailureClusters": {"OK", INVALID, MISSING},
    "ListBatches": {"OK", INVALID},
    "DeleteBatch": {"OK", INVALID, MISSING, "FAILED_PRECONDITION"},
    "ListOperations": {"OK", INVALID},
    "GetServerInfo": {"OK", INVALID},
    "GetUsage": {"OK", INVALID},
    "DeleteTenant": {INVALID, "PERMISSION_DENIED"},  # without tokens nobody is an operator
    "UploadImage": {"OK", INVALID, "RESOURCE_EXHAUSTED"},
    "DownloadImage": {"OK", INVALID, MISSING},
    "CreateUploadUrl": {INVALID, "UNIMPLEMENTED"},
}
"""By rpc: the codes that the contract gives it, on a server that lacks nothing."""


@pytest.fixture
def server(store: Store) -> Iterator[ServerProcess]:
    """With no network opened: what URLs say is of no interest here."""
    settings = {"fetch_allowed_networks": "", "stop_grace_s": "1", "max_running_batches": "100000", **store.settings}
    with running_server(store.data_dir, settings, operations=OPERATIONS) as running:
        yield running


def call(raw: Raw, method: MethodDescriptor, requests: Sequence[bytes]) -> str:
    """Send these bytes as requests of a method; answers the code's name, and holds errors to the contract's form."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    channel: Any = raw.channel  # whose types know no calls without serialisers
    try:
        if method.client_streaming:
            channel.stream_unary(path)(iter(requests), timeout=TIMEOUT_S)
        elif method.server_streaming:
            timeout_s = WATCH_S if method.name == "WatchBatch" else TIMEOUT_S
            list(channel.unary_stream(path)(requests[0], timeout=timeout_s))
        else:
            channel.unary_unary(path)(requests[0], timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        code = cast("grpc.Call", error).code().name
        if code != "DEADLINE_EXCEEDED":
            told = refusal(error)
            assert told.reason
            assert told.message
        return code
    return "OK"


def good_requests(known: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[Message]]:
    """By rpc: requests that are answered well, to be changed."""
    picture, batch_id = known["object_key"][0], known["batch_id"]
    options = batch_service_pb2.BatchOptions(operation="noop", labels={"a": "b"}, priority=3, max_attempts=2)
    options.item_timeout.seconds = 5
    options.parameters.update({})
    items = [
        item(object_key=picture, item_id="a", metadata={"b": [1, None, {"c": True}]}),
        item(image_base64=pictures.data_url(pictures.drawn(size=(2, 2)))),
        item(image_url="http://127.0.0.1/a"),
    ]
    found: dict[str, Sequence[Message]] = {
        "SubmitBatch": [batch_service_pb2.SubmitBatchRequest(options=options, items=items)],
        "SubmitBatchStream": [
            batch_service_pb2.SubmitBatchStreamRequest(options=options),
            batch_service_pb2.SubmitBatchStreamRequest(items=batch_service_pb2.BatchImageInputs(items=items)),
        ],
        "GetBatchResults": [
            batch_service_pb2.GetBatchResultsRequest(
                batch_id=one, limit=10, statuses=[BATCH_ITEM_STATUS_SUCCESS], item_ids=["a"], text="a"
            )
            for one in batch_id
        ],
        "UpdateBatch": [
            batch_service_pb2.UpdateBatchRequest(
                batch_id=one, update_mask=FieldMask(paths=["priority", "labels"]), priority=7, labels={"a": "c"}
            )
            for one in batch_id
        ],
        "RetryBatch": [
            batch_service_pb2.RetryBatchRequest(batch_id=one, error_codes=[ITEM_ERROR_CODE_OBJECT_NOT_FOUND])
            for one in batch_id
        ],
        "ListBatches": [
            batch_service_pb2.ListBatchesRequest(
                statuses=[BATCH_STATUS_COMPLETED], operation="noop", labels={"a": "b"}, page_size=3
            ),
            batch_service_pb2.ListBatchesRequest(page_size=1, page_token=known["page_token"][0]),
        ],
        "UploadImage": [
            image_service_pb2.UploadImageRequest(
                header=image_service_pb2.UploadImageHeader(content_type="image/png", file_name="a.png")
            ),
            image_service_pb2.UploadImageRequest(chunk=pictures.drawn()),
        ],
    }
    for method in METHODS:
        if method.name not in found:
            kind: Any = message_factory.GetMessageClass(method.input_type)
            names = set(method.input_type.fields_by_name) & {"batch_id", "object_key"}
            found[method.name] = [kind(**{name: one}) for name in names for one in known[name]] or [kind()]
    return found


def _serialised(message: Message) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def requests(
    method: MethodDescriptor, good: Sequence[Message], known: Mapping[str, Sequence[str]]
) -> st.SearchStrategy[list[bytes]]:
    """One request, or those of one stream: mostly nearly good, some absurd, some with bytes changed, some noise."""
    near = nearly(good, known).map(_serialised)
    changed = st.tuples(near, st.floats(0, 1), st.binary(max_size=4)).map(
        lambda drawn: drawn[0][: int(len(drawn[0]) * drawn[1])] + drawn[2]
    )
    absurd = messages(method.input_type, known).map(_serialised)
    one = st.one_of(near, near, near, absurd, changed, st.binary(max_size=100))
    if not method.client_streaming:
        return one.map(lambda data: [data])
    stream = st.tuples(*(nearly([message], known).map(_serialised) for message in good)).map(list)
    return stream | stream | st.lists(one, max_size=4)


@pytest.mark.timeout(6 * 60 * 60)
def test_only_documented_codes_come_back(server: ServerProcess, raw: Raw, seed: int, scale: float, tell: Tell) -> None:
    picture = raw.upload(pictures.drawn()).object_key
    known: dict[str, list[str]] = {"object_key": [picture, "default.nothing"], "batch_id": [], "page_token": []}
    for count in (1, 3):
        known["batch_id"].append(raw.submit([item(object_key=picture)] * count, "noop").batch_id)
    failing = [item(object_key=picture), item(object_key="default.nothing")]
    known["batch_id"].append(raw.submit(failing, "noop").batch_id)
    known["batch_id"] += ["01890a5d-ac96-774b-bcce-b302099a8057", known["batch_id"][0].upper()]
    listing = batch_service_pb2.ListBatchesRequest(page_size=1)
    known["page_token"].append(raw.batches.ListBatches(listing).next_page_token)
    good = good_requests(known)
    for method in METHODS:
        got = send(raw, method, good[method.name], known, seed, round(EXAMPLES * scale))
        tell(f"{method.name}: {got.total()} requests: {dict(got.most_common())}")
    assert_alive(server, raw, picture)


def send(
    raw: Raw,
    method: MethodDescriptor,
    good: Sequence[Message],
    known: Mapping[str, Sequence[str]],
    seed: int,
    examples: int,
) -> Counter[str]:
    """Send examples to one method; answers how often each code came back."""
    got: Counter[str] = Counter()

    @hypothesis.seed(seed)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
    )
    @given(requests(method, good, known))
    def documented(sent: list[bytes]) -> None:
        code = call(raw, method, sent)
        got[code] += 1
        assert code in CODES[method.name], (method.name, code, sent)

    documented()
    return got


def assert_alive(server: ServerProcess, raw: Raw, picture: str, *, may_fail: bool = False) -> None:
    """Check that the server works and has failed nowhere; its operations may have."""
    good = raw.submit([item(object_key=picture)] * 3, "noop").batch_id
    assert raw.watch_to_end(good).statuses[-1].status == BATCH_STATUS_COMPLETED
    assert "call.failed" not in server.log
    assert may_fail or tracebacks(server) == []


def test_absurd_texts_in_every_string(server: ServerProcess, raw: Raw, tell: Tell) -> None:
    """NUL above all: one database takes it and the other does not; and tokens that were made by hand."""
    picture = raw.upload(pictures.drawn()).object_key
    batch_id = raw.submit([item(object_key=picture)], "noop").batch_id
    got: Counter[str] = Counter()
    for text in [*TEXTS, "a" * 200 + "\0", "\ud7ff\uffff\U0010ffff"]:
        by_listing = base64.urlsafe_b64encode(f"{_mark()}{text}".encode()).decode()
        calls: dict[str, Any] = {
            "object_key": lambda text=text: raw.submit([item(object_key=text)], "noop"),
            "image_url": lambda text=text: raw.submit([item(image_url=f"http://host.invalid/{text}")], "noop"),
            "item_id": lambda text=text: raw.submit([item(object_key=picture, item_id=text)], "noop"),
            "metadata": lambda text=text: raw.submit([item(object_key=picture, metadata={text: text})], "noop"),
            "operation": lambda text=text: raw.submit([item(object_key=picture)], text),
            "request_id": lambda text=text: raw.submit([item(object_key=picture)], "noop", request_id=text),
            "label": lambda text=text: raw.submit([item(object_key=picture)], "noop", labels={"key": text}),
            "label's key": lambda text=text: raw.submit([item(object_key=picture)], "noop", labels={text: "value"}),
            "content_type": lambda text=text: raw.upload(b"x", content_type=text),
            "file_name": lambda text=text: raw.upload(b"x", file_name=text),
            "downloaded key": lambda text=text: raw.download(text),
            "listed operation": lambda text=text: raw.batches.ListBatches(
                batch_service_pb2.ListBatchesRequest(operation=text)
            ),
            "listed label": lambda text=text: raw.batches.ListBatches(
                batch_service_pb2.ListBatchesRequest(labels={text: text})
            ),
            "page_token": lambda text=text: raw.batches.ListBatches(
                batch_service_pb2.ListBatchesRequest(page_token=text)
            ),
            "page_token by hand": lambda token=by_listing: raw.batches.ListBatches(
                batch_service_pb2.ListBatchesRequest(page_token=token)
            ),
            "item_ids": lambda text=text: raw.page(batch_id, item_ids=[text]),
            "batch_id": lambda text=text: raw.status(text),
        }
        for name, one in calls.items():
            try:
                one()
            except grpc.RpcError as error:
                told = refusal(error)
                assert told.code.name in {INVALID, MISSING, "ALREADY_EXISTS"}, (name, text, told)
                got[told.code.name] += 1
            else:
                got["OK"] += 1
    tell(f"{got.total()} requests with an absurd text in one string: {dict(got.most_common())}")
    assert_alive(server, raw, picture)


def test_absurd_texts_in_outcomes(server: ServerProcess, raw: Raw, tell: Tell) -> None:
    """What an operation says goes into the store, and comes out of it as a watcher saw it."""
    picture = raw.upload(pictures.drawn()).object_key
    texts = [*(text[:4_000] for text in TEXTS), "\ud7ff\uffff\U0010ffff", "x" * 1_000 + "\0" + "é" * 1_000]
    deeds = [
        {"do": deed, "code": "decode_failed", "message": text} for text in texts for deed in ("fail", "misbehave", "")
    ]
    items = [item(object_key=picture, metadata=deed if deed["do"] else {"text": deed["message"]}) for deed in deeds]
    batch_id = raw.submit(items, max_attempts=1).batch_id
    told = {result.item_index: result for result in raw.watch_to_end(batch_id).results}
    shown = [result for page in raw.pages(batch_id) for result in page.results]
    assert [told[index] for index in range(len(deeds))] == shown
    replayed = {result.item_index: result for result in raw.watch_to_end(batch_id).results}
    assert replayed == told
    tell(f"{len(shown)} outcomes with absurd texts: the same to a watcher, on pages and in a replay")
    assert_alive(server, raw, picture, may_fail=True)


def _mark() -> str:
    """Make what stands first in a token of a listing without filters."""
    empty = batch_service_pb2.ListBatchesRequest().SerializeToString(deterministic=True)
    return hashlib.sha256(empty).hexdigest()[:8] + "/"


def test_object_keys_lead_nowhere_else(store: Store, server: ServerProcess, raw: Raw, tell: Tell) -> None:
    """A key is no path: what is outside of the store, or another tenant's, is an object that does not exist."""
    secret = store.data_dir.parent / "secret.png"
    secret.write_bytes(pictures.drawn(5))
    key = raw.upload(pictures.drawn()).object_key
    (blob,) = [path for path in (store.data_dir / "objects").rglob(key) if path.is_file()]
    relative = "../" * len(blob.parent.relative_to(store.data_dir.parent).parts) + "secret.png"
    random = key.partition(".")[2]
    keys = [
        "../secret.png", "../../secret.png", relative, f"{key}/../{relative}", str(secret), f"file://{secret}",
        str(blob), f"{blob.parent.relative_to(store.data_dir / 'objects')}/{key}", f"./{key}", f"{key}/", f" {key}",
        key.upper(), f"other.{random}", f"default.{random.upper()}", random, f".{random}", f"default/{random}",
        f"default.{'0' * 32}", "default.", "default", "tmp", "/etc/passwd", "..", ".", "~", "%2e%2e/secret.png",
        "..\\secret.png", "default.*", f"default.{random}\n", "é" * 100,
    ]  # fmt: skip
    for one in keys:
        assert refused(lambda: raw.download(one)).reason == "OBJECT_NOT_FOUND", one  # noqa: B023 - called here
    batch_id = raw.submit([item(object_key=one) for one in keys], "noop").batch_id
    watched = raw.watch_to_end(batch_id)
    assert {result.error_code for result in watched.results} == {ITEM_ERROR_CODE_OBJECT_NOT_FOUND}
    assert len(watched.results) == len(keys)

    names = ["../../a.png", "/etc/passwd", "a/b/c.png", "C:\\a.png", "..", ".", "a\nb", "é\U0001f600", "x" * 255, "-rf"]
    before = _files(store)
    uploaded = {name: raw.upload(pictures.drawn(), file_name=name).object_key for name in names}
    for name, one in uploaded.items():
        header, data = raw.download(one)
        assert (header.file_name, data) == (name, pictures.drawn())
    new = _files(store) - before
    assert {path.rpartition("/")[2] for path in new} == set(uploaded.values()), "names are only remembered"
    tell(
        f"{len(keys)} keys that try to lead elsewhere: OBJECT_NOT_FOUND; {len(names)} uploads named like paths: kept in"
    )


def _files(store: Store) -> set[str]:
    """Every file around the server."""
    around = store.data_dir.parent
    return {
        str(path.relative_to(around))
        for path in around.rglob("*")
        if path.is_file() and not path.name.startswith("imagebatch.db")
    }

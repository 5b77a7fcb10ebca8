"""Two tenants over the HTTP port: whatever id of the other is put wherever an rpc takes text, it is as nobody's.

The rpcs and their fields are those of the descriptors, so that a new one is walked as it comes.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.rpc import status_pb2
from tests.integration.access.secured import Secured
from tests.integration.access.two_tenants import IMAGE, Ids, client_of, one_of_each, unknown
from tests.integration.http.frames import connect_stream, frame, grpc_web
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item
from tests.operations_for_tests import OPERATIONS
from tests.server import free_port, running_server

from imagebatch.v1 import batch_service_pb2 as batches
from imagebatch.v1 import image_service_pb2 as images
from imagebatch_server.access.principal import Role

ADDRESS = f"127.0.0.1:{free_port()}"
URL = f"https://{ADDRESS}"

METHODS: Mapping[str, MethodDescriptor] = {
    method.name: method
    for file in (batches.DESCRIPTOR, images.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
    if not method.client_streaming  # which HTTP does not have
}

REQUIRED: Mapping[str, dict[str, Any]] = {
    "SubmitBatch": {
        "options": {"operation": "scripted"},
        "items": [{"imageBase64": pictures.data_url(pictures.drawn())}],
    },
    "UpdateBatch": {"updateMask": "priority,labels", "priority": 9, "labels": {"run": "ours"}},
    "GetUsage": {"dayFrom": "2020-01-01", "dayBefore": "2020-01-02"},
    "CreateUploadUrl": {"contentType": "image/png", "sizeBytes": "1"},
}
"""What a request needs beside ids to be looked at at all."""

LISTING_OF = {"page_token": "ListBatches"}
"""Where an id is in its place, if that is one rpc's alone."""

OUR_OWN = (
    (re.compile(r'"value": "[\w+/]+"'), '"value": <what stands in debug>'),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"shop[./][\w.%-]+"), "<own object>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
    (re.compile(r"(expires|signature)=[\w-]+"), "<signed>"),
)
"""What is of the answer itself, and different each time."""
BATCH_ID = re.compile(r'"batchId": "([0-9a-f-]{36})"')
TIMING = re.compile(r"\b(processing_time_ms|seconds|nanos): \d+")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    made = Secured(tmp_path_factory.mktemp("secured"))
    with running_server(made.folder / "data", {**made.settings, "http_address": ADDRESS}, OPERATIONS) as server:
        made.server = server
        yield made
        made.close()


@pytest.fixture(scope="module")
def theirs(secured: Secured) -> Ids:
    return one_of_each(secured)


@pytest.fixture(scope="module")
def http(secured: Secured, theirs: Ids) -> Iterator[httpx.Client]:
    """Call as a writer of the other tenant."""
    context = ssl.create_default_context(cadata=secured.trusted.decode())
    with httpx.Client(verify=context, trust_env=False, timeout=30.0) as client:
        client.headers["authorization"] = f"Bearer {secured.grant('ours', 'shop', Role.WRITER)}"
        eventually(lambda: client.post(_url(METHODS["GetServerInfo"]), json={}).status_code == 200)
        yield client


@pytest.fixture(scope="module")
def ours(secured: Secured) -> Raw:
    """Reach the server by gRPC, as the same tenant."""
    return client_of(secured, "ours-by-grpc", "shop", Role.WRITER)


def texts(described: Descriptor, path: tuple[FieldDescriptor, ...] = ()) -> Iterator[tuple[FieldDescriptor, ...]]:
    """Find each field of text in a request, however deep."""
    for field in described.fields:
        if field.type == FieldDescriptor.TYPE_STRING or _is_map(field):
            yield (*path, field)
        elif field.message_type is not None and field.message_type.full_name.startswith("imagebatch."):
            yield from texts(field.message_type, (*path, field))


def _is_map(field: FieldDescriptor) -> bool:
    """Whether it is a map of texts, the only kind that the contract has."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def put(message: Message, path: tuple[FieldDescriptor, ...], text: str) -> None:
    """Set a field of text; of what is repeated, the first."""
    field, *rest = path
    value = getattr(message, field.name)
    if rest:
        inner = (value[0] if value else value.add()) if field.is_repeated else value
        put(inner, tuple(rest), text)
    elif _is_map(field):
        value[text] = text
    elif field.is_repeated:
        value[:] = [text]
    else:
        setattr(message, field.name, text)


def requests(method: MethodDescriptor, ids: Ids) -> Iterator[tuple[str, Message]]:
    """Make a request with each id in its own place, and then each kind of id in every place."""
    kinds = [kind.name for kind in fields(Ids)]

    def plain() -> Message:
        request = message_factory.GetMessageClass(method.input_type)()
        json_format.ParseDict(REQUIRED.get(method.name, {}), request)
        for field in method.input_type.fields:
            if field.name in kinds and method.name == LISTING_OF.get(field.name, method.name):
                put(request, (field,), getattr(ids, field.name))
        return request

    yield "each in its place", plain()
    for path in texts(method.input_type):
        for kind in kinds:
            request = plain()
            put(request, path, getattr(ids, kind))
            yield f"{'.'.join(field.name for field in path)} = {kind}", request


def by_connect(http: httpx.Client, method: MethodDescriptor, request: Message) -> str:
    body, streams = json_format.MessageToJson(request).encode(), method.server_streaming
    kind = "application/connect+json" if streams else "application/json"
    answer = http.post(_url(method), content=frame(body) if streams else body, headers={"content-type": kind})
    told = connect_stream(answer.content) if streams and answer.status_code == 200 else answer.json()
    return f"{answer.status_code} {sorted(answer.headers.keys())} {json.dumps(told, sort_keys=True)}"


def by_connect_binary(http: httpx.Client, method: MethodDescriptor, request: Message) -> str:
    if method.server_streaming:
        return by_connect(http, method, request)
    headers = {"content-type": "application/proto"}
    answer = http.post(_url(method), content=request.SerializeToString(), headers=headers)
    told = _shown(method, answer.content) if answer.status_code == 200 else json.dumps(answer.json(), sort_keys=True)
    return f"{answer.status_code} {sorted(answer.headers.keys())} {told}"


def by_grpc_web(http: httpx.Client, method: MethodDescriptor, request: Message) -> str:
    headers = {"content-type": "application/grpc-web+proto"}
    answer = http.post(_url(method), content=frame(request.SerializeToString()), headers=headers)
    messages, trailers = grpc_web(answer.content)
    shown = [_shown(method, message) for message in messages]
    details = trailers.pop("grpc-status-details-bin", "")
    status = status_pb2.Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4)))
    ended = f"{sorted(map(unquote, trailers.values()))} {json_format.MessageToJson(status)}"
    return f"{answer.status_code} {sorted(answer.headers.keys())} {shown} {ended}"


PROTOCOLS = (by_connect, by_connect_binary, by_grpc_web)


def _url(method: MethodDescriptor) -> str:
    return f"{URL}/{method.containing_service.full_name}/{method.name}"


def _shown(method: MethodDescriptor, data: bytes) -> str:
    return json_format.MessageToJson(message_factory.GetMessageClass(method.output_type).FromString(data))


def became_of(ours: Raw, told: str) -> str:
    """Tell what became of the items of a batch that an answer tells to have been taken."""
    batch_id = BATCH_ID.search(told)
    if batch_id is None:
        return ""
    ours.watch_to_end(batch_id[1])
    page = str(ours.page(batch_id[1]))
    ours.batches.DeleteBatch(batches.DeleteBatchRequest(batch_id=batch_id[1]))
    return TIMING.sub("", page)


def walked(http: httpx.Client, ours: Raw, method: MethodDescriptor, ids: Ids) -> Iterator[tuple[str, str]]:
    """Make each request by one protocol in turn, and the first by all; tell what was asked, and what came."""
    for number, (what, request) in enumerate(requests(method, ids)):
        for protocol in PROTOCOLS if number == 0 else (PROTOCOLS[number % 3],):
            told = protocol(http, method, request)
            if method.name == "SubmitBatch":
                told += became_of(ours, told)
            assert f"/{ids.tenant}/" not in told, what  # no URL of theirs
            told = ids.hidden_in(told)
            for pattern, name in OUR_OWN:
                told = pattern.sub(name, told)
            yield f"{method.name} {protocol.__name__} {what}", told


@pytest.mark.parametrize("rpc", sorted(METHODS))
def test_what_is_theirs_is_as_what_is_nobody_s(rpc: str, http: httpx.Client, ours: Raw, theirs: Ids) -> None:
    method, nobody_s = METHODS[rpc], unknown(f"http-{rpc}".lower())
    told = dict(walked(http, ours, method, theirs))
    assert told == dict(walked(http, ours, method, nobody_s))
    # Else the ids were never looked for: whoever adds an rpc says in REQUIRED what else it needs.
    assert "invalid_argument" not in told[f"{rpc} by_connect each in its place"]


def test_nothing_of_theirs_was_touched(secured: Secured, http: httpx.Client, ours: Raw, theirs: Ids) -> None:
    for method in METHODS.values():
        for _ in walked(http, ours, method, theirs):
            pass
    raw = client_of(secured, "checks", "acme", Role.READER)
    (kept,) = raw.batches.ListBatches(batches.ListBatchesRequest()).batches
    assert (kept.batch_id, kept.total_items, kept.cancel_requested_at.seconds) == (theirs.batch_id, 2, 0)
    assert raw.download(theirs.object_key)[1] == IMAGE


def test_no_signature_of_ours_opens_what_is_theirs(http: httpx.Client, ours: Raw, theirs: Ids) -> None:
    """Of each URL that an rpc gives, with each kind of id in the tenant's place and in the key's."""
    key = ours.upload(IMAGE).object_key
    (result,) = ours.watch_to_end(ours.submit([item(object_key=key)]).batch_id).results
    upload = ours.images.CreateUploadUrl(images.CreateUploadUrlRequest(content_type="image/png", size_bytes=len(IMAGE)))
    image, nobody_s = result.stored_image_url, unknown("signed")
    assert http.get(image).content == IMAGE
    for url, method in ((image, "GET"), (image, "HEAD"), (upload.url, "PUT")):
        told: list[list[tuple[int, str, list[str]]]] = []
        for ids in (theirs, nobody_s):
            told.append([])
            for kind in fields(Ids):
                for tenant, object_key in (("shop", getattr(ids, kind.name)), (ids.tenant, getattr(ids, kind.name))):
                    _, _, base, folder, _, last = url.split("/", 5)
                    changed = f"https://{base}/{folder}/{tenant}/{quote(object_key, safe='')}?{last.partition('?')[2]}"
                    answer = http.request(method, changed, content=IMAGE if method == "PUT" else None)
                    told[-1].append((answer.status_code, ids.hidden_in(answer.text), sorted(answer.headers)))
        assert told[0] == told[1]
        assert {status for status, *_ in told[0]} == {403}

"""The contract as it is spoken in JSON over HTTP, rendered as one OpenAPI 3.1 document.

Comments of the protos are its descriptions. Of buf.validate's rules it has those that JSON Schema can say; sentences of
the others stand in the descriptions of what they are about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

Json: TypeAlias = dict[str, Any]

PACKAGE = "imagebatch.v1"
VERSION = "1"

# Field numbers in descriptor.proto, which positions in source_code_info are made of.
_FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE = 4, 5, 6
_MESSAGE_FIELD = 2
_ENUM_VALUE = 2
_SERVICE_METHOD = 2

_INT64: Json = {"type": ["string", "integer"], "format": "int64"}
_SCALARS: Mapping[int, Json] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_INT64: _INT64,  # written as a string, read as either
    FieldDescriptor.TYPE_STRING: {"type": "string"},
}
_WELL_KNOWN: Mapping[str, Json] = {
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}
_WORDS: Mapping[tuple[str, str], str] = {
    ("string", "min_len"): "minLength",
    ("string", "max_len"): "maxLength",
    ("repeated", "min_items"): "minItems",
    ("repeated", "max_items"): "maxItems",
    ("map", "min_pairs"): "minProperties",
    ("map", "max_pairs"): "maxProperties",
    **{(kind, "gte"): "minimum" for kind in ("int32", "int64", "double")},
    **{(kind, "lte"): "maximum" for kind in ("int32", "int64", "double")},
    **{(kind, "gt"): "exclusiveMinimum" for kind in ("int32", "int64", "double")},
    **{(kind, "lt"): "exclusiveMaximum" for kind in ("int32", "int64", "double")},
}
_MATCHES = re.compile(r"this\.matches\('((?:(?!\(\?)[^'\\])+)'\)")
"""A regular expression that both CEL and ECMA-262 read alike: without groups of `(?`, and without escapes."""
_NOT_EMPTY = frozenset({"this != ''", "size(this) > 0"})

_ERROR: Json = {
    "type": "object",
    "description": "An error, as Connect has it. HTTP's status is the nearest to its code.",
    "required": ["code"],
    "properties": {
        "code": {"type": "string", "description": "gRPC's code in lower case, as `invalid_argument`."},
        "message": {"type": "string", "description": "Names the field, the value and the remedy."},
        "details": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "value"],
                "properties": {
                    "type": {
                        "type": "string",
                        "description": "`google.rpc.ErrorInfo`, `google.rpc.BadRequest` or `google.rpc.RetryInfo`.",
                    },
                    "value": {"type": "string", "contentEncoding": "base64"},
                    "debug": {"type": "object", "description": "The same, readable."},
                },
            },
        },
    },
}


@dataclass(frozen=True)
class _Rules:
    """What buf.validate says, read with its own descriptors: the generators' environment has no code for it."""

    pool: descriptor_pool.DescriptorPool

    def of(self, described: Descriptor | FieldDescriptor) -> Any:
        """Read the rules of a message or a field; empty ones if it has none."""
        kind = "message" if isinstance(described, Descriptor) else "field"
        options = f"google.protobuf.{kind.capitalize()}Options"
        extension: Any = self.pool.FindExtensionByName(f"buf.validate.{kind}")  # the stubs know extensions of code only
        known = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(options))
        return known.FromString(described.GetOptions().SerializeToString()).Extensions[extension]


def render_openapi(annotated: FileDescriptorSet) -> str:
    """Render every rpc that takes one request, and the messages and enums that they reach.

    Raises KeyError for a type of field that has no JSON here yet.
    """
    pool = descriptor_pool.DescriptorPool()
    for file in annotated.file:
        pool.Add(file)
    files = [file for file in annotated.file if file.package == PACKAGE]
    message_factory.GetMessageClassesForFiles([file.name for file in annotated.file], pool)
    document = _Document(_Rules(pool), {name: text for file in files for name, text in _comments(file)})
    services = [pool.FindServiceByName(f"{PACKAGE}.{service.name}") for file in files for service in file.service]
    return json.dumps(document.render(services), indent=1, ensure_ascii=False) + "\n"


class _Document:
    """Schemas are added when something first refers to them."""

    def __init__(self, rules: _Rules, comments: Mapping[str, str]) -> None:
        self._rules = rules
        self._comments = comments
        self._schemas: dict[str, Json] = {"connect.error": _ERROR}

    def render(self, services: list[ServiceDescriptor]) -> Json:
        paths = {
            f"/{service.full_name}/{method.name}": {"post": self._operation(service, method)}
            for service in services
            for method in service.methods
            if not method.client_streaming
        }
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Imagebatch",
                "version": VERSION,
                "description": "The contract in JSON, by Connect's protocol. Rpcs that take a stream need gRPC.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "security": [{}, {"token": []}],
            "tags": [{"name": one.name, "description": self._comments[one.full_name]} for one in services],
            "paths": paths,
            "components": {
                "schemas": dict(sorted(self._schemas.items())),
                "responses": {
                    "error": {
                        "description": "The errors that the rpc's description and its service's name.",
                        "content": {"application/json": {"schema": _reference("connect.error")}},
                    }
                },
                "securitySchemes": {
                    "token": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "Where the server has tokens configured.",
                    }
                },
            },
        }

    def _operation(self, service: ServiceDescriptor, method: MethodDescriptor) -> Json:
        comment = self._comments[method.full_name]
        request = self._schema_of(method.input_type)
        answers: Json = {"200": {"description": "OK", "content": {"application/json": {}}}}
        kind = "application/json"
        if method.server_streaming:
            kind = "application/connect+json"
            self._schema_of(method.output_type)
            request = {"description": f"One message in one of Connect's envelopes: {_link(method.input_type)}."}
            answer = {"description": f"Messages in Connect's envelopes: {_link(method.output_type)}."}
        else:
            answer = self._schema_of(method.output_type)
        answers["200"]["content"] = {kind: {"schema": answer}}
        return {
            "operationId": method.name,
            "tags": [service.name],
            "summary": comment.partition(". ")[0].partition("\n")[0].rstrip("."),
            "description": comment,
            "requestBody": {"required": True, "content": {kind: {"schema": request}}},
            "responses": {**answers, "default": {"$ref": "#/components/responses/error"}},
        }

    def _schema_of(self, described: Descriptor | EnumDescriptor) -> Json:
        """Refer to a message's or an enum's schema, which is added if it is new."""
        name = described.full_name
        if name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[name])
        if name not in self._schemas:
            self._schemas[name] = {}  # of a message within itself
            if isinstance(described, EnumDescriptor):
                self._schemas[name] = self._enum(described)
            else:
                self._schemas[name] = self._message(described)
        return _reference(name)

    def _enum(self, described: EnumDescriptor) -> Json:
        values = "\n".join(
            f"- `{value.name}`: {self._value_comment(described, value.name)}" for value in described.values
        )
        return {
            "type": "string",
            "description": f"{self._comments[described.full_name]}\n\n{values}",
            "enum": [value.name for value in described.values],
        }

    def _value_comment(self, described: EnumDescriptor, value: str) -> str:
        return " ".join(self._comments[f"{described.full_name}.{value}"].split())

    def _message(self, described: Descriptor) -> Json:
        schema: Json = {
            "type": "object",
            "description": self._comments[described.full_name],
            "properties": {field.json_name: self._property(field) for field in described.fields},
        }
        if required := [field.json_name for field in described.fields if self._is_required(field)]:
            schema["required"] = required
        for one in self._rules.of(described).oneof:
            if one.required:
                schema["oneOf"] = [{"required": [described.fields_by_name[name].json_name]} for name in one.fields]
        for one in described.oneofs:
            if len(one.fields) > 1:
                schema["oneOf"] = [{"required": [field.json_name]} for field in one.fields]
        return schema

    def _property(self, field: FieldDescriptor) -> Json:
        rules = self._rules.of(field)
        schema = self._repeated(field, rules) if field.is_repeated else self._single(field, rules)
        sentences = [self._comments[field.full_name], *_sentences(rules)]
        return {**schema, "description": "\n\n".join(sentences)}

    def _repeated(self, field: FieldDescriptor, rules: Any) -> Json:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            key, value = field.message_type.fields
            return {
                "type": "object",
                "propertyNames": self._single(key, rules.map.keys),
                "additionalProperties": self._single(value, rules.map.values),
                **_limits(rules),
            }
        return {"type": "array", "items": self._single(field, rules.repeated.items), **_limits(rules)}

    def _single(self, field: FieldDescriptor, rules: Any) -> Json:
        described = field.message_type or field.enum_type
        return {**(_SCALARS[field.type] if described is None else self._schema_of(described)), **_limits(rules)}

    def _is_required(self, field: FieldDescriptor) -> bool:
        rules = self._rules.of(field)
        if rules.required:
            return True
        if field.has_presence:
            return False
        return rules.string.min_len > 0 or any(_refuses_empty(rule) for rule in rules.cel)


def _limits(rules: Any) -> Json:
    """Say in JSON Schema's words what it has words for."""
    kind = rules.WhichOneof("type")
    of_kind = getattr(rules, kind).ListFields() if kind else []
    limits = {_WORDS[kind, field.name]: value for field, value in of_kind if (kind, field.name) in _WORDS}
    for rule in rules.cel:
        if matching := _MATCHES.fullmatch(rule.expression):
            limits["pattern"] = matching[1]
        elif rule.expression == "size(this) > 0":
            limits["minItems"] = 1
    return limits


def _refuses_empty(rule: Any) -> bool:
    return rule.expression in _NOT_EMPTY or rule.id == "batch_id.uuid"


def _sentences(rules: Any) -> Iterator[str]:
    """Tell what rules in CEL say of themselves; those without a fixed sentence are told of in the comment."""
    for holder in (rules, rules.repeated.items if rules.HasField("repeated") else None):
        for rule in holder.cel if holder is not None else ():
            if rule.message:
                yield f"It {rule.message}."


def _comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Find comments by the full names of what they are about; of an enum's value, the enum's name stands before it."""
    by_path = {tuple(place.path): _text(place.leading_comments) for place in file.source_code_info.location}
    groups: Any  # what they have in common, a name, has no type
    for number, groups in (
        (_FILE_MESSAGE, file.message_type),
        (_FILE_ENUM, file.enum_type),
        (_FILE_SERVICE, file.service),
    ):
        for index, one in enumerate(groups):
            name, path = f"{file.package}.{one.name}", (number, index)
            yield name, by_path.get(path, "")
            for part_number, parts in _parts(number, one):
                for part_index, part in enumerate(parts):
                    yield f"{name}.{part.name}", by_path.get((*path, part_number, part_index), "")


def _parts(number: int, one: Any) -> Iterator[tuple[int, Any]]:
    if number == _FILE_MESSAGE:
        yield _MESSAGE_FIELD, one.field
    elif number == _FILE_ENUM:
        yield _ENUM_VALUE, one.value
    else:
        yield _SERVICE_METHOD, one.method


def _text(comment: str) -> str:
    return "\n".join(line.removeprefix(" ") for line in comment.strip().split("\n"))


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _link(described: Descriptor) -> str:
    return f"`#/components/schemas/{described.full_name}`"

// Plays the whole contract once, by the transport that is asked for, and prints what it saw.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";

const asked = JSON.parse(process.argv[2]);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(asked.descriptors)));
const transports = {
  "node-connect-json": (baseUrl) => node.createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false }),
  "node-connect-proto": (baseUrl) => node.createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: true }),
  "node-grpc-web": (baseUrl) => node.createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
  "web-connect-json": (baseUrl) => web.createConnectTransport({ baseUrl }),
  "web-connect-proto": (baseUrl) => web.createConnectTransport({ baseUrl, useBinaryFormat: true }),
  "web-grpc-web": (baseUrl) => web.createGrpcWebTransport({ baseUrl }),
};
const transport = transports[asked.transport](asked.url);
const batches = createClient(registry.getService("imagebatch.v1.BatchService"), transport);
const images = createClient(registry.getService("imagebatch.v1.ImageService"), transport);
const errorInfo = registry.getMessage("google.rpc.ErrorInfo");
const badRequest = registry.getMessage("google.rpc.BadRequest");

async function failure(call) {
  try {
    await call();
  } catch (error) {
    const failed = ConnectError.from(error);
    return {
      code: Code[failed.code],
      message: failed.rawMessage,
      reasons: failed.findDetails(errorInfo).map((info) => info.reason),
      fields: failed.findDetails(badRequest).flatMap((bad) => bad.fieldViolations.map((one) => one.field)),
    };
  }
  return { code: "none" };
}

async function watched(request, options) {
  const seen = { sequences: [], statuses: [] };
  for await (const update of batches.watchBatch(request, options)) {
    seen.sequences.push(...update.results.map((result) => Number(result.sequence)));
    if (update.status !== undefined) {
      seen.statuses.push(update.status.status);
    }
  }
  return seen;
}

async function downloaded(objectKey) {
  const digest = createHash("sha256");
  let header;
  for await (const { payload } of images.downloadImage({ objectKey })) {
    if (payload.case === "header") {
      header = payload.value;
    } else {
      digest.update(payload.value);
    }
  }
  return { sha256: digest.digest("hex"), promised: header.sha256 };
}

async function abandoned(request) {
  const stop = new AbortController();
  return failure(async () => {
    for await (const _ of batches.watchBatch(request, { signal: stop.signal })) {
      stop.abort();
    }
  });
}

const info = await batches.getServerInfo({});
const items = Array.from({ length: asked.items }, (_, n) => ({ objectKey: asked.object_key, metadata: { n, deep: [1, "two", null] } }));
const { batchId } = await batches.submitBatch({ options: { operation: "scripted", labels: { from: asked.transport } }, items });
const done = await watched({ batchId });
const page = await batches.getBatchResults({ batchId, limit: 3 });
// Its one item runs into its time again and again; once the batch is cancelled, it holds the worker for a second at most.
const slow = await batches.submitBatch({
  options: { operation: "scripted", itemTimeout: { seconds: 1n }, maxAttempts: 10 },
  items: [{ objectKey: asked.object_key, metadata: { do: "sleep", seconds: 20 } }],
});
const expired = await failure(() => watched({ batchId: slow.batchId }, { timeoutMs: 300 }));
const aborted = await abandoned({ batchId: slow.batchId });
const cancelled = await batches.cancelBatch({ batchId: slow.batchId });

console.log(JSON.stringify({
  version: info.version,
  max_image_bytes: info.limits.maxImageBytes.toString(),
  done,
  page: page.results.map((result) => ({ status: result.status, output: result.outputData })),
  total: page.pagination.total,
  downloaded: await downloaded(asked.object_key),
  unknown: await failure(() => batches.getBatchStatus({ batchId: asked.unknown })),
  unknown_watch: await failure(() => watched({ batchId: asked.unknown })),
  invalid: await failure(() => batches.submitBatch({ options: { operation: "noop", priority: 11 }, items: [{}] })),
  upload: await failure(() => images.uploadImage((async function* () { yield { payload: { case: "header", value: {} } }; })())),
  expired,
  aborted,
  is_cancel_requested: cancelled.cancelRequestedAt !== undefined,
}));

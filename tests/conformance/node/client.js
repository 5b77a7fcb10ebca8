// What a stranger writes who has the contract's .proto files and gRPC's own packages: nothing here knows the server.

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const FILES = [
  "imagebatch/v1/batch_service.proto",
  "imagebatch/v1/image_service.proto",
  "google/rpc/status.proto",
  "google/rpc/error_details.proto",
];

/** Both services at an address, with gRPC's default limits; `protoPaths` are the folders that FILES stand in. */
export class Client {
  constructor(address, protoPaths) {
    this.definition = protoLoader.loadSync(FILES, {
      includeDirs: protoPaths,
      keepCase: true,
      longs: Number,
      enums: String,
      oneofs: true,
    });
    const { imagebatch } = grpc.loadPackageDefinition(this.definition);
    const credentials = grpc.credentials.createInsecure();
    this.batches = new imagebatch.v1.BatchService(address, credentials);
    this.images = new imagebatch.v1.ImageService(address, credentials);
  }

  close() {
    this.batches.close();
    this.images.close();
  }

  /** A unary call of the batch service. */
  call(method, request) {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + 20_000;
      this.batches[method](request, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  upload(content, header) {
    return new Promise((resolve, reject) => {
      const stream = this.images.UploadImage((error, answer) => (error ? reject(error) : resolve(answer)));
      stream.write({ header });
      for (let at = 0; at < content.length; at += CHUNK_BYTES) {
        stream.write({ chunk: content.subarray(at, at + CHUNK_BYTES) });
      }
      stream.end();
    });
  }

  async download(objectKey) {
    const chunks = [];
    let header;
    for await (const message of this.images.DownloadImage({ object_key: objectKey })) {
      if (message.payload === "header") header = message.header;
      else chunks.push(message.chunk);
    }
    return { header, content: Buffer.concat(chunks) };
  }

  /**
   * Follows a batch from after `afterSequence` until its end, or until `enough` outcomes have come and the stream is cut
   * for it. Answers the outcomes, the sequence to resume after, the last status, and the code that the stream ended with.
   */
  async watch(batchId, afterSequence = 0, enough = Infinity) {
    const stream = this.batches.WatchBatch({ batch_id: batchId, after_sequence: afterSequence });
    const seen = { results: [], messages: 0, sequence: afterSequence, status: null, code: grpc.status.OK };
    try {
      for await (const message of stream) {
        seen.messages += 1;
        seen.results.push(...(message.results ?? []));
        seen.sequence = message.sequence ?? seen.sequence;
        seen.status = message.status ?? seen.status;
        if (seen.results.length >= enough) stream.cancel();
      }
    } catch (error) {
      seen.code = error.code;
    }
    return seen;
  }

  /** All items, page by page, and how many came with each page. */
  async pages(batchId, limit) {
    const items = [];
    const counts = [];
    let page;
    do {
      page = await this.call("GetBatchResults", { batch_id: batchId, offset: items.length, limit });
      items.push(...(page.results ?? []));
      counts.push(page.results?.length ?? 0);
    } while (page.pagination.has_more);
    return { items, counts, summary: page.summary, status: page.status };
  }

  /** The google.rpc.Status that came with a refused call, its details unpacked, by the names of their types. */
  details(error) {
    const [data] = error.metadata.get("grpc-status-details-bin");
    const status = this.definition["google.rpc.Status"].deserialize(data);
    const unpacked = status.details.map(({ type_url: url, value }) => {
      const name = url.split("/").pop();
      return [name, this.definition[name].deserialize(value)];
    });
    return { code: status.code, message: status.message, ...Object.fromEntries(unpacked) };
  }
}

const CHUNK_BYTES = 64 * 1024;

/** A google.protobuf.Struct, which proto-loader takes as the message that it is. */
export function toStruct(object) {
  return { fields: Object.fromEntries(Object.entries(object).map(([key, value]) => [key, toValue(value)])) };
}

function toValue(value) {
  if (value === null) return { nullValue: "NULL_VALUE" };
  if (typeof value === "number") return { numberValue: value };
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  if (Array.isArray(value)) return { listValue: { values: value.map(toValue) } };
  return { structValue: toStruct(value) };
}

export function fromStruct(struct) {
  return Object.fromEntries(Object.entries(struct?.fields ?? {}).map(([key, value]) => [key, fromValue(value)]));
}

function fromValue(value) {
  if (value.structValue) return fromStruct(value.structValue);
  if (value.listValue) return (value.listValue.values ?? []).map(fromValue);
  return value.stringValue ?? value.numberValue ?? value.boolValue ?? null;
}

// Plays one scenario and prints what came of it: node main.js '{"scenario": "run", "address": ..., "proto_paths": [...]}'

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { Client, fromStruct, toStruct } from "./client.js";

const scenarios = {
  /** An uploaded image, one by URL and one in the request; watched, paged and read back. */
  async run(client, { picture, url, operation }) {
    const content = readFileSync(picture);
    const uploaded = await client.upload(content, { content_type: "image/png", file_name: "picture.png" });
    const submitted = await client.call("SubmitBatch", {
      options: { operation, labels: { from: "node" } },
      items: [
        { object_key: uploaded.object_key, item_id: "uploaded", metadata: toStruct({ depth: { list: [1, "two", null, true] } }) },
        { image_url: url, item_id: "by-url" },
        { image_base64: `data:image/png;base64,${content.toString("base64")}` },
      ],
    });
    const watched = await client.watch(submitted.batch_id);
    const paged = await client.pages(submitted.batch_id, 2);
    const downloaded = await client.download(uploaded.object_key);
    return {
      uploaded,
      submitted,
      watched: { ...watched, results: watched.results.map(readable) },
      paged: { ...paged, items: paged.items.map(readable) },
      status: await client.call("GetBatchStatus", { batch_id: submitted.batch_id }),
      downloaded: { ...downloaded, content: downloaded.content.toString("base64") },
      is_same: downloaded.content.equals(content),
    };
  },

  /** Cuts its own stream in the middle of a batch, which the file `gate` keeps from ending, and goes on from there. */
  async resume(client, { picture, items, gate, cut_after: cutAfter }) {
    const batchId = await submitCopies(client, picture, "paced", items, {}, { gate });
    const first = await client.watch(batchId, 0, cutAfter);
    const atCut = await client.call("GetBatchStatus", { batch_id: batchId });
    writeFileSync(`${gate}.new`, String(items));
    renameSync(`${gate}.new`, gate);
    const second = await client.watch(batchId, first.sequence);
    return {
      first: { ...first, results: first.results.map(brief) },
      at_cut: atCut,
      second: { ...second, results: second.results.map(brief) },
    };
  },

  /** Far more than one message may hold, by watch and by page. */
  async large(client, { picture, operation, items, metadata, limit }) {
    const batchId = await submitCopies(client, picture, operation, items, metadata);
    await client.watch(batchId);
    const watched = await client.watch(batchId);
    const paged = await client.pages(batchId, limit);
    return {
      watched: { ...watched, results: watched.results.map(sized) },
      paged: { ...paged, items: paged.items.map(sized) },
    };
  },

  /** Cancels a batch whose first item waits for a file that never comes before the test says so. */
  async cancel(client, { picture, operation, items, metadata }) {
    const batchId = await submitCopies(client, picture, operation, items, metadata);
    await client.watch(batchId, 0, 1);
    const answered = await client.call("CancelBatch", { batch_id: batchId });
    const watched = await client.watch(batchId);
    const repeated = await client.call("CancelBatch", { batch_id: batchId });
    return { answered, watched: { ...watched, results: watched.results.map(brief) }, repeated };
  },

  /** What refused calls say. */
  async errors(client, { calls }) {
    const refused = [];
    for (const { method, request } of calls) {
      try {
        refused.push({ answer: await client.call(method, request) });
      } catch (error) {
        refused.push({ code: error.code, message: error.details, details: client.details(error) });
      }
    }
    return refused;
  },
};

async function submitCopies(client, picture, operation, count, metadata, parameters = {}) {
  const { object_key: key } = await client.upload(readFileSync(picture), {});
  const item = { object_key: key, metadata: toStruct(metadata) };
  const options = { operation, parameters: toStruct(parameters) };
  const request = { options, items: Array.from({ length: count }, () => item) };
  return (await client.call("SubmitBatch", request)).batch_id;
}

const readable = (result) => ({
  ...result,
  input_data: fromStruct(result.input_data),
  output_data: fromStruct(result.output_data),
});
const brief = ({ item_index: index, sequence, status, error_code: code }) => ({ index: index ?? 0, sequence, status, code });
const sized = (result) => ({ ...brief(result), characters: fromStruct(result.output_data).word.length });

const { scenario, address, proto_paths: protoPaths, ...rest } = JSON.parse(process.argv[2]);
const client = new Client(address, protoPaths);
try {
  process.stdout.write(JSON.stringify(await scenarios[scenario](client, rest)));
} finally {
  client.close();
}

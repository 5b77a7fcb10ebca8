/** Results written to a file as they are read, page by page: JSON Lines, or CSV that no spreadsheet executes. */

import { toJson } from "@bufbuild/protobuf";

import { batches } from "../api";
import {
  type BatchItemResult,
  BatchItemResultSchema,
  type BatchStatusResult,
} from "../contract/imagebatch/v1/types_pb";
import { codeName, toneOf } from "../items";

const PAGE = 1_000;

/** What a browser without a way to write files keeps in its memory before the page says no. */
const MOST_KEPT_BYTES = 512 * 1024 * 1024;

export interface Form {
  readonly name: string;
  readonly about: string;
  readonly suffix: string;
  readonly mediaType: string;
  readonly head: string;
  readonly line: (item: BatchItemResult) => string;
}

const COLUMNS: readonly (readonly [string, (item: BatchItemResult) => string])[] = [
  ["item_id", (item) => defused(item.itemId)],
  ["item_index", (item) => `${item.itemIndex}`],
  ["status", (item) => toneOf(item).replace("waiting", "pending")],
  ["error_code", (item) => (item.errorCode === 0 ? "" : codeName(item.errorCode))],
  ["error_message", (item) => defused(item.errorMessage ?? "")],
  ["processing_time_ms", (item) => `${item.processingTimeMs ?? ""}`],
  ["attempts", (item) => `${item.attempts}`],
  ["image_sha256", (item) => item.imageSha256 ?? ""],
  ["input_data", (item) => defused(JSON.stringify(item.inputData ?? {}))],
  ["output_data", (item) => (item.outputData === undefined ? "" : defused(JSON.stringify(item.outputData)))],
];

export const FORMS: Readonly<Record<"jsonl" | "csv", Form>> = {
  jsonl: {
    name: "JSON Lines",
    about: "Everything of each item, one a line",
    suffix: "jsonl",
    mediaType: "application/x-ndjson",
    head: "",
    line: (item) => `${JSON.stringify(toJson(BatchItemResultSchema, item, { useProtoFieldName: true }))}\n`,
  },
  csv: {
    name: "CSV",
    about: "For spreadsheets; input and output as JSON",
    suffix: "csv",
    mediaType: "text/csv",
    head: `\ufeff${COLUMNS.map(([name]) => quoted(name)).join(",")}\r\n`,
    line: (item) => `${COLUMNS.map(([, cell]) => quoted(cell(item))).join(",")}\r\n`,
  },
};

/** What begins a formula somewhere, full-width signs included, gets an apostrophe before it, as OWASP advises. */
export function defused(text: string): string {
  const within = text
    .replaceAll("\0", "\ufffd")
    .replace(/([;\t\r\n][^\S\t\r\n]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])/g, "$1'");
  return /^(?:[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20])/.test(within) ? `'${within}` : within;
}

function quoted(cell: string): string {
  return `"${cell.replaceAll('"', '""')}"`;
}

/** Write all items to a file that the user names, or to the downloads where the browser can't ask. */
export async function save(batch: BatchStatusResult, form: Form, onWritten: (items: number) => void): Promise<void> {
  const sink = await opened(`batch-${batch.batchId}.${form.suffix}`, form.mediaType);
  let written = 0;
  try {
    await sink.write(form.head);
    for (let hasMore = true; hasMore;) {
      const page = await batches.getBatchResults({ batchId: batch.batchId, offset: written, limit: PAGE });
      await sink.write(page.results.map(form.line).join(""));
      written += page.results.length;
      onWritten(written);
      hasMore = (page.pagination?.hasMore ?? false) && page.results.length > 0;
    }
  } catch (error) {
    await sink.abort();
    throw error;
  }
  await sink.close();
}

interface Sink {
  write(text: string): Promise<void>;
  close(): Promise<void>;
  abort(): Promise<void>;
}

interface CanAsk {
  showSaveFilePicker(options: { suggestedName: string }): Promise<{ createWritable(): Promise<Sink> }>;
}

async function opened(name: string, mediaType: string): Promise<Sink> {
  if ("showSaveFilePicker" in window) {
    const file = await (window as unknown as CanAsk).showSaveFilePicker({ suggestedName: name });
    return file.createWritable();
  }
  return kept(name, mediaType);
}

function kept(name: string, mediaType: string): Sink {
  const parts: Blob[] = [];
  let size = 0;
  return {
    async write(text) {
      const part = new Blob([text]);
      size += part.size;
      if (size > MOST_KEPT_BYTES) {
        throw new Error(
          "This browser can’t write so large a file; use the command below, or a browser with a file picker.",
        );
      }
      parts.push(part);
    },
    async close() {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(parts, { type: mediaType }));
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    },
    async abort() {
      parts.length = 0;
    },
  };
}

/** How an item reads: its name, what came of it, and why it failed. */

import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

import { BatchItemStatus, type BatchItemResult, ItemErrorCode } from "./contract/imagebatch/v1/types_pb";

/** How an outcome looks. `refuted` is a success of the operation whose answer is no: the image is not what was claimed. */
export type Tone = "waiting" | "success" | "refuted" | "failed" | "skipped";

const TONES: Readonly<Record<BatchItemStatus, Exclude<Tone, "refuted">>> = {
  [BatchItemStatus.UNSPECIFIED]: "waiting",
  [BatchItemStatus.PENDING]: "waiting",
  [BatchItemStatus.PROCESSING]: "waiting",
  [BatchItemStatus.SUCCESS]: "success",
  [BatchItemStatus.FAILED]: "failed",
  [BatchItemStatus.SKIPPED]: "skipped",
};

export const TONE_NAMES: Readonly<Record<Tone, string>> = {
  waiting: "Waiting",
  success: "Succeeded",
  refuted: "Not verified",
  failed: "Failed",
  skipped: "Skipped",
};

const REASONS: Readonly<Record<ItemErrorCode, string>> = {
  [ItemErrorCode.UNSPECIFIED]: "",
  [ItemErrorCode.FETCH_FAILED]: "Could not be fetched",
  [ItemErrorCode.FETCH_FORBIDDEN]: "Address not allowed",
  [ItemErrorCode.OBJECT_NOT_FOUND]: "Image is not there",
  [ItemErrorCode.TOO_LARGE]: "Too large",
  [ItemErrorCode.UNSUPPORTED_FORMAT]: "Not an image",
  [ItemErrorCode.DECODE_FAILED]: "Damaged image",
  [ItemErrorCode.TIMEOUT]: "Took too long",
  [ItemErrorCode.PROVIDER_ERROR]: "Provider failed",
  [ItemErrorCode.WORKER_CRASHED]: "Worker crashed",
  [ItemErrorCode.INTERNAL]: "Internal error",
  [ItemErrorCode.DUPLICATE]: "Duplicate",
  [ItemErrorCode.CANCELLED]: "Cancelled",
  [ItemErrorCode.FAILURE_LIMIT]: "Stopped by the failure limit",
};

export function toneOf(item: BatchItemResult): Tone {
  const tone = TONES[item.status] ?? "waiting";
  return tone === "success" && item.outputData?.is_verified === false ? "refuted" : tone;
}

/** What became of the item, in a word or two. */
export function verdictOf(item: BatchItemResult): string {
  const tone = toneOf(item);
  if (tone === "failed" || tone === "skipped") return reason(item.errorCode);
  return item.outputData?.is_verified === true ? "Verified" : TONE_NAMES[tone];
}

/** What went wrong, in words for somebody who doesn't know the codes. */
export function reason(code: ItemErrorCode): string {
  return REASONS[code] ?? codeName(code);
}

/** The code as the contract writes it in `failure_counts`: `fetch_failed`. */
export function codeName(code: ItemErrorCode): string {
  return (ItemErrorCode[code] ?? `code_${code}`).toLowerCase();
}

/** The code of such a name; UNSPECIFIED for one that this page doesn't know. */
export function codeOf(name: string): ItemErrorCode {
  return ItemErrorCode[name.toUpperCase() as keyof typeof ItemErrorCode] ?? ItemErrorCode.UNSPECIFIED;
}

/** The item's name as a person would say it: its file's, else the end of its URL, else its id. */
export function nameOf(item: BatchItemResult): string {
  const metadata = object(item.inputData?.metadata);
  const called = text(metadata?.file_name) ?? endOf(text(item.inputData?.image_url));
  return called ?? item.itemId;
}

function endOf(url: string | undefined): string | undefined {
  if (url === undefined) return undefined;
  const path = url.replace(/^[^:]*:\/\//, "").split(/[?#]/, 1)[0] ?? "";
  return (
    path
      .slice(path.indexOf("/") + 1)
      .split("/")
      .pop() || url
  );
}

/** What came of the item in one line. */
export function outcomeOf(item: BatchItemResult): string {
  if (item.errorCode !== ItemErrorCode.UNSPECIFIED) return item.errorMessage ?? reason(item.errorCode);
  const output = item.outputData;
  if (output === undefined) return "";
  const description = text(output.description);
  if (description !== undefined) return description;
  if (typeof output.is_verified === "boolean") return checked(output, output.is_verified);
  const { width, height, format } = output;
  if (typeof width === "number" && typeof height === "number") {
    return `${width} × ${height} ${text(format)?.toUpperCase() ?? ""}`.trim();
  }
  return JSON.stringify(output);
}

/** Why it was not verified, or how much was looked at. */
function checked(output: JsonObject, isVerified: boolean): string {
  const checks = list(output.checks).map(object);
  const having = (verdict: string) => checks.filter((check) => check?.verdict === verdict);
  if (isVerified) {
    const passed = having("supported").length;
    return passed === 1 ? "1 check passed" : `${passed} checks passed`;
  }
  for (const found of [having("contradicted"), having("cannot_tell")]) {
    if (found.length > 0) return found.map((check) => text(check?.detail) ?? "").join(" ");
  }
  return "";
}

export function text(value: JsonValue | undefined): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

export function number(value: JsonValue | undefined): number | undefined {
  return typeof value === "number" ? value : undefined;
}

export function list(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}

export function object(value: JsonValue | undefined): JsonObject | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
}

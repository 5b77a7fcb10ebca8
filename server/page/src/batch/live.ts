/** One batch as it is now: its status, and its outcomes as they come, over one stream while it runs. */

import { ConnectError } from "@connectrpc/connect";
import { signal } from "@preact/signals";

import { batches, explained, isFinal } from "../api";
import { type BatchItemResult, type BatchStatusResult, NotificationState } from "../contract/imagebatch/v1/types_pb";
import { isTerminal } from "./status";

/** How long a figure of the speed looks back. */
const RATE_OVER_MS = 15_000;
const STATUS_EVERY_MS = 2_000;
const NOTIFICATION_EVERY_MS = 5_000;
const LONGEST_PAUSE_MS = 10_000;

export class LiveBatch {
  /** The newest status; undefined until it has been read. */
  readonly status = signal<BatchStatusResult | undefined>(undefined);
  /** What keeps the page from being up to date, in words. */
  readonly trouble = signal<string | undefined>(undefined);
  /** Whether asking again is of no use: the batch isn't there, or isn't the caller's. */
  readonly isLost = signal(false);
  /** Outcomes a second. */
  readonly rate = signal(0);

  private stopping = new AbortController();
  private readonly marks: { at: number; processed: number }[] = [];

  constructor(
    readonly batchId: string,
    private readonly onOutcomes: (outcomes: readonly BatchItemResult[]) => void,
    private readonly onReopened: () => void,
  ) {}

  start(): void {
    this.stopping = new AbortController();
    const { signal } = this.stopping;
    void this.follow(signal).then(() => this.followNotification(signal));
    void this.refresh(signal);
  }

  stop(): void {
    this.stopping.abort();
  }

  /** Take the status that a call has answered; a batch that runs again is followed again. */
  take(status: BatchStatusResult): void {
    const before = this.status.value;
    this.show(status);
    if (before !== undefined && isTerminal(before) && !isTerminal(status)) {
      this.marks.length = 0;
      this.stop();
      this.onReopened();
      this.start();
    }
  }

  private show(status: BatchStatusResult): void {
    this.status.value = status;
    this.mark(status.processedItems);
  }

  /** Show a status of the stream, which leaves out what only GetBatchStatus tells. */
  private showStreamed(status: BatchStatusResult): void {
    const { parameters, waiting, notification } = this.status.value ?? {};
    this.show({ ...status, parameters, waiting, notification });
  }

  private mark(processed: number): void {
    const now = performance.now();
    const { marks } = this;
    if ((marks.at(-1)?.processed ?? 0) > processed) marks.length = 0;
    marks.push({ at: now, processed });
    while (marks.length > 2 && now - marks[0]!.at > RATE_OVER_MS) marks.shift();
    const first = marks[0]!;
    const passed = (now - first.at) / 1000;
    this.rate.value = passed > 0.5 ? (processed - first.processed) / passed : 0;
  }

  /** Stream outcomes until the batch has ended, again from where the stream was cut. */
  private async follow(signal: AbortSignal): Promise<void> {
    let after: bigint | undefined;
    let pause = 500;
    while (!signal.aborted) {
      try {
        const status = await batches.getBatchStatus({ batchId: this.batchId }, { signal });
        this.show(status);
        this.trouble.value = undefined;
        if (isTerminal(status)) return;
        // Sequences number the outcomes, so what came before is what the pages show already.
        after ??= BigInt(status.processedItems);
        for await (const { results, status: newer, sequence } of batches.watchBatch(
          { batchId: this.batchId, afterSequence: after },
          { signal },
        )) {
          pause = 500;
          after = sequence > after ? sequence : after;
          if (results.length > 0) this.onOutcomes(results);
          if (newer !== undefined) this.showStreamed(newer);
        }
        // The status tells whether the batch has ended or the stream was cut.
        if (isTerminal(this.status.value!)) continue;
      } catch (error) {
        if (signal.aborted) return;
        this.trouble.value = explained(error);
        if (isFinal(error)) {
          this.isLost.value = ConnectError.from(error).rawMessage !== "";
          return;
        }
      }
      await passing(pause, signal);
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    }
  }

  /** Ask now and then for what only GetBatchStatus tells: why the batch waits, and when it may end. */
  private async refresh(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await passing(STATUS_EVERY_MS, signal);
      const shown = this.status.value;
      if (signal.aborted || (shown !== undefined && isTerminal(shown))) return;
      if (document.hidden || shown === undefined) continue;
      try {
        const status = await batches.getBatchStatus({ batchId: this.batchId }, { signal });
        if (!signal.aborted && !isTerminal(status)) this.show(status);
      } catch {
        // The stream, which is cut by the same trouble, tells of it.
      }
    }
  }

  /** Ask now and then until the receiver has been told of the end, or it is given up. */
  private async followNotification(signal: AbortSignal): Promise<void> {
    while (this.status.value?.notification?.state === NotificationState.PENDING) {
      await passing(NOTIFICATION_EVERY_MS, signal);
      if (signal.aborted) return;
      if (document.hidden) continue;
      try {
        const status = await batches.getBatchStatus({ batchId: this.batchId }, { signal });
        if (!signal.aborted) this.show(status);
      } catch {
        // It is asked again.
      }
    }
  }
}

function passing(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

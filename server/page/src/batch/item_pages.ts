/** The items of a batch, a block at a time: only those that are looked at are asked for, and the latest are kept. */

import { signal } from "@preact/signals";

import { batches, explained } from "../api";
import type { BatchItemResult, BatchItemStatus, ItemErrorCode } from "../contract/imagebatch/v1/types_pb";

const BLOCK = 100;
const MOST_BLOCKS = 60;
const AGAIN_AFTER_MS = 2_000;

/** Which items are shown; empty is any. */
export interface Filter {
  readonly statuses: readonly BatchItemStatus[];
  readonly errorCodes: readonly ItemErrorCode[];
  readonly text: string;
}

export function isEverything(filter: Filter): boolean {
  return filter.statuses.length === 0 && filter.errorCodes.length === 0 && filter.text === "";
}

export class ItemPages {
  /** How many items match; undefined until that is known. */
  readonly total = signal<number | undefined>(undefined);
  /** Rises with each change of an item that is here. */
  readonly version = signal(0);
  readonly trouble = signal<string | undefined>(undefined);

  private readonly blocks = new Map<number, BatchItemResult[]>();
  private readonly asked = new Map<number, AbortController>();
  /** Blocks of which outcomes came while they were on their way. */
  private readonly late = new Set<number>();
  private wanted: readonly [number, number] = [0, 0];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isDrawn = false;

  constructor(
    private readonly batchId: string,
    readonly filter: Filter,
    total: number | undefined,
  ) {
    this.total.value = total;
  }

  get(position: number): BatchItemResult | undefined {
    return this.blocks.get(Math.floor(position / BLOCK))?.[position % BLOCK];
  }

  /** Where an item stands among those that match; undefined if its block isn't here. */
  positionOf(itemIndex: number): number | undefined {
    if (isEverything(this.filter)) return itemIndex;
    for (const [block, items] of this.blocks) {
      const at = items.findIndex((item) => item.itemIndex === itemIndex);
      if (at >= 0) return block * BLOCK + at;
    }
    return undefined;
  }

  /** Bring the items from one position to before another; what is asked for elsewhere is given up. */
  want(first: number, last: number): void {
    const from = Math.floor(first / BLOCK);
    const to = Math.floor(Math.max(first, last - 1) / BLOCK);
    this.wanted = [from, to];
    for (const [block, asking] of this.asked) {
      if (block < from - 1 || block > to + 1) {
        asking.abort();
        this.asked.delete(block);
      }
    }
    for (let block = from; block <= to; block++) {
      if (!this.blocks.has(block) && !this.asked.has(block)) void this.load(block);
    }
  }

  /** Take outcomes of the stream: in their places where all items are shown, else by asking again soon. */
  apply(outcomes: readonly BatchItemResult[]): void {
    if (!isEverything(this.filter)) {
      this.timer ??= setTimeout(() => this.reload(), AGAIN_AFTER_MS);
      return;
    }
    for (const outcome of outcomes) {
      const number = Math.floor(outcome.itemIndex / BLOCK);
      const block = this.blocks.get(number);
      if (block !== undefined) block[outcome.itemIndex % BLOCK] = outcome;
      if (this.asked.has(number)) this.late.add(number);
    }
    this.draw();
  }

  /** Ask again for what is looked at, and forget the rest. */
  reload(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const [from, to] = this.wanted;
    for (const block of [...this.blocks.keys()]) if (block < from || block > to) this.blocks.delete(block);
    for (let block = from; block <= to; block++) void this.load(block);
  }

  close(): void {
    clearTimeout(this.timer);
    for (const asking of this.asked.values()) asking.abort();
  }

  private async load(block: number): Promise<void> {
    this.asked.get(block)?.abort();
    const asking = new AbortController();
    this.asked.set(block, asking);
    try {
      const items: BatchItemResult[] = [];
      for (let hasMore = true; hasMore && items.length < BLOCK;) {
        const page = await batches.getBatchResults(
          {
            batchId: this.batchId,
            offset: block * BLOCK + items.length,
            limit: BLOCK - items.length,
            statuses: [...this.filter.statuses],
            errorCodes: [...this.filter.errorCodes],
            ...(this.filter.text !== "" && { text: this.filter.text }),
          },
          { signal: asking.signal },
        );
        items.push(...page.results);
        this.total.value = page.pagination?.total ?? 0;
        hasMore = (page.pagination?.hasMore ?? false) && page.results.length > 0;
      }
      this.keep(block, items);
      this.trouble.value = undefined;
    } catch (error) {
      if (!asking.signal.aborted) {
        this.trouble.value = explained(error);
        this.timer ??= setTimeout(() => this.reload(), AGAIN_AFTER_MS);
      }
    } finally {
      if (this.asked.get(block) === asking) this.asked.delete(block);
      if (this.late.delete(block) && !asking.signal.aborted) void this.load(block);
    }
  }

  private keep(block: number, items: BatchItemResult[]): void {
    this.blocks.delete(block);
    this.blocks.set(block, items);
    const [from, to] = this.wanted;
    for (const oldest of this.blocks.keys()) {
      if (this.blocks.size <= MOST_BLOCKS) break;
      if (oldest < from || oldest > to) this.blocks.delete(oldest);
    }
    this.draw();
  }

  /** Tell of changes once a frame, however many came. */
  private draw(): void {
    if (this.isDrawn) return;
    this.isDrawn = true;
    requestAnimationFrame(() => {
      this.isDrawn = false;
      this.version.value += 1;
    });
  }
}

/** The items of a batch, a block at a time: those that are looked at first, then those beside them. */

import { signal } from "@preact/signals";

import { batches, explained, isFinal } from "../api";
import {
  type BatchItemResult,
  type BatchItemStatus,
  BatchStatus,
  type ItemErrorCode,
} from "../contract/imagebatch/v1/types_pb";

/** Few, so that what is looked at comes soon; but a search reads all outcomes each time. */
const BLOCK = 20;
const BLOCK_OF_A_SEARCH = 100;
const MOST_ITEMS = 6_000;
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

/** Blocks from one to before another. */
type Run = readonly [from: number, before: number];

/** A call under way, and the blocks that it brings. */
interface Asking {
  readonly run: Run;
  readonly stopping: AbortController;
}

export class ItemPages {
  /** How many items match; undefined until that is known. */
  readonly total = signal<number | undefined>(undefined);
  /** Rises with each change of an item that is here. */
  readonly version = signal(0);
  readonly trouble = signal<string | undefined>(undefined);

  private readonly isSearch: boolean;
  private readonly block: number;
  private readonly blocks = new Map<number, BatchItemResult[]>();
  private readonly asked = new Set<Asking>();
  /** Blocks of which outcomes came while they were on their way. */
  private readonly late = new Set<number>();
  private wanted: Run = [0, 1];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isDrawn = false;
  private hasEnded = false;
  /** Whether some of what is here was read before the batch had ended. */
  private isProvisional = false;

  constructor(
    private readonly batchId: string,
    readonly filter: Filter,
    total: number | undefined,
  ) {
    this.total.value = total;
    this.isSearch = filter.errorCodes.length > 0 || filter.text !== "";
    this.block = this.isSearch ? BLOCK_OF_A_SEARCH : BLOCK;
  }

  get(position: number): BatchItemResult | undefined {
    return this.blocks.get(Math.floor(position / this.block))?.[position % this.block];
  }

  /** Where an item stands among those that match; undefined if its block isn't here. */
  positionOf(itemIndex: number): number | undefined {
    if (isEverything(this.filter)) return itemIndex;
    for (const [block, items] of this.blocks) {
      const at = items.findIndex((item) => item.itemIndex === itemIndex);
      if (at >= 0) return block * this.block + at;
    }
    return undefined;
  }

  /** Bring the items from one position to before another; what is asked for elsewhere is given up. */
  want(first: number, last: number): void {
    const [from, before] = (this.wanted = [
      Math.floor(first / this.block),
      Math.ceil(Math.max(first + 1, last) / this.block),
    ]);
    const near = before - from;
    for (const asking of this.asked) {
      if (asking.run[1] <= from - near || asking.run[0] >= before + near) this.giveUp(asking);
    }
    void this.load(this.missing(this.wanted));
    this.prefetch();
  }

  /** Take outcomes of the stream: in their places where all items are shown, else by asking again soon. */
  apply(outcomes: readonly BatchItemResult[]): void {
    if (!isEverything(this.filter)) {
      this.timer ??= setTimeout(() => this.reload(), AGAIN_AFTER_MS);
      return;
    }
    for (const outcome of outcomes) {
      const number = Math.floor(outcome.itemIndex / this.block);
      const block = this.blocks.get(number);
      if (block !== undefined) block[outcome.itemIndex % this.block] = outcome;
      if (this.isOnItsWay(number)) this.late.add(number);
    }
    this.draw();
  }

  /** Take note whether the batch has ended. What is here from before, and no stream may have completed, is asked for. */
  end(hasEnded: boolean): void {
    this.hasEnded = hasEnded;
    if (hasEnded && this.isProvisional) this.reload();
  }

  /** Ask again for what is looked at, and forget the rest. */
  reload(): void {
    this.close();
    this.isProvisional = false;
    const [from, before] = this.wanted;
    for (const block of [...this.blocks.keys()]) if (block < from || block >= before) this.blocks.delete(block);
    void this.load(this.wanted);
  }

  close(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.asked.forEach((asking) => this.giveUp(asking));
  }

  private giveUp(asking: Asking): void {
    this.asked.delete(asking);
    asking.stopping.abort();
  }

  private isOnItsWay(block: number): boolean {
    for (const { run } of this.asked) if (block >= run[0] && block < run[1]) return true;
    return false;
  }

  /** The shortest run that has all blocks of another that neither are here nor on their way; it may be empty. */
  private missing([from, before]: Run): Run {
    const isMissing = (block: number) => !this.blocks.has(block) && !this.isOnItsWay(block);
    while (from < before && !isMissing(from)) from++;
    while (from < before && !isMissing(before - 1)) before--;
    return [from, before];
  }

  /** Once all that is looked at is here, bring a screen's items on both sides of it: scrolling on finds them. */
  private prefetch(): void {
    const [from, before] = this.wanted;
    for (let block = from; block < before; block++) if (!this.blocks.has(block)) return;
    if (this.isSearch) return;
    const near = before - from;
    const end = Math.ceil((this.total.value ?? 0) / this.block);
    void this.load(this.missing([before, Math.min(end, before + near)]));
    void this.load(this.missing([Math.max(0, from - near), from]));
  }

  private async load(run: Run): Promise<void> {
    const [from, before] = run;
    if (from >= before) return;
    const asking = { run, stopping: new AbortController() };
    this.asked.add(asking);
    try {
      const items = await this.read(from * this.block, (before - from) * this.block, asking.stopping.signal);
      this.asked.delete(asking);
      this.trouble.value = undefined;
      this.keep(run, items);
      this.prefetch();
      if (this.hasEnded && this.isProvisional) this.timer ??= setTimeout(() => this.reload(), AGAIN_AFTER_MS);
    } catch (error) {
      if (!this.asked.delete(asking)) return; // it was given up
      this.trouble.value = explained(error);
      if (!isFinal(error)) this.timer ??= setTimeout(() => this.reload(), AGAIN_AFTER_MS);
    }
  }

  private keep([from, before]: Run, items: readonly BatchItemResult[]): void {
    for (let block = from; block < before; block++) {
      const start = (block - from) * this.block;
      this.blocks.delete(block); // so that it is the newest
      this.blocks.set(block, items.slice(start, start + this.block));
      if (this.late.delete(block)) void this.load([block, block + 1]);
    }
    for (const oldest of this.blocks.keys()) {
      if (this.blocks.size * this.block <= MOST_ITEMS) break;
      if (oldest < this.wanted[0] || oldest >= this.wanted[1]) this.blocks.delete(oldest);
    }
    this.draw();
  }

  /** Read so many items, in as many pages as the server makes of them. */
  private async read(offset: number, limit: number, signal: AbortSignal): Promise<BatchItemResult[]> {
    const items: BatchItemResult[] = [];
    for (let hasMore = true; hasMore && items.length < limit;) {
      const page = await batches.getBatchResults(
        {
          batchId: this.batchId,
          offset: offset + items.length,
          limit: limit - items.length,
          statuses: [...this.filter.statuses],
          errorCodes: [...this.filter.errorCodes],
          ...(this.filter.text !== "" && { text: this.filter.text }),
        },
        { signal },
      );
      items.push(...page.results);
      this.total.value = page.pagination?.total ?? 0;
      this.isProvisional ||= page.status <= BatchStatus.PROCESSING;
      hasMore = (page.pagination?.hasMore ?? false) && page.results.length > 0;
    }
    return items;
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

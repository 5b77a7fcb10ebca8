/** What more than one view is made of. */

import type { ComponentChildren, JSX } from "preact";

import { type BatchTone, shownStatus } from "../batch/status";
import type { BatchStatusResult } from "../contract/imagebatch/v1/types_pb";
import { Icon, type IconName } from "./icons";

export function StatusPill({ batch }: { readonly batch: BatchStatusResult }): JSX.Element {
  const [tone, name] = shownStatus(batch);
  return <Pill tone={tone}>{name}</Pill>;
}

export function Pill(props: { readonly tone: BatchTone; readonly children: ComponentChildren }): JSX.Element {
  return (
    <span class={`pill ${props.tone}`}>
      <i aria-hidden="true" />
      {props.children}
    </span>
  );
}

/** How far a batch is, by what became of its items. */
export function ProgressBar({ batch }: { readonly batch: BatchStatusResult }): JSX.Element {
  const share = (part: number) => ({ width: `${batch.totalItems === 0 ? 0 : (100 * part) / batch.totalItems}%` });
  return (
    <div
      class="progress"
      role="progressbar"
      aria-label="Progress"
      aria-valuenow={Math.floor(batch.progressPercentage)}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuetext={`${batch.processedItems} of ${batch.totalItems} done, ${batch.failedItems} failed`}
    >
      <i class="success" style={share(batch.successfulItems)} />
      <i class="failed" style={share(batch.failedItems)} />
      <i class="skipped" style={share(batch.skippedItems)} />
    </div>
  );
}

export function Labels({ labels }: { readonly labels: Readonly<Record<string, string>> }): JSX.Element | null {
  const all = Object.entries(labels);
  if (all.length === 0) return null;
  return (
    <span class="labels">
      {all.map(([key, value]) => (
        <span class="label" key={key}>
          <bdi>{key}</bdi>: <bdi>{value}</bdi>
        </span>
      ))}
    </span>
  );
}

/** Where there is nothing to see: why, and what to do. */
export function Empty(props: {
  readonly icon: IconName;
  readonly title: string;
  readonly children?: ComponentChildren;
}): JSX.Element {
  return (
    <div class="empty">
      <span class="empty-icon">
        <Icon name={props.icon} />
      </span>
      <h2>{props.title}</h2>
      {props.children}
    </div>
  );
}

export function Trouble({ children }: { readonly children: ComponentChildren }): JSX.Element | null {
  return children === undefined ? null : (
    <p class="trouble" role="alert">
      {children}
    </p>
  );
}

/** A line of a list of details; none where there is nothing to say. */
export function Detail(props: { readonly name: string; readonly children: ComponentChildren }): JSX.Element | null {
  if (!props.children) return null;
  return (
    <>
      <dt>{props.name}</dt>
      <dd dir="auto">{props.children}</dd>
    </>
  );
}

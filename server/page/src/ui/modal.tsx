/** What stands before the page until it is closed, by Esc too; the browser keeps the focus in it. */

import type { ComponentChildren, JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

interface Props {
  readonly label: string;
  readonly class: string;
  readonly children: ComponentChildren;
  /** Absent where it can't be closed. */
  readonly onClose?: (() => void) | undefined;
  readonly onKeyDown?: (event: KeyboardEvent) => void;
}

export function Modal(props: Props): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const shown = dialog.current!;
    shown.showModal();
    return () => shown.close(); // which gives the focus back
  }, []);
  return (
    <dialog
      ref={dialog}
      class={props.class}
      aria-label={props.label}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose?.();
      }}
      onClick={(event) => event.target === dialog.current && props.onClose?.()}
      onKeyDown={props.onKeyDown}
    >
      <div class="sheet">{props.children}</div>
    </dialog>
  );
}

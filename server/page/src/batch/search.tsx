/** Looks for a text in what came of the items. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { useSlash } from "../ui/hooks";
import { Icon } from "../ui/icons";

const AFTER_MS = 300;
const MOST_CHARACTERS = 256;

interface Props {
  readonly text: string;
  readonly onText: (text: string) => void;
}

export function Search({ text, onText }: Props): JSX.Element {
  const field = useRef<HTMLInputElement>(null);
  const [written, setWritten] = useState(text);
  const latest = useRef(onText);
  latest.current = onText;
  useSlash(field);
  useEffect(() => setWritten(text), [text]);
  // A search reads all outcomes, so it begins once the word is written.
  useEffect(() => {
    if (written.trim() === text) return;
    const timer = setTimeout(() => latest.current(written.trim()), AFTER_MS);
    return () => clearTimeout(timer);
  }, [written]);
  return (
    <form class="search" role="search" onSubmit={(event) => event.preventDefault()}>
      <Icon name="search" />
      <input
        ref={field}
        type="search"
        placeholder="Search results"
        aria-label="Search in results"
        maxLength={MOST_CHARACTERS}
        value={written}
        onInput={(event) => setWritten(event.currentTarget.value)}
      />
    </form>
  );
}

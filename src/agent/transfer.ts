/** @file Content that comes and goes as objects of the server, by run and content hash. */

export interface Content {
  readonly run: string;
  readonly sha256: string;
  readonly bytes: number;
}

export interface Transfer {
  /** Writes the orchestrator's content to a path where nothing lies; false where it is gone. */
  fetch(content: Content, path: string, signal: AbortSignal): Promise<boolean>;
  /** Puts the content at this path where the orchestrator finds it, unless it is there. */
  send(content: Content, path: string, signal: AbortSignal): Promise<void>;
}

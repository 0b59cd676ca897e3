/** @file What a bench is and what it gives. */

export interface BenchResult {
  readonly case: string;
  readonly ours: number;
  /** undefined where the peer is not installed. */
  readonly peer: number | undefined;
  readonly peerName: string;
  /** More is better for a rate, less for MiB and s. */
  readonly unit: 'images/s' | 'MiB' | 'G/s' | 's';
}

export interface BenchOptions {
  /** Small sizes and few repetitions: shows that it runs, not how fast. */
  readonly tiny: boolean;
  /** Takes a line for the person who runs it. */
  readonly note: (text: string) => void;
}

export type Bench = (options: BenchOptions) => AsyncIterable<BenchResult>;

/** @file Addresses in the one linear memory, handed out in order: a pure function of what is asked for. Multiples of 64 bytes. */

/** Bytes of the control block, at address 64 (address 0 means "none" to the kernels). */
export const CONTROL = 64;
/** The settings of the optimiser's step (update.ts), in the control block behind the crew's words. */
export const SETTINGS = CONTROL + 128;
const START = CONTROL + 256;

export interface Allocator {
  take(bytes: number): number;
  /** The first address that has not been taken. */
  top(): number;
}

export function openAllocator(): Allocator {
  let top = START;
  return {
    take: (bytes) => {
      const at = Math.ceil(top / 64) * 64;
      top = at + bytes;
      return at;
    },
    top: () => Math.ceil(top / 64) * 64,
  };
}

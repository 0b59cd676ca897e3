/** @file The part of the WebAssembly JavaScript API (W3C) that fedrad uses; @types/node has none and lib.dom is not ours. */
declare namespace WebAssembly {
  class Module {
    private readonly brand: 'Module';
  }
  class Memory {
    constructor(options: { initial: number; maximum: number; shared: true });
    readonly buffer: SharedArrayBuffer;
    /** Adds pages of 64 KiB. */
    grow(pages: number): number;
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, Memory>>);
    readonly exports: Record<string, unknown>;
  }
  function validate(bytes: Uint8Array): boolean;
  function compile(bytes: Uint8Array): Promise<Module>;
}

/** @file Compiles the AssemblyScript kernels to WebAssembly: `npm run build:kernels` (part of `npm ci`). */
console.log('no kernels yet');

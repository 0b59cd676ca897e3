/** @file Builds what is published: dist/ and the kernels. */
import { join } from 'node:path';
import { compile, root } from './compile.ts';

compile(join(root, 'dist'), { check: true });
await import('./build-kernels.ts');

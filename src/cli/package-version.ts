/** @file The version of this fedrad. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const file = join(import.meta.dirname, '..', '..', 'package.json');

export const { version: packageVersion } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };

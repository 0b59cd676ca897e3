/** @file A labelled set of images that can be read one by one, wherever it lies: folder, zip archive or phantoms. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../base/index.ts';
import { withoutPath } from './disk.ts';
import { findLabelled, type LabelledFile } from './layout.ts';

export interface Collection {
  /** Sorted by class, name, path. */
  readonly files: readonly LabelledFile[];
  /** The bytes of one file. Rejects when it cannot be read; the others can still be. */
  read(file: LabelledFile): Promise<Uint8Array>;
  close(): void;
}

/** Deeper folders are not searched: it also ends loops of symbolic links. */
const FOLDER_DEPTH = 8;

/** A folder as a collection; `where` names it in errors. */
export async function openFolder(folder: string, fileBytes: number): Promise<Collection> {
  const paths = await walk(folder, '', 0).catch((error: unknown) =>
    fail(`folder ${folder}`, `cannot be read: ${withoutPath(error)}`, 'check the path and its permissions'),
  );
  return {
    files: findLabelled(paths, `folder ${folder}`),
    read: async (file) => {
      const path = join(folder, file.path);
      const { size } = await stat(path);
      if (size > fileBytes) throw new Error(`larger than ${fileBytes} bytes`);
      return readFile(path);
    },
    close: () => {},
  };
}

/**
 * The labelled images of a folder with NORMAL/ and PNEUMONIA/ (any case), or of one that holds chest_xray/train: sorted
 * by class and name, with the patient by file name. Throws one clear line where there is no such folder.
 */
export async function listLabelledFolder(folder: string): Promise<readonly LabelledFile[]> {
  const { files } = await openFolder(folder, Number.POSITIVE_INFINITY);
  return files.map((file) => ({ ...file, path: join(folder, file.path) }));
}

/** Paths of all files below `root`, with `/`; symbolic links are followed, broken ones count as files. */
async function walk(root: string, below: string, depth: number): Promise<string[]> {
  const entries = await readdir(join(root, below), { withFileTypes: true });
  const found = await Promise.all(
    entries.map(async (entry) => {
      const path = below === '' ? entry.name : `${below}/${entry.name}`;
      const isFolder = entry.isSymbolicLink()
        ? await stat(join(root, path)).then(
            (target) => target.isDirectory(),
            () => false,
          )
        : entry.isDirectory();
      if (!isFolder) return [path];
      return depth < FOLDER_DEPTH ? walk(root, path, depth + 1) : [];
    }),
  );
  return found.flat();
}

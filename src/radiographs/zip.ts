/**
 * @file A zip archive as a collection. Entries are read one by one from the archive on disk; nothing is ever unpacked
 * under a name that the archive chose. An archive with a path out of its folder, a symbolic link, or more than its
 * limits is refused whole: nobody makes such a data set by accident.
 */
import { crc32 } from 'node:zlib';
import yauzl, { type Entry, type ZipFile } from 'yauzl';
import { FedradError, fail } from '../base/index.ts';
import type { Collection } from './collection.ts';
import { withoutPath } from './disk.ts';
import { findLabelled } from './layout.ts';
import type { Limits } from './limits.ts';

const MEBIBYTE = 2 ** 20;
/** The longest file name of Linux, macOS and Windows file systems. */
const NAME_BYTES = 255;
const FILE_TYPE_MASK = 0o170000;
const SYMBOLIC_LINK = 0o120000;

/** Opens a zip archive; `where` names it in errors. Throws one clear line for a hostile or damaged archive. */
export async function openZip(path: string, where: string, limits: Limits): Promise<Collection> {
  const damaged = (error: unknown): never => {
    if (error instanceof FedradError) throw error;
    // yauzl ends some messages with the name of the entry, which may be a patient's.
    const problem = withoutPath(error).replace(/(fileName|path): .*/s, '$1');
    return fail(where, `not a usable zip archive: ${problem}`, 'fetch it again, or check the path');
  };
  const zip = await yauzl.openPromise(path, { autoClose: false }).catch(damaged);
  try {
    const entries = await listEntries(zip, where, limits).catch(damaged);
    return {
      files: findLabelled([...entries.keys()], where),
      read: (file) => readEntry(zip, entries.get(file.path)!, limits.fileBytes),
      close: () => zip.close(),
    };
  } catch (error) {
    zip.close();
    throw error;
  }
}

async function listEntries(zip: ZipFile, where: string, limits: Limits): Promise<Map<string, Entry>> {
  const refuse = (problem: string): never => fail(where, `refused: ${problem}`, 'use an archive that you trust');
  if (zip.entryCount > limits.entryCount) {
    refuse(`${zip.entryCount} entries, more than the limit of ${limits.entryCount}`);
  }
  const entries = new Map<string, Entry>();
  let unpackedBytes = 0;
  let number = 0;
  // yauzl itself refuses absolute paths and `..` while listing.
  for await (const entry of zip.eachEntry()) {
    const { fileName, uncompressedSize, compressedSize } = entry;
    number += 1;
    // Nothing in a name may surprise a file system or a terminal.
    if (/\p{Cc}/u.test(fileName) || fileName.split('/').some((part) => Buffer.byteLength(part) > NAME_BYTES)) {
      refuse(`the name of entry ${number} is not a usable file name`);
    }
    // The upper half of the attributes is the Unix mode where a Unix program made the archive.
    if (((entry.externalFileAttributes >>> 16) & FILE_TYPE_MASK) === SYMBOLIC_LINK) {
      refuse(`entry ${number} is a symbolic link`);
    }
    unpackedBytes += uncompressedSize;
    if (unpackedBytes > limits.unpackedBytes) refuse(`unpacks to more than ${limits.unpackedBytes} bytes`);
    if (uncompressedSize > limits.fileBytes) {
      refuse(`entry ${number} unpacks to ${uncompressedSize} bytes, more than the limit of ${limits.fileBytes}`);
    }
    if (uncompressedSize > MEBIBYTE && uncompressedSize > limits.ratio * compressedSize) {
      refuse(`entry ${number} unpacks to more than ${limits.ratio} times its packed size`);
    }
    if (entries.has(fileName)) refuse(`entry ${number} is in it twice`);
    if (!fileName.endsWith('/')) entries.set(fileName, entry);
  }
  return entries;
}

/** The bytes of an entry; rejects when they are not those that were packed. */
async function readEntry(zip: ZipFile, entry: Entry, fileBytes: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of await zip.openReadStreamPromise(entry)) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > fileBytes) throw new Error(`larger than ${fileBytes} bytes`);
  }
  const content = Buffer.concat(chunks);
  if (crc32(content) !== entry.crc32) throw new Error('checksum does not match');
  return content;
}

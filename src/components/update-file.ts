/** @file What a training step hands to the aggregation beside the model: which silo, and how many images are behind it. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { fail } from '../base/index.ts';

const updateNoteSchema = z.strictObject({ silo: z.string().max(100), examples: z.int().positive() });

export type UpdateNote = z.infer<typeof updateNoteSchema>;

const FILE = 'update.json';

export const writeUpdateNote = (folder: string, note: UpdateNote): Promise<void> =>
  writeFile(join(folder, FILE), `${JSON.stringify(note)}\n`);

export async function readUpdateNote(folder: string): Promise<UpdateNote> {
  const text = await readFile(join(folder, FILE), 'utf8');
  const note = updateNoteSchema.safeParse(JSON.parse(text));
  return note.success ? note.data : fail(join(folder, FILE), z.prettifyError(note.error), 'the update is not used');
}

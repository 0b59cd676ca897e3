/** @file What a training step hands to the aggregation beside the model: which silo, and how many images are behind it. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson } from './read-json.ts';

const updateNoteSchema = z.strictObject({ silo: z.string().max(100), examples: z.int().positive() });

export type UpdateNote = z.infer<typeof updateNoteSchema>;

const FILE = 'update.json';

export const writeUpdateNote = (folder: string, note: UpdateNote): Promise<void> =>
  writeFile(join(folder, FILE), `${JSON.stringify(note)}\n`);

export const readUpdateNote = (folder: string): Promise<UpdateNote> =>
  readJson(join(folder, FILE), updateNoteSchema, 'the update is not used');

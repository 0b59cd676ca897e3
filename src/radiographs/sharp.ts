/** @file The native image decoder, loaded on first use: steps that read prepared arrays run in a sandbox without native code. */
export type { Sharp } from 'sharp';

export const loadSharp = async () => (await import('sharp')).default;

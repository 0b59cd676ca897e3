/** @file How values are printed. One way for each kind, so that columns align on their decimals. */
import type { Interval } from './figures.ts';

/** A fraction: 0.972. */
export const fraction = (value: number): string => value.toFixed(3);

/** [0.958, 0.984]. */
export const interval = ([low, high]: Interval): string => `[${fraction(low)}, ${fraction(high)}]`;

/** 1,234 with a comma, whatever the locale of the machine. */
export const whole = (value: number): string => Math.round(value).toLocaleString('en-US');

/** 95 % or, of nothing, a dash. */
export const percent = (part: number, all: number): string => (all === 0 ? '–' : `${Math.round((100 * part) / all)} %`);

/** 1 image, 2 images. */
export const plural = (value: number, noun: string): string => `${whole(value)} ${noun}${value === 1 ? '' : 's'}`;

/** 8.4 s, 7 min 54 s, 2 h 05 min. */
export function duration(seconds: number): string {
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const total = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor((total % 3600) / 60), total % 60];
  const two = (value: number): string => String(value).padStart(2, '0');
  return hours > 0 ? `${hours} h ${two(minutes)} min` : `${minutes} min ${two(rest)} s`;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** 23 Nov 2026, 19:02 UTC, of an ISO 8601 time. */
export function instant(iso: string): string {
  const date = new Date(iso);
  const time = date.toISOString().slice(11, 16);
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}, ${time} UTC`;
}

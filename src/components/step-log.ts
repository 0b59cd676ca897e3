/** @file What a step's log keeps of its messages: their words, and of its progress each tenth of the work. */
import type { StepMessage } from './messages.ts';

/** For one attempt: the line of a message; undefined where it tells nothing new. */
export function openStepLog(): (message: StepMessage) => string | undefined {
  let lastTenth = '';
  return (message) => {
    switch (message.type) {
      case 'progress': {
        const { done, total, text } = message;
        const what = text.replace(/[\d.]+/g, '');
        const tenth = `${what}${total > 0 ? Math.floor((10 * done) / total) : 0}`;
        if (tenth === lastTenth) return undefined;
        lastTenth = tenth;
        return `${done}/${total} ${text}`;
      }
      case 'metric':
        return `${message.name} = ${message.value}`;
      case 'note':
        return message.text;
      case 'usage':
        return `${message.cpuSeconds.toFixed(1)} s of CPU time, ${Math.round(message.maxRssBytes / 2 ** 20)} MiB of memory at most`;
    }
  };
}

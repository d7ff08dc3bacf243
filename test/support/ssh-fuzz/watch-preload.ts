/** Makes any program of ours tell its parent process how it feels: `node --import` this file. */
import { watchSelf } from './self-watch.ts';

watchSelf(() => ({}));
process.send?.('watching');

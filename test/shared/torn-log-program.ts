/** Writes a log where files may not grow past a limit, so that a line is torn, then makes a little room and goes on. */
import { statSync, truncateSync } from 'node:fs';
import { LogFile } from '../../src/shared/log.ts';

const [file = ''] = process.argv.slice(2);
const log = new LogFile(file);
while (log.write(`${'x'.repeat(299)}\n`));
truncateSync(file, statSync(file).size - 50);
log.write('next\n');
log.close();

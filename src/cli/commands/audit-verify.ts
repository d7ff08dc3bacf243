/** `fleet audit verify`: whether the audit log is whole. */
import { checkAudit } from '../../client/read-audit.ts';
import { parseExpect } from '../audit/parse-expect.ts';
import { defineCommand } from '../command.ts';
import { openGateway, printJson } from '../context.ts';
import { EXIT_OK } from '../exit-code.ts';

const EXIT_DAMAGED = 1;

export const auditVerifyCommand = defineCommand({
  name: 'audit verify',
  usage: '[OPTIONS]',
  describe: [
    'Reads the whole audit log and checks every row and the signed head: finds rows that were changed, removed, inserted',
    'or put elsewhere. Exit code 0: intact, 1: damaged. Keep the head that it prints on another machine: with --expect it also',
    'finds a log that was replaced as a whole by an older or another one.',
  ].join('\n'),
  positionals: [],
  options: {
    expect: {
      type: 'string',
      placeholder: 'SEQ:HASH',
      describe: 'The log must contain this row, the head of an earlier time',
    },
  },
  examples: [
    ['fleet audit verify', 'look, and print the head'],
    [
      'fleet audit verify --expect 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
      'against a head that was kept',
    ],
    ['fleet audit verify --json', 'for scripts'],
  ],
  async execute(context, { options }) {
    const expected = options.expect === undefined ? undefined : parseExpect(options.expect);
    const verdict = await checkAudit(openGateway(context), expected);
    const { intact, rows, first, head, problems, problemCount } = verdict;
    if (context.json) {
      printJson(context, verdict);
      return intact ? EXIT_OK : EXIT_DAMAGED;
    }
    if (intact) {
      const range =
        first === null || first.seq === 1
          ? ''
          : `, from row ${first.seq}; older ones were deleted because of their age`;
      context.out.write(`intact: ${rows} rows${range}\n`);
    } else {
      context.out.write(`damaged: ${problemCount} ${problemCount === 1 ? 'problem' : 'problems'} in ${rows} rows\n`);
      context.out.write(problems.map(({ message }) => `  ${message}\n`).join(''));
      if (problemCount > problems.length) context.out.write(`  and ${problemCount - problems.length} more\n`);
    }
    if (head !== null) context.out.write(`head: ${head.seq}:${head.hash}\n`);
    return intact ? EXIT_OK : EXIT_DAMAGED;
  },
});

/** `fleet audit verify`: whether the audit log is whole. */
import { type CheckedAudit, checkAudit } from '../../client/read-audit.ts';
import type { AuditPosition } from '../../protocol/audit.ts';
import { FleetError } from '../../shared/errors.ts';
import { parseExpect } from '../audit/parse-expect.ts';
import { verifyFile } from '../audit/verify-file.ts';
import { defineCommand } from '../context/command.ts';
import type { CliContext } from '../context/context.ts';
import { openGateway } from '../context/open-gateway.ts';
import { EXIT_OK } from '../output/exit-code.ts';
import { printJson } from '../output/print.ts';

const EXIT_DAMAGED = 1;

export const auditVerifyCommand = defineCommand({
  name: 'audit verify',
  usage: '[OPTIONS]',
  describe: [
    'Reads the whole audit log and checks every row and the signed head: finds rows that were changed, removed, inserted',
    'or put elsewhere. Exit code 0: intact, 1: damaged. Keep the head that it prints on another machine: with --expect it also',
    'finds a log that was replaced as a whole by an older or another one. --file checks an export, on any machine.',
  ].join('\n'),
  positionals: [],
  options: {
    expect: {
      type: 'string',
      placeholder: 'SEQ:HASH',
      describe: 'The log must contain this row, the head of an earlier time',
    },
    file: { type: 'string', placeholder: 'FILE', describe: 'Check this export instead, without asking any gateway' },
    head: {
      type: 'string',
      placeholder: 'FILE',
      describe: 'With --file: its signed head, as audit export --head wrote it',
    },
    key: {
      type: 'list',
      dashed: true,
      placeholder: 'KEY',
      describe: 'With --head: a public key of the gateway, from elsewhere',
    },
    partial: { type: 'boolean', describe: 'With --file: it begins in the middle, as an export with --since does' },
  },
  examples: [
    ['fleet audit verify', 'look, and print the head'],
    [
      'fleet audit verify --expect 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
      'against a head that was kept',
    ],
    ['fleet audit verify --json', 'for scripts'],
    ['fleet audit verify --file audit.jsonl --head audit.head --key "$KEY"', 'an export, on any machine'],
  ],
  async execute(context, { options }) {
    const expected = options.expect === undefined ? undefined : parseExpect(options.expect);
    const { file, key: keys } = options;
    const verdict = await (file === undefined
      ? checkGateway(context, options, expected)
      : verifyFile({ file, headFile: options.head, keys, isPartial: options.partial, expected }));
    const { intact, rows, first, head, problems, problemCount } = verdict;
    if (context.json) {
      printJson(context, verdict);
      return intact ? EXIT_OK : EXIT_DAMAGED;
    }
    if (intact) {
      const range =
        first === null || first.seq === 1
          ? ''
          : `, from row ${first.seq}; ${options.partial ? 'what was before is not looked at' : 'older ones were deleted because of their age'}`;
      context.out.write(`intact: ${rows} rows${range}\n`);
    } else {
      context.out.write(`damaged: ${problemCount} ${problemCount === 1 ? 'problem' : 'problems'} in ${rows} rows\n`);
      context.out.write(problems.map(({ message }) => `  ${message}\n`).join(''));
      if (problemCount > problems.length) context.out.write(`  and ${problemCount - problems.length} more\n`);
    }
    if (head !== null) context.out.write(`head: ${head.seq}:${head.hash}\nkey: ${head.key}\n`);
    if (file !== undefined && head === null) {
      context.err.write('Whether rows at the end are missing only a signed head can say: --head FILE\n');
    } else if (file !== undefined && keys.length === 0) {
      context.err.write('Whether that key is the one of the gateway is not known: --key KEY, kept elsewhere\n');
    }
    return intact ? EXIT_OK : EXIT_DAMAGED;
  },
});

function checkGateway(
  context: CliContext,
  { head, key, partial }: { head: string | undefined; key: readonly string[]; partial: boolean },
  expected: Partial<AuditPosition> | undefined,
): Promise<CheckedAudit> {
  if (head !== undefined || key.length > 0 || partial) {
    throw new FleetError('usage', '--head, --key and --partial belong to --file');
  }
  return checkAudit(openGateway(context), expected);
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { matchesGlob, matchesPattern, patternFault, splitPlainWords } from '../../../src/node/policy/rules.ts';

const allows = (pattern: string, line: string): boolean => {
  assert.equal(patternFault(pattern), undefined, pattern);
  const words = splitPlainWords(line);
  return words !== undefined && matchesPattern(pattern, words);
};

test('a pattern means whole words, one by one', () => {
  for (const [pattern, line] of [
    ['uptime', 'uptime'],
    ['uptime', '  uptime '],
    ['systemctl status *', 'systemctl status nginx.service'],
    ['df -h *', 'df -h tmp'],
    ['tail -n * /var/log/*', 'tail -n 20 /var/log/syslog'],
    ['tail -n * /var/log/*.log', 'tail -n 20 /var/log/a.b.log'],
    ['git **', 'git'],
    ['git log **', 'git log --oneline ../x -- /etc'],
    ['/opt/deploy --release=*', '/opt/deploy --release=v1.2'],
    ['tar -* /srv/*/*', 'tar -tf /srv/a/b'],
  ] as const)
    assert.ok(allows(pattern, line), `${pattern} should allow ${line}`);
});

test('a star is no way around: not to another option, folder, word or command', () => {
  for (const [pattern, line] of [
    ['uptime', 'uptime -p'],
    ['uptime', 'uptimes'],
    ['uptime', '/tmp/uptime'],
    ['uptime', 'Uptime'],
    ['uptime **', 'uptime; rm -rf /'],
    ['uptime **', 'uptime\nrm -rf /'],
    ['uptime **', 'uptime $(id)'],
    ['uptime **', 'uptimeX'],
    ['systemctl status *', 'systemctl status'],
    ['systemctl status *', 'systemctl status a b'],
    ['systemctl status *', 'systemctl status --root=/tmp'],
    ['journalctl -u *', 'journalctl -u -D'],
    ['cat /srv/*', 'cat /srv/../etc/shadow'],
    ['cat /srv/*', 'cat /srv/a/b'],
    ['cat /srv/*', 'cat /srv/..'],
    ['cat /srv/*/*', 'cat /srv/../etc'],
    ['cat /srv/*/x', 'cat /srv/../x'],
    ['cat *', 'cat /etc/shadow'],
    ['cat *', 'cat ..'],
    ['tool --dir=*', 'tool --dir=..'],
    ['tool --dir=*/x', 'tool --dir=../x'],
    ['cat /srv/.*', 'cat /srv/..'],
  ] as const)
    assert.ok(!allows(pattern, line), `${pattern} must not allow ${JSON.stringify(line)}`);
});

test('a pattern that says less than it seems to is refused when the node starts', () => {
  for (const pattern of [
    ...[
      '',
      ' ',
      '*',
      '** x',
      '*time',
      '/opt/*/run',
      './deploy',
      'bin/x',
      'A=b x',
      'git ** log',
      'a $(b)',
      'a "b"',
      'a;b',
      'a ~',
    ],
    ...['a\nb', 'é', 'a b\tc', 'a =b', 'ls | wc', 'a *?'],
  ])
    assert.notEqual(patternFault(pattern), undefined, JSON.stringify(pattern));
});

test('a pattern without stars allows exactly itself', () => {
  const word = fc.stringMatching(/^[a-z0-9_./:,@+-]{1,6}$/);
  const line = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join(' '));
  fc.assert(
    fc.property(line, line, (pattern, other) => {
      fc.pre(patternFault(pattern) === undefined);
      assert.ok(matchesPattern(pattern, pattern.split(' ')));
      assert.equal(matchesPattern(pattern, other.split(' ')), pattern === other);
    }),
  );
});

test('the glob agrees with a regular expression, and a hostile text costs nothing', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '\n', '/'), maxLength: 12 });
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '\n', '*'), maxLength: 8 });
  fc.assert(
    fc.property(pattern, text, (glob, subject) => {
      const regex = new RegExp(`^${glob.replaceAll('*', '[^]*')}$`);
      assert.equal(matchesGlob(glob, subject), regex.test(subject));
    }),
    { numRuns: 500 },
  );
  // A backtracking matcher would not come back from this.
  assert.equal(matchesGlob(`${'a*'.repeat(20)}b`, 'a'.repeat(100_000)), false);
});

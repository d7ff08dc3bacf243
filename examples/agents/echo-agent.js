#!/usr/bin/env node
/**
 * An agent for fleet that needs no network and no model: it shows how to write one, and is what fleet's own tests talk to.
 *
 * In the config of a node:
 *
 *   agents:
 *     echo: {command: [node, /path/to/examples/agents/echo-agent.js], prompt: json, events: ndjson}
 *
 * The prompt comes in one line of JSON on stdin; every line on stdout is one JSON object (docs/agents.md lists the types).
 * The words `fail` and `sleep SECONDS` at the beginning of a prompt make it do just that.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** One record a line. What goes to stderr instead is shown as it is. */
function tell(record) {
  process.stdout.write(`${JSON.stringify(record)}\n`);
}

function readPrompt() {
  const input = readFileSync(0, 'utf8');
  try {
    return JSON.parse(input).prompt;
  } catch {
    // With `prompt: stdin` it comes as it was typed.
    return input.trim();
  }
}

/** What an agent does between its words: it uses a tool, and says when it begins and how it ended. */
function countFiles() {
  const folder = process.cwd();
  tell({ type: 'tool-start', id: 'tool-1', name: 'list-folder', input: { folder } });
  const count = readdirSync(folder).length;
  tell({ type: 'tool-end', id: 'tool-1', ok: true, output: `${count} entries` });
  return count;
}

const prompt = readPrompt();
const [verb, argument] = prompt.split(' ');
if (verb === 'fail') {
  tell({ type: 'error', message: 'asked to fail' });
  process.exitCode = 3;
} else {
  if (verb === 'sleep') await sleep(Number(argument) * 1000);
  for (const word of prompt.split(/(?<= )/)) tell({ type: 'text', text: word });
  tell({ type: 'text', text: '\n' });
  const count = countFiles();
  process.stderr.write(`echo-agent: counted ${count} entries\n`);
  tell({ type: 'result', text: `You said: ${prompt}` });
}

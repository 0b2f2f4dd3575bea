#!/usr/bin/env node
// Finds calls of a JavaScript function whose results can be written down.
//
// Reads objects `{"id", "module", "name", "seed"}`, one a line, and answers each with `{"id", "rows"}`: rows are `{"call",
// "expected"}` or `{"call", "raises"}`, all source text, the ones that reach new code first. A function that takes other types
// than these, prints, changes its arguments, or never returns has no rows; nor has one of whose text too little was reached.
//
// Run it with `node --max-old-space-size=512`. A module runs in a context of its own that holds the language alone: no
// `process`, no `require`, no network, no code made from strings; and every call within a time limit. (Node's permission model
// would refuse the inspector, which says what a call covers.)

import { Session } from 'node:inspector';
import { createInterface } from 'node:readline';
import vm from 'node:vm';

const CALL_MS = 150;
const FUNCTION_MS = 6000;
const TRIES = 500;
const LONGEST = 110; // characters of an argument list or a result: longer ones say nothing to a reader
const WANTED = 64;
const MISSED = 0.15; // of the function's text, by all its rows

const POOLS = {
  int: ['0', '1', '2', '3', '-1', '5', '7', '8', '10', '12', '16', '-4', '31', '64', '100', '255', '365', '1000', '2024'],
  float: ['0.5', '-1.5', '2.25', '99.9', '0.1', '12345.678', '1e-7', 'NaN', 'Infinity'],
  str: ["''", "'a'", "'abc'", "'Hello World'", "'  padded  '", "'a,b,,c'", "'key=value'", "'12'", "'-3.5'", "'foo_bar-baz'",
    "'camelCaseName'", "'dir/file.txt'", "'/usr/lib/x.tar.gz'", "'\"quoted\"'", "'one\\ntwo\\n\\nthree'", "'a.b.c'", "'1.2.3'",
    "'2024-02-29'", "'12:34:56'", "'#ff8800'", "'#abc'", "'<b>bold</b>'", "'ann@example.com'", "'AAA'", "'aab'",
    "'http://example.com/a?b=c#d'", "'0x1F'", "'true'", "' x'", "'x '", "'[x]'", "'(a (b))'", "'--flag'", "'x=1&y=2'"],
  bool: ['true', 'false'],
  none: ['null', 'undefined'],
  ints: ['[]', '[1]', '[1, 2, 3]', '[3, 1, 2]', '[2, 2, 2]', '[-1, 0, 5]', '[10, 20, 30, 40]', '[0]', '[1, 3, 2, 3, 1]'],
  strs: ['[]', "['a']", "['a', 'b']", "['b', 'a', 'b']", "['']", "['x', '', 'y']", "['one', 'two', 'three']"],
  rows: ['[[1, 2], [3, 4]]', '[[1]]', '[[]]', '[[1, [2, [3]]], 4]', "[['a', 1], ['b', 2]]", "[['a', 'b'], ['c']]"],
  dict: ['{}', '{ a: 1 }', '{ a: 1, b: 2 }', "{ a: 'x', b: '' }", '{ a: { b: 1 } }', '{ a: [1, 2] }', '{ x: null }', '{ a: undefined, b: 0 }'],
  objects: ['[{ a: 1 }, { a: 2 }]', "[{ id: 1, name: 'x' }, { id: 2, name: 'y' }]", "[{ a: 1, b: 'p' }, { a: 1, b: 'q' }]"],
  call: ['x => x', 'x => x * 2', 'x => x > 1', '(x, y) => x + y', 'x => String(x)', '(a, b) => a - b', '() => true'],
};
const NAMES = {
  int: 'n i j k m x y z a b c num number count size width height depth index idx start stop end step length len limit offset pos position low high lo hi min max year month day hour minute seconds total value precision ms from to amount radix'.split(' '),
  float: 'x y value amount rate ratio price weight alpha scale number num'.split(' '),
  str: 's str text string line word name path key value prefix suffix sep separator delimiter char c ch title label msg url uri pattern source code tag attr input version date format token expr lang needle haystack substr color hex'.split(' '),
  strs: 'words lines names parts args argv keys strings fields columns path paths segments'.split(' '),
  ints: 'items values seq list arr array data numbers nums iterable xs ys l a b collection arr1 arr2 args'.split(' '),
  rows: 'matrix grid rows table lists nested arrays pairs entries array arr list'.split(' '),
  dict: 'o obj object map dict options opts data config params props source target item value query attrs'.split(' '),
  objects: 'items list collection records objects array arr rows data'.split(' '),
  bool: 'flag reverse strict deep force inclusive ascending immediate'.split(' '),
  call: 'fn func f cb callback predicate iteratee mapper compare comparator test iterator transform reducer'.split(' '),
};
const GENERAL = ['int', 'str', 'ints', 'strs', 'dict', 'bool'];
const OBJECT_KINDS = new Set(['Error', 'RangeError']);

/** Numbers from 0 up to 1 that the seed determines (mulberry32). */
function generator(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  next.pick = (list) => list[Math.floor(next() * list.length)];
  next.shuffle = (list) => {
    for (let at = list.length - 1; at > 0; at--) {
      const other = Math.floor(next() * (at + 1));
      [list[at], list[other]] = [list[other], list[at]];
    }
    return list;
  };
  return next;
}

/** The parameters' names and which of them must be given, read off the function's own text; null where they are patterns. */
function parameters(text) {
  const head = /^(?:async\s+)?(?:function\s*\*?\s*[\w$]*\s*)?(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\)|([\w$]+)\s*=>)/.exec(text);
  const listed = head && (head[1] ?? head[2]).split(',').map((word) => word.trim()).filter(Boolean);
  if (!listed || listed.length === 0 || listed.length > 5) return null;
  const read = listed.map((word) => /^(?:\.\.\.)?([\w$]+)\s*(?:=\s*(.+))?$/s.exec(word));
  return read.every(Boolean) ? read.map(([whole, name, given]) => ({ name, required: !given && !whole.startsWith('...'), given })) : null;
}

/** Types that the parameter seems to take. */
function likely({ name, given }) {
  const found = [];
  if (given) found.push(/^['"`]/.test(given) ? 'str' : /^-?\d/.test(given) ? 'int' : /^(true|false)$/.test(given) ? 'bool' : /^\{/.test(given) ? 'dict' : /^\[/.test(given) ? 'ints' : 'none');
  const parts = name.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase().split('_');
  const words = new Set([name.toLowerCase(), parts[0], parts.at(-1), name.toLowerCase().replace(/\d+$/, '')]);
  for (const [kind, names] of Object.entries(NAMES)) if (names.some((word) => words.has(word))) found.push(kind);
  return [...new Set(found)];
}

/** The general values, and those near the constants that the function itself names: its boundaries. */
function poolsFor(text) {
  const pools = Object.fromEntries(Object.entries(POOLS).map(([kind, values]) => [kind, [...values]]));
  for (const [number] of text.matchAll(/(?<![\w.$'"])\d{1,7}(?![\w.$'"])/g)) pools.int.push(String(Number(number) - 1), String(Number(number)), String(Number(number) + 1));
  for (const [, , inner] of text.matchAll(/(['"])((?:(?!\1)[^\\\n]){1,16})\1/g)) {
    for (const value of [inner, `${inner}x`, `ab${inner}cd`, inner + inner]) pools.str.push(quoted(value));
  }
  return pools;
}

const quoted = (text) => `'${JSON.stringify(text).slice(1, -1).replace(/\\"/g, '"').replace(/'/g, "\\'")}'`;

/** The value as source text; null where it has none that a reader could follow. */
function literal(value, plain, depth = 0) {
  if (value === null || value === undefined || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || depth > 4 || Object.getOwnPropertySymbols(value).length) return null;
  const proto = Object.getPrototypeOf(value);
  if (proto === plain.array) {
    if (Object.keys(value).length !== value.length) return null;
    const parts = Array.from(value, (item) => literal(item, plain, depth + 1));
    return parts.includes(null) ? null : `[${parts.join(', ')}]`;
  }
  if (proto !== plain.object) return null;
  const parts = Object.entries(value).map(([key, item]) => [/^[A-Za-z_$][\w$]*$/.test(key) ? key : quoted(key), literal(item, plain, depth + 1)]);
  if (parts.some(([key, item]) => item === null || key === '__proto__')) return null;
  return parts.length ? `{ ${parts.map(([key, item]) => `${key}: ${item}`).join(', ')} }` : '{}';
}

const session = new Session();
session.connect();
const ask = (method, params) => {
  let answer;
  session.post(method, params, (error, result) => { answer = result; });
  return answer;
};

/** Which blocks of the module ran since the last question, and which of the function `name` did not though it ran itself. */
function covered(name) {
  const script = ask('Profiler.takePreciseCoverage')?.result.find(({ url }) => url === 'module.js');
  const functions = script?.functions ?? [];
  const spell = ({ startOffset, endOffset }) => `${startOffset}-${endOffset}`;
  const own = functions.find(({ functionName }) => functionName === name)?.ranges;
  return {
    steps: functions.flatMap(({ ranges }) => ranges.filter(({ count }) => count > 0).map(spell)),
    missed: own && own[0].count > 0 ? own.filter(({ count }) => count === 0).map(spell) : null,
    size: own ? own[0].endOffset - own[0].startOffset : 0,
  };
}

/** The share of the function's text that no call reached. */
function unreached(found) {
  const own = found.filter(({ missed }) => missed);
  if (own.length === 0) return 1;
  const never = own.map(({ missed }) => new Set(missed)).reduce((left, missed) => new Set([...left].filter((block) => missed.has(block))));
  const sizes = [...never].map((block) => block.split('-').map(Number)).map(([start, end]) => end - start);
  return sizes.reduce((sum, size) => sum + size, 0) / own[0].size;
}

function attempt(context, plain, name, texts, explicit) {
  const call = `${name}(${texts.join(', ')})`;
  if (call.length > LONGEST + name.length) return null;
  const run = (source) => vm.runInContext(source, context, { timeout: CALL_MS });
  const before = texts.map((text) => (text.includes('=>') ? null : text));
  try {
    const [result, values] = run(`(() => { const given = [${texts.join(', ')}]; const result = ${name}(...given); return [result, given]; })()`);
    const reached = covered(name);
    const same = values.every((value, at) => before[at] === null || literal(value, plain) === literal(run(`(${texts[at]})`), plain));
    const expected = same ? literal(result, plain) : null;
    if (expected === null || expected.length > LONGEST) return null;
    return { ...reached, row: { call, expected }, kind: Array.isArray(result) ? 'array' : typeof result };
  } catch (error) {
    const reached = covered(name);
    if (error?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    const kind = error?.constructor?.name;
    return explicit && OBJECT_KINDS.has(kind) ? { ...reached, row: { call, raises: kind }, kind: 'raises' } : null;
  }
}

function draw(random, wanted, pools, learned) {
  let count = wanted.length;
  while (count && !wanted[count - 1].required && random() < 0.5) count--;
  if (random() < 0.1 && count > 1) count--;
  const usual = learned.length && random() < 0.6 ? random.pick(learned) : null;
  const kinds = wanted.slice(0, count).map(({ guesses }, at) => {
    if (usual && at < usual.length) return usual[at];
    return random.pick(guesses.length && random() < 0.95 ? guesses : GENERAL);
  });
  return { kinds, texts: kinds.map((kind) => random.pick(pools[kind])) };
}

function explore({ module, name, seed }) {
  const context = vm.createContext(Object.create(null), { codeGeneration: { strings: false, wasm: false } });
  vm.runInContext(module, context, { timeout: 1000, filename: 'module.js' });
  const text = String(vm.runInContext(`String(${name})`, context));
  if (/^async|^function\s*\*/.test(text)) return [];
  const wanted = parameters(text)?.map((parameter) => ({ ...parameter, guesses: likely(parameter) }));
  if (!wanted) return [];
  const plain = vm.runInContext('({ array: Array.prototype, object: Object.prototype })', context);
  const explicit = text.includes('throw ');
  const random = generator(seed);
  const pools = poolsFor(text);
  const [learned, rows] = [[], new Map()];
  const deadline = Date.now() + FUNCTION_MS;
  covered(name);
  for (let turn = 0, slow = 0; turn < TRIES && slow < 4 && Date.now() < deadline; turn++) {
    if (turn === 200 && rows.size === 0) break;
    const { kinds, texts } = draw(random, wanted, pools, learned);
    try {
      const found = attempt(context, plain, name, texts, explicit);
      if (!found || rows.has(found.row.call)) continue;
      rows.set(found.row.call, found);
      if (found.kind !== 'raises' && found.kind !== 'undefined') learned.push(kinds);
    } catch {
      slow++;
    }
  }
  return unreached([...rows.values()]) > MISSED ? [] : arrange(random, [...rows.values()]);
}

/** Rows in the order in which they are worth having: new blocks first, then results not seen yet, then the rest. */
function arrange(random, found) {
  const returned = found.filter(({ kind }) => kind !== 'raises');
  const results = new Set(returned.map(({ row }) => row.expected));
  const only = (...values) => [...results].every((result) => values.includes(result));
  if (results.size < (only('true', 'false') ? 2 : 4)) return [];
  const tally = {};
  for (const { kind } of returned) tally[kind] = (tally[kind] ?? 0) + 1;
  const common = Object.keys(tally).sort((a, b) => tally[b] - tally[a])[0];
  // A test of one type's results, with a few of another, is what a person writes; odd values stay the minority.
  const odd = (one) => one.kind !== common || /NaN|Infinity|undefined|null/.test(one.row.call);
  const usual = random.shuffle(returned.filter((one) => !odd(one)));
  const others = random.shuffle(returned.filter(odd)).slice(0, Math.ceil(usual.length / 4));
  const raising = random.shuffle(found.filter(({ kind }) => kind === 'raises')).slice(0, Math.ceil(usual.length / 4));
  const [steps, seen, first, second, rest] = [new Set(), new Set(), [], [], []];
  for (const one of [...usual, ...others, ...raising]) {
    const result = one.row.expected ?? one.row.raises;
    (one.steps.some((step) => !steps.has(step)) ? first : !seen.has(result) ? second : rest).push(one.row);
    one.steps.forEach((step) => steps.add(step));
    seen.add(result);
  }
  return [...first, ...second, ...rest].slice(0, WANTED);
}

ask('Profiler.enable');
ask('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
for await (const line of createInterface({ input: process.stdin })) {
  const task = JSON.parse(line);
  let rows = [];
  try {
    rows = explore(task);
  } catch {
    // A module that does not load has nothing to test.
  }
  console.log(JSON.stringify({ id: task.id, rows }));
}

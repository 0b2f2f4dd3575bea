'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const { lookup, mergeSettings } = require('../lib/settings.js');

test('flat settings', () => {
  assert.deepEqual(mergeSettings({ a: 1, b: 2 }, { b: 3 }), { a: 1, b: 3 });
  assert.deepEqual(mergeSettings({ list: [1] }, { list: [2] }), { list: [2] });
});

test('nested settings', () => {
  const user = { editor: { tabSize: 2 } };
  assert.deepEqual(mergeSettings({ editor: { tabSize: 4, wrap: true } }, user), { editor: { tabSize: 2, wrap: true } });
});

test('undefined does not overwrite', () => {
  assert.deepEqual(mergeSettings({ a: 1 }, { a: undefined }), { a: 1 });
});

test('lookup', () => {
  assert.equal(lookup({ a: { b: 1 } }, 'a.b', 0), 1);
  assert.equal(lookup({ a: 1 }, 'a.b', 0), 0);
});

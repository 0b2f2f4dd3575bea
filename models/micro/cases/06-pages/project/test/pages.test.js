import assert from 'node:assert/strict';
import test from 'node:test';
import { pageCount, pageLinks, pageRange } from '../src/pages.js';

test('full pages', () => {
  assert.equal(pageCount(20, 10), 2);
  assert.equal(pageCount(0, 10), 1);
});

test('a page that is not full counts', () => {
  assert.equal(pageCount(21, 10), 3);
  assert.equal(pageCount(3, 10), 1);
});

test('ranges', () => {
  assert.deepEqual(pageRange(1, 21, 10), { first: 1, last: 10 });
  assert.deepEqual(pageRange(3, 21, 10), { first: 21, last: 21 });
});

test('links', () => {
  assert.deepEqual(pageLinks(5, 9), [1, null, 4, 5, 6, null, 9]);
});

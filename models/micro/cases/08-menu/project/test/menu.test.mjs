import assert from 'node:assert/strict';
import test from 'node:test';
import { titles, visibleItems } from '../src/menu.mjs';

const items = [
  { title: 'Home' },
  { title: 'Draft', hidden: true },
  { title: 'Admin', items: [{ title: 'Users', needs: 'users' }, { title: 'Logs', needs: 'logs' }] },
];

test('a guest sees what needs nothing', () => {
  assert.deepEqual(titles(visibleItems(items, { permissions: [] })), ['Home']);
});

test('permissions open single entries', () => {
  assert.deepEqual(titles(visibleItems(items, { permissions: ['logs'] })), ['Home', 'Admin', 'Logs']);
});

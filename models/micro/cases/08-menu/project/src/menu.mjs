import { allows } from './access.mjs';

/** The entries that a user sees, groups that came out empty left out. */
export function visibleItems(items, user) {
  const visible = [];
  for (const item of items) {
    if (item.hidden && !allows(user, item.needs)) continue;
    if (item.items === undefined) {
      visible.push(item);
      continue;
    }
    const inner = visibleItems(item.items, user);
    if (inner.length > 0) visible.push({ ...item, items: inner });
  }
  return visible;
}

/** All titles, groups before their entries. */
export function titles(items) {
  return items.flatMap((item) => [item.title, ...titles(item.items ?? [])]);
}
